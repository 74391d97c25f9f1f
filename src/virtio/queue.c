/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/queue.h"

#include <errno.h>
#include <string.h>

#include "virtio/ring.h"

static uint64_t avail_bytes(uint16_t size)
{
	return sizeof(struct virtq_avail) + 2ull * size + 2;
}

static uint64_t used_bytes(uint16_t size)
{
	return sizeof(struct virtq_used) + sizeof(struct virtq_used_elem) * size + 2ull;
}

/*
 * Each side sets what the other reads, then reads what the other sets: used index and used_event,
 * avail_event and available index. Unless all four are in one order (SEQ_CST: a full barrier), both
 * may miss the other's store, and an interrupt or a notification is lost.
 */

/* used_event and avail_event lie behind the rings (2.7.7, 2.7.8). */
static uint16_t used_event(const struct virtq *queue)
{
	return __atomic_load_n(&queue->avail->ring[queue->size], __ATOMIC_SEQ_CST);
}

static void set_avail_event(struct virtq *queue, uint16_t idx)
{
	uint16_t *event = (uint16_t *)&queue->used->ring[queue->size];

	__atomic_store_n(event, idx, __ATOMIC_SEQ_CST);
	memory_written(queue->memory,
		queue->used_gpa + sizeof(struct virtq_used) +
			sizeof(struct virtq_used_elem) * queue->size,
		sizeof *event);
}

static int queue_break(struct virtq *queue, const char *why)
{
	if (!queue->broken)
		queue->broken = why;
	return -EPROTO;
}

void virtq_reset(struct virtq *queue)
{
	*queue = (struct virtq){
		.memory = queue->memory,
		.size_max = queue->size_max,
		.size = queue->size_max,
		.vector = 0xffff,
	};
}

bool virtq_find(struct virtq *queue)
{
	struct memory *memory = queue->memory;
	uint16_t size = queue->size;

	queue->desc = memory_ptr(memory, queue->desc_gpa, sizeof(struct virtq_desc) * size);
	queue->avail = memory_ptr(memory, queue->avail_gpa, avail_bytes(size));
	queue->used = memory_ptr(memory, queue->used_gpa, used_bytes(size));
	return queue->desc && queue->avail && queue->used;
}

bool virtq_enable(struct virtq *queue, bool indirect, bool event_idx)
{
	uint16_t size = queue->size;

	if (size == 0 || size > queue->size_max || (size & (size - 1)))
		return false;
	/* Alignments of 2.7 */
	if (queue->desc_gpa % 16 || queue->avail_gpa % 2 || queue->used_gpa % 4)
		return false;
	if (!virtq_find(queue))
		return false;
	queue->indirect = indirect;
	queue->event_idx = event_idx;
	queue->last_avail = 0;
	queue->used_next = 0;
	queue->used_idx = 0;
	queue->enabled = true;
	return true;
}

/* How many chains the guest offers; acquire: what it wrote before the index is seen after. */
static int queue_pending(struct virtq *queue)
{
	uint16_t idx, pending;

	if (queue->broken)
		return -EPROTO;
	if (!queue->enabled)
		return 0;
	idx = __atomic_load_n(&queue->avail->idx, __ATOMIC_SEQ_CST);
	pending = idx - queue->last_avail;
	if (pending > queue->size)
		return queue_break(queue, "available index jumps");
	return pending;
}

/* Reads a descriptor once; an indirect table may lie at any address. */
static struct virtq_desc desc_read(const struct virtq_desc *table, unsigned index)
{
	struct virtq_desc desc;

	memcpy(&desc, (const char *)table + sizeof desc * index, sizeof desc);
	/* The compiler may not go back to memory that the guest can change for a value it had. */
	__asm__ volatile("" ::: "memory");
	return desc;
}

static int chain_add(struct virtq *queue, struct virtq_chain *chain, const struct virtq_desc *desc)
{
	unsigned at = chain->out_count + chain->in_count;
	void *host;

	if (!desc->len)
		return 0;
	if (at == VIRTQ_SEGMENTS)
		return queue_break(queue, "too many buffers in a chain");
	if (desc->flags & VIRTQ_DESC_WRITE)
		host = memory_ptr(queue->memory, desc->addr, desc->len);
	else /* an iovec knows no const */
		host = (void *)memory_ptr_read(queue->memory, desc->addr, desc->len);
	if (!host)
		return queue_break(queue, "buffer outside of memory");
	if (desc->flags & VIRTQ_DESC_WRITE) {
		chain->in_count++;
		chain->in_len += desc->len;
	} else if (chain->in_count) {
		return queue_break(queue, "buffer to read behind one to write");
	} else {
		chain->out_count++;
		chain->out_len += desc->len;
	}
	chain->iov[at] = (struct iovec){.iov_base = host, .iov_len = desc->len};
	chain->gpa[at] = desc->addr;
	return 0;
}

/*
 * Follows the links from index in a table of size descriptors. An indirect descriptor (2.7.5.3)
 * leads to another table, once, and ends the chain.
 */
