/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "links/filter.h"
#include "links/tap.h"

#define WHERE "--net: "

/* Whoever is killed removes nothing: a process that only waits for our end. It holds no file of ours. */
static void wait_and_remove(int end, const char *tap, int index)
{
	const int null = open("/dev/null", O_RDWR);
	const struct timespec pause = {.tv_nsec = 50000000};
	struct link link;
	unsigned waits = 1200; /* a minute */
	char byte;

	setsid();
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	dup2(end, 3);
	close_range(4, ~0u, 0);
	while (read(3, &byte, 1) < 0 && errno == EINTR) {
	}
	/*
	 * A process that ends may lose its pipe before its tap. And another may have the name already, and a filter of his
	 * own.
	 */
	while (!link_find(tap, &link, NULL) && link.index == index && waits--)
		nanosleep(&pause, NULL);
	if (link_find(tap, &link, NULL) == -ENODEV)
		filter_remove(tap, NULL);
	_exit(0);
}

/* Before the filter is there. The pipe stays open here for as long as this process is. */
static int start_remover(const char *tap, struct error *err)
{
	struct link link;
	int ends[2], r = link_find(tap, &link, err);
	pid_t pid;

	if (r)
		return r;
	if (pipe2(ends, O_CLOEXEC))
		return error_set(err, errno, WHERE "pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		close(ends[1]);
		/* Not a child of ours: nobody waits for it. */
		if (fork())
			_exit(0);
		wait_and_remove(ends[0], tap, link.index);
	}
	close(ends[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	return pid < 0 ? error_set(err, errno, WHERE "fork: %s", strerror(errno)) : 0;
}

/* Networks of their own may all have the same address; on a bridge it has to be one's own. */
static int need_mac(struct net_spec *spec, uint8_t mac[NET_MAC_LEN], struct error *err)
{
	if (net_spec_mac(spec, mac))
		return 0;
	if (getrandom(mac, NET_MAC_LEN, 0) != NET_MAC_LEN)
		return error_set(err, EIO, WHERE "no random numbers from the kernel");
	/* Xen's prefix; its local half, as the daemon makes them. */
	mac[0] = 0x00;
	mac[1] = 0x16;
	mac[2] = 0x3e;
	mac[3] &= 0x7f;
	snprintf(spec->mac, sizeof spec->mac, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		mac[2], mac[3], mac[4], mac[5]);
	return 0;
}

static int filter(const struct net_spec *spec, const uint8_t *mac, const struct link *bridge,
	struct error *err)
{
	char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1];
	char *other[LINK_ADDRESSES_MAX];
	int others = link_addresses(bridge->index, address, err);
	struct filter wanted = {spec->tap, mac, spec->address, spec->addresses, other, 0};
	int r = others < 0 ? others : start_remover(spec->tap, err);

	for (int i = 0; i < others; i++)
		other[wanted.others++] = address[i];
	return r ? r : filter_load(&wanted, 1, err);
}

static int open_bridge(struct net_spec *spec, unsigned number, struct error *err)
{
	char wish[NET_LINK_TEXT + 1];
	uint8_t mac[NET_MAC_LEN];
	struct link bridge;
	char made[NET_LINK_TEXT + 1];
	int r = link_find_bridge(WHERE, spec->bridge, &bridge, err);

	if (!r)
		r = need_mac(spec, mac, err);
	/* Nobody has the name of a process again before its filter has gone. */
	if (*spec->tap)
		memcpy(wish, spec->tap, sizeof wish);
	else
		snprintf(wish, sizeof wish, "dach%u.%u", (unsigned)getpid() % 10000000,
			number % 100);
	if (!r)
		r = tap_make(wish, made, &spec->fd, err);
	if (r)
		return r;
	memcpy(spec->tap, made, sizeof spec->tap);
	if (!spec->unfiltered)
		r = filter(spec, mac, &bridge, err);
	if (!r)
		r = tap_join(spec->tap, &bridge, &(struct tap_port){.mtu = spec->mtu}, err);
	spec->mtu = spec->mtu ? spec->mtu : bridge.mtu;
	return r;
}

static int open_tap(struct net_spec *spec, struct error *err)
{
	uint8_t mac[NET_MAC_LEN];
	int r = need_mac(spec, mac, err);

	return r ? r : tap_take(spec->tap, &spec->fd, err);
}

int run_link_open(struct vmm_config *config, struct error *err)
{
	bool swept = false;
	int r = 0;

	for (unsigned i = 0; !r && i < config->nets; i++) {
		struct net_spec *spec = &config->net[i];
		struct error why = {""};

		if (spec->kind != NET_TAP)
			continue;
		if (*spec->bridge && !swept)
			filter_sweep();
		swept = true;
		r = *spec->bridge ? open_bridge(spec, i, &why) : open_tap(spec, &why);
		if (r)
			error_set(err, -r, "%s%s",
				strncmp(why.text, WHERE, strlen(WHERE)) ? WHERE : "", why.text);
	}
	return r;
}
