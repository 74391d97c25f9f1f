/* SPDX-License-Identifier: Apache-2.0 */
/* What one kind of guest has and the other has not: that is no wish that could be left out silently. */
#ifndef DACH_DOMAIN_KIND_H
#define DACH_DOMAIN_KIND_H

#include "domain/config.h"

/* -EINVAL and a sentence that begins with the field's name. */
int domain_config_check_kind(const struct domain_config *config, struct error *err);

#define DOMAIN_SHARE_PATH 400u /* bytes of where a container has a folder */
/* Of a folder that a container has. */
int domain_config_check_share(const char *what, const struct share_spec *share, struct error *err);

#endif
