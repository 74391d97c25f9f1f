/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon loads what filters its guests and networks again when somebody has flushed it, and, when nft was too slow for
 * that, all of it a minute later: while nft runs, the daemon does nothing else. And from time to time it forgets the addresses of
 * names that guests reach. As root.
 */
#ifndef DACH_DAEMON_RULES_H
#define DACH_DAEMON_RULES_H

#include <stdbool.h>

struct daemon;

/* late: nft was too slow for what the daemon has just loaded. */
void rules_begin(struct daemon *daemon, bool late);
/* nft has been too slow since then: all of it is loaded again in a while. */
void rules_later(struct daemon *daemon);
void rules_end(struct daemon *daemon);

#endif
