/* SPDX-License-Identifier: Apache-2.0 */
/* A sequence under way: what generate.c makes sequences of. */
#ifndef DACH_TESTS_ORACLE_MAKING_H
#define DACH_TESTS_ORACLE_MAKING_H

#include "oracle.h"

struct making {
	struct generator *g;
	struct rng *r;
	struct sequence *s;
	struct pool *pool;
};

/* One instruction out of all; NULL: no room. */
struct item *make_plain(struct making *m);
/* Several that random ones would never come to: control flow, strings, an instruction that is changed ... */
void make_structured(struct making *m);
/* Accesses by one register, so many that they share checks and cross pages. */
void make_neighbours(struct making *m, struct rng *r);

#endif
