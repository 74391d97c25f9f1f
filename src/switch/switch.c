/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/loop.h"
#include "net/frame.h"
#include "net/net.h"
#include "protocol/switch.h"
#include "switch/guard.h"

#define LINGER_MS 5000
#define BATCH 32       /* frames of one port before another's turn */
#define PATIENCE_MS 20 /* for a port that is full, before frames for it are dropped */
#define WAY_OUT 0      /* the first port */
#define MS 1000000ull

struct port {
	int fd; /* -1: unused */
	uint8_t mac[NET_MAC_LEN];
	bool full;   /* a frame for it waits in front of another port ... */
	int waiting; /* ... which reads no further: which this one waits for; -1: none */
	uint64_t until;
	struct virtio_net_hdr_v1 header; /* of the frame that waits */
	uint8_t *frame;
	size_t len;
};

struct sw {
	int listener;
	struct net *out;
	int out_fd; /* the way out's end of its port; its thread's */
	struct port port[SWITCH_PORTS_MAX + 1];
	unsigned ports; /* guests' */
	struct virtio_net_hdr_v1 header;
	uint8_t frame[NET_FRAME_MAX], out_frame[NET_FRAME_MAX];
	bool out_waits; /* any thread: a frame from outside, which is offered again after a kick */
};

/* The way out: on its thread */

static bool read_packet(int fd, struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t *len,
	bool *gone)
{
	struct iovec iov[2] = {{header, sizeof *header}, {frame, NET_FRAME_MAX}};

	for (;;) {
		const ssize_t n = readv(fd, iov, 2);

		if (n < 0 && errno == EINTR)
			continue;
		*gone = !n || (n < 0 && errno != EAGAIN);
		if (n <= 0)
			return false;
		if ((size_t)n < sizeof *header + NET_HEADER_LEN)
			continue;
		*len = (size_t)n - sizeof *header;
		return true;
	}
}

static bool write_packet(int fd, const struct virtio_net_hdr_v1 *header, const uint8_t *frame,
	size_t len)
{
	const struct iovec iov[2] = {{(void *)(uintptr_t)header, sizeof *header},
		{(void *)(uintptr_t)frame, len}};

	for (;;) {
		if (writev(fd, iov, 2) >= 0)
			return true;
		if (errno != EINTR)
			return errno != EAGAIN && errno != ENOBUFS; /* gone: as good as sent */
	}
}

static bool out_transmit(void *ctx)
{
	struct sw *sw = ctx;
	struct virtio_net_hdr_v1 header;
	size_t len;
	bool gone;

	for (unsigned i = 0; i < BATCH; i++) {
		if (!read_packet(sw->out_fd, &header, sw->out_frame, &len, &gone))
			return false;
		if (frame_finish(&header, sw->out_frame, len))
			net_send(sw->out, sw->out_frame, len);
	}
	return true;
}

static bool out_receive(void *ctx, const uint8_t *frame, size_t len)
{
	struct sw *sw = ctx;
	struct virtio_net_hdr_v1 header;
	uint8_t sum[2];
	size_t at;

	/* A large one is left as if its checksum were still to be finished. */
	if (frame_describe(frame, len, &header, &at, sum)) {
		memcpy(sw->out_frame, frame, len);
		memcpy(sw->out_frame + at, sum, sizeof sum);
		frame = sw->out_frame;
	}
	if (write_packet(sw->out_fd, &header, frame, len))
		return true;
	__atomic_store_n(&sw->out_waits, true, __ATOMIC_SEQ_CST);
	/* There may be room meanwhile, with nobody left who would say so. */
	return write_packet(sw->out_fd, &header, frame, len);
}

static void out_flush(void *ctx)
{
}

/* Ports */

static void drop_waiting(struct sw *sw, struct port *port)
{
	if (port->waiting >= 0)
		sw->port[port->waiting].full = false;
	port->waiting = -1;
}

static void close_port(struct sw *sw, struct port *port)
{
	const int number = (int)(port - sw->port);

	drop_waiting(sw, port);
	for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++)
		if (sw->port[i].waiting == number)
			sw->port[i].waiting = -1;
	close(port->fd);
	free(port->frame);
	*port = (struct port){.fd = -1, .waiting = -1};
	sw->ports--;
}

/* False: it is full. What is sent to the way out wakes its thread. */
static bool put(struct sw *sw, unsigned number, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	if (!write_packet(sw->port[number].fd, header, frame, len))
		return false;
	if (number == WAY_OUT)
		net_kick(sw->out);
	return true;
}

/* To one port: where that is full, the source waits, for a while. */
static void send_one(struct sw *sw, struct port *from, unsigned to,
	const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t len)
{
	struct port *port = &sw->port[to];

	if (port->fd < 0 || port == from || put(sw, to, header, frame, len))
		return;
	if (port->full || !from->frame)
		return; /* another waits for it already */
	port->full = true;
	from->waiting = (int)to;
	from->until = clock_now() + PATIENCE_MS * MS;
	from->header = *header;
	from->len = len;
	memcpy(from->frame, frame, len);
}

static void forward(struct sw *sw, struct port *from, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	unsigned to = WAY_OUT;

	if (frame[0] & 1) {
		for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++)
			if (sw->port[i].fd >= 0 && &sw->port[i] != from)
				put(sw, i, header, frame, len);
		return;
	}
	for (unsigned i = WAY_OUT + 1; i <= SWITCH_PORTS_MAX; i++)
		if (sw->port[i].fd >= 0 && !memcmp(sw->port[i].mac, frame, NET_MAC_LEN))
			to = i;
	send_one(sw, from, to, header, frame, len);
}

