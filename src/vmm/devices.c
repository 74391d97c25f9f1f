/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ata/ahci.h"
#include "block/block.h"
#include "net/net.h"
#include "nic/e1000.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "vmm/boot_rom.h"
#include "vmm/calls.h"
#include "vmm/connector.h"
#include "vmm/drives.h"

static int add_disk(struct devices *devices, unsigned i, const struct vmm_config *config,
	struct machine *machine, struct error *err)
{
	struct disk_spec spec = config->disk[i];
	char serial[LIMIT_SERIAL + 1];
	int r;

	spec.later = config->arriving && !spec.filled;
	r = block_open(&spec, &devices->disk[i], err);
	if (r || spec.bus != DISK_VIRTIO)
		return r;
	snprintf(serial, sizeof serial, DISK_SERIAL, i);
	return virtio_blk_create(machine_pci(machine), machine_memory(machine), devices->disk[i],
		*spec.serial ? spec.serial : serial, &devices->blk[i], err);
}

static int open_net(struct devices *devices, unsigned i, const struct net_spec *spec, bool away,
	struct error *err)
{
	int r;

	devices->user |= spec->kind == NET_USER;
	devices->tap |= spec->kind == NET_TAP;
	devices->has_mac[i] = net_spec_mac(spec, devices->mac[i]);
	r = spec->kind == NET_NONE ? 0 : net_open(spec, &devices->net[i], err);
	if (!r && away && devices->net[i])
		net_set_away(devices->net[i], true);
	return r;
}

void devices_set_away(struct devices *devices, bool away)
{
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (devices->net[i])
			net_set_away(devices->net[i], away);
}

int devices_open(struct devices *devices, struct vmm_config *config, struct error *err)
{
	int r = boot_rom_read(config, devices->rom, err);

	for (unsigned i = 0; !r && i < config->nets; i++)
		r = open_net(devices, i, &config->net[i], config->arriving, err);
	for (unsigned i = 0; !r && i < config->disks; i++) {
		devices->remote |= connector_needed(&config->disk[i]);
		r = connectors_start(&config->disk[i], &config->owner, err);
		if (!r)
			r = block_files_open(&config->disk[i], err);
	}
	return r;
}

/* What a nest's thread gets. */
struct making {
	struct devices *devices;
	const struct vmm_config *config;
	struct machine *machine;
	struct error *err;
};

static int add_disks(void *ctx)
{
	struct making *m = ctx;
	int r = 0;

	for (unsigned i = 0; !r && i < m->config->disks; i++) {
		r = add_disk(m->devices, i, m->config, m->machine, m->err);
		m->devices->disks += !r;
	}
	return r;
}

int devices_make_nic(struct machine *machine, struct net *net, const struct net_spec *spec,
	const struct nic_rom *rom, unsigned index, struct nic **nic, struct error *err)
{
	uint8_t mac[NET_MAC_LEN] = {0x02, 'd', 'a', 'c', 'h', index};

	net_spec_mac(spec, mac);
	return spec->model == NET_E1000 ? e1000_create(machine_pci(machine),
						  machine_memory(machine), net, mac, rom, nic, err)
					: virtio_net_create(machine_pci(machine),
						  machine_memory(machine), net, mac, rom, nic, err);
}

static int add_nets(void *ctx)
{
	struct making *m = ctx;
	struct devices *devices = m->devices;
	int r = 0;

	for (unsigned i = 0; !r && i < m->config->nets; i++)
		if (devices->net[i])
			r = devices_make_nic(m->machine, devices->net[i], &m->config->net[i],
				&devices->rom[m->config->net[i].model], i, &devices->nic[i],
				m->err);
	return r;
}

int devices_create(struct devices *devices, const struct vmm_config *config,
	struct machine *machine, const struct virtio_console_owner *console,
	void (*balloon_changed)(void *ctx), struct guest_monitor *monitor, struct error *err)
{
	const uint64_t target = config->target ? config->target : config->memory;
	struct making making = {devices, config, machine, err};
	int r = config->disks ? monitor_walled(monitor, CALLS_DISK, add_disks, &making, err) : 0;

	if (!r)
		r = drives_create(devices, config, machine, err);
	if (!r && config->nets)
		r = monitor_walled(monitor, CALLS_NET, add_nets, &making, err);
	if (!r)
		r = virtio_rng_create(machine_pci(machine), machine_memory(machine), &devices->rng,
			err);
	if (!r)
		r = virtio_console_create(machine_pci(machine), machine_memory(machine), console,
			&devices->console, err);
	if (!r)
		r = virtio_balloon_create(machine_pci(machine), machine_memory(machine),
			(config->memory - target) / VIRTIO_BALLOON_PAGE, balloon_changed,
			console->ctx, &devices->balloon, err);
	return r;
}

struct disk_write {
	struct block_request request;
	struct iovec iov;
	char bytes[];
};

static void written(struct block_request *request, int result)
{
	free((char *)request - offsetof(struct disk_write, request));
}

