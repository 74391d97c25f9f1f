/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads that share a list of pieces of work, one list after the other. */
#ifndef DACH_BASE_TEAM_H
#define DACH_BASE_TEAM_H

#define TEAM_MAX 4u

struct team;

/*
 * As many members as this host has processors, TEAM_MAX at most, or as there can be threads; the caller of team_run() is
 * the first. work() does a piece, member saying whose hands it is in (from 0). NULL: out of memory.
 */
struct team *team_make(void (*work)(void *ctx, unsigned member, unsigned piece), void *ctx);
/* All pieces from 0 on, in any order and at once; returns when all are done. */
void team_run(struct team *team, unsigned pieces);
void team_end(struct team *team); /* NULL is allowed */

#endif
