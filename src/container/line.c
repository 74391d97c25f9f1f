/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks of a user's container: taps in the keeper's own network namespace, which liblxc puts into the container, and
 * sockets of packets to a switch (protocol/switch.h). What comes on the one goes out on the other as it is: the switch trusts no frame.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "container/internal.h"
#include "links/link.h"
#include "links/tap.h"

#define FRAME_MAX (65536 + 128)
#define BATCH 64       /* frames of one way before others get their turn */
#define PATIENCE_MS 20 /* for who does not take a frame; then it is lost */

/* False: one end has gone. */
static bool carry(int from, int to)
{
	static uint8_t frame[FRAME_MAX];

	for (unsigned i = 0; i < BATCH; i++) {
		struct pollfd room = {to, POLLOUT, 0};
		ssize_t n = read(from, frame, sizeof frame);

		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		/* A link that is not up takes none. */
		if (write(to, frame, (size_t)n) < 0 && errno == EAGAIN &&
			poll(&room, 1, PATIENCE_MS) > 0 && write(to, frame, (size_t)n) < 0 &&
			errno == EPIPE)
			return false;
	}
	return true;
}

/* fd[n] and fd[n + 1] are a pair. */
static void lose(struct pollfd *pair)
{
	pair[0].fd = pair[1].fd = -1;
	fputs("a network of the container has gone\n", stderr);
}

static _Noreturn void serve(struct pollfd *fds, unsigned count)
{
	for (;;) {
		poll(fds, count, -1);
		for (unsigned i = 0; i < count; i++) {
			struct pollfd *pair = &fds[i & ~1u];

			if (fds[i].fd >= 0 && fds[i].revents && !carry(fds[i].fd, fds[i ^ 1].fd))
				lose(pair);
		}
	}
}

static int make_card(const struct net_spec *spec, unsigned n, int *tap, struct error *err)
{
	uint8_t mac[NET_MAC_LEN];
	struct link_change change = {.mtu = spec->mtu};
	char name[16];
	int r;

	snprintf(name, sizeof name, LINE_NAME, n);
	r = tap_make(name, NULL, tap, err);
	if (r)
		return r;
	if (net_spec_mac(spec, mac))
		change.mac = mac;
	return link_change(name, &change, err);
}

int lines_begin(const struct launch_spec *spec, pid_t *pid, struct error *err)
{
	struct pollfd *fds = calloc(2 * spec->networks + 1, sizeof *fds);
	const pid_t keeper = getpid();
	int r = fds ? 0 : error_nomem(err);

	*pid = 0;
	for (unsigned i = 0; !r && i < spec->networks; i++) {
		fds[2 * i] = (struct pollfd){-1, POLLIN, 0};
		fds[2 * i + 1] = (struct pollfd){spec->network[i].fd, POLLIN, 0};
		r = make_card(&spec->network[i], i, &fds[2 * i].fd, err);
	}
	if (!r && spec->networks) {
		*pid = fork();
		if (!*pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "dach-line");
			if (getppid() == keeper)
				serve(fds, 2 * spec->networks);
			_exit(1);
		}
		if (*pid < 0)
			r = error_set(err, errno, "no process for the networks: %s",
				strerror(errno));
	}
	for (unsigned i = 0; fds && i < spec->networks; i++)
		if (fds[2 * i].fd > 0)
			close(fds[2 * i].fd);
	free(fds);
	return r;
}
