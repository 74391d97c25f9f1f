/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap: a link of the host's, whose other end is our descriptor (Linux, Documentation/networking/tuntap.rst).
 * It is made, named and put on its bridge by somebody who may; what comes here is open, and all that is asked
 * of it is frames. Each has the guest's own header in front (IFF_VNET_HDR, struct virtio_net_hdr_v1), so that
 * the host's stack does what a card would: checksums, and cutting up what is larger than the wire.
 *
 * Or a socket of packets to a switch (protocol/switch.h), on which the same frames come and go: they are
 * another guest's, who does the rest.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/container.h"
#include "net/driver.h"

/* Frames for the guest before its own get their turn. */
#define BATCH 64
#define PATIENCE_MS 20

struct tap_net {
	struct net net;
	int fd;
	bool gone;   /* somebody has taken the link away */
	bool untold; /* the link does not know of the next */
	unsigned offloads;
	size_t left; /* bytes of the frame that waits for room; 0: none does */
	struct virtio_net_hdr_v1 header;
	uint8_t frame[NET_FRAME_MAX];
};

static struct tap_net *tap_of(struct net *net)
{
	return container_of(net, struct tap_net, net);
}

/* The guest goes on, with a cable that leads nowhere. */
static void lose(struct tap_net *tap, int error)
{
	tap->gone = true;
	fprintf(stderr, "a network of the guest's has gone: its link on this host: %s\n",
		strerror(error));
}

/* The next frame into the buffer. False: there is none. */
static bool fetch(struct tap_net *tap)
{
	struct iovec iov[2] = {{&tap->header, sizeof tap->header}, {tap->frame, sizeof tap->frame}};

	for (;;) {
		ssize_t n = readv(tap->fd, iov, 2);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n || (n < 0 && errno != EAGAIN))
			lose(tap, n ? errno : EPIPE);
		if (n <= 0)
			return false;
		if ((size_t)n < sizeof tap->header + NET_HEADER_LEN)
			continue;
		tap->left = n - sizeof tap->header;
		return true;
	}
}

/* True: there may be more. */
static bool take_frames(struct tap_net *tap)
{
	const struct net_client *client = &tap->net.client;

	for (unsigned i = 0; i < BATCH; i++) {
		if (!tap->left && !fetch(tap))
			return false;
		if (!client->receive_unfinished(client->ctx, &tap->header, tap->frame, tap->left))
			return false;
		tap->left = 0;
	}
	return true;
}

static void tell_offloads(struct tap_net *tap)
{
	/* Without a checksum to be finished there is no segment to be cut up. */
	if (ioctl(tap->fd, TUNSETOFFLOAD,
		    (unsigned long)(tap->offloads & NET_OFFLOAD_CSUM ? tap->offloads : 0)) < 0)
		ioctl(tap->fd, TUNSETOFFLOAD, 0ul);
	tap->untold = false;
}

static void tap_run(struct net *net)
{
	struct tap_net *tap = tap_of(net);
	bool more = false, incoming = false;

	while (!net_stopping(net)) {
		const bool deaf = tap->gone || net_is_away(net);
		/* While a frame waits for room, what is behind it does too. */
		struct pollfd fds[2] = {{net->event, POLLIN, 0},
			{deaf || tap->left ? -1 : tap->fd, POLLIN, 0}};
		bool kick;

		const int held = net_held_ms(net);

		if (!deaf && tap->untold)
			tell_offloads(tap);
		poll(fds, 2, more || incoming ? 0 : held);
		kick = fds[0].revents != 0;
		if (kick)
			net_take_kick(net);
		if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			lose(tap, ENODEV);
		if (kick || more || held > 0)
			more = net->client.transmit(net->client.ctx);
		if (!tap->gone && !net_is_away(net) && (!tap->left || kick))
			incoming = take_frames(tap);
		net->client.flush(net->client.ctx);
	}
}

static void tap_send_unfinished(struct net *net, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	const struct iovec iov[2] = {{(void *)(uintptr_t)header, sizeof *header},
		{(void *)(uintptr_t)frame, len}};

	struct pollfd wait = {tap_of(net)->fd, POLLOUT, 0};

	/* What the other end does not take is lost, as on any wire; a switch may take some time. */
	for (unsigned i = 0; i < 2 && writev(wait.fd, iov, 2) < 0; i++)
		if (errno != EINTR && (errno != EAGAIN || poll(&wait, 1, PATIENCE_MS) <= 0))
			return;
}

static void tap_send(struct net *net, const uint8_t *frame, size_t len)
{
	tap_send_unfinished(net, &(struct virtio_net_hdr_v1){0}, frame, len);
}

static void tap_set_offloads(struct net *net, unsigned offloads)
{
	struct tap_net *tap = tap_of(net);

	tap->offloads = offloads;
	tap->untold = true;
	if (!net_is_away(net))
		tell_offloads(tap);
}

static int tap_descriptor(const struct net *net)
{
	return tap_of((struct net *)(uintptr_t)net)->fd;
}

static int tap_open(const struct net_spec *spec, struct net **out, struct error *err)
{
	struct tap_net *tap = calloc(1, sizeof *tap);
	int r;

	if (!tap)
		return error_nomem(err);
	tap->fd = -1;
	r = net_begin(&tap->net, &net_tap_driver, err);
	if (r) {
		net_close(&tap->net);
		return r;
	}
	tap->fd = spec->fd;
	*out = &tap->net;
	return 0;
}

static void tap_cut(struct net *net)
{
	struct tap_net *tap = tap_of(net);

	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

static void tap_close(struct net *net)
{
	free(tap_of(net));
}

const struct net_driver net_tap_driver = {
	.open = tap_open,
	.run = tap_run,
	.send = tap_send,
	.send_unfinished = tap_send_unfinished,
	.set_offloads = tap_set_offloads,
	.descriptor = tap_descriptor,
	.cut = tap_cut,
	.close = tap_close,
};
