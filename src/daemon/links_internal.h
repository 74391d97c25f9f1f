/* SPDX-License-Identifier: Apache-2.0 */
/* What is noted of a guest's links, RUN/guests/UUID/links, a line for each. Private to links.c, which writes it, and links_kept.c. */
#ifndef DACH_DAEMON_LINKS_INTERNAL_H
#define DACH_DAEMON_LINKS_INTERNAL_H

#include "base/error.h"
#include "links/link.h"
#include "protocol/limits.h"
#include "protocol/network.h"

#define LINKS_FILE "links"
#define LINKS_PAIR \
	'#' /* a pair of links: it does not go by itself while, or when, it is no container's */

/* A line without such a sign (SCRIPT_NOTE is another): tap, MAC, then addresses, the card's own as they are, others' behind '-'. */
struct filtered_link {
	char tap[NET_LINK_TEXT + 1];
	char mac[NET_MAC_TEXT + 1];
	char *address[LIMIT_ADDRESSES], *other[LIMIT_ADDRESSES];
	unsigned addresses, others;
};

/* All at once. */
int filtered_load(const struct filtered_link *const *entry, unsigned count, struct error *err);
void filtered_free(struct filtered_link *entry);
int filtered_add(char **list, unsigned *count, const char *text, struct error *err);
/* The words of ip=: addresses, blanks between them. */
int filtered_add_addresses(const char *text, char **list, unsigned *count, struct error *err);

#endif
