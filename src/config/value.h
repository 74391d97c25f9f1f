/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the language: what the parser does with them. */
#ifndef DACH_CONFIG_VALUE_H
#define DACH_CONFIG_VALUE_H

#include "config/cfg.h"

void value_free(struct cfg_value *value);
/* Adds to what cfg holds in all; -E2BIG and a sentence when that is too much. */
int value_charge(struct cfg *cfg, size_t bytes, const struct cfg_place *at, struct error *err);
int value_copy(struct cfg *cfg, const struct cfg_value *from, struct cfg_value *to,
	struct error *err);
/* Appends the item, whose contents it takes even when it fails. */
int value_append(struct cfg *cfg, struct cfg_value *list, struct cfg_value *item,
	struct error *err);
/*
 * left += right, as += and Python's + do it: strings and lists grow; numbers are added up when sum
 * says so. Empties right. An error when the two are of different kinds.
 */
int value_add(struct cfg *cfg, struct cfg_value *left, struct cfg_value *right, bool sum,
	struct error *err);
/* left % right, with Python's %s, %d, %i, %x and %%, and widths like %02d. Empties right. */
int value_format(struct cfg *cfg, struct cfg_value *left, struct cfg_value *right, bool tuple,
	struct error *err);

#endif