static int chain_walk(struct virtq *queue, struct virtq_chain *chain, uint16_t head)
{
	const struct virtq_desc *table = queue->desc;
	unsigned size = queue->size, index = head;
	bool inside = false;

	for (unsigned steps = 0;; steps++) {
		struct virtq_desc desc;
		int r;

		if (index >= size)
			return queue_break(queue, "descriptor number out of range");
		if (steps >= size || steps >= 2 * VIRTQ_SEGMENTS)
			return queue_break(queue, "descriptors form a loop, or too long a chain");
		desc = desc_read(table, index);
		if (desc.flags & VIRTQ_DESC_INDIRECT) {
			if (!queue->indirect || inside || (desc.flags & VIRTQ_DESC_NEXT))
				return queue_break(queue, "indirect descriptor not allowed here");
			if (!desc.len || desc.len % sizeof desc)
				return queue_break(queue, "bad length of an indirect table");
			table = memory_ptr(queue->memory, desc.addr, desc.len);
			if (!table)
				return queue_break(queue, "indirect table outside of memory");
			size = desc.len / sizeof desc;
			inside = true;
			index = 0;
			steps = -1;
			continue;
		}
		r = chain_add(queue, chain, &desc);
		if (r)
			return r;
		if (!(desc.flags & VIRTQ_DESC_NEXT))
			return 0;
		index = desc.next;
	}
}

int virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
	uint16_t head;
	int r = queue_pending(queue);

	if (r <= 0)
		return r;
	head = __atomic_load_n(&queue->avail->ring[queue->last_avail & (queue->size - 1)],
		__ATOMIC_RELAXED);
	chain->head = head;
	chain->out_count = chain->in_count = 0;
	chain->out_len = chain->in_len = 0;
	r = chain_walk(queue, chain, head);
	if (r)
		return r;
	queue->last_avail++;
	return 1;
}

unsigned virtq_arm(struct virtq *queue)
{
	int seen = queue_pending(queue), now;

	if (!queue->event_idx || !queue->enabled)
		return seen > 0 ? seen : 0;
	/* Ends: each turn sees more chains than the one before, and there are at most size. */
	for (; seen >= 0; seen = now) {
		set_avail_event(queue, queue->last_avail + seen);
		now = queue_pending(queue);
		if (now == seen)
			return seen;
		if (now >= 0 && now < seen)
			now = queue_break(queue, "available index goes back");
	}
	return 0;
}

void virtq_unpop(struct virtq *queue, unsigned count)
{
	queue->last_avail -= count;
}

void virtq_push(struct virtq *queue, uint16_t head, uint32_t len)
{
	struct virtq_used_elem *elem;

	if (!queue->enabled)
		return;
	elem = &queue->used->ring[queue->used_next++ & (queue->size - 1)];
	__atomic_store_n(&elem->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, len, __ATOMIC_RELAXED);
}

bool virtq_publish(struct virtq *queue)
{
	uint16_t old = queue->used_idx, new = queue->used_next, count = new - old;
	unsigned first = old & (queue->size - 1);

	if (!queue->enabled || !count)
		return false;
	/* The entries, and the data they speak of, before the index; the index before used_event.
	 */
	__atomic_store_n(&queue->used->idx, new, __ATOMIC_SEQ_CST);
	queue->used_idx = new;
	if (first + count > queue->size)
		first = 0, count = queue->size;
	memory_written(queue->memory, queue->used_gpa + sizeof(struct virtq_used) + 8ull * first,
		8ull * count);
	memory_written(queue->memory, queue->used_gpa, sizeof(struct virtq_used));
	if (!queue->event_idx)
		return !(__atomic_load_n(&queue->avail->flags, __ATOMIC_SEQ_CST) &
			VIRTQ_AVAIL_NO_INTERRUPT);
	/* Did the index pass used_event (2.7.7.2)? In 16-bit arithmetic. */
	return (uint16_t)(new - used_event(queue) - 1) < (uint16_t)(new - old);
}

static void set_used_flags(struct virtq *queue, uint16_t flags)
{
	__atomic_store_n(&queue->used->flags, flags, __ATOMIC_SEQ_CST);
	memory_written(queue->memory, queue->used_gpa, 2);
}

void virtq_ignore(struct virtq *queue)
{
	/* With event indices the event just stays where it is: the guest's index does not pass it again. */
	if (queue->enabled && !queue->broken && !queue->event_idx)
		set_used_flags(queue, VIRTQ_USED_NO_NOTIFY);
}

bool virtq_want_more(struct virtq *queue, unsigned seen)
{
	int now;

	if (!queue->enabled || queue->broken)
		return false;
	if (queue->event_idx)
		set_avail_event(queue, (uint16_t)(queue->last_avail + seen));
	else
		set_used_flags(queue, 0);
	now = queue_pending(queue);
	if (now >= 0 && now < (int)seen)
		now = queue_break(queue, "available index goes back");
	return now != (int)seen;
}

size_t virtq_chain_read(const struct virtq_chain *chain, uint64_t offset, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->out_count && done < len; i++) {
		const struct iovec *iov = &chain->iov[i];
		size_t n;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - offset;
		if (n > len - done)
			n = len - done;
		memcpy((char *)buf + done, (const char *)iov->iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t virtq_chain_write(struct memory *memory, const struct virtq_chain *chain, uint64_t offset,
	const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->in_count && done < len; i++) {
		const struct iovec *iov = &chain->iov[chain->out_count + i];
		size_t n;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - offset;
		if (n > len - done)
			n = len - done;
		memcpy((char *)iov->iov_base + offset, (const char *)buf + done, n);
		memory_written(memory, chain->gpa[chain->out_count + i] + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

void virtq_chain_hold(const struct virtq_chain *chain, struct virtq_held *held,
	struct virtq_span *spans)
{
	*held = (struct virtq_held){.head = chain->head, .count = chain->in_count, .in = spans};
	for (unsigned i = 0; i < chain->in_count; i++)
		spans[i] = (struct virtq_span){chain->gpa[chain->out_count + i],
			chain->iov[chain->out_count + i].iov_len};
}
