/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's port, from a driver's side. */
#ifndef DACH_TESTS_UNIT_AGENT_RIG_H
#define DACH_TESTS_UNIT_AGENT_RIG_H

#include "virtio_rig.h"

#include <linux/virtio_console.h>
#include <stdlib.h>

#include "base/loop.h"
#include "protocol/agent.h"
#include "vmm/agent.h"

enum { RX, TX, CONTROL_RX, CONTROL_TX, QUEUES };

struct guest {
	struct rig rig;
	struct ring ring[QUEUES];
	struct loop *loop;
	struct loop_work stop;
	/* For whose test it is: */
	struct agent *agent;
	unsigned frames, gone;
	struct agent_header last;
	char payload[64];
	const char *why;
	struct exec *exec;
};

static inline void stop(void *ctx)
{
	loop_stop(ctx);
}

/* What has been posted is done when this returns. */
static inline void settle(struct guest *guest)
{
	guest->stop = (struct loop_work){.run = stop, .ctx = guest->loop};
	loop_post(guest->loop, &guest->stop);
	loop_run(guest->loop);
}

static inline void give(struct guest *guest, unsigned queue, unsigned slot)
{
	struct ring *ring = &guest->ring[queue];

	ring_offer(ring,
		ring_desc(ring, RIG_DATA + 0x20000 * queue + 0x1000 * slot, 0x1000,
			VIRTQ_DESC_WRITE));
	ring_notify(ring);
}

static inline void say(struct guest *guest, unsigned queue, const void *bytes, size_t size)
{
	struct ring *ring = &guest->ring[queue];
	const uint64_t at = RIG_DATA + 0x20000 * queue;
	struct virtq_used_elem used;

	memcpy(memory_ptr(&guest->rig.mem, at, size), bytes, size);
	ring_offer(ring, ring_desc(ring, at, size, 0));
	ring_notify(ring);
	assert_true(ring_wait(ring, &used));
}

static inline void control(struct guest *guest, uint16_t event, uint16_t value)
{
	const struct virtio_console_control message = {.event = event, .value = value};

	say(guest, CONTROL_TX, &message, sizeof message);
}

static inline const void *heard(struct guest *guest, unsigned queue, size_t *size)
{
	struct virtq_used_elem used;

	assert_true(ring_wait(&guest->ring[queue], &used));
	*size = used.len;
	return memory_ptr(&guest->rig.mem, guest->ring[queue].desc[used.id].addr, 0x1000);
}

static inline void told(struct guest *guest, uint16_t event, const char *name)
{
	size_t size;
	const struct virtio_console_control *message = heard(guest, CONTROL_RX, &size);

	assert_int_equal(size, sizeof *message + strlen(name));
	assert_int_equal(message->event, event);
	assert_int_equal(message->value, 1);
	assert_memory_equal(message + 1, name, strlen(name));
}

static inline void open_port_of(struct guest *guest, const char *name)
{
	rig_start(&guest->rig, ~0ull, guest->ring, QUEUES);
	for (unsigned i = 0; i < 3; i++)
		give(guest, CONTROL_RX, i);
	control(guest, VIRTIO_CONSOLE_DEVICE_READY, 1);
	told(guest, VIRTIO_CONSOLE_PORT_ADD, "");
	control(guest, VIRTIO_CONSOLE_PORT_READY, 1);
	told(guest, VIRTIO_CONSOLE_PORT_NAME, name);
	told(guest, VIRTIO_CONSOLE_PORT_OPEN, "");
	control(guest, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

static inline void open_port(struct guest *guest)
{
	open_port_of(guest, AGENT_PORT);
}

#endif
