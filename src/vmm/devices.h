/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's devices: opened as the configuration says, put on the machine's bus. */
#ifndef DACH_VMM_DEVICES_H
#define DACH_VMM_DEVICES_H

#include "base/error.h"
#include "machine/machine.h"
#include "net/nic.h"
#include "virtio/console.h"
#include "vmm/config.h"
#include "monitor/monitor.h"

struct ahci;
struct ata_drive;
struct block_device;
struct ide;
struct net;
struct virtio_balloon;
struct virtio_blk;
struct virtio_rng;

/* A drive's place, which stays. */
struct bay {
	enum disk_bus bus;
	unsigned number; /* there: ata/ide.h, ata/ahci.h */
	bool cdrom;
	char vdev[LIMIT_VDEV + 1]; /* "": it has no name */
	struct ata_drive *drive;
};

struct devices {
	struct block_device *disk[LIMIT_DISKS];
	struct virtio_blk *blk[LIMIT_DISKS]; /* NULL: it is in a drive of one of the next two */
	struct ide *ide;                     /* or NULL */
	struct ahci *ahci;                   /* likewise */
	struct bay bay[LIMIT_DRIVES];        /* their drives */
	unsigned bays;
	uint8_t in_bay[LIMIT_DISKS];  /* which of them has it */
	unsigned busy[LIMIT_DISKS];   /* jobs on the disk */
	bool came_later[LIMIT_DISKS]; /* devices_insert_disk(): its specification is ours */
	unsigned disks;
	struct net *net[LIMIT_NETWORKS];
	struct nic *nic[LIMIT_NETWORKS];
	struct virtio_rng *rng;
	struct virtio_console *console;
	struct virtio_balloon *balloon;
	bool user;                      /* one of the networks is in user mode, */
	bool tap;                       /* or a tap */
	bool remote;                    /* a disk is on an NBD server */
	struct nic_rom rom[NET_MODELS]; /* boot_rom.h */
	bool has_mac[LIMIT_NETWORKS];
	uint8_t mac[LIMIT_NETWORKS][6];
};

/*
 * Starts zeroed. What is open to the world: networks, whose ports are bound here, and the disks' files, whose
 * descriptors are in the configuration then. No thread starts.
 * On failure of this or the next devices_destroy() still takes back what was done.
 */
int devices_open(struct devices *devices, struct vmm_config *config, struct error *err);
/*
 * Adds all there is; threads start here, within the walls of their kind.
 * balloon_changed: see virtio/balloon.h, with the console's ctx.
 */
int devices_create(struct devices *devices, const struct vmm_config *config,
	struct machine *machine, const struct virtio_console_owner *console,
	void (*balloon_changed)(void *ctx), struct guest_monitor *monitor, struct error *err);
/* A card of the specification's kind on the machine's bus, with its address or one that is made of the index. rom NULL: none. */
int devices_make_nic(struct machine *machine, struct net *net, const struct net_spec *spec,
	const struct nic_rom *rom, unsigned index, struct nic **nic, struct error *err);
/*
 * Begins to write len bytes to the first disk, at an offset; both are multiples of 512. What cannot be
 * written is not.
 */
void devices_write(struct devices *devices, uint64_t offset, const void *bytes, size_t len);
/* As block_settle(), of all disks. */
int devices_settle(struct devices *devices);
/*
 * A disk that is on the machine's bus has this number from now on, or none has; those from there on, in the
 * configuration too, have one more or less. Of one that is inserted the specification is taken, of one that is removed
 * nothing is closed. The loop's thread, while no job knows disks by their numbers.
 */
void devices_insert_disk(struct devices *devices, struct vmm_config *config, unsigned n,
	const struct disk_spec *spec, struct block_device *disk, struct virtio_blk *blk);
void devices_remove_disk(struct devices *devices, struct vmm_config *config, unsigned n);
/* The same of a network, with its endpoint. */
void devices_insert_net(struct devices *devices, struct vmm_config *config, unsigned n,
	const struct net_spec *spec, struct net *net, struct nic *nic);
void devices_remove_net(struct devices *devices, struct vmm_config *config, unsigned n);
/*
 * Tells the machine where its devices are, for who goes on from a state of it: machine_set_places(). more: the slots of
 * those that come behind them.
 */
void devices_tell_places(const struct devices *devices, const uint8_t *more, unsigned further,
	struct machine *machine);
/* As net_set_away(), of all networks. */
void devices_set_away(struct devices *devices, bool away);
/* When the guest has ended, before the machine goes. Waits until disks are stable. */
void devices_destroy(struct devices *devices);

#endif
