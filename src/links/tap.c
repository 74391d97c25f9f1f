/* SPDX-License-Identifier: Apache-2.0 */
#include "links/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "/dev/net/tun"
#define FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

const uint8_t tap_mac[LINK_MAC_LEN] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};

static int explain(const char *name, int error, bool new, struct error *err)
{
	if (error == EPERM)
		return error_set(err, EPERM,
			"%s: only who may change this host's network (root) can %s such a link",
			name, new ? "make" : "use");
	if (new &&error == EBUSY)
		return error_set(err, EEXIST, "%s: this host has a link of that name already",
			name);
	if (error == EBUSY)
		return error_set(err, EBUSY, "%s: another program has this tap", name);
	if (error == EINVAL)
		return error_set(err, EINVAL, "%s: no tap, or one of another kind", name);
	return error_set(err, error, "%s: %s", name, strerror(error));
}

static int open_tap(const char *name, short more, char made[NET_LINK_TEXT + 1], int *out,
	struct error *err)
{
	struct ifreq request = {.ifr_flags = (short)(FLAGS | more)};
	int size = sizeof(struct virtio_net_hdr_v1), r = 0;
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	*out = -1;
	if (fd < 0)
		return error_set(err, errno, DEVICE ": %s%s", strerror(errno),
			errno == EACCES || errno == EPERM ? "; taps are root's" : "");
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		r = explain(name, errno, more, err);
	else if (ioctl(fd, TUNSETVNETHDRSZ, &size) || ioctl(fd, TUNSETOFFLOAD, 0ul))
		r = error_set(err, errno, "%s: %s", name, strerror(errno));
	if (r) {
		close(fd);
		return r;
	}
	if (made)
		snprintf(made, NET_LINK_TEXT + 1, "%.*s", NET_LINK_TEXT, request.ifr_name);
	*out = fd;
	return 0;
}

int tap_make(const char *name, char made[NET_LINK_TEXT + 1], int *fd, struct error *err)
{
	return open_tap(name, (short)IFF_TUN_EXCL, made, fd, err);
}

int tap_take(const char *name, int *fd, struct error *err)
{
	struct link link;
	int r = link_find(name, &link, err);

	/* TUNSETIFF would make it. */
	return r ? r : open_tap(name, 0, NULL, fd, err);
}

int tap_join(const char *name, const struct link *bridge, const struct tap_port *port,
	struct error *err)
{
	const struct link_change change = {.mac = tap_mac,
		.mtu = port->mtu ? port->mtu : bridge->mtu,
		.master = bridge->index,
		.up = true,
		.no_address = true,
		.isolated = port->isolated,
		.vlan = port->vlan,
		.pvid = bridge->pvid};

	return link_change(name, &change, err);
}