static void serve(struct sw *sw, struct port *port)
{
	const bool guest = port != &sw->port[WAY_OUT];
	size_t len;
	bool gone = false;

	for (unsigned i = 0; i < BATCH && port->waiting < 0; i++) {
		if (!read_packet(port->fd, &sw->header, sw->frame, &len, &gone))
			break;
		if (!guest || guard_admit(port->mac, &sw->header, sw->frame, len))
			forward(sw, port, &sw->header, sw->frame, len);
	}
	if (gone && guest)
		close_port(sw, port);
	if (!guest && __atomic_exchange_n(&sw->out_waits, false, __ATOMIC_SEQ_CST))
		net_kick(sw->out);
}

static void try_again(struct sw *sw, struct port *port, uint64_t now)
{
	const unsigned to = (unsigned)port->waiting;

	if (put(sw, to, &port->header, port->frame, port->len) || now >= port->until)
		drop_waiting(sw, port);
}

/* New ports */

static int take_fd(int connection, struct switch_port *port)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {port, sizeof *port};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};
	const struct cmsghdr *head;
	int fd = -1;

	if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) != sizeof *port)
		return -1;
	head = CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(head), sizeof fd);
	if (fd >= 0 && (port->version != SWITCH_VERSION || (port->mac[0] & 1))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static struct port *free_port(struct sw *sw)
{
	for (unsigned i = WAY_OUT + 1; i <= SWITCH_PORTS_MAX; i++)
		if (sw->port[i].fd < 0)
			return &sw->port[i];
	return NULL;
}

/* The daemon has its own user's rights to connect; nobody else has. It sends at once. */
static void accept_port(struct sw *sw)
{
	int connection = accept4(sw->listener, NULL, NULL, SOCK_CLOEXEC), fd;
	struct pollfd wait = {connection, POLLIN, 0};
	struct switch_port wish;
	struct port *port;

	if (connection < 0)
		return;
	fd = poll(&wait, 1, 1000) > 0 ? take_fd(connection, &wish) : -1;
	port = fd >= 0 ? free_port(sw) : NULL;
	if (port && fcntl(fd, F_SETFL, O_NONBLOCK)) /* nobody here waits for one guest */
		port = NULL;
	if (port) {
		*port = (struct port){.fd = fd, .waiting = -1, .frame = malloc(NET_FRAME_MAX)};
		memcpy(port->mac, wish.mac, NET_MAC_LEN);
		sw->ports++;
	} else if (fd >= 0) {
		close(fd);
	}
	if (port && write(connection, "", 1) != 1)
		close_port(sw, port);
	close(connection);
}

/* Life */

static int poll_all(struct sw *sw, struct pollfd *fds, unsigned *number)
{
	int timeout = sw->ports ? -1 : LINGER_MS;
	unsigned count = 1;

	fds[0] = (struct pollfd){sw->listener, POLLIN, 0};
	for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++) {
		const struct port *port = &sw->port[i];

		if (port->fd < 0)
			continue;
		/* One that waits is looked at when what it waits for has room. */
		if (port->waiting >= 0)
			timeout = PATIENCE_MS;
		number[count] = i;
		fds[count++] = (struct pollfd){port->fd,
			(short)((port->waiting < 0 ? POLLIN : 0) | (port->full ? POLLOUT : 0)), 0};
	}
	return poll(fds, count, timeout) < 0 && errno == EINTR ? 1 : (int)count;
}

void switch_run(struct sw *sw)
{
	static struct pollfd fds[SWITCH_PORTS_MAX + 2];
	static unsigned number[SWITCH_PORTS_MAX + 2];
	bool lingered = false;

	while (sw->ports || !lingered) {
		const int count = poll_all(sw, fds, number);
		const uint64_t now = clock_now();
		bool any = false;

		for (int i = 0; i < count; i++)
			any |= fds[i].revents != 0;
		for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++)
			if (sw->port[i].fd >= 0 && sw->port[i].waiting >= 0)
				try_again(sw, &sw->port[i], now);
		for (int i = 1; i < count; i++)
			if (fds[i].revents & ~POLLOUT && sw->port[number[i]].fd == fds[i].fd)
				serve(sw, &sw->port[number[i]]);
		if (fds[0].revents)
			accept_port(sw);
		lingered = !any && !sw->ports;
	}
}

int switch_create(int listener, struct sw **out, struct error *err)
{
	const struct net_spec spec = {.kind = NET_USER, .fd = -1};
	struct sw *sw = calloc(1, sizeof *sw);
	int ends[2], r;

	if (!sw)
		return error_nomem(err);
	sw->listener = listener;
	sw->out_fd = -1;
	for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++)
		sw->port[i] = (struct port){.fd = -1, .waiting = -1};
	r = net_open(&spec, &sw->out, err);
	if (!r && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		r = error_set(err, errno, "socketpair: %s", strerror(errno));
	if (r) {
		switch_destroy(sw);
		return r;
	}
	sw->port[WAY_OUT].fd = ends[0];
	sw->out_fd = ends[1];
	sw->port[WAY_OUT].frame = malloc(NET_FRAME_MAX);
	*out = sw;
	return 0;
}

int switch_start(struct sw *sw, struct error *err)
{
	const struct net_client client = {.ctx = sw,
		.transmit = out_transmit,
		.receive = out_receive,
		.flush = out_flush};

	return net_start(sw->out, &client, err);
}

void switch_destroy(struct sw *sw)
{
	net_close(sw->out);
	for (unsigned i = 0; i <= SWITCH_PORTS_MAX; i++) {
		if (sw->port[i].fd >= 0)
			close(sw->port[i].fd);
		free(sw->port[i].frame);
	}
	if (sw->out_fd >= 0)
		close(sw->out_fd);
	free(sw);
}
