/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device: requests go out and answers come in, and a server that lies, or is gone, does no harm. */
#include "virtio_rig.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "share/message.h"
#include "virtio/fs.h"

#define QUEUES 2
#define ROOM 64u

struct world {
	struct rig rig;
	struct ring ring[QUEUES];
	struct virtio_fs *fs;
	int sockets[2]; /* the device's, and ours as the server */
	unsigned lost;  /* atomic */
	uint64_t unique;
};

static void lost(void *ctx)
{
	__atomic_fetch_add(&((struct world *)ctx)->lost, 1, __ATOMIC_SEQ_CST);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	const struct virtio_fs_owner owner = {w, lost};
	const struct timeval patience = {.tv_sec = 5};

	rig_open(&w->rig);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w->sockets), 0);
	setsockopt(w->sockets[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(virtio_fs_create(&w->rig.pci, &w->rig.mem, "dach0", w->sockets[0], &owner,
				 &w->fs, NULL),
		0);
	rig_config_write(&w->rig, PCI_COMMAND, 4, 6);
	rig_start(&w->rig, 0, w->ring, QUEUES);
	*state = w;
	return 0;
}

static int clean_up(void **state)
{
	struct world *w = *state;

	virtio_fs_destroy(w->fs);
	close(w->sockets[0]);
	if (w->sockets[1] >= 0)
		close(w->sockets[1]);
	rig_close(&w->rig);
	free(w);
	return 0;
}

/* The guest asks, with room for an answer in two pieces, or none. */
static void ask(struct world *w, unsigned queue, bool answered)
{
	struct ring *ring = &w->ring[queue];
	const uint64_t at = RIG_DATA + 0x1000ull * (ring->free % RIG_QUEUE_SIZE);
	const struct fuse_in_header in = {.len = sizeof in,
		.opcode = FUSE_GETATTR,
		.unique = ++w->unique,
		.nodeid = 1};
	uint16_t head;

	memory_write(&w->rig.mem, at, &in, sizeof in);
	head = ring_desc(ring, at, sizeof in, answered ? VIRTQ_DESC_NEXT : 0);
	if (answered) {
		ring_desc(ring, at + 0x100, 10, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE);
		ring_desc(ring, at + 0x200, ROOM - 10, VIRTQ_DESC_WRITE);
	}
	ring_offer(ring, head);
	ring_notify(ring);
}

static struct share_message hear(struct world *w)
{
	struct {
		struct share_message message;
		struct fuse_in_header in;
	} got;

	assert_int_equal(recv(w->sockets[1], &got, sizeof got, 0), sizeof got);
	assert_int_equal(got.in.opcode, FUSE_GETATTR);
	return got.message;
}

static ssize_t say(struct world *w, uint32_t tag, size_t size)
{
	static struct {
		struct share_message message;
		struct fuse_out_header out;
		char more[1000];
	} answer;

	answer.message.tag = tag;
	answer.out = (struct fuse_out_header){.len = (uint32_t)size, .unique = w->unique};
	return send(w->sockets[1], &answer, sizeof answer.message + size, MSG_NOSIGNAL);
}

/* What the guest got for the request whose number this is. */
static void expect_lost(struct world *w, unsigned queue)
{
	struct virtq_used_elem elem;
	struct fuse_out_header out;
	uint64_t at;

	assert_true(ring_wait(&w->ring[queue], &elem));
	at = RIG_DATA + 0x1000ull * elem.id;
	memory_read(&w->rig.mem, at + 0x100, &out, 10);
	memory_read(&w->rig.mem, at + 0x200, (char *)&out + 10, sizeof out - 10);
	assert_int_equal(out.error, -EIO);
	assert_int_equal(elem.len, sizeof out);
}

static void asks_and_answers(void **state)
{
	struct world *w = *state;
	struct virtq_used_elem elem;
	struct share_message first, second;

	ask(w, 1, true);
	ask(w, 1, true);
	first = hear(w);
	second = hear(w);
	assert_int_equal(first.room, ROOM);
	assert_true(first.tag != second.tag);
	/* In any order; with as much as there is room for. */
	say(w, second.tag, ROOM);
	assert_true(ring_wait(&w->ring[1], &elem));
	assert_int_equal(elem.id, 3);
	assert_int_equal(elem.len, ROOM);
	say(w, first.tag, 16);
	assert_true(ring_wait(&w->ring[1], &elem));
	assert_int_equal(elem.id, 0);
	assert_int_equal(elem.len, 16);
	/* What wants no answer gets none. */
	ask(w, 0, false);
	assert_int_equal(hear(w).room, 0);
	assert_true(ring_wait(&w->ring[0], &elem));
	assert_int_equal(elem.len, 0);
	assert_int_equal(w->lost, 0);
}

static void check_lie(struct world *w, uint32_t tag, size_t size)
{
	ask(w, 1, true);
	tag += hear(w).tag;
	say(w, tag, size);
	expect_lost(w, 1);
	/* And so is whatever comes later. */
	ask(w, 1, true);
	expect_lost(w, 1);
	for (unsigned i = 0; i < 500 && !__atomic_load_n(&w->lost, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	assert_int_equal(w->lost, 1);
}

static void nobody_asked(void **state)
{
	check_lie(*state, 5, 16);
}

static void no_such_tag(void **state)
{
	check_lie(*state, 100000, 16);
}

static void too_long(void **state)
{
	check_lie(*state, 0, ROOM + 1);
}

static void too_short(void **state)
{
	check_lie(*state, 0, 15);
}

static void gone(void **state)
{
	struct world *w = *state;

	ask(w, 1, true);
	hear(w);
	close(w->sockets[1]);
	w->sockets[1] = -1;
	expect_lost(w, 1);
}

/* More than the socket holds waits, and none is lost. */
static void many(void **state)
{
	struct world *w = *state;
	const int little = 1;
	struct virtq_used_elem elem;
	unsigned done = 0;

	setsockopt(w->sockets[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
	for (unsigned i = 0; i < 5; i++)
		ask(w, 1, true);
	for (; done < 5; done++) {
		say(w, hear(w).tag, 16);
		assert_true(ring_wait(&w->ring[1], &elem));
	}
	assert_false(rig_status(&w->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void no_header(void **state)
{
	struct world *w = *state;
	uint16_t head = ring_desc(&w->ring[1], RIG_DATA, 39, 0);

	ring_offer(&w->ring[1], head);
	ring_notify(&w->ring[1]);
	assert_true(rig_status(&w->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clean_up)
	static const struct CMUnitTest tests[] = {TEST(asks_and_answers), TEST(nobody_asked),
		TEST(no_such_tag), TEST(too_long), TEST(too_short), TEST(gone), TEST(many),
		TEST(no_header)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
