/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen memory from inside: for memory_base.c and memory_frozen.c. */
#ifndef DACH_MACHINE_MEMORY_BASE_INTERNAL_H
#define DACH_MACHINE_MEMORY_BASE_INTERNAL_H

#include "machine/memory_base.h"

/* A frozen file. */
struct layer {
	int fd;
	uint8_t *map; /* all of the file, private: a sealed one can be mapped so on any kernel */
	uint64_t size, pages;
	const uint64_t *has;
};

struct memory_base {
	unsigned count;
	uint64_t looked; /* memory_base_trim() goes on from this page */
	bool whole; /* nobody else stands on it: all of it is to come, by memory_frozen_fill() */
	struct layer layer[MEMORY_LAYERS];
};

/* The descriptor is taken, also after a failure; layer_close() afterwards. */
int layer_open(struct layer *layer, int fd, struct error *err);
void layer_close(struct layer *layer);
/* Where a page is in its layer; NULL: in none. */
const uint8_t *layer_find(const struct memory_base *base, uint64_t page);

#endif
