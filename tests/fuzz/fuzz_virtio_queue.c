/* SPDX-License-Identifier: Apache-2.0 */
/* The virtqueue on rings made of the fuzzer's bytes, which go on changing while it is used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/ring.h"

#define MEMORY (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint16_t take16(const uint8_t **data, size_t *size)
{
	uint16_t value = 0;

	if (*size < 2)
		return 0;
	memcpy(&value, *data, 2);
	*data += 2;
	*size -= 2;
	return value;
}

/* A few of the fuzzer's bytes to a place of its choice near the rings. */
static void scribble(struct memory *memory, const uint8_t **data, size_t *size)
{
	uint16_t place = take16(data, size), length = take16(data, size) % 64;

	if (length > *size)
		length = *size;
	memory_write(memory, place & 0x3fff, *data, length);
	*data += length;
	*size -= length;
}

static void use(struct virtq *queue, struct memory *memory, unsigned what,
	struct virtq_chain *chain)
{
	static struct virtq_span spans[VIRTQ_SEGMENTS];
	struct virtq_held held;
	uint8_t bytes[64] = {0};

	switch (what % 8) {
	case 0:
		virtq_arm(queue);
		break;
	case 1:
		virtq_want_more(queue, what >> 3);
		break;
	case 2:
		virtq_publish(queue);
		break;
	case 3:
		virtq_ignore(queue);
		break;
	default:
		if (virtq_pop(queue, chain) != 1)
			break;
		virtq_chain_read(chain, what >> 4, bytes, sizeof(bytes));
		virtq_chain_write(memory, chain, what >> 4, bytes, sizeof(bytes));
		virtq_chain_hold(chain, &held, spans);
		for (unsigned i = 0; i < held.count; i++)
			memory_written(memory, held.in[i].gpa, held.in[i].len);
		if (what & 8)
			virtq_push(queue, chain->head, what);
		else
			virtq_unpop(queue, 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory memory;
	static struct virtq_chain chain;
	struct virtq queue = {.size_max = 256};
	uint16_t flags = take16(&data, &size);

	if (!memory.host && memory_create(&memory, MEMORY, 0, false, NULL))
		abort();
	memset(memory_ptr(&memory, 0, 0x8000), 0, 0x8000);
	queue.memory = &memory;
	virtq_reset(&queue);
	queue.size = flags & 4 ? take16(&data, &size) : 8;
	queue.desc_gpa = flags & 8 ? take16(&data, &size) << 5 : 0x1000;
	queue.avail_gpa = flags & 16 ? take16(&data, &size) << 5 : 0x2000;
	queue.used_gpa = flags & 32 ? take16(&data, &size) << 5 : 0x3000;
	virtq_enable(&queue, flags & 1, flags & 2);
	while (size > 2) {
		scribble(&memory, &data, &size);
		use(&queue, &memory, take16(&data, &size), &chain);
	}
	return 0;
}
