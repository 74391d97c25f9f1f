/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of a running guest, for other monitors to go on from: its memory frozen (memory_base.h), and a state
 * (state/file.h) of which nothing is on a disk and in which no memory is. The guest stands still for as long
 * as it takes to forget addresses, and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/io.h"
#include "machine/memory_base.h"
#include "state/file.h"
#include "vmm/internal.h"

#define STREAM STATE_FILE_NOTE

/* A job, which the loop's thread does while the job's waits. */
struct clone_job {
	struct vmm *vmm;
	int socket;
	struct guest_moment moment; /* what its disks were until then is the clones', too */
	unsigned count;             /* layers of memory */
	int r;
	struct error err;
};

static int freeze(void *ctx, struct memory *memory, struct error *err)
{
	return memory_freeze(memory, false, err);
}

static int make_state(const struct moment_text *text, int *fd, struct error *err)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct state_file_header header;
	int r = 0;

	state_file_header(&header, STREAM, text->size);
	*fd = memfd_create("guest-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		r = -errno;
	if (!r)
		r = io_pwrite_all(*fd, text->bytes, text->size, STREAM);
	if (!r)
		r = io_pwrite_all(*fd, &header, sizeof header, 0);
	if (!r && fcntl(*fd, F_ADD_SEALS, seals))
		r = -errno;
	return r ? error_set(err, -r, "clone: the guest's state: %s", strerror(-r)) : 0;
}

static void clone_now(void *ctx)
{
	struct clone_job *cloning = ctx;
	struct machine *machine = cloning->vmm->machine;
	struct error *err = &cloning->err;
	int fd[1 + MEMORY_LAYERS] = {-1}, r = moment_take(&cloning->moment, cloning->vmm, err);

	if (!r)
		r = memory_layers(machine_memory(machine), fd + 1, &cloning->count, err);
	if (!r)
		r = make_state(&cloning->moment.text, fd, err);
	if (!r && (r = descriptors_send(cloning->socket, fd, cloning->count + 1)))
		error_set(err, -r, "clone: %s", strerror(-r));
	if (fd[0] >= 0)
		close(fd[0]);
	/* It cannot fail: the guest's disks are others exactly if the answer says so. */
	if (!r && cloning->moment.layered)
		layers_put(&cloning->moment.layers);
	cloning->r = r;
}

static int run(void *ctx, struct guest_job *job, struct error *err)
{
	struct clone_job *cloning = ctx;
	int r = moment_prepare(&cloning->moment, cloning->vmm, "clone", err);

	if (!r)
		r = job_call(job, clone_now, cloning, err);
	if (!r && (r = cloning->r))
		*err = cloning->err;
	return r;
}

static json_t *done(void *ctx, int r, const struct error *err)
{
	struct clone_job *cloning = ctx;
	json_t *fields = r ? NULL
			   : json_pack("{s:I, s:i}", "pause", (json_int_t)cloning->moment.pause,
				     "layers", (int)cloning->count);

	moment_free(&cloning->moment);
	close(cloning->socket);
	cloning->vmm->layering--;
	free(cloning);
	return fields;
}

int clone_request(struct vmm *vmm, const struct control_asker *asker, unsigned disks, int socket,
	struct error *err)
{
	struct clone_job *cloning = calloc(1, sizeof *cloning);
	const struct job_spec spec = {.word = "clone",
		.watched = true,
		.run = run,
		.done = done,
		.ctx = cloning};
	int r = cloning ? 0 : error_nomem(err);

	if (!r && socket < 0)
		r = error_set(err, EBADF, "clone: no socket came with the request");
	if (!r && disks)
		r = layers_move(&vmm->layers, disks, &cloning->moment.layers, err);
	if (r) {
		free(cloning);
		if (socket >= 0)
			close(socket);
		return r;
	}
	cloning->vmm = vmm;
	cloning->socket = socket;
	cloning->moment.layered = disks;
	cloning->moment.freeze = freeze;
	vmm->layering++;
	if (disks)
		vmm_allow_file(vmm, DISK_QCOW2, 0);
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
