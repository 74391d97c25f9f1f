/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/container.h"
#include "base/thread.h"
#include "share/message.h"
#include "state/state.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_STORAGE 0x018000u
#define QUEUES 2u /* that of requests that are not to wait, and that of all others */
#define QUEUE_SIZE 128
#define REQUESTS (QUEUES * QUEUE_SIZE)

struct fs_request {
	unsigned queue;
	uint32_t room;
	uint64_t unique;        /* what FUSE calls it */
	struct virtq_held held; /* its spans lie behind iov */
	unsigned count;
	struct iovec iov[]; /* for the answer; the first is for the message */
};

struct virtio_fs {
	struct virtio_device dev;
	struct virtio_fs_owner owner;
	int socket;
	pthread_t thread;
	bool ends; /* atomic */
	/* by dev.lock */
	struct virtq_chain chain;
	struct fs_request *request[REQUESTS]; /* by tag: those that are to be answered */
	unsigned active;
	pthread_cond_t idle; /* active is 0 */
	bool full[QUEUES];   /* the socket was, for the next of this queue */
	bool lost;
};

/* An answer of our own. */
static void answer_error(struct virtio_fs *fs, unsigned queue, uint64_t unique)
{
	const struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = unique};
	size_t n = virtq_chain_write(fs->dev.memory, &fs->chain, 0, &out, sizeof out);

	virtio_push(&fs->dev, queue, fs->chain.head, (uint32_t)n);
}

/* What the request in fs->chain needs until it is answered. NULL: out of memory. */
static struct fs_request *request_new(const struct virtio_fs *fs, unsigned queue, uint32_t room,
	uint64_t unique)
{
	const struct virtq_chain *chain = &fs->chain;
	const unsigned count = chain->in_count + 1;
	struct fs_request *request;

	request = malloc(
		sizeof *request + count * (sizeof request->iov[0] + sizeof request->held.in[0]));
	if (!request)
		return NULL;
	*request =
		(struct fs_request){.queue = queue, .room = room, .unique = unique, .count = count};
	memcpy(request->iov + 1, chain->iov + chain->out_count,
		chain->in_count * sizeof *request->iov);
	virtq_chain_hold(chain, &request->held, (struct virtq_span *)(request->iov + count));
	return request;
}

