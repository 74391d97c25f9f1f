/* SPDX-License-Identifier: Apache-2.0 */
/* The port (Linux drivers/char/virtio_console.c): a device without a line discipline, found by its name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

#define PORTS "class/virtio-ports"
#define FIND_PAUSE_US 10000
#define PIECE (32u << 10) /* the kernel takes no more at once */

static int descriptor = -1; /* -1: it is closed */

/* All of it is 0 in the beginning, which takes no room in the program's file. */
static struct {
	/* What is still to be sent: sessions fill it to a part only, so that the frames of one poll fit. */
	char out[2u << 20];
	size_t out_start, out_end;
	char in[sizeof(struct agent_header) + AGENT_OPEN_MAX];
	size_t in_end;
} port;

static bool is_ours(int ports, const char *device)
{
	char path[300], name[64] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/name", device);
	fd = openat(ports, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, name, sizeof name - 1);
	close(fd);
	name[n > 0 ? n : 0] = 0;
	name[strcspn(name, "\n")] = 0;
	return !strcmp(name, AGENT_PORT);
}

static int find(int sys, int dev)
{
	int ports = openat(sys, PORTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	DIR *dir = ports < 0 ? NULL : fdopendir(ports);
	struct dirent *entry;
	int error;

	errno = ENOENT;
	while (dir && fd < 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && is_ours(ports, entry->d_name))
			fd = openat(dev, entry->d_name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	error = errno;
	if (dir)
		closedir(dir);
	else if (ports >= 0)
		close(ports);
	errno = error;
	return fd;
}

int port_open(int sys, int dev, unsigned tries)
{
	for (unsigned n = 0; n < tries; n++) {
		if (n)
			usleep(FIND_PAUSE_US);
		descriptor = find(sys, dev);
		if (descriptor >= 0)
			return 0;
		if (errno == EBUSY)
			break;
	}
	return -1;
}

void port_take(int fd)
{
	descriptor = fd;
}

void port_close(void)
{
	close(descriptor);
	descriptor = -1;
	port.out_start = port.out_end = port.in_end = 0;
}

int port_fd(void)
{
	return descriptor;
}

size_t port_waiting(void)
{
	return port.out_end - port.out_start;
}

short port_events(void)
{
	return POLLIN | (port_waiting() ? POLLOUT : 0);
}

bool port_write(void)
{
	while (port_waiting()) {
		size_t len = port_waiting() < PIECE ? port_waiting() : PIECE;
		ssize_t n = write(descriptor, port.out + port.out_start, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		port.out_start += n;
	}
	port.out_start = port.out_end = 0;
	return true;
}

static void append(const void *bytes, size_t size)
{
	memcpy(port.out + port.out_end, bytes, size);
	port.out_end += size;
}

void port_send(unsigned session, enum agent_frame_type type, unsigned stream, const void *payload,
	size_t size)
{
	const struct agent_header header = {size, session, type, stream};

	if (port.out_end + sizeof header + size > sizeof port.out) {
		memmove(port.out, port.out + port.out_start, port_waiting());
		port.out_end -= port.out_start;
		port.out_start = 0;
	}
	if (port.out_end + sizeof header + size > sizeof port.out)
		return; /* a monitor that asks for answers and reads none */
	append(&header, sizeof header);
	if (size)
		append(payload, size);
}

void port_send_number(unsigned session, enum agent_frame_type type, unsigned stream,
	uint32_t number)
{
	port_send(session, type, stream, &number, sizeof number);
}

/* Frames that are whole; the rest moves to the front. false: one breaks a rule. */
static bool take_frames(void (*frame)(const struct agent_header *header, const char *payload))
{
	struct agent_header header;
	size_t at = 0;

	while (port.in_end - at >= sizeof header) {
		memcpy(&header, port.in + at, sizeof header);
		if (!agent_header_valid(&header, true))
			return false;
		if (port.in_end - at - sizeof header < header.length)
			break;
		frame(&header, port.in + at + sizeof header);
		at += sizeof header + header.length;
	}
	memmove(port.in, port.in + at, port.in_end - at);
	port.in_end -= at;
	return true;
}

bool port_read(void (*frame)(const struct agent_header *header, const char *payload))
{
	ssize_t n = read(descriptor, port.in + port.in_end, sizeof port.in - port.in_end);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (!n) /* nobody is at the other end, yet or any more */
		return true;
	port.in_end += n;
	return take_frames(frame);
}

void port_flush(void)
{
	struct pollfd wait = {descriptor, POLLOUT, 0};

	while (port_waiting() && port_write())
		if (port_waiting())
			poll(&wait, 1, 1000);
}
