/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says as its agent, over a port that it drives as it likes; and commands as an agent reads them. */
#define DRIVER_QUEUES 4
#include "driver.h"

#include <linux/virtio_console.h>

#include "base/loop.h"
#include "vmm/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(void *ctx, const struct agent_header *header, const char *payload)
{
	read_all((const uint8_t *)payload, header->length);
}

static void gone(void *ctx, const char *why)
{
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

/* A chain whose bytes are these. */
static void say(struct driver *driver, unsigned queue, const void *bytes, size_t size)
{
	struct ring *ring = &driver->ring[queue];

	memory_write(&driver->rig.mem, RIG_DATA, bytes, size);
	ring_offer(ring, ring_desc(ring, RIG_DATA, size, 0));
	ring_notify(ring);
}

static void open_port(struct driver *driver)
{
	static const uint16_t events[] = {VIRTIO_CONSOLE_DEVICE_READY, VIRTIO_CONSOLE_PORT_READY,
		VIRTIO_CONSOLE_PORT_OPEN};

	for (unsigned i = 0; i < 3; i++) {
		const struct virtio_console_control message = {.event = events[i], .value = 1};

		say(driver, 3, &message, sizeof message);
	}
}

static void read_command(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* its end is where it ends */
	struct agent_open open_;
	struct agent_mount mount;
	const char **words;

	if (!copy)
		return;
	memcpy(copy, data, size);
	if (agent_open_read(copy, size, &open_, &words))
		for (const char *const *word = open_.env; *word; word++)
			read_all((const uint8_t *)*word, strlen(*word));
	free(words);
	if (agent_mount_read(copy, size, &mount))
		read_all((const uint8_t *)mount.path, strlen(mount.path));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct agent_owner owner = {NULL, frame, gone};
	static struct loop *loop;
	static struct loop_work last;
	static struct agent *agent;
	static struct driver driver;
	struct driver_step step;

	if (!agent) {
		rig_open(&driver.rig);
		if (loop_create(&loop, NULL) ||
			agent_create(&driver.rig.pci, &driver.rig.mem, loop, &owner, &agent, NULL))
			abort();
	}
	if (size && data[0] == 'c') {
		read_command(data + 1, size - 1);
		return 0;
	}
	driver_start(&driver, ~0ull);
	open_port(&driver);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		if (step.what >> 7)
			driver_take(&driver, &step);
		else if (step.what >> 6)
			say(&driver, 1, step.bytes, 1 + step.count % sizeof step.bytes);
		else
			agent_send(agent, step.a, step.flags, 0, step.bytes,
				step.count % sizeof step.bytes);
	}
	last = (struct loop_work){.run = stop, .ctx = loop};
	loop_post(loop, &last);
	loop_run(loop);
	return 0;
}