/* Hands fs->chain to the process; what it asks is copied at once. 0, or a negative errno. */
static int send_chain(struct virtio_fs *fs, uint32_t tag, uint32_t room)
{
	struct share_message message = {tag, room};
	struct iovec iov[1 + VIRTQ_SEGMENTS] = {{&message, sizeof message}};
	struct msghdr header = {.msg_iov = iov, .msg_iovlen = 1 + fs->chain.out_count};

	memcpy(iov + 1, fs->chain.iov, fs->chain.out_count * sizeof *iov);
	return sendmsg(fs->socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static uint32_t free_tag(const struct virtio_fs *fs)
{
	uint32_t tag = 0;

	while (tag < REQUESTS && fs->request[tag])
		tag++;
	return tag;
}

/* One that is to be answered. */
static int ask(struct virtio_fs *fs, unsigned queue, uint32_t room, uint64_t unique)
{
	const uint32_t tag = free_tag(fs);
	struct fs_request *request;
	int r;

	if (tag == REQUESTS) {
		virtio_fail(&fs->dev, "more requests under way than the queues have places");
		return -EPROTO;
	}
	request = request_new(fs, queue, room, unique);
	if (!request) {
		virtio_fail(&fs->dev, "out of memory");
		return -ENOMEM;
	}
	r = send_chain(fs, tag, room);
	if (r) {
		free(request);
		return r;
	}
	fs->request[tag] = request;
	fs->active++;
	return 0;
}

/* What is in fs->chain. False: no more of this queue for now. */
static bool take(struct virtio_fs *fs, unsigned queue)
{
	struct virtq_chain *chain = &fs->chain;
	const uint32_t room = chain->in_len < sizeof(struct fuse_out_header) ? 0
		: chain->in_len < SHARE_BYTES_MAX                            ? chain->in_len
									     : SHARE_BYTES_MAX;
	struct fuse_in_header in;
	int r = 0;

	if (chain->out_len > SHARE_BYTES_MAX ||
		virtq_chain_read(chain, 0, &in, sizeof in) != sizeof in) {
		virtio_fail(&fs->dev, "a request without header, or too long");
		return false;
	}
	if (!fs->lost)
		r = room ? ask(fs, queue, room, in.unique) : send_chain(fs, 0, 0);
	if (r == -EAGAIN || r == -ENOBUFS) {
		virtio_unpop(&fs->dev, queue, 1);
		fs->full[queue] = true;
		/* Where nothing is under way the socket is empty, and it did not help. */
		if (!fs->active)
			virtio_fail(&fs->dev, "this host has no room for a request");
		return false;
	}
	if (r == -EPROTO || r == -ENOMEM)
		return false;
	if (r || fs->lost)
		answer_error(fs, queue, in.unique);
	else if (!room)
		virtio_push(&fs->dev, queue, chain->head, 0);
	return true;
}

static void process(struct virtio_fs *fs, unsigned queue) REQUIRES(fs->dev.lock)
{
	fs->full[queue] = false;
	for (unsigned left = virtio_arm(&fs->dev, queue); left; left--)
		if (virtio_pop(&fs->dev, queue, &fs->chain) != 1 || !take(fs, queue))
			break;
	virtio_publish(&fs->dev, queue);
}

static void fs_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_fs *fs = container_of(dev, struct virtio_fs, dev);

	mutex_lock(&fs->dev.lock);
	process(fs, queue);
	mutex_unlock(&fs->dev.lock);
}

/* Answers */

/* len: bytes of the answer that are in the guest's memory. */
static void complete(struct virtio_fs *fs, uint32_t tag, uint32_t len) REQUIRES(fs->dev.lock)
{
	struct fs_request *request = fs->request[tag];

	fs->request[tag] = NULL;
	virtio_complete(&fs->dev, request->queue, &request->held, len);
	free(request);
	if (--fs->active == 0)
		pthread_cond_broadcast(&fs->idle);
}

static void complete_lost(struct virtio_fs *fs, uint32_t tag) REQUIRES(fs->dev.lock)
{
	const struct fs_request *request = fs->request[tag];
	const struct fuse_out_header out = {.len = sizeof out,
		.error = -EIO,
		.unique = request->unique};
	size_t done = 0;

	for (unsigned i = 1; i < request->count && done < sizeof out; i++) {
		size_t n = request->iov[i].iov_len;

		if (n > sizeof out - done)
			n = sizeof out - done;
		memcpy(request->iov[i].iov_base, (const char *)&out + done, n);
		done += n;
	}
	complete(fs, tag, sizeof out);
}

static void lose(struct virtio_fs *fs)
{
	mutex_lock(&fs->dev.lock);
	fs->lost = true;
	for (uint32_t tag = 0; tag < REQUESTS; tag++)
		if (fs->request[tag])
			complete_lost(fs, tag);
	for (unsigned queue = 0; queue < QUEUES; queue++)
		process(fs, queue);
	mutex_unlock(&fs->dev.lock);
	if (!__atomic_load_n(&fs->ends, __ATOMIC_ACQUIRE))
		fs->owner.lost(fs->owner.ctx);
}

/* The next answer, into the memory of who asked. Nobody but us takes a request away. */
static bool receive(struct virtio_fs *fs)
{
	struct share_message message;
	struct fs_request *request;
	struct msghdr header = {.msg_iovlen = 0};
	ssize_t n;

	n = recv(fs->socket, &message, sizeof message, MSG_PEEK);
	if (n < 0 && errno == EINTR)
		return true;
	if (n != sizeof message || message.tag >= REQUESTS)
		return false;
	mutex_lock(&fs->dev.lock);
	request = fs->request[message.tag];
	mutex_unlock(&fs->dev.lock);
	if (!request)
		return false;
	request->iov[0] = (struct iovec){&message, sizeof message};
	header.msg_iov = request->iov;
	header.msg_iovlen = request->count;
	n = recvmsg(fs->socket, &header, 0) - (ssize_t)sizeof message;
	if (header.msg_flags & MSG_TRUNC || n < (ssize_t)sizeof(struct fuse_out_header) ||
		n > request->room)
		return false;
	mutex_lock(&fs->dev.lock);
	complete(fs, message.tag, (uint32_t)n);
	for (unsigned queue = 0; queue < QUEUES; queue++)
		if (fs->full[queue])
			process(fs, queue);
	mutex_unlock(&fs->dev.lock);
	return true;
}

static void *fs_thread(void *arg)
{
	struct virtio_fs *fs = arg;

	pthread_setname_np(pthread_self(), "share");
	while (receive(fs)) {
	}
	lose(fs);
	return NULL;
}

/* Life */

static void fs_start(struct virtio_device *dev)
{
}

static void fs_reset(struct virtio_device *dev)
{
	struct virtio_fs *fs = container_of(dev, struct virtio_fs, dev);

	mutex_assert_held(&dev->lock);
	while (fs->active)
		mutex_wait(&dev->lock, &fs->idle);
	memset(fs->full, 0, sizeof fs->full);
}

static void fs_describe(struct virtio_device *dev, struct state *s)
{
	state_fail(s, EOPNOTSUPP, "a guest with a shared folder cannot be saved");
}

static const struct virtio_device_ops fs_ops = {
	.start = fs_start,
	.notify = fs_notify,
	.reset = fs_reset,
	.drain = fs_reset,
	.describe = fs_describe,
};

int virtio_fs_create(struct pci_bus *bus, struct memory *memory, const char *tag, int socket,
	const struct virtio_fs_owner *owner, struct virtio_fs **out, struct error *err)
{
	struct virtio_fs *fs = calloc(1, sizeof *fs);
	struct virtio_fs_config config = {.num_request_queues = QUEUES - 1};
	int r;

	_Static_assert(sizeof config.tag == VIRTIO_FS_TAG, "virtio 1.2, 5.11.4");
	if (!fs)
		return error_nomem(err);
	virtio_device_init(&fs->dev, "virtio-fs", VIRTIO_ID_FS, &fs_ops, memory, 0, QUEUES,
		QUEUE_SIZE);
	pthread_cond_init(&fs->idle, NULL);
	fs->owner = *owner;
	fs->socket = socket;
	memcpy(config.tag, tag, strnlen(tag, sizeof config.tag));
	memcpy(fs->dev.config, &config, sizeof config);
	fs->dev.config_size = sizeof config;
	r = virtio_pci_attach(&fs->dev, bus, CLASS_STORAGE, err);
	if (!r) {
		r = thread_start(&fs->thread, 0, fs_thread, fs);
		if (!r) {
			*out = fs;
			return 0;
		}
		error_set(err, -r, "cannot start a thread: %s", thread_error(-r));
		virtio_pci_detach(&fs->dev);
	}
	pthread_cond_destroy(&fs->idle);
	virtio_device_destroy(&fs->dev);
	free(fs);
	return r;
}

void virtio_fs_destroy(struct virtio_fs *fs)
{
	if (!fs)
		return;
	virtio_pci_remove(&fs->dev);
	__atomic_store_n(&fs->ends, true, __ATOMIC_RELEASE);
	shutdown(fs->socket, SHUT_RDWR);
	pthread_join(fs->thread, NULL);
	mutex_lock(&fs->dev.lock);
	virtio_reset(&fs->dev);
	mutex_unlock(&fs->dev.lock);
	virtio_pci_detach(&fs->dev);
	pthread_cond_destroy(&fs->idle);
	virtio_device_destroy(&fs->dev);
	free(fs);
}
