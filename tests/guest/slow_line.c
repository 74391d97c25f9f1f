/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow_line NS-A NS-B MBIT MS LOSS: a line between two network namespaces (files as /proc/PID/ns/net), for hosts whose kernel has no
 * netem: a tap "far0" in each, frames from one to the other at so many Mbit/s, so many ms late, LOSS of 1000 lost by dice that always
 * fall the same. Says "ready"; ends with its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME 2048
#define QUEUED 512 /* frames of one direction; more are lost, as a router loses them */

struct frame {
	uint64_t due; /* ns */
	size_t len;
	uint8_t bytes[FRAME];
};

struct way {
	int from, to;
	struct frame queue[QUEUED];
	unsigned first, count;
	uint64_t free_at; /* when the line has taken what is on it */
};

static struct way ways[2];
static double mbit, late_ms, loss;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "slow_line: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tap(const char *space)
{
	struct ifreq request = {.ifr_name = "far0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int ns = open(space, O_RDONLY | O_CLOEXEC), fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die(space);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die("/dev/net/tun");
	return fd;
}

/* All that has come. It is on the line behind what came before, and then on its way. */
static void take(struct way *way)
{
	for (;;) {
		struct frame *frame = &way->queue[(way->first + way->count) % QUEUED];
		uint8_t lost[FRAME];
		const bool full = way->count == QUEUED;
		ssize_t len = read(way->from, full ? lost : frame->bytes, FRAME);
		uint64_t at = now();

		if (len <= 0)
			return;
		if (full || rand() % 1000 < loss)
			continue;
		if (way->free_at < at)
			way->free_at = at;
		way->free_at += (uint64_t)((double)len * 8000 / mbit);
		frame->due = way->free_at + (uint64_t)(late_ms * 1e6);
		frame->len = (size_t)len;
		way->count++;
	}
}

static void give(struct way *way, uint64_t at)
{
	while (way->count && way->queue[way->first].due <= at) {
		const struct frame *frame = &way->queue[way->first];

		/* A tap that is down, or full, loses it. */
		if (write(way->to, frame->bytes, frame->len) < 0 && errno == EBADFD)
			die("far0");
		way->first = (way->first + 1) % QUEUED;
		way->count--;
	}
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fputs("usage: slow_line NS-A NS-B MBIT MS LOSS\n", stderr);
		return 1;
	}
	mbit = atof(argv[3]);
	late_ms = atof(argv[4]);
	loss = atof(argv[5]);
	ways[0].from = ways[1].to = open_tap(argv[1]);
	ways[1].from = ways[0].to = open_tap(argv[2]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd wait[3] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0},
			{0, POLLIN, 0}};
		uint64_t at = now(), next = at + 1000000000u;
		struct timespec until;

		for (unsigned i = 0; i < 2; i++) {
			give(&ways[i], at);
			if (ways[i].count && ways[i].queue[ways[i].first].due < next)
				next = ways[i].queue[ways[i].first].due;
		}
		until = (struct timespec){0, next > at ? (long)(next - at) % 1000000000 : 0};
		ppoll(wait, 3, &until, NULL);
		if (wait[2].revents)
			return 0;
		take(&ways[0]);
		take(&ways[1]);
	}
}
