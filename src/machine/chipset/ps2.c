/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/ps2.h"

#include "state/state.h"

bool ps2_put(struct ps2_queue *queue, const uint8_t *bytes, unsigned count)
{
	if (queue->count + count > PS2_QUEUE - PS2_ANSWER)
		return false;
	for (unsigned i = 0; i < count; i++)
		queue->byte[(queue->head + queue->count++) % PS2_QUEUE] = bytes[i];
	return true;
}

void ps2_answer(struct ps2_queue *queue, const uint8_t *bytes, unsigned count)
{
	queue->head += queue->answers;
	queue->count -= queue->answers;
	queue->head = (queue->head + PS2_QUEUE - count) % PS2_QUEUE;
	for (unsigned i = 0; i < count; i++)
		queue->byte[(queue->head + i) % PS2_QUEUE] = bytes[i];
	queue->count += count;
	queue->answers = count;
}

bool ps2_take(struct ps2_queue *queue, uint8_t *byte)
{
	if (!queue->count)
		return false;
	*byte = queue->byte[queue->head];
	queue->head = (queue->head + 1) % PS2_QUEUE;
	queue->count--;
	if (queue->answers)
		queue->answers--;
	return true;
}

void ps2_queue_describe(struct ps2_queue *queue, struct state *s)
{
	uint32_t head = queue->head, count = queue->count, answers = queue->answers;

	state_bytes(s, "queue", queue->byte, sizeof queue->byte);
	state_u32(s, "head", &head);
	state_u32(s, "count", &count);
	state_u32(s, "answers", &answers);
	state_require(s,
		head < PS2_QUEUE && answers <= PS2_ANSWER && answers <= count &&
			count - answers <= PS2_QUEUE - PS2_ANSWER,
		"more bytes than fit");
	if (!state_loading(s) || !state_ok(s))
		return;
	queue->head = head;
	queue->count = count;
	queue->answers = answers;
}
