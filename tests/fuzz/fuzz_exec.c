/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in a guest: what callers send on their connections, and what the guest sends as its agent. */
#define DRIVER_QUEUES 4
#include "driver.h"

#include <linux/virtio_console.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "protocol/agent.h"
#include "vmm/exec.h"

#ifndef QEMU_AGENT
#define QEMU_AGENT false
#endif
#define CALLERS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static void settle(struct loop *loop)
{
	struct loop_work last = {.run = stop, .ctx = loop};

	loop_post(loop, &last);
	loop_run(loop);
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

/* A byte: whose bytes follow, and whether the loop runs then; a byte: how many. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exec_config config = {.qemu = QEMU_AGENT};
	static struct loop *loop;
	static struct exec *exec;
	static struct driver driver;
	int caller[CALLERS] = {-1, -1, -1, -1}, ends[2];
	char said[4096];

	if (!loop) {
		signal(SIGPIPE, SIG_IGN); /* as a monitor does: callers go */
		rig_open(&driver.rig);
		config.program = memfd_create("program", MFD_CLOEXEC);
		if (write(config.program, "a program", 9) != 9)
			abort();
		if (loop_create(&loop, NULL) ||
			exec_create(&driver.rig.pci, &driver.rig.mem, loop, &config, &exec, NULL))
			abort();
	}
	driver_start(&driver, ~0ull);
	open_port(&driver);
	while (size >= 2) {
		const unsigned who = data[0] & 7, count = data[1] < size - 2 ? data[1] : size - 2;
		const bool runs = data[0] & 0x80, leaves = data[0] & 0x40;

		data += 2;
		size -= 2;
		if (who >= CALLERS) {
			say(&driver, 1, data, count);
		} else {
			if (caller[who] < 0 &&
				!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) &&
				!exec_take(exec, ends[1], NULL))
				caller[who] = ends[0];
			if (caller[who] >= 0 && send(caller[who], data, count, MSG_NOSIGNAL) >= 0)
				while (recv(caller[who], said, sizeof said, MSG_DONTWAIT) > 0)
					;
			if (leaves && caller[who] >= 0) {
				close(caller[who]);
				caller[who] = -1;
			}
		}
		if (runs)
			settle(loop);
		data += count;
		size -= count;
	}
	for (unsigned i = 0; i < CALLERS; i++)
		if (caller[i] >= 0)
			close(caller[i]);
	settle(loop);
	/* The driver goes, and with it all commands. */
	driver_start(&driver, ~0ull);
	settle(loop);
	settle(loop);
	return 0;
}
