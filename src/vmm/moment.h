/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A moment of a running guest: its processors and devices described, its memory frozen, and its disks about to get new
 * images (layers.h). It stands still for that long, and goes on.
 */
#ifndef DACH_VMM_MOMENT_H
#define DACH_VMM_MOMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/layers.h"

struct memory;
struct vmm;

/* A stream as it is written, in memory; starts zeroed. */
struct moment_text {
	uint8_t *bytes;
	size_t size, room;
};
/* As state_io.write, with the text as ctx. -ENOMEM. */
int moment_text_add(void *text, const void *data, size_t len);
void moment_text_free(struct moment_text *text);

/* Starts zeroed. */
struct guest_moment {
	bool layered; /* its disks get layers */
	struct layers layers;
	struct moment_text text; /* a state in which no memory is ... */
	size_t begin, head,
		end;    /* ... its first section, where the head ends, and its last section */
	uint64_t pause; /* ns */
	/* On the loop's thread, while nobody touches memory. */
	int (*freeze)(void *ctx, struct memory *memory, struct error *err);
	void *ctx;
};

/* Beforehand, on a job's thread: what the guest is not to stand still for. name is what is done. */
int moment_prepare(struct guest_moment *moment, struct vmm *vmm, const char *name,
	struct error *err);
/*
 * On the loop's thread. Its disks' requests wait afterwards, also after a failure, for layers_put() or moment_free().
 */
int moment_take(struct guest_moment *moment, struct vmm *vmm, struct error *err);
void moment_free(struct guest_moment *moment);

#endif
