/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of nftables that we have loaded (filter.h, nat.h) and somebody else takes away: whoever loads the rules of a
 * firewall anew often flushes all that there are before.
 */
#ifndef DACH_LINKS_TABLES_H
#define DACH_LINKS_TABLES_H

#include <stdbool.h>

#include "base/error.h"

/* A descriptor that is readable when tables have changed; it does not block. Needs CAP_NET_ADMIN. */
int tables_watch(int *fd, struct error *err);
/* Reads what there is. true: a table of ours was deleted, by whomever, or that cannot be told. */
bool tables_changed(int fd);

/* The names of all tables; free() afterwards. NULL: cannot be told. */
char *tables_list(void);
/* "netdev", "inet"; the link's or bridge's name */
bool tables_has(const char *list, const char *family, const char *name);

#endif
