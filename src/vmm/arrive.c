/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that comes from another monitor: the far end of depart.c. All of this is on the loop's thread before the guest
 * runs, most of it within the sandbox. doc/migration.md tells who may run it when: here not before GO has come, and
 * then the other one has not for long and never will.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/handover.h"
#include "migrate/wire.h"
#include "net/nic.h"
#include "vmm/arrive_disks.h"
#include "vmm/internal.h"

/* The source sends memory all the while, and answers at once. */
#define PATIENCE_MS 60000
/* Within this the daemon has asked, if there is one. */
#define DAEMON_NS 2000000000ull

struct arrival {
	struct vmm *vmm;
	int fd;
	bool told; /* the other side knows how it ended */
	struct arrive_disks disks;
	struct loop_work runs;
	struct loop_timer alone;
	struct wire wire;
};

static int wait_for(int fd, short events)
{
	struct pollfd wait = {fd, events, 0};
	int n = poll(&wait, 1, PATIENCE_MS);

	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

static int put(void *ctx, const void *data, size_t len)
{
	const struct arrival *arrival = ctx;
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(arrival->fd, at, len);
		int r = n > 0 ? 0 : n == 0 ? -EPIPE : -errno;

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (r == -EAGAIN || r == -EINTR) {
			r = wait_for(arrival->fd, POLLOUT);
		}
		if (r)
			return r;
	}
	return 0;
}

static long get(void *ctx, void *data, size_t len)
{
	const struct arrival *arrival = ctx;

	for (;;) {
		int r = wait_for(arrival->fd, POLLIN);
		ssize_t n = r ? 0 : read(arrival->fd, data, len);

		if (r || n >= 0)
			return r ? r : n;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

static void announce(const struct vmm *vmm, unsigned n)
{
	const struct net_spec *spec = &vmm->config.net[n];
	uint8_t address[LIMIT_ADDRESSES + 2][ANNOUNCE_ADDRESS];
	unsigned count = 0;

	for (unsigned i = 0; i < spec->announceds; i++)
		count += inet_pton(AF_INET6, spec->announced[i], address[count]) == 1;
	nic_announce(vmm->devices.nic[n], address, count);
}

/*
 * It runs, and its daemon has heard so: the other one may go. Where it cannot run after all the loop never comes to
 * this. Were the daemon to hear it later, one that is killed in between would be nobody's.
 */
static void runs(void *ctx)
{
	struct arrival *arrival = ctx;
	struct vmm *vmm = arrival->vmm;

	wire_send(&arrival->wire, WIRE_RUNNING, NULL, 0);
	arrival->told = true;
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (vmm->devices.nic[i])
			announce(vmm, i);
	arrive_close(vmm);
}

static void nobody_asks(void *ctx)
{
	arrive_told(ctx);
}

/* Disks that it brings along */

static int take_piece(void *ctx, const struct wire_disk *piece, void *data)
{
	struct arrival *arrival = ctx;
	const struct vmm *vmm = arrival->vmm;
	const unsigned n = piece->disk;

	if (n >= vmm->devices.disks || !vmm->config.disk[n].filled)
		return error_set(&arrival->disks.why, EPROTO,
			"what comes of a disk is not for one that is made here");
	return arrive_disks_take(&arrival->disks, vmm->devices.disk[n], piece, data);
}

static int check_whole(const struct arrival *arrival, struct error *err)
{
	const struct vmm *vmm = arrival->vmm;

	for (unsigned i = 0; i < vmm->devices.disks; i++)
		if (vmm->config.disk[i].filled && !arrival->disks.whole[i])
			return error_set(err, EPROTO, "%s: what is in it has not come",
				block_name(vmm->devices.disk[i]));
	return 0;
}

int arrive_open(struct vmm *vmm, struct error *err)
{
	const struct wire_io wire_io = {put, get, NULL};
	struct arrival *arrival = calloc(1, sizeof *arrival);
	struct state_io io = {.read = wire_read_state};
	int r;

	if (!arrival)
		return error_nomem(err);
	arrival->vmm = vmm;
	arrival->fd = vmm->restore;
	arrival->runs = (struct loop_work){.run = runs, .ctx = arrival};
	wire_init(&arrival->wire, &wire_io);
	arrival->wire.io.ctx = arrival;
	arrival->wire.disk = take_piece;
	arrival->wire.disk_ctx = arrival;
	io.ctx = &arrival->wire;
	vmm->arrival = arrival;
	r = wire_expect(&arrival->wire, WIRE_HELLO, err);
	return r ? r : move_open_stream(&vmm->move, &io, vmm->config.restore_from, err);
}

int arrive_accept(struct vmm *vmm, struct error *err)
{
	int r = wire_send_hello(&vmm->arrival->wire);

	return r ? error_set(err, -r, "the other side has gone: %s", strerror(-r)) : 0;
}

static int each_disk(struct vmm *vmm, int (*step)(struct block_device *disk, struct error *err),
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < vmm->devices.disks && !r; i++)
		r = step(vmm->devices.disk[i], err);
	return r;
}

int arrive_finish(struct vmm *vmm, struct error *err)
{
	struct arrival *arrival = vmm->arrival;
	int r = check_whole(arrival, err);

	if (!r)
		r = each_disk(vmm, block_lock, err);
	if (!r && (r = wire_send(&arrival->wire, WIRE_READY, NULL, 0)))
		error_set(err, -r, "the other side has gone: %s", strerror(-r));
	if (!r)
		r = wire_expect(&arrival->wire, WIRE_GO, err);
	/* It is ours; what fails from here on makes it the other's again. */
	if (!r)
		r = each_disk(vmm, block_take, err);
	if (!r) {
		devices_set_away(&vmm->devices, false);
		loop_timer_init(&arrival->alone, monitor_loop(vmm->monitor), nobody_asks, vmm);
		loop_timer_arm(&arrival->alone, clock_now() + DAEMON_NS);
	}
	return r;
}

void arrive_told(struct vmm *vmm)
{
	if (vmm->arrival)
		loop_post(monitor_loop(vmm->monitor), &vmm->arrival->runs);
}

void arrive_fail(struct vmm *vmm, const struct error *err)
{
	struct arrival *arrival = vmm->arrival;

	if (!arrival || arrival->told)
		return;
	arrival->told = true;
	/* What it said itself is no news. */
	if (!arrival->wire.failed.text[0])
		wire_send_failed(&arrival->wire,
			arrival->disks.why.text[0] ? arrival->disks.why.text : err->text);
}

void arrive_close(struct vmm *vmm)
{
	struct arrival *arrival = vmm->arrival;

	if (!arrival)
		return;
	vmm->arrival = NULL;
	if (arrival->alone.loop) {
		loop_timer_cancel(&arrival->alone);
		loop_unpost(arrival->alone.loop, &arrival->runs);
	}
	close(arrival->fd);
	free(arrival);
}
