/* SPDX-License-Identifier: Apache-2.0 */
/* What network.c does to the host, and who is on a network. Private to network*.c. */
#ifndef DACH_DAEMON_NETWORK_SET_H
#define DACH_DAEMON_NETWORK_SET_H

#include "daemon/network.h"

/*
 * All that it is made of; what is there already is taken as it is, but for its rules, unless they have just been loaded.
 * On failure nothing is left that was not.
 */
int network_set_up(struct network *network, bool loaded, struct error *err);
/*
 * Its rules, in place of those that were there, and which names its guests resolve; not in mode bridge. keep: addresses of
 * names that are let through still are; else not until they are asked for again.
 */
int network_load_rules(struct network *network, bool keep, struct error *err);
void network_take_down(struct network *network);
/* Its bridge is. */
bool network_is_there(const struct network *network);
/* Some guest that has a life and is on it; NULL. */
const struct guest *network_user(const struct network *network);
/* In the store, as it is. */
int network_save(const struct network *network, struct error *err);

#endif
