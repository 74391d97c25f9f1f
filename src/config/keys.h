/* SPDX-License-Identifier: Apache-2.0 */
/* From keys and values to a struct domain_config: what each key of xl.cfg means here. */
#ifndef DACH_CONFIG_KEYS_H
#define DACH_CONFIG_KEYS_H

#include "config/cfg.h"
#include "config/config.h"

/* What a key does to the guest. */
enum key_effect {
	KEY_FIELD, /* sets a field of struct domain_config */
	KEY_KEPT,  /* is kept and shown, and nobody misses more */
	KEY_MISSING, /* is kept; whoever writes it expects something that is not there yet, and is told */
};

/* How the value of a key without a reader of its own becomes its field's. */
enum key_form {
	KEY_PLAIN, /* as the field's kind has it: a text, a number, one of its names */
	KEY_PATH,  /* a text; a relative path begins in the reader's folder */
	KEY_MIB,   /* a number of MiB; the field counts KiB */
};

struct keys_target {
	struct cfg *cfg;
	const struct config_reader *reader;
	struct domain_config *config; /* holds the defaults, or what earlier rows have set */
};

/* A row of key_table.c. */
struct key {
	const char *name;
	enum key_effect effect;
	enum key_form form;
	const char *field; /* FIELD: its name in domain_config_fields */
	uint64_t min, max; /* in the key's unit; ENUM: of the names; max 0: the field's own */
	/* For a setting of a form of its own; also looks for others that belong to it. */
	int (*read)(const struct keys_target *to, const struct cfg_setting *setting,
		struct error *err);
	const char *help; /* MISSING: what is not there yet */
};

/* Rows from 0 on; NULL after the last. */
const struct key *keys_row(unsigned n);
/* NULL: nobody knows this key. */
const struct key *keys_find(const char *name);
/* The first key that sets a field; NULL: none does. */
const struct key *keys_find_field(const char *field);

/* config holds the defaults. Checks it too; on failure it may be half filled. */
int keys_apply(struct cfg *cfg, const char *file, const struct config_reader *reader,
	struct domain_config *config, struct error *err);
/*
 * keys_kept.c: puts the keys that have no field into config->kept, and warns of those that nobody
 * knows.
 */
int keys_keep(const struct keys_target *to, struct error *err);

/* For the readers. A value as a string (a number as it was written); the setting's. -EINVAL: a list. */
int keys_text(const struct cfg_setting *setting, const char **text, struct error *err);

/* Readers of keys.c ... */
int keys_read_uuid(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_type(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_root(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_builder(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_cmdline(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_root_and_extra(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
/* ... of keys_screen.c ... */
int keys_read_vnc_listen(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_vnc_password(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_vfb(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
/* ... and of keys_lists.c. */
int keys_read_disks(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_vifs(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
/* A list of strings into the field of the key's name. */
int keys_read_words(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_shares(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_serial(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_cpus(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);
int keys_read_cpus_soft(const struct keys_target *to, const struct cfg_setting *setting,
	struct error *err);

#endif
