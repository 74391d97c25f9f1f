/* SPDX-License-Identifier: Apache-2.0 */
/* What is copied of the disks of a guest that runs, for those who are no operation (op_copy.c). */
#ifndef DACH_DAEMON_COPY_H
#define DACH_DAEMON_COPY_H

#include "base/error.h"

struct guest;

/*
 * What a disk (of the configuration) has in its top comes into the image below, which has that name and is the disk then; the
 * top is gone. 0: it is on its way, and done is called once, later.
 */
int copy_commit(struct guest *guest, unsigned disk, const char *base,
	void (*done)(void *ctx, int r, const char *text), void *ctx, struct error *err);

/*
 * What is below `image`, of this disk's chain and of the guest's own making, comes into that, which then stands on what was below
 * (block/copy.h). Nothing else changes: what the image reads as is what it was. As copy_commit().
 */
int copy_merge(struct guest *guest, unsigned disk, const char *image,
	void (*done)(void *ctx, int r, const char *text), void *ctx, struct error *err);

#endif
