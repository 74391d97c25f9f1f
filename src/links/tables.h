/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of nftables that we load (filter.h, nat.h), and somebody else may take away: whoever loads the rules of a
 * firewall anew often flushes all that there are before. They are loaded by nft(8), which first reads all tables there are where one
 * is to be deleted: so only those that are there are replaced, and as many as possible at once. Looking and removing is the kernel's to do (nfnetlink). Needs CAP_NET_ADMIN.
 */
#ifndef DACH_LINKS_TABLES_H
#define DACH_LINKS_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define TABLES_PREFIX "dach-" /* of the names of ours */

/* A descriptor that is readable when tables have changed; it does not block. */
int tables_watch(int *fd, struct error *err);
/* Reads what there is. true: a table of ours was deleted, by whomever, or that cannot be told. */
bool tables_changed(int fd);

/* What put() writes, for nft; whole or not at all. list: the tables that there are, as tables_list() has them. */
int tables_load(void (*put)(FILE *out, const char *list, const void *ctx), const void *ctx,
	struct error *err);
/* The begin of one of ours, up to its '{', in place of one that is in the list (NULL: it may be there). */
void tables_put_begin(FILE *out, const char *list, const char *family, const char *name);
/* One of ours goes. That there is none, or no nftables, is no error. */
int tables_remove(const char *family, const char *name, struct error *err);
/* A set of one of ours: has no elements any more. -ENOENT: there is none of that name. */
int tables_empty_set(const char *family, const char *name, const char *set);
/* Calls each for its elements, of a single value; none if it cannot be told. */
void tables_each_element(const char *family, const char *name, const char *set,
	void (*each)(void *ctx, const uint8_t *value, size_t size), void *ctx);
/* Some of the caller's, count from the first on, as tables_load() does it: all or none. */
typedef int tables_load_some(void *ctx, unsigned first, unsigned count, struct error *err);
/* What became of each, 0 or a negative errno. */
typedef void tables_told(void *ctx, unsigned i, int r, const char *text);
/*
 * All at once; if that is refused, each by itself, since one that is wrong is not to keep the others out. Not where nft is too
 * slow: for the next it would be, too. -ETIMEDOUT: that, and not all are loaded; else 0.
 */
int tables_load_many(unsigned count, tables_load_some *load, tables_told *told, void *ctx);

/* A line for each table of anybody's, as tables_has() takes them; free() afterwards. NULL: cannot be told. */
char *tables_list(void);
/* A chain of anybody's that drops what it is passed on and no rule of it takes. */
struct tables_chain {
	const char *family;
	char table[64], chain[64]; /* cut off, if they are longer */
};
/* Those of what the host passes on, as many as there is room for. How many. */
unsigned tables_dropping(struct tables_chain *chain, unsigned room);
/* Calls each for those of ours in the list that are of the family, with the rest of their name. */
void tables_each(char *list, const char *family, void (*each)(const char *name));
/* "netdev", "inet"; the link's or bridge's name */
bool tables_has(const char *list, const char *family, const char *name);

#endif
