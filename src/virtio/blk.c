/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/container.h"
#include "base/thread.h"
#include "state/state.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_STORAGE 0x018000u
#define QUEUE_SIZE 256

#define SIZE_MAX_BYTES (1u << 20)
#define SEG_MAX 126u
#define RANGE_SECTORS (1u << 21) /* 1 GiB in one discard or write-zeroes */
/* How much one notification may read on the vCPU's own thread, page cache willing. */
#define READ_NOW_BUDGET (64u << 10)

/* What of the configuration space (5.2.4) we have: the rest belongs to features that are not offered. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config, unused1) + 3)

struct blk_request {
	struct block_request io;
	struct virtio_blk *blk;
	struct blk_request *next;
	bool write_through; /* a flush is still to follow */
	bool immediate;     /* needs no I/O: result says it */
	uint8_t result;
	uint32_t written;       /* bytes of data for the guest */
	uint8_t *status;        /* where the result goes */
	struct virtq_held held; /* its spans lie behind iov */
	struct iovec iov[];     /* the data's part of the chain */
};

struct virtio_blk {
	struct virtio_device dev;
	struct block_device *image;
	char id[VIRTIO_BLK_ID_BYTES];
	/* Where the guest's notifications come as an event: a thread waits for it. -1: they do not. */
	int event;
	bool stop; /* atomic */
	pthread_t thread;
	/* by dev.lock */
	struct virtq_chain chain;
	unsigned active;
	pthread_cond_t idle; /* active is 0 */
	bool lost;           /* there is no image */
};

/* The part of the chain's segments from..from + count that lies in offset..offset + len. */
static unsigned cut_iov(struct iovec *to, const struct iovec *from, unsigned count, uint64_t offset,
	uint64_t len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count && len; i++) {
		uint64_t have = from[i].iov_len;

		if (offset >= have) {
			offset -= have;
			continue;
		}
		have -= offset;
		if (have > len)
			have = len;
		to[n].iov_base = (char *)from[i].iov_base + offset;
		to[n++].iov_len = have;
		len -= have;
		offset = 0;
	}
	return n;
}

static void finish_now(struct blk_request *request, uint8_t result)
{
	request->immediate = true;
	request->result = result;
}

