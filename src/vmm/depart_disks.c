/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/depart_disks.h"

#include <errno.h>
#include <stdlib.h>

#include "block/copy.h"
#include "migrate/wire.h"
#include "vmm/internal.h"

/*
 * The other side gives up where it hears nothing for long (arrive.c): so it hears something behind so many bytes that were looked at and not
 * sent, which asks nothing new of it.
 */
#define SILENT_MAX (64u << 20)

_Static_assert(BLOCK_COPY_PIECE <= WIRE_PIECE, "a piece fits into a frame");

int depart_disks_use(struct depart_disks *disks, struct vmm *vmm, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < vmm->devices.disks && !r; i++)
		if (!block_read_only(vmm->devices.disk[i])) {
			r = disk_use(vmm, i, &disks->disk[i], err);
			disks->count = i + 1;
			if (r)
				disks->disk[i] = NULL;
		}
	if (r)
		depart_disks_leave(disks, vmm);
	return r;
}

void depart_disks_leave(struct depart_disks *disks, struct vmm *vmm)
{
	for (unsigned i = 0; i < disks->count; i++)
		if (disks->disk[i])
			disk_leave(vmm, disks->disk[i]);
	disks->count = 0;
}

int depart_disks_begin(struct depart_disks *disks, struct error *err)
{
	int r = 0;

	if (!disks->count)
		return 0;
	disks->piece = malloc(BLOCK_COPY_PIECE);
	if (!disks->piece)
		return error_nomem(err);
	for (unsigned i = 0; i < disks->count && !r; i++)
		if (disks->disk[i])
			r = block_copy_begin(disks->disk[i], BLOCK_FOLLOW, NULL, NULL, LAYERS_HOLD,
				&disks->copy[i], err);
	return r;
}

uint64_t depart_disks_left(const struct depart_disks *disks)
{
	uint64_t left = 0, done, total;

	for (unsigned i = 0; i < disks->count; i++)
		if (disks->copy[i]) {
			block_copy_progress(disks->copy[i], &done, &total);
			left += total - done;
		}
	return left;
}

/* What reads as zeroes there as well, since it is new there, is not sent. */
static int pass_over(struct wire *wire, unsigned n, uint64_t length, uint64_t *silent)
{
	int r = 0;

	*silent += length;
	if (*silent >= SILENT_MAX) {
		*silent = 0;
		r = wire_send_disk(wire, &(struct wire_disk){.disk = n, .what = WIRE_DISK_STABLE},
			NULL);
	}
	return r ? r : 1;
}

/* 1, as block_copy_next() */
static int send_piece(struct depart_disks *disks, unsigned n, struct wire *wire, uint64_t offset,
	uint64_t length, bool zero)
{
	const struct wire_disk piece = {n, zero ? WIRE_DISK_ZEROES : WIRE_DISK_DATA, offset,
		length};
	int r = wire_send_disk(wire, &piece, disks->piece);

	return r ? r : 1;
}

static int send_pieces(struct depart_disks *disks, unsigned n, struct wire *wire,
	int (*seen)(void *ctx, uint64_t bytes), void *ctx, struct error *err)
{
	uint64_t offset, length, silent = 0;
	bool zero;
	int r;

	do {
		r = seen(ctx, 0);
		if (!r)
			r = block_copy_next(disks->copy[n], &offset, &length, disks->piece, &zero,
				err);
		if (r > 0 && zero && !disks->again)
			r = pass_over(wire, n, length, &silent);
		else if (r > 0)
			r = send_piece(disks, n, wire, offset, length, zero);
	} while (r > 0);
	return r;
}
int depart_disks_send(struct depart_disks *disks, struct wire *wire,
	int (*seen)(void *ctx, uint64_t bytes), void *ctx, bool last, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < disks->count && !r; i++) {
		struct wire_disk end = {.disk = i, .what = WIRE_DISK_STABLE};

		if (!disks->copy[i])
			continue;
		r = send_pieces(disks, i, wire, seen, ctx, err);
		if (last) {
			end.what = WIRE_DISK_WHOLE;
			end.length = block_size(disks->disk[i]);
		}
		if (!r && (last || !disks->again))
			r = wire_send_disk(wire, &end, NULL);
	}
	disks->again = true;
	return r;
}

void depart_disks_end(struct depart_disks *disks)
{
	for (unsigned i = 0; i < disks->count; i++) {
		block_copy_close(disks->copy[i]);
		disks->copy[i] = NULL;
	}
	free(disks->piece);
	disks->piece = NULL;
}
