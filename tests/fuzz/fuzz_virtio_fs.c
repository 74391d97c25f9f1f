/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device: what a driver does, and a server that answers anything. */
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "virtio/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lost(void *ctx)
{
}

/* Takes what has come, and answers as the step says: mostly what was asked last. */
static void answer(int socket, const struct driver_step *step)
{
	static uint8_t bytes[140000];
	static uint32_t last;
	ssize_t n = recv(socket, bytes, sizeof bytes, MSG_DONTWAIT);

	read_all(bytes, n > 0 ? (size_t)n : 0);
	if (n >= 8)
		memcpy(&last, bytes, sizeof last);
	memcpy(bytes, &last, sizeof last);
	memcpy(bytes + 8, step->bytes, sizeof step->bytes);
	if (step->flags & 16)
		memcpy(bytes, &step->c, sizeof step->c);
	send(socket, bytes, step->flags & 32 ? step->b % sizeof bytes : 24 + step->count,
		MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct virtio_fs_owner owner = {.lost = lost};
	struct virtio_fs *fs;
	struct driver driver;
	struct driver_step step;
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets))
		abort();
	rig_open(&driver.rig);
	if (virtio_fs_create(&driver.rig.pci, &driver.rig.mem, "tag", sockets[0], &owner, &fs,
		    NULL))
		abort();
	rig_find_bar(&driver.rig);
	for (unsigned i = 0; i < DRIVER_QUEUES; i++)
		driver.ring[i] = (struct ring){.rig = &driver.rig};
	rig_config_write(&driver.rig, PCI_COMMAND, 4, 6);
	rig_start(&driver.rig, ~0ull, driver.ring, DRIVER_QUEUES);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		/* A reset would wait for who does not answer. */
		if (step.what >> 6 && step.what % 8 > 1 && step.what % 8 != 4)
			driver_take(&driver, &step);
		else
			answer(sockets[1], &step);
	}
	shutdown(sockets[1], SHUT_RDWR);
	virtio_fs_destroy(fs);
	close(sockets[0]);
	close(sockets[1]);
	rig_close(&driver.rig);
	return 0;
}