static void prepare_range(struct blk_request *request, uint32_t type)
{
	struct virtio_device *dev = &request->blk->dev;
	struct virtq_chain *chain = &request->blk->chain;
	uint64_t wanted = type == VIRTIO_BLK_T_DISCARD ? VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD)
						       : VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	struct virtio_blk_discard_write_zeroes range;

	if (!(dev->features & wanted)) {
		finish_now(request, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	/* max_discard_seg and max_write_zeroes_seg say one. */
	if (chain->out_len != sizeof(struct virtio_blk_outhdr) + sizeof range) {
		finish_now(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	virtq_chain_read(chain, sizeof(struct virtio_blk_outhdr), &range, sizeof range);
	if (range.flags &
		~(type == VIRTIO_BLK_T_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)) {
		finish_now(request, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (range.num_sectors > RANGE_SECTORS || range.sector > UINT64_MAX / BLOCK_SECTOR) {
		finish_now(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	request->io.op = type == VIRTIO_BLK_T_DISCARD ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
	request->io.unmap = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	request->io.offset = range.sector * BLOCK_SECTOR;
	request->io.length = (uint64_t)range.num_sectors * BLOCK_SECTOR;
	request->write_through = !(dev->features & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
}

static void prepare_data(struct blk_request *request, const struct virtio_blk_outhdr *header)
{
	struct virtq_chain *chain = &request->blk->chain;
	bool read = header->type == VIRTIO_BLK_T_IN;
	uint64_t length = read ? chain->in_len - 1 : chain->out_len - sizeof *header;

	/* A length that a used entry cannot say is a request that no driver makes. */
	if (header->sector > UINT64_MAX / BLOCK_SECTOR || length >= UINT32_MAX) {
		finish_now(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	request->io.op = read ? BLOCK_READ : BLOCK_WRITE;
	request->io.offset = header->sector * BLOCK_SECTOR;
	request->io.length = length;
	request->io.iov = request->iov;
	if (read) {
		request->written = length;
		request->io.iov_count = cut_iov(request->iov, chain->iov + chain->out_count,
			chain->in_count, 0, length);
	} else {
		request->write_through =
			!(request->blk->dev.features & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
		request->io.iov_count =
			cut_iov(request->iov, chain->iov, chain->out_count, sizeof *header, length);
	}
}

/* From blk->chain to what the image is asked. */
static void prepare_request(struct blk_request *request, const struct virtio_blk_outhdr *header)
{
	struct virtio_blk *blk = request->blk;
	struct virtq_chain *chain = &blk->chain;

	if (blk->lost && header->type != VIRTIO_BLK_T_GET_ID) {
		finish_now(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	switch (header->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		prepare_data(request, header);
		break;
	case VIRTIO_BLK_T_FLUSH:
		request->io.op = BLOCK_FLUSH;
		break;
	case VIRTIO_BLK_T_GET_ID:
		request->written = chain->in_len - 1 < VIRTIO_BLK_ID_BYTES ? chain->in_len - 1
									   : VIRTIO_BLK_ID_BYTES;
		virtq_chain_write(blk->dev.memory, chain, 0, blk->id, request->written);
		finish_now(request, VIRTIO_BLK_S_OK);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		prepare_range(request, header->type);
		break;
	default:
		finish_now(request, VIRTIO_BLK_S_UNSUPP);
	}
}

/* A request with room for the chain's segments, most of it cleared. NULL: out of memory. */
static struct blk_request *request_new(struct virtio_blk *blk)
{
	struct virtq_chain *chain = &blk->chain;
	unsigned count = chain->out_count + chain->in_count, last = count - 1;
	struct blk_request *request = malloc(
		sizeof *request + count * (sizeof request->iov[0] + sizeof request->held.in[0]));

	if (!request)
		return NULL;
	memset(request, 0, sizeof *request);
	request->blk = blk;
	virtq_chain_hold(chain, &request->held, (struct virtq_span *)(request->iov + count));
	/* The status is the last byte that we may write. */
	request->status = (uint8_t *)chain->iov[last].iov_base + chain->iov[last].iov_len - 1;
	return request;
}

static void complete_request(struct blk_request *request, uint8_t result)
{
	struct virtio_blk *blk = request->blk;
	struct virtio_device *dev = &blk->dev;

	*request->status = result;
	mutex_lock(&dev->lock);
	virtio_complete(dev, 0, &request->held, request->written + 1);
	if (--blk->active == 0)
		pthread_cond_broadcast(&blk->idle);
	mutex_unlock(&dev->lock);
	free(request);
}

static void image_done(struct block_request *io, int result)
{
	struct blk_request *request = container_of(io, struct blk_request, io);

	if (!result && request->write_through) {
		request->write_through = false;
		io->op = BLOCK_FLUSH;
		block_submit(request->blk->image, io);
		return;
	}
	complete_request(request, result ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* The next request, or NULL when there is none or it breaks the rules. */
static struct blk_request *take_request(struct virtio_blk *blk) REQUIRES(blk->dev.lock)
{
	struct virtio_device *dev = &blk->dev;
	struct blk_request *request;
	struct virtio_blk_outhdr header;

	if (blk->active >= QUEUE_SIZE) {
		virtio_fail(dev, "more requests under way than the queue has places");
		return NULL;
	}
	if (virtio_pop(dev, 0, &blk->chain) != 1)
		return NULL;
	if (blk->chain.in_len < 1 ||
		virtq_chain_read(&blk->chain, 0, &header, sizeof header) != sizeof header) {
		virtio_fail(dev, "request without header or status");
		return NULL;
	}
	request = request_new(blk);
	if (!request) {
		virtio_fail(dev, "out of memory");
		return NULL;
	}
	prepare_request(request, &header);
	request->io.done = image_done;
	blk->active++;
	return request;
}

/* All that is there, as a list. */
static struct blk_request *take_requests(struct virtio_blk *blk) REQUIRES(blk->dev.lock)
{
	struct blk_request *first = NULL, **last = &first;

	for (unsigned left = virtio_arm(&blk->dev, 0); left; left--) {
		*last = take_request(blk);
		if (!*last)
			break;
		last = &(*last)->next;
	}
	return first;
}

static void blk_process(struct virtio_blk *blk)
{
	struct blk_request *request, *next;
	uint64_t budget = READ_NOW_BUDGET;

	mutex_lock(&blk->dev.lock);
	next = take_requests(blk);
	mutex_unlock(&blk->dev.lock);
	while ((request = next)) {
		next = request->next;
		if (request->immediate) {
			complete_request(request, request->result);
			continue;
		}
		request->io.patient = true;
		request->io.background = request->io.length > budget;
		if (!request->io.background)
			budget -= request->io.length;
		block_submit(blk->image, &request->io);
	}
}

static void blk_notify(struct virtio_device *dev, unsigned queue)
{
	blk_process(container_of(dev, struct virtio_blk, dev));
}

static void *blk_thread(void *arg)
{
	struct virtio_blk *blk = arg;
	uint64_t count;

	pthread_setname_np(pthread_self(), "disk");
	while (read(blk->event, &count, sizeof count) == sizeof count &&
		!__atomic_load_n(&blk->stop, __ATOMIC_ACQUIRE))
		blk_process(blk);
	return NULL;
}

/* Without the thread, for whatever reason, notifications are calls. */
static int blk_start_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);

	blk->event = eventfd(0, EFD_CLOEXEC);
	if (blk->event < 0)
		return -1;
	if (thread_start(&blk->thread, 0, blk_thread, blk)) {
		close(blk->event);
		blk->event = -1;
	}
	return blk->event;
}

static void stop_thread(struct virtio_blk *blk)
{
	const uint64_t one = 1;

	if (blk->event < 0)
		return;
	__atomic_store_n(&blk->stop, true, __ATOMIC_RELEASE);
	if (write(blk->event, &one, sizeof one) == sizeof one)
		pthread_join(blk->thread, NULL);
	close(blk->event);
	blk->event = -1;
}

/* Drivers notify after DRIVER_OK even of what they queued before (3.1.1). */
static void blk_start(struct virtio_device *dev)
{
}

/* Who wants them all to end does not wait for the host to be mended, neither for those that only come to wait now. */
static void wait_idle(struct virtio_blk *blk) REQUIRES(blk->dev.lock)
{
	if (!blk->active)
		return;
	block_give_up_begin(blk->image);
	while (blk->active)
		mutex_wait(&blk->dev.lock, &blk->idle);
	block_give_up_end(blk->image);
}

static void blk_reset(struct virtio_device *dev)
{
	struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);

	mutex_assert_held(&blk->dev.lock);
	wait_idle(blk);
}

static void blk_describe(struct virtio_device *dev, struct state *s)
{
	const struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);
	uint64_t here, size;

	if (blk->lost) {
		state_fail(s, EBUSY, "the guest has not let go of a disk that was taken from it");
		return;
	}
	here = size = block_size(blk->image);
	state_u64(s, "bytes", &size);
	if (size != here)
		state_fail(s, EINVAL, "the guest's disk had %llu bytes, %s has %llu",
			(unsigned long long)size, block_name(blk->image), (unsigned long long)here);
}

static const struct virtio_device_ops blk_ops = {
	.start = blk_start,
	.notify = blk_notify,
	.start_notify_thread = blk_start_notify,
	.reset = blk_reset,
	.drain = blk_reset,
	.describe = blk_describe,
};

static void fill_config(struct virtio_blk *blk)
{
	const struct virtio_blk_config config = {
		.capacity = block_size(blk->image) / BLOCK_SECTOR,
		.size_max = SIZE_MAX_BYTES,
		.seg_max = SEG_MAX,
		.blk_size = BLOCK_SECTOR,
		.physical_block_exp = 3, /* 4096 bytes: what the file below is made of */
		.min_io_size = 8,
		.num_queues = 1,
		.max_discard_sectors = RANGE_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = RANGE_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};

	memcpy(blk->dev.config, &config, CONFIG_SIZE);
	blk->dev.config_size = CONFIG_SIZE;
}

void virtio_blk_resized(struct virtio_blk *blk)
{
	mutex_lock(&blk->dev.lock);
	fill_config(blk);
	if (virtio_running(&blk->dev))
		virtio_config_changed(&blk->dev);
	mutex_unlock(&blk->dev.lock);
}

int virtio_blk_create(struct pci_bus *bus, struct memory *memory, struct block_device *image,
	const char *serial, struct virtio_blk **out, struct error *err)
{
	struct virtio_blk *blk = calloc(1, sizeof *blk);
	uint64_t features = VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY);
	int r;

	if (!blk)
		return error_nomem(err);
	if (block_read_only(image))
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	else
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) |
			VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	if (block_can_discard(image))
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD);
	virtio_device_init(&blk->dev, "virtio-blk", VIRTIO_ID_BLOCK, &blk_ops, memory, features, 1,
		QUEUE_SIZE);
	pthread_cond_init(&blk->idle, NULL);
	blk->image = image;
	blk->event = -1;
	memcpy(blk->id, serial, strnlen(serial, VIRTIO_BLK_ID_BYTES));
	fill_config(blk);
	r = virtio_pci_attach(&blk->dev, bus, CLASS_STORAGE, err);
	if (r) {
		virtio_blk_destroy(blk);
		return r;
	}
	*out = blk;
	return 0;
}

unsigned virtio_blk_slot(struct virtio_blk *blk)
{
	return virtio_pci_function(&blk->dev)->slot;
}

void virtio_blk_lose(struct virtio_blk *blk)
{
	mutex_lock(&blk->dev.lock);
	blk->lost = true;
	wait_idle(blk);
	mutex_unlock(&blk->dev.lock);
}

void virtio_blk_unplug(struct virtio_blk *blk)
{
	virtio_pci_remove(&blk->dev);
}

void virtio_blk_destroy(struct virtio_blk *blk)
{
	if (!blk)
		return;
	virtio_pci_remove(&blk->dev);
	stop_thread(blk);
	mutex_lock(&blk->dev.lock);
	virtio_reset(&blk->dev);
	mutex_unlock(&blk->dev.lock);
	virtio_pci_detach(&blk->dev);
	pthread_cond_destroy(&blk->idle);
	virtio_device_destroy(&blk->dev);
	free(blk);
}
