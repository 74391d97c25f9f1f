/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk must hold: its bytes, and of each sector that was touched since the last flush also what it
 * held before and between, which a crash may bring back. It lies in memory that child processes share.
 */
#ifndef DACH_TESTS_DISK_MODEL_H
#define DACH_TESTS_DISK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_SECTOR 512u
#define MODEL_PENDING 6u
#define MODEL_MAX (24u << 20) /* bytes of a disk */
#define MODEL_SECTORS (MODEL_MAX / MODEL_SECTOR)

struct model_sector {
	uint64_t stable, pending[MODEL_PENDING]; /* of contents: a hash */
	unsigned count; /* pending; more than there is room for: anything goes */
};

struct model {
	uint64_t size;
	uint8_t bytes[MODEL_MAX];
	struct model_sector sector[MODEL_SECTORS];
};

uint64_t model_hash(const void *sector);
/* This may be there from now on: bytes of a write, or zeroes (NULL). */
void model_announce(struct model *model, uint64_t offset, const void *bytes, uint64_t length);
/* All that is there is stable. */
void model_flushed(struct model *model);
/* After a crash: bytes is the whole disk. The first sector that cannot be so, or -1; then it is the model's. */
int64_t model_accept(struct model *model, const uint8_t *bytes);

#endif
