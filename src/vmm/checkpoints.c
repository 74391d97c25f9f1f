/* SPDX-License-Identifier: Apache-2.0 */
/* "disk-checkpoint" (block/checkpoint.h), a job, and what "info" tells of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/checkpoint.h"
#include "vmm/internal.h"

static int add(void *ctx, const struct block_checkpoint_info *info)
{
	return json_array_append_new(ctx,
		json_pack("{s:s, s:b, s:I, s:I}", "name", info->name, "lost", info->lost,
			"granularity", (json_int_t)info->granularity, "changed",
			(json_int_t)info->dirty));
}

json_t *checkpoints_describe(struct block_device *disk)
{
	json_t *list = json_array();

	block_checkpoints(disk, add, list);
	return list;
}

struct checkpointing {
	struct vmm *vmm;
	struct block_device *disk;
	char name[LIMIT_CHECKPOINT + 1];
	bool remove;
};

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	const struct checkpointing *asked = ctx;

	return asked->remove ? block_checkpoint_delete(asked->disk, asked->name, LAYERS_HOLD, err)
			     : block_checkpoint_create(asked->disk, asked->name, LAYERS_HOLD, err);
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct checkpointing *asked = ctx;

	disk_leave(asked->vmm, asked->disk);
	free(asked);
	return NULL;
}

int checkpoint_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	struct checkpointing *asked = malloc(sizeof *asked);
	const struct job_spec spec = {.word = "disk-checkpoint",
		.run = run,
		.done = done,
		.ctx = asked};
	int r;

	if (!asked)
		return error_nomem(err);
	*asked = (struct checkpointing){.vmm = vmm, .remove = request->remove};
	strcpy(asked->name, request->checkpoint);
	r = disk_use(vmm, request->disk, &asked->disk, err);
	if (r) {
		free(asked);
		return r;
	}
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
