/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of destinations: networks, and names of DNS, each with all names below it. What a name's addresses are is learned from
 * answers (names.h) and known for as long as these say and half an hour more.
 *
 * One thread at a time.
 */
#ifndef DACH_NET_ALLOW_H
#define DACH_NET_ALLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ALLOW_LEARNED 1024 /* addresses; of more, those go that would go first */
#define ALLOW_STAY_NS (1800ull * 1000000000)
#define ALLOW_TTL_MAX (24 * 3600u)            /* seconds */
#define ALLOW_IN_USE_NS (240ull * 1000000000) /* for which UDP is taken to go on */

struct allow;

/* list: as struct net_spec has it (net_check_allowed()), not empty. */
int allow_create(char *const *list, unsigned count, struct allow **allow, struct error *err);
/* NULL is allowed. */
void allow_free(struct allow *allow);

/* Are there names in the list? Is this one of them, or below one? */
bool allow_has_names(const struct allow *allow);
bool allow_name(const struct allow *allow, const char *name);
/* An address that a name has, for so many seconds. It is 16 bytes long, or 4. */
void allow_learn(struct allow *allow, const uint8_t *address, bool ipv6, uint32_t ttl,
	uint64_t now_ns);
/* May something be sent there? goes_on: by something without a beginning and an end, which keeps what was learned. */
bool allow_reach(struct allow *allow, const uint8_t *address, bool ipv6, bool goes_on,
	uint64_t now_ns);

#endif
