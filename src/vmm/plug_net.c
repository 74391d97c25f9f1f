/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that come and go. Those that come are taps, or ports of a switch: user mode binds ports, before the walls. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/net.h"
#include "net/nic.h"
#include "vmm/internal.h"
#include "vmm/plug_internal.h"

/* A network comes */

struct net_attaching {
	struct vmm *vmm;
	struct net_spec spec;
	struct net *net;
	struct nic *nic;
	struct error *err;
};

static int make_device(void *ctx)
{
	struct net_attaching *attaching = ctx;
	struct machine *machine = attaching->vmm->machine;
	int r = net_open(&attaching->spec, &attaching->net, attaching->err);

	if (r)
		return r;
	attaching->spec.fd = -1; /* it is the network's */
	r = devices_make_nic(machine, attaching->net, &attaching->spec, NULL, 0, &attaching->nic,
		attaching->err);
	if (r)
		net_close(attaching->net);
	return r;
}

static int may_come(struct vmm *vmm, unsigned at, struct error *err)
{
	const struct vmm_config *config = &vmm->config;

	if (!plug_stands_still(vmm))
		return error_set(err, EBUSY, "the guest is being saved or copied");
	if (config->nets == LIMIT_NETWORKS)
		return error_set(err, ENOSPC, "a guest has %u networks at most", LIMIT_NETWORKS);
	if (at > config->nets)
		return error_set(err, EINVAL, "the guest has %u networks: %u cannot be the next",
			config->nets, at);
	return 0;
}

static int attach(struct net_attaching *attaching, unsigned at)
{
	struct vmm *vmm = attaching->vmm;
	const bool paused = machine_paused(vmm->machine);
	int r;

	machine_pause(vmm->machine);
	r = plug_call(vmm->plugging.net_nest, make_device, attaching);
	if (!paused)
		machine_resume(vmm->machine);
	if (r)
		return r;
	devices_insert_net(&vmm->devices, &vmm->config, at, &attaching->spec, attaching->net,
		attaching->nic);
	plug_tell_places(vmm);
	machine_device_came(vmm->machine, nic_slot(attaching->nic));
	return 0;
}

int plug_net_attach_request(struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err)
{
	struct net_attaching attaching = {.vmm = vmm,
		.spec = {.kind = NET_TAP,
			.fd = fd,
			.mtu = request->mtu,
			.model = request->model,
			.rate = request->rate,
			.rate_interval = request->rate_interval},
		.err = err};
	int r;

	if (fd < 0)
		return error_set(err, EBADF, "net-attach: no tap came with the request");
	memcpy(attaching.spec.mac, request->mac, sizeof attaching.spec.mac);
	r = may_come(vmm, request->network, err);
	if (!r)
		r = attach(&attaching, request->network);
	if (attaching.spec.fd >= 0)
		close(attaching.spec.fd);
	return r;
}

/* A network goes */

static void unplug_nic(void *device)
{
	nic_unplug(device);
}

static unsigned slot_of(void *device)
{
	return nic_slot(device);
}

static void forget_net(struct vmm *vmm, const struct plugged *plugged)
{
	unsigned n = 0;

	while (vmm->devices.net[n] != plugged->back)
		n++;
	renew_forget(&vmm->renewal, plugged->device);
	devices_remove_net(&vmm->devices, &vmm->config, n);
}

static int close_it(void *ctx)
{
	const struct plugged *plugged = ctx;

	nic_destroy(plugged->device);
	net_close(plugged->back);
	return 0;
}

/* libslirp's end is for the walls of its kind. */
static void close_net(struct vmm *vmm, const struct plugged *plugged)
{
	struct plugged copy = *plugged;

	plug_call(vmm->plugging.net_nest, close_it, &copy);
}

static int cut(void *ctx)
{
	net_cut(ctx);
	return 0;
}

static void lose_net(struct vmm *vmm, const struct plugged *plugged)
{
	nic_lose(plugged->device);
	plug_call(vmm->plugging.net_nest, cut, plugged->back);
}

int plug_net_forward_request(struct vmm *vmm, const struct monitor_request *request,
	struct error *err)
{
	const unsigned n = request->network;
	struct net_forward forward;
	int r;

	if (n >= vmm->config.nets || strcmp(vmm->config.net[n].mac, request->mac) ||
		!vmm->devices.net[n])
		return error_set(err, ENODEV, "the guest's network %u is not %s", n, request->mac);
	r = net_forward_parse(request->forward, &forward, err);
	return r ? r : net_forward(vmm->devices.net[n], &forward, request->remove, err);
}

static const struct plugged_kind net_kind = {"network", slot_of, unplug_nic, forget_net, close_net,
	lose_net, close_net};

int plug_net_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	const unsigned n = request->network;

	if (n >= vmm->config.nets || strcmp(vmm->config.net[n].mac, request->mac) ||
		!vmm->devices.nic[n])
		return error_set(err, ENODEV, "the guest's network %u is not %s", n, request->mac);
	return plug_detach(vmm, asker, request,
		&(struct plugged){&net_kind, vmm->devices.nic[n], vmm->devices.net[n]}, err);
}
