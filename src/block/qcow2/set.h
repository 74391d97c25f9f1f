/* SPDX-License-Identifier: Apache-2.0 */
/* A set of numbers other than ~0, by hashing. The caller has the lock. */
#ifndef DACH_BLOCK_QCOW2_SET_H
#define DACH_BLOCK_QCOW2_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct set {
	uint64_t *slot; /* ~0: free */
	size_t slots, used;
};

/* 0, -EEXIST or -ENOMEM. All zero is an empty set. */
int set_add(struct set *set, uint64_t number);
bool set_has(const struct set *set, uint64_t number);
void set_remove(struct set *set, uint64_t number);
void set_free(struct set *set);

#endif
