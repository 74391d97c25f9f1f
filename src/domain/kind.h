/* SPDX-License-Identifier: Apache-2.0 */
/* What one kind of guest has and the other has not: that is no wish that could be left out silently. */
#ifndef DACH_DOMAIN_KIND_H
#define DACH_DOMAIN_KIND_H

#include "domain/config.h"

/* -EINVAL and a sentence that begins with the field's name. */
int domain_config_check_kind(const struct domain_config *config, struct error *err);

#endif
