/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is kept in step in another file (block_copy_pledge()) after its copying has ended, until "disk-pivot" says
 * whether it goes on there. One at a time.
 */
#include <errno.h>
#include <stdlib.h>

#include "block/copy.h"
#include "vmm/internal.h"

void mirror_keep(struct vmm *vmm, struct block_device *disk, struct block_copy *copy)
{
	vmm->mirror = (struct mirror){disk, copy};
}

struct pivot {
	struct vmm *vmm;
	struct mirror mirror;
	bool drop, ran;
};

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct pivot *pivot = ctx;
	int r = pivot->drop ? 0 : block_copy_finish(pivot->mirror.copy, err);

	pivot->ran = true;
	block_copy_close(pivot->mirror.copy);
	return r;
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct pivot *pivot = ctx;

	if (pivot->ran)
		disk_leave(pivot->vmm, pivot->mirror.disk);
	else
		pivot->vmm->mirror = pivot->mirror;
	free(pivot);
	return NULL;
}

int pivot_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	struct pivot *pivot;
	struct job_spec spec = {.word = "disk-pivot", .run = run, .done = done};
	int r;

	if (!vmm->mirror.copy || vmm->devices.disk[request->disk] != vmm->mirror.disk)
		return error_set(err, EINVAL, "the disk is not mirrored");
	spec.ctx = pivot = malloc(sizeof *pivot);
	if (!pivot)
		return error_nomem(err);
	*pivot = (struct pivot){vmm, vmm->mirror, request->drop, false};
	vmm->mirror = (struct mirror){.copy = NULL};
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

void mirror_end(struct vmm *vmm)
{
	block_copy_close(vmm->mirror.copy);
	vmm->mirror = (struct mirror){.copy = NULL};
}
