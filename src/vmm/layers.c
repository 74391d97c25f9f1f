/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/layers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/layer.h"
#include "vmm/internal.h"

static void drop_file(struct disk_file *file)
{
	if (!file->name)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file->name);
	*file = (struct disk_file){.name = NULL};
}

int layers_take(struct layers *layers, const struct devices *devices,
	const struct monitor_request *request, int fd, struct error *err)
{
	struct disk_file file = {.format = DISK_QCOW2, .fd = fd};
	int r = 0;

	if (request->first)
		layers_close(layers);
	if (fd < 0)
		return error_set(err, EBADF, "disk-file: no file came with the request");
	if (!devices->disk[request->disk])
		r = error_set(err, ENODEV, "the guest has no disk %u", request->disk);
	if (!r && !(file.name = strdup(request->name)))
		r = error_nomem(err);
	if (r) {
		close(fd);
		return r;
	}
	drop_file(&layers->file[request->disk]);
	layers->file[request->disk] = file;
	return 0;
}

static unsigned count_files(const struct layers *layers)
{
	unsigned there = 0;

	for (unsigned i = 0; i < LIMIT_DISKS; i++)
		there += layers->file[i].name != NULL;
	return there;
}

bool layers_any(const struct layers *layers)
{
	return count_files(layers);
}

int layers_move(struct layers *layers, unsigned count, struct layers *to, struct error *err)
{
	const unsigned there = count_files(layers);

	if (!there || there != count) {
		layers_close(layers);
		return error_set(err, EINVAL, "files of %u disks were handed over, and not of %u",
			there, count);
	}
	*to = *layers;
	*layers = (struct layers){.count = 0};
	return 0;
}

int layers_open(struct layers *layers, const struct devices *devices, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < LIMIT_DISKS; i++) {
		struct disk_file *file = &layers->file[i];

		if (!file->name)
			continue;
		r = block_layer_open(devices->disk[i], file, &layers->layer[layers->count], err);
		file->fd = -1; /* it is the layer's */
		layers->count += !r;
	}
	return r;
}

int layers_hold(struct layers *layers, struct error *err)
{
	int r = block_layers_hold(layers->layer, layers->count, LAYERS_HOLD, err);

	layers->held = !r;
	if (!r)
		layers->since = block_layer_since(layers->layer[0]);
	return r;
}

void layers_put(struct layers *layers)
{
	block_layers_put(layers->layer, layers->count);
	layers->held = false;
	layers->count = 0;
}

void layers_close(struct layers *layers)
{
	if (layers->held)
		block_layers_release(layers->layer, layers->count);
	layers->held = false;
	while (layers->count)
		block_layer_close(layers->layer[--layers->count]);
	for (unsigned i = 0; i < LIMIT_DISKS; i++)
		drop_file(&layers->file[i]);
}

/* The job */

struct layering {
	struct vmm *vmm;
	struct layers layers;
	uint64_t held; /* ns */
};

/*
 * Not by the loop's thread, which may wait for a request that is held: for memory's map to change, for a vCPU to
 * stand still. What "info" tells is before it or after it, and it is not done once who asked has gone.
 */
static int put(struct vmm *vmm, struct layers *layers, struct guest_job *job, struct error *err)
{
	int r;

	mutex_lock(&vmm->disks_lock);
	r = job_check(job, err);
	if (!r)
		layers_put(layers);
	mutex_unlock(&vmm->disks_lock);
	return r;
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct layering *layering = ctx;
	struct layers *layers = &layering->layers;
	int r = layers_open(layers, &layering->vmm->devices, err);

	if (!r)
		r = layers_hold(layers, err);
	if (!r)
		r = put(layering->vmm, layers, job, err);
	layering->held = clock_now() - layers->since;
	layers_close(layers);
	return r;
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct layering *layering = ctx;
	json_t *fields = r ? NULL : json_pack("{s:I}", "held", (json_int_t)layering->held);

	layers_close(&layering->layers);
	layering->vmm->layering--;
	free(layering);
	return fields;
}

int layers_request(struct vmm *vmm, const struct control_asker *asker, unsigned count,
	struct error *err)
{
	struct layering *layering = calloc(1, sizeof *layering);
	const struct job_spec spec = {.word = "disk-layer",
		.watched = true,
		.run = run,
		.done = done,
		.ctx = layering};
	int r = layering ? layers_move(&vmm->layers, count, &layering->layers, err)
			 : error_nomem(err);

	if (r) {
		free(layering);
		return r;
	}
	layering->vmm = vmm;
	vmm->layering++;
	vmm_allow_file(vmm, DISK_QCOW2, 0);
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
