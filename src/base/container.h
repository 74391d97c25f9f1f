/* SPDX-License-Identifier: Apache-2.0 */
/* From a member to the structure that holds it. */
#ifndef DACH_BASE_CONTAINER_H
#define DACH_BASE_CONTAINER_H

#include <stddef.h>

/*
 * The struct `type` whose member `member` lies at `at`, a pointer to that member's type: the compiler
 * refuses another one. It is safe wherever in the structure the member lies.
 */
#define container_of(at, type, member)                                 \
	({                                                             \
		__typeof__(((type *)0)->member) *member_at_ = (at);    \
		(type *)((char *)member_at_ - offsetof(type, member)); \
	})

#endif
