/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon loads what filters its guests and networks again when somebody has flushed it. As root. */
#ifndef DACH_DAEMON_RULES_H
#define DACH_DAEMON_RULES_H

struct daemon;

void rules_begin(struct daemon *daemon);
void rules_end(struct daemon *daemon);

#endif