void devices_write(struct devices *devices, uint64_t offset, const void *bytes, size_t len)
{
	struct disk_write *write = malloc(sizeof *write + len);

	if (!write)
		return;
	memcpy(write->bytes, bytes, len);
	write->iov = (struct iovec){write->bytes, len};
	write->request = (struct block_request){.op = BLOCK_WRITE,
		.offset = offset,
		.length = len,
		.iov = &write->iov,
		.iov_count = 1,
		.done = written};
	block_submit(devices->disk[0], &write->request);
}

int devices_settle(struct devices *devices)
{
	int r = 0;

	for (unsigned i = 0; !r && i < LIMIT_DISKS; i++)
		if (devices->disk[i])
			r = block_settle(devices->disk[i]);
	return r;
}

static void move_disks(struct devices *devices, struct vmm_config *config, unsigned to,
	unsigned from, unsigned count)
{
	memmove(&devices->disk[to], &devices->disk[from], count * sizeof devices->disk[0]);
	memmove(&devices->blk[to], &devices->blk[from], count * sizeof devices->blk[0]);
	memmove(&devices->in_bay[to], &devices->in_bay[from], count * sizeof devices->in_bay[0]);
	memmove(&devices->busy[to], &devices->busy[from], count * sizeof devices->busy[0]);
	memmove(&devices->came_later[to], &devices->came_later[from],
		count * sizeof devices->came_later[0]);
	memmove(&config->disk[to], &config->disk[from], count * sizeof config->disk[0]);
}

void devices_insert_disk(struct devices *devices, struct vmm_config *config, unsigned n,
	const struct disk_spec *spec, struct block_device *disk, struct virtio_blk *blk)
{
	move_disks(devices, config, n + 1, n, devices->disks - n);
	devices->disk[n] = disk;
	devices->blk[n] = blk;
	devices->busy[n] = 0;
	devices->came_later[n] = true;
	config->disk[n] = *spec;
	config->disks = ++devices->disks;
}

void devices_remove_disk(struct devices *devices, struct vmm_config *config, unsigned n)
{
	if (devices->came_later[n])
		disk_spec_free(&config->disk[n]);
	config->disks = --devices->disks;
	move_disks(devices, config, n, n + 1, devices->disks - n);
	devices->disk[devices->disks] = NULL;
	devices->blk[devices->disks] = NULL;
}

static void move_nets(struct devices *devices, struct vmm_config *config, unsigned to,
	unsigned from, unsigned count)
{
	memmove(&devices->net[to], &devices->net[from], count * sizeof devices->net[0]);
	memmove(&devices->nic[to], &devices->nic[from], count * sizeof devices->nic[0]);
	memmove(&devices->has_mac[to], &devices->has_mac[from], count * sizeof devices->has_mac[0]);
	memmove(&devices->mac[to], &devices->mac[from], count * sizeof devices->mac[0]);
	memmove(&config->net[to], &config->net[from], count * sizeof config->net[0]);
}

void devices_insert_net(struct devices *devices, struct vmm_config *config, unsigned n,
	const struct net_spec *spec, struct net *net, struct nic *nic)
{
	move_nets(devices, config, n + 1, n, config->nets - n);
	devices->net[n] = net;
	devices->nic[n] = nic;
	devices->has_mac[n] = net_spec_mac(spec, devices->mac[n]);
	config->net[n] = *spec;
	config->nets++;
}

void devices_remove_net(struct devices *devices, struct vmm_config *config, unsigned n)
{
	config->nets--;
	move_nets(devices, config, n, n + 1, config->nets - n);
	devices->net[config->nets] = NULL;
	devices->nic[config->nets] = NULL;
}

/* In the order of devices_create(). Where that is the order of the slots, too, nobody need be told. */
void devices_tell_places(const struct devices *devices, const uint8_t *more, unsigned further,
	struct machine *machine)
{
	uint8_t slot[MACHINE_PLACES];
	unsigned count = 0;
	bool plain = true;

	for (unsigned i = 0; i < devices->disks; i++)
		if (devices->blk[i])
			slot[count++] = virtio_blk_slot(devices->blk[i]);
	if (devices->ahci)
		slot[count++] = ahci_slot(devices->ahci);
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (devices->nic[i])
			slot[count++] = nic_slot(devices->nic[i]);
	slot[count++] = virtio_rng_slot(devices->rng);
	slot[count++] = virtio_console_slot(devices->console);
	slot[count++] = virtio_balloon_slot(devices->balloon);
	while (further-- && count < MACHINE_PLACES)
		slot[count++] = *more++;
	for (unsigned i = 0; i < count; i++)
		plain &= slot[i] == i + 1;
	machine_set_places(machine, slot, plain ? 0 : count);
}

void devices_destroy(struct devices *devices)
{
	virtio_balloon_destroy(devices->balloon);
	virtio_console_destroy(devices->console);
	virtio_rng_destroy(devices->rng);
	drives_destroy(devices);
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++) {
		nic_destroy(devices->nic[i]);
		net_close(devices->net[i]);
	}
	for (unsigned i = 0; i < LIMIT_DISKS; i++) {
		virtio_blk_destroy(devices->blk[i]);
		block_close(devices->disk[i]);
	}
	for (unsigned i = 0; i < NET_MODELS; i++)
		free(devices->rom[i].data);
	*devices = (struct devices){.user = false};
}
