/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests on a network reach by name. The network's dnsmasq (dns.h) resolves these names and no others, and puts
 * each address that it answers with into sets of the network's table (nat.h) before the guest has the answer.
 *
 * There are two sets of each family, and an address is let through that is in either. One of the two is emptied in
 * turn: an address that no answer has any more goes after one to two NAMED_SECONDS, and one that a guest has just been told, for
 * NAMED_TTL at most, stays for longer than that. No clock of the kernel's does it, since an element that is put in again there
 * ends at its first time, before Linux 6.12.
 */
#ifndef DACH_LINKS_NAMED_H
#define DACH_LINKS_NAMED_H

#include <stdbool.h>
#include <stdio.h>

#define NAMED_SECONDS 1800u
#define NAMED_TTL 600u

/* The list of destinations has names (net_is_name()). */
bool named_any(char *const *allow, unsigned allows);

/* For nft: the sets. keep: with what they have now. */
void named_put_sets(FILE *out, const char *bridge, bool keep);
/* Rules that let through what is in them, but a cloud's metadata and the like, whatever somebody's name may say. */
void named_put_rules(FILE *out, const char *bridge);
/* Destinations that no name and no absence of a list opens. */
void named_put_refused(FILE *out, const char *bridge);

/* For dnsmasq. Nothing, without names. */
void named_put_conf(FILE *out, const char *bridge, char *const *allow, unsigned allows);

/* Empties those of this turn, an even or an odd one. Afterwards dnsmasq has to forget, too. A negative errno. */
int named_forget(const char *bridge, unsigned turn);

#endif
