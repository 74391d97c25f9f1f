/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that we run on somebody else's file may still do: read itself and its libraries, read and write
 * the files that are named, and compute. No network, no other file, nothing of the host but that. A kernel without
 * Landlock has no such walls.
 */
#ifndef DACH_IMAGE_CONFINE_H
#define DACH_IMAGE_CONFINE_H

#include <stdint.h>

/* Absolute paths, lists that a NULL ends; files that are there. */
struct confine {
	const char *const *read;
	const char *const *write;
	uint64_t memory; /* bytes of address space; 0: no limit */
};

/* In the child, before it becomes the program. 0 or a negative errno; -EOPNOTSUPP: no Landlock. */
int confine_enter(const struct confine *confine);

#endif
