/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network's DHCP and names: a dnsmasq(8) for each, with its files in a folder of its own. It goes on when we
 * end, and is found again by its process number there.
 */
#ifndef DACH_LINKS_DNS_H
#define DACH_LINKS_DNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A guest that it knows. */
struct dns_host {
	const char *mac, *name;
	const char *address;  /* NULL: no IPv4 */
	const char *address6; /* NULL */
};

struct dns {
	const char *folder; /* is there; "/run/dach/networks/lan" */
	const char *bridge, *domain;
	const char *network, *network6; /* their own addresses; NULL */
	bool no_router;                 /* it leads nowhere */
	char *const *allow; /* as nat.h's; with names among them, no others are resolved */
	unsigned allows;
	const struct dns_host *host;
	unsigned hosts;
};

/*
 * Writes the files, and starts it or has it read them, anew if it was started with others than these. It forgets what it
 * has been answered. -ENOENT: there is no dnsmasq; what it says is in the sentence.
 */
int dns_serve(const struct dns *dns, struct error *err);
bool dns_runs(const char *folder);
/* It reads its files again and asks anew for what it was answered. false: it does not run. */
bool dns_forget(const char *folder);
/* Ends it and removes its files and the folder. */
void dns_end(const char *folder);

#endif
