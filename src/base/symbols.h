/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of code addresses, from the symbol table of a 64-bit ELF file or from text with a line
 * "address type name" for each, as System.map and /proc/kallsyms have them. Only functions count.
 */
#ifndef DACH_BASE_SYMBOLS_H
#define DACH_BASE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct symbols;

/* Reads the file behind fd (any offset, not closed); `what` names it in errors. */
int symbols_load(int fd, const char *what, struct symbols **out, struct error *err);
/* The same from memory, which is copied. */
int symbols_parse(const void *data, size_t size, const char *what, struct symbols **out,
	struct error *err);
void symbols_free(struct symbols *s); /* NULL is allowed */

/* The last symbol at or below address, not further than 16 MiB from it; NULL: none. */
const char *symbols_find(const struct symbols *s, uint64_t address, uint64_t *offset);
/* Where a name is; 0: there is none. Slow. */
uint64_t symbols_address(const struct symbols *s, const char *name);

#endif
