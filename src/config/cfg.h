/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language of xl.cfg(5), before it means anything: keys and values with the place where each
 * was written.
 *
 *   key = value     key += value     ended by a newline or ';'; # begins a comment
 *   value: 'text' or "text" with \ escapes, a number (decimal, 0x...), [ list, of, values, ]
 *
 * Old files for xm were Python. What of that is a plain assignment is read too: True, False, None,
 * the name of a key assigned above, + and % between values, (parentheses), and the lines of preamble.h.
 * Whatever else is refused with its place.
 */
#ifndef DACH_CONFIG_CFG_H
#define DACH_CONFIG_CFG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CFG_DEPTH_MAX 16         /* of nested lists and parentheses */
#define CFG_ITEMS_MAX 4096       /* of one list */
#define CFG_TEXT_MAX 65536       /* bytes of one string */
#define CFG_SETTINGS_MAX 4096    /* different keys */
#define CFG_TOTAL_MAX (4u << 20) /* bytes that all values together may take */

/* Where something stands. Lines and columns count from 1; a column is a character, a tab one too. */
struct cfg_place {
	const char *file;
	unsigned line, column;
};

enum cfg_kind {
	CFG_NONE, /* Python's None: as if the key were not there */
	CFG_STRING,
	CFG_NUMBER,
	CFG_LIST,
};

struct cfg_value {
	enum cfg_kind kind;
	struct cfg_place at; /* of the first character inside the quotes */
	bool exact;          /* each byte of text is that many bytes after it: no escapes */
	char *text;          /* STRING, and NUMBER as it was written */
	long long number;
	struct cfg_value *item; /* LIST */
	unsigned items;
};

struct cfg_setting {
	char *key;
	struct cfg_place at;
	struct cfg_value value;
	bool used; /* for whoever looks for keys that nobody knows; also set by Python's names */
};

struct cfg {
	struct cfg_setting *setting;
	unsigned settings;
	size_t total;
};

/*
 * Reads text (any bytes) into cfg, which holds nothing (all zero) or what was read before; later
 * assignments replace earlier ones. file is the name for places and outlives cfg; line is the number
 * of text's first line. plain: no Python. -EINVAL and "FILE:LINE:COLUMN: what is wrong, what would
 * be right"; cfg then holds what came before.
 */
int cfg_parse(struct cfg *cfg, const char *file, unsigned line, const char *text, size_t size,
	bool plain, struct error *err);
void cfg_free(struct cfg *cfg);

/* The setting of a key, marked as used; NULL if there is none or it is None. */
const struct cfg_setting *cfg_find(struct cfg *cfg, const char *key);
/* key = value; takes the value's contents even when it fails (-ENOMEM, -E2BIG). */
int cfg_set(struct cfg *cfg, const char *key, const struct cfg_place *at, struct cfg_value *value,
	struct error *err);

/* "FILE:LINE:COLUMN: " and the sentence. Returns -code. */
int cfg_error(struct error *err, int code, const struct cfg_place *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
