/* SPDX-License-Identifier: Apache-2.0 */
/* From keys and values to a struct domain_config: what each key of xl.cfg means here. */
#ifndef DACH_CONFIG_KEYS_H
#define DACH_CONFIG_KEYS_H

#include "config/cfg.h"
#include "config/config.h"

/* config holds the defaults. Checks it too; on failure it may be half filled. */
int keys_apply(struct cfg *cfg, const char *file, const struct config_reader *reader,
	struct domain_config *config, struct error *err);

/* A value as a string (a number as it was written); the setting's. -EINVAL: a list. */
int keys_text(const struct cfg_setting *setting, const char **text, struct error *err);
/* A number, quoted or not. */
int keys_number(const struct cfg_setting *setting, unsigned long long min, unsigned long long max,
	const char *unit, unsigned long long *number, struct error *err);
/* keys_lists.c: disk, vif, serial, cpus, cpus_soft */
int keys_lists(struct cfg *cfg, const struct config_reader *reader, struct domain_config *config,
	struct error *err);
/* keys_kept.c: puts the keys that xl knows and that have no field into config->kept, warns of the
 * others. */
int keys_keep(struct cfg *cfg, const struct config_reader *reader, struct domain_config *config,
	struct error *err);

/* The keys that have a field, and those that are kept without: n from 0 on, NULL after the last. */
const char *keys_taken(unsigned n);
/* missing: asks for something that is not there yet, which is said */
const char *keys_kept(unsigned n, bool *missing);

#endif
