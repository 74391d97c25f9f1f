/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include <stdio.h>

#include "block/block.h"
#include "net/net.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/rng.h"

static int add_disk(struct devices *devices, unsigned i, const struct vmm_config *config,
	struct machine *machine, struct error *err)
{
	const struct vmm_given *given = config->given;
	const char *spec = config->disk[i];
	char serial[16];
	int r = given ? block_open_fd(given->disk[i].fd, spec, given->disk[i].read_only,
				&devices->disk[i], err)
		      : block_open(spec, &devices->disk[i], err);

	if (r)
		return r;
	snprintf(serial, sizeof serial, "dach-disk%u", i);
	return virtio_blk_create(machine_pci(machine), machine_memory(machine), devices->disk[i],
		serial, &devices->blk[i], err);
}

static int add_net(struct devices *devices, unsigned i, const char *text, struct machine *machine,
	struct error *err)
{
	struct net_spec spec;
	int r = net_spec_parse(text, &spec, err);

	if (r)
		return r;
	if (spec.kind != NET_NONE)
		r = net_open(&spec, &devices->net[i], err);
	if (!r && spec.kind != NET_NONE)
		r = virtio_net_create(machine_pci(machine), machine_memory(machine),
			devices->net[i], spec.has_mac ? spec.mac : NULL, i, &devices->nic[i], err);
	devices->user |= spec.kind == NET_USER;
	net_spec_free(&spec);
	return r;
}

int devices_create(struct devices *devices, const struct vmm_config *config,
	struct machine *machine, const struct virtio_console_backend *console,
	void (*balloon_changed)(void *ctx), struct error *err)
{
	const struct vmm_given *given = config->given;
	int r = 0;

	for (unsigned i = 0; !r && i < config->disks; i++)
		r = add_disk(devices, i, config, machine, err);
	for (unsigned i = 0; !r && i < config->nets; i++)
		r = add_net(devices, i, config->net[i], machine, err);
	if (!r)
		r = virtio_rng_create(machine_pci(machine), machine_memory(machine), &devices->rng,
			err);
	if (!r)
		r = virtio_console_create(machine_pci(machine), machine_memory(machine), console,
			&devices->console, err);
	if (!r)
		r = virtio_balloon_create(machine_pci(machine), machine_memory(machine),
			given ? (config->memory - given->target) / VIRTIO_BALLOON_PAGE : 0,
			balloon_changed, console->ctx, &devices->balloon, err);
	return r;
}

void devices_destroy(struct devices *devices)
{
	virtio_balloon_destroy(devices->balloon);
	virtio_console_destroy(devices->console);
	virtio_rng_destroy(devices->rng);
	for (unsigned i = 0; i < VMM_NETS_MAX; i++) {
		virtio_net_destroy(devices->nic[i]);
		net_close(devices->net[i]);
	}
	for (unsigned i = 0; i < VMM_DISKS_MAX; i++) {
		virtio_blk_destroy(devices->blk[i]);
		block_close(devices->disk[i]);
	}
	*devices = (struct devices){.user = false};
}
