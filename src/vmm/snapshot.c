/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's memory, into a file of the form that saved guests have: a moment is taken, in which the guest's disks get new
 * images, and what it was then is written while the guest goes on. Where memory cannot be frozen, the guest
 * stands still until all is written (save.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/memory_frozen.h"
#include "state/file.h"
#include "vmm/internal.h"

#define NAME "snapshot: the file"

struct snapshot_job {
	struct vmm *vmm;
	struct guest_job *job;
	int fd;
	struct guest_moment moment;
	struct memory_frozen *frozen;
	struct moment_text stream;
	uint64_t places_end, seen, written;
	int r; /* of what the loop's thread did */
	struct error err;
};

static int freeze(void *ctx, struct memory *memory, struct error *err)
{
	struct snapshot_job *taking = ctx;
	int r = memory_frozen_take(memory, &taking->frozen, err);

	if (!r)
		memory->readers++;
	return r;
}

static void take_now(void *ctx)
{
	struct snapshot_job *taking = ctx;

	taking->r = moment_take(&taking->moment, taking->vmm, &taking->err);
	/* It cannot fail. */
	if (!taking->r && taking->moment.layered)
		layers_put(&taking->moment.layers);
}

static void settle(void *ctx)
{
	memory_frozen_settle(ctx);
}

static void settle_now(void *ctx)
{
	struct snapshot_job *taking = ctx;

	machine_still(taking->vmm->machine, settle, taking->frozen);
}

static int add_stream(void *ctx, const void *data, size_t len)
{
	struct snapshot_job *taking = ctx;

	taking->written += len;
	return moment_text_add(&taking->stream, data, len);
}

static int write_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	struct snapshot_job *taking = ctx;

	taking->written += len;
	if (gpa + len > taking->places_end)
		taking->places_end = gpa + len;
	return job_write(taking->job, taking->fd, NAME, data, len,
		(int64_t)(STATE_FILE_MEMORY + gpa), NULL);
}

static int seen(void *ctx, uint64_t bytes)
{
	struct snapshot_job *taking = ctx;

	taking->seen += bytes;
	job_progress(taking->job, taking->seen, machine_memory(taking->vmm->machine)->size);
	return job_check(taking->job, NULL);
}

static int is_cancelled(void *ctx)
{
	return job_check(ctx, NULL);
}

static int write_state(struct snapshot_job *taking, struct error *err)
{
	const struct state_io io = {.write = add_stream, .seen = seen, .ctx = taking};
	const struct state_pages pages = {.write = write_pages, .ctx = taking};
	const struct guest_moment *moment = &taking->moment;
	const uint8_t *text = moment->text.bytes;
	struct state *state;
	int r = state_save(&io, NAME, &state, err);

	if (r)
		return r;
	state_beside(state, &pages);
	state_splice(state, text + moment->begin, moment->head - moment->begin);
	memory_frozen_save(taking->frozen, state);
	state_splice(state, text + moment->head, moment->end - moment->head);
	r = state_finish(state);
	state_destroy(state);
	if (!r)
		r = save_finish_file(taking->job, taking->fd, NAME, &taking->stream,
			taking->places_end, err);
	return r;
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct snapshot_job *taking = ctx;
	int r = moment_prepare(&taking->moment, taking->vmm, "snapshot", err);

	taking->job = job;
	if (!r)
		r = job_call(job, take_now, taking, err);
	if (!r && (r = taking->r))
		*err = taking->err;
	if (r)
		return r;
	r = write_state(taking, err);
	/* Also if it could not be written; but not for a guest that ends. */
	if (!memory_frozen_fill(taking->frozen, is_cancelled, job))
		job_call(job, settle_now, taking, NULL);
	return job_check(job, err) ? -ECANCELED : r;
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct snapshot_job *taking = ctx;
	json_t *fields = r ? NULL
			   : json_pack("{s:I, s:I}", "pause", (json_int_t)taking->moment.pause,
				     "bytes", (json_int_t)taking->written);

	if (taking->frozen)
		machine_memory(taking->vmm->machine)->readers--;
	taking->vmm->layering--;
	memory_frozen_close(taking->frozen);
	moment_free(&taking->moment);
	moment_text_free(&taking->stream);
	close(taking->fd);
	free(taking);
	return fields;
}

int snapshot_request(struct vmm *vmm, const struct control_asker *asker, unsigned disks, int fd,
	struct error *err)
{
	struct snapshot_job *taking;
	struct layers layers = {.count = 0};
	struct job_spec spec = {.word = "snapshot", .watched = true, .run = run, .done = done};
	int r = 0;

	if (fd < 0)
		return error_set(err, EBADF, "snapshot: no file came with the request");
	if (disks)
		r = layers_move(&vmm->layers, disks, &layers, err);
	if (r) {
		close(fd);
		return r;
	}
	if (memory_frozen_possible(machine_memory(vmm->machine), NULL))
		return save_snapshot(vmm, asker, &layers, fd, err);
	taking = calloc(1, sizeof *taking);
	if (!taking) {
		layers_close(&layers);
		close(fd);
		return error_nomem(err);
	}
	*taking = (struct snapshot_job){.vmm = vmm,
		.fd = fd,
		.moment = {.layered = disks, .layers = layers, .freeze = freeze, .ctx = taking}};
	spec.ctx = taking;
	vmm->layering++;
	if (disks)
		vmm_allow_file(vmm, DISK_QCOW2, 0);
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
