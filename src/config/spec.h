/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strings inside a configuration's lists: disks (xl-disk-configuration(5)), networks
 * (xl-network-configuration(5)). Errors name the place inside the string.
 */
#ifndef DACH_CONFIG_SPEC_H
#define DACH_CONFIG_SPEC_H

#include "config/cfg.h"
#include "config/config.h"
#include "domain/config.h"

/* A part of a value's text between commas, without blanks around it. */
struct piece {
	const char *start;
	size_t size;
};

/* The piece at *at, and *at behind its comma; false: there was none left. Starts at the text. */
bool piece_next(const char **at, struct piece *piece);
bool piece_is(const struct piece *piece, const char *word);
/* If it is KEY=VALUE: the key (its word) and the value, trimmed. */
bool piece_split(const struct piece *piece, struct piece *key, struct piece *value);
/* Puts a copy in *to, freeing what was there; an empty one is NULL. -ENOMEM. */
int piece_take(const struct piece *piece, char **to, struct error *err);
/* The place of a byte of the value's text. */
struct cfg_place piece_place(const struct cfg_value *value, const char *at);

/*
 * Fills in a disk or vif, all zero before. On failure whatever it holds is the caller's to free
 * with the configuration that it belongs to.
 */
int spec_disk(const struct cfg_value *value, const struct config_reader *reader,
	struct domain_disk *disk, struct error *err);
int spec_vif(const struct cfg_value *value, const struct config_reader *reader,
	struct domain_vif *vif, struct error *err);

/* "FILE:LINE:COLUMN: sentence" to the reader's warn, if it has one. */
void spec_warn(const struct config_reader *reader, const struct cfg_place *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An absolute path of one that is relative to the reader's folder; takes path. */
int spec_absolute(const struct config_reader *reader, char **path, struct error *err);

#endif
