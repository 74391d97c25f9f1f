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
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "machine/memory_base.h"
#include "state/file.h"
#include "vmm/internal.h"

#define STREAM STATE_FILE_NOTE

struct text {
	uint8_t *bytes;
	size_t size, room;
};

static int add(void *ctx, const void *data, size_t len)
{
	struct text *text = ctx;

	if (text->size + len > text->room) {
		size_t room = 2 * (text->size + len);
		uint8_t *bytes = realloc(text->bytes, room);

		if (!bytes)
			return -ENOMEM;
		text->bytes = bytes;
		text->room = room;
	}
	memcpy(text->bytes + text->size, data, len);
	text->size += len;
	return 0;
}

/* None is asked for: memory is not described. */
static int no_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	return -EINVAL;
}

/* While the guest stands still. */
static int freeze(struct vmm *vmm, struct text *text, struct error *err)
{
	const struct state_io io = {.write = add, .ctx = text};
	const struct state_pages pages = {.write = no_pages};
	struct state *state;
	int r = state_save(&io, "the guest's state", &state, err);

	if (r)
		return r;
	state_beside(state, &pages);
	r = machine_save_begin(vmm->machine, state);
	if (!r) {
		machine_save_devices(vmm->machine, state);
		r = state_finish(state);
		if (!r)
			r = memory_freeze(machine_memory(vmm->machine), err);
		machine_save_end(vmm->machine);
	}
	state_destroy(state);
	return r;
}

static int make_state(const struct text *text, int *fd, struct error *err)
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

/* All in one message. */
static int hand_over(int socket, const int *fd, unsigned count, struct error *err)
{
	char space[CMSG_SPACE((MEMORY_LAYERS + 1) * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec data = {"", 1};
	struct msghdr msg = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(head), fd, count * sizeof(int));
	return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1
		? 0
		: error_set(err, errno, "clone: %s", strerror(errno));
}

int clone_request(struct vmm *vmm, int socket, json_t **fields, struct error *err)
{
	bool paused = machine_paused(vmm->machine);
	int fd[1 + MEMORY_LAYERS] = {-1}, r;
	struct text text = {NULL, 0, 0};
	uint64_t start = clock_now(), pause;
	unsigned count = 0;

	if (socket < 0)
		return error_set(err, EBADF, "clone: no socket came with the request");
	machine_pause(vmm->machine);
	r = freeze(vmm, &text, err);
	if (!paused)
		machine_resume(vmm->machine);
	pause = clock_now() - start;
	if (!r)
		r = memory_layers(machine_memory(vmm->machine), fd + 1, &count, err);
	if (!r)
		r = make_state(&text, fd, err);
	if (!r)
		r = hand_over(socket, fd, count + 1, err);
	if (!r)
		*fields = json_pack("{s:I, s:i}", "pause", (json_int_t)pause, "layers", (int)count);
	if (fd[0] >= 0)
		close(fd[0]);
	close(socket);
	free(text.bytes);
	return r;
}
