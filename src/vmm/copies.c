/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on a disk in use: "disk-copy", which is block/copy.h no faster than was asked for, and "disk-resize". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block/copy.h"
#include "virtio/blk.h"
#include "vmm/internal.h"

#define NAP 100000000ull /* ns between two looks whether it is cancelled */

int disk_use(struct vmm *vmm, unsigned n, struct block_device **disk, struct error *err)
{
	*disk = vmm->devices.disk[n];
	if (!*disk)
		return error_set(err, ENODEV, "the guest has no disk %u", n);
	if (plug_takes(vmm, *disk))
		return error_set(err, EBUSY, "the disk is being taken from the guest");
	vmm->devices.busy[n]++;
	return 0;
}

void disk_leave(struct vmm *vmm, const struct block_device *disk)
{
	for (unsigned i = 0; i < vmm->devices.disks; i++)
		if (vmm->devices.disk[i] == disk)
			vmm->devices.busy[i]--;
}

struct copying {
	struct vmm *vmm;
	struct block_device *disk;
	enum block_copy_kind kind;
	struct disk_file file; /* name: malloc'd; fd -1: none, or the copy's */
	uint64_t rate;         /* bytes a second; 0: as it comes */
	struct points points;
	uint64_t began;
	struct block_copy *copy;
	bool kept; /* it is in step: mirror.c has it then */
};

static void copying_free(struct copying *copying)
{
	if (copying->file.fd >= 0)
		close(copying->file.fd);
	free(copying->file.name);
	free(copying);
}

/* Until as many bytes as that may have been moved. */
static int keep_pace(const struct copying *copying, struct guest_job *job, struct error *err)
{
	const uint64_t moved = block_copy_moved(copying->copy);
	const uint64_t due = copying->rate
		? (uint64_t)((double)moved / (double)copying->rate * 1e9) + copying->began
		: 0;

	for (;;) {
		uint64_t now = clock_now(), wait = now < due ? due - now : 0;
		int r = job_check(job, err);

		if (r || !wait)
			return r;
		wait = wait < NAP ? wait : NAP;
		nanosleep(&(struct timespec){.tv_nsec = (long)wait}, NULL);
	}
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct copying *copying = ctx;
	const struct disk_file file = copying->file;
	uint64_t done, total;
	int r, more = 1;

	copying->file.fd = -1;
	if (file.fd >= 0)
		vmm_allow_file(copying->vmm, file.format, block_size(copying->disk));
	r = block_copy_begin(copying->disk, copying->kind, file.fd >= 0 ? &file : NULL,
		&copying->points.of, LAYERS_HOLD, &copying->copy, err);
	copying->began = clock_now();
	while (!r && more) {
		more = block_copy_step(copying->copy, err);
		block_copy_progress(copying->copy, &done, &total);
		job_progress(job, done, total);
		r = more < 0 ? more : keep_pace(copying, job, err);
	}
	if (!r && copying->kind == BLOCK_MIRROR)
		r = block_copy_pledge(copying->copy, err);
	if (!r && copying->kind == BLOCK_MIRROR)
		r = job_check(job, err); /* who asked may have gone */
	else if (!r)
		r = block_copy_finish(copying->copy, err);
	copying->kept = !r && copying->kind == BLOCK_MIRROR;
	if (!copying->kept)
		block_copy_close(copying->copy);
	return r;
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct copying *copying = ctx;

	if (copying->kept)
		mirror_keep(copying->vmm, copying->disk, copying->copy);
	else
		disk_leave(copying->vmm, copying->disk);
	copying_free(copying);
	return NULL;
}

void points_take(struct points *points, const struct monitor_request *request)
{
	strcpy(points->since, request->since);
	strcpy(points->checkpoint, request->checkpoint);
	points->of = (struct block_copy_points){*points->since ? points->since : NULL,
		*points->checkpoint ? points->checkpoint : NULL};
}

int copies_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int fd, struct error *err)
{
	static const enum block_copy_kind kinds[] = {[DISK_COPY_STREAM] = BLOCK_STREAM,
		[DISK_COPY_COMMIT] = BLOCK_COMMIT,
		[DISK_COPY_MERGE] = BLOCK_MERGE,
		[DISK_COPY_BACKUP] = BLOCK_BACKUP,
		[DISK_COPY_MIRROR] = BLOCK_MIRROR};
	static const char *const words[] = {[DISK_COPY_STREAM] = "disk-stream",
		[DISK_COPY_COMMIT] = "disk-commit",
		[DISK_COPY_MERGE] = "disk-merge",
		[DISK_COPY_BACKUP] = "disk-backup",
		[DISK_COPY_MIRROR] = "disk-mirror"};
	struct copying *copying = calloc(1, sizeof *copying);
	struct job_spec spec = {.word = words[request->kind],
		.watched = request->kind != DISK_COPY_STREAM,
		.run = run,
		.done = done,
		.ctx = copying};
	int r = 0;

	if (!copying || !(copying->file.name = strdup(request->name))) {
		if (fd >= 0)
			close(fd);
		free(copying);
		return error_nomem(err);
	}
	copying->file.fd = fd;
	copying->file.format = request->format;
	copying->vmm = vmm;
	copying->kind = kinds[request->kind];
	copying->rate = request->rate;
	if (request->kind == DISK_COPY_BACKUP)
		points_take(&copying->points, request);
	if ((fd < 0) != (request->kind == DISK_COPY_STREAM))
		r = error_set(err, EBADF, "disk-copy: a file came with the request, or none did");
	else if (request->kind == DISK_COPY_MIRROR && vmm->mirror.copy)
		r = error_set(err, EBUSY, "another disk is mirrored");
	else
		r = disk_use(vmm, request->disk, &copying->disk, err);
	if (r) {
		copying_free(copying);
		return r;
	}
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

/* A disk that becomes larger */

struct resizing {
	struct vmm *vmm;
	struct block_device *disk;
	struct virtio_blk *blk;
	uint64_t size;
};

static int resize(void *ctx, struct guest_job *job, struct error *err)
{
	const struct resizing *resizing = ctx;

	/* What format it is of is its own to know. */
	vmm_allow_file(resizing->vmm, DISK_RAW, resizing->size);
	return block_grow(resizing->disk, resizing->size, LAYERS_HOLD, err);
}

static json_t *resized(void *ctx, int r, const struct error *err)
{
	struct resizing *resizing = ctx;

	if (!r)
		virtio_blk_resized(resizing->blk);
	disk_leave(resizing->vmm, resizing->disk);
	free(resizing);
	return NULL;
}

int resize_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	struct resizing *resizing;
	struct job_spec spec = {.word = "disk-resize", .run = resize, .done = resized};
	int r;

	spec.ctx = resizing = malloc(sizeof *resizing);
	if (!resizing)
		return error_nomem(err);
	if (request->disk < vmm->devices.disks && !vmm->devices.blk[request->disk]) {
		free(resizing);
		return error_set(err, ENOTSUP,
			"a drive of IDE or AHCI keeps its size while its guest runs");
	}
	*resizing = (struct resizing){.vmm = vmm,
		.blk = vmm->devices.blk[request->disk],
		.size = request->size};
	r = disk_use(vmm, request->disk, &resizing->disk, err);
	if (r) {
		free(resizing);
		return r;
	}
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
