/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor starts its guest from, as the daemon hands it over: the launch description, one JSON
 * object of up to LAUNCH_MAX bytes, in the file at descriptor 3 of a new dach-vmm.
 *
 *   {"version": 3,
 *    "name": "web", "domid": 7, "uuid": "5f0c...",
 *    "engine": "auto", "cpu_model": "x86-64-v3",                      see machine_spec.h
 *    "memory": 262144,                  KiB: what the guest is to use at first
 *    "maxmem": 524288,                  KiB of memory that it is made with; memory if left out
 *    "vcpus": 2,
 *    "kernel": {"fd": 4, "name": "/boot/vmlinuz"},                    left out: the first disk's own;
 *                                       initrd and cmdline then follow what the disk has for it
 *    "firmware": "bios",                kernel is then this firmware's file, also with a state; may be left out
 *    "nvram": {"fd": 16, "name": "/var/lib/dach/nvram/5f0c..."},      with firmware: what it keeps, written to; may be left out
 *    "boot": "dc",                      with firmware: what it tries, in this order; may be left out
 *    "initrd": {"fd": 5, "name": "/boot/initrd.img"},                 may be left out
 *    "overlay": 12,                     what belongs behind the initrd, or behind the disk's own;
 *                                       may be left out
 *    "cmdline": "root=/dev/vda ro",                                   may be left out
 *    "state": {"fd": 11, "name": "web.save"},                         goes on from there, without a kernel;
 *                                       may be left out
 *    "arriving": false,                 with state, a socket: the guest comes from another monitor (migrate/wire.h)
 *    "ram": 18,                         with arriving: the other monitor's memory, which this one has, too, and which is
 *                                       not sent; networks have descriptors of the other's likewise; may be left out
 *    "lazy": false,                     with state: its memory comes as it is touched
 *    "layers": [{"fd": 13}, {"fd": 14}],                              with state: a clone, whose memory stands on
 *                                       these (machine/memory_base.h); may be left out
 *    "disks": [{"files": [{"format": "raw", "fd": 6, "name": "/srv/web.img"}],      see disk.h
 *               "readonly": false, "cache": "writeback", "serial": "dach-disk0", "vdev": "xvda2"}],
 *    "drives": [{"bus": "ide", "vdev": "hdc"}],       with firmware: empty CD drives; may be left out
 *    "networks": [{"kind": "user", "mac": "00:16:3e:00:00:01",
 *                   "forwards": [{"udp": false, "host_addr": 2130706433, "host_port": 2222,
 *                                 "guest_addr": 0, "guest_port": 22}]}],   see network.h
 *    "shares": [{"fd": 15, "folder": "/srv/data", "path": "/mnt", "readonly": true}],      see share.h
 *    "owner": {"uid": 1000, "gid": 1000, "groups": [{"id": 27}]},    as whom folders are served, when started
 *                                       as root; left out: as root
 *    "control": 7, "console": 8,        listening Unix sockets, each may be left out
 *    "screen": 15,                      one more: who connects there sees the screen (RFB); with "vnc"
 *    "lock": 9,                         a file that is locked (flock) for as long as the monitor lives
 *    "status": 10,                      an empty file: see end.h
 *    "paused": false,
 *    "keep": ["crash"],                 at these ends the guest stays, paused, until it is destroyed
 *    "walls": ["landlock"],             what of walls.h the host has to have; else it does not start
 *    "root": {"fd": 15, "name": "/srv/web"},    of a container (dach-ct), with what follows: its root, a folder;
 *                                       no kernel and no disks then
 *    "upper": 16,                       a folder whose "upper" and "work" have what it writes: the root stays as
 *                                       it is; left out: it is written to
 *    "lowers": [{"fd": 18, "name": "..."}],     likewise folders whose "upper" has what lies between, the lowest first
 *    "agent_program": 17,               the program dach-agent; of a machine, where qemu_agent is to bring it
 *    "ids": 1912602624,                 its user and group 0, as the host sees them, and CONTAINER_IDS in all; left out: 0
 *    "group": "dach/5f0c...",           its control group, below the roots of the hierarchies; left out: none
 *    "links": [{"name": "ct7.0", "number": 0, "address": "10.5.0.2/24", "gateway": "10.5.0.1"}],      of this network namespace, which become its eth0, eth1, ...
 *    "init": ["/sbin/init"], "pids": 100, ...   see container_spec.h
 *    "uid": 64000, "gid": 64000}        whom to become, when started as root; left out: a number
 *                                       made of domid, see limits.h
 *
 * memory and maxmem are whole MiB. Each "fd" is the number of an open descriptor from 4 on, used
 * once; "name" is for messages. Keys that are not here are refused: an older monitor is not to
 * start a guest without something that it does not know.
 *
 * A field is one row of launch.c, by which both ends write and read it.
 */
#ifndef DACH_PROTOCOL_LAUNCH_H
#define DACH_PROTOCOL_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/container_spec.h"
#include "protocol/disk.h"
#include "protocol/fields.h"
#include "protocol/firmware.h"
#include "protocol/limits.h"
#include "protocol/machine_spec.h"
#include "protocol/network.h"
#include "protocol/share.h"

#define LAUNCH_FD 3 /* the description's own; the others follow */
#define LAUNCH_VERSION 3
#define LAUNCH_MAX (8u << 20)
#define LAUNCH_FDS_MAX                                                              \
	(LIMIT_DISKS * LIMIT_CHAIN + LIMIT_LAYERS + LIMIT_NETWORKS + LIMIT_SHARES + \
		CONTAINER_LAYERS + 14)

/* Strings are the structure's own (malloc). Descriptors: -1 is none. */
struct launch_file {
	int fd;
	char *name;
};

struct launch_layer {
	int fd;
};

/*
 * A link of the host's that becomes the container's, with its MAC and MTU. Where its network has an address for it: that as
 * ADDRESS/BITS, and the router's, who answers names, too; for a container that has nobody else who would ask. "": none.
 */
struct launch_link {
	char *name, *address, *gateway;
	unsigned number; /* it is eth and this there */
};

struct launch_group {
	unsigned id;
};

struct launch_owner {
	unsigned uid, gid;
	struct launch_group *group; /* supplementary */
	unsigned groups;
};

struct launch_spec {
	unsigned version;
	char *name, *uuid;
	unsigned domid;
	struct machine_spec machine;
	uint64_t memory, maxmem; /* KiB */
	unsigned vcpus;
	unsigned tsc_khz; /* of the host's TSC; 0: the monitor looks for it */
	struct launch_file kernel, initrd, state, nvram;
	enum firmware firmware;
	char *boot;
	struct launch_layer *layer;
	unsigned layers;
	int overlay, ram;
	char *cmdline;
	struct disk_spec *disk;
	unsigned disks;
	struct drive_spec *drive; /* CD drives that are empty */
	unsigned drives;
	struct net_spec *network;
	unsigned networks;
	struct share_spec *share;
	unsigned shares;
	struct launch_owner owner; /* of the guest; uid 0: root, or none is said */
	int control, console, screen, lock, status;
	bool paused, lazy, arriving;
	bool renew; /* it goes on from a state from which others go on, too, or it went on before */
	unsigned keep;     /* 1 << END_... */
	unsigned walls;    /* 1 << WALL_... */
	unsigned uid, gid; /* uid 0: none is said */
	/* Of a container: */
	struct launch_file root;
	int upper, agent;
	struct launch_file *lower;
	unsigned lowers;
	unsigned ids;
	char *group;
	struct launch_link *link;
	unsigned links;
	struct container_spec container;
};

extern const struct field launch_fields[];

/* All defaults; -ENOMEM. */
int launch_init(struct launch_spec *spec);
/* Leaves it all zero. No descriptor is touched. */
void launch_free(struct launch_spec *spec);
/* Lists that were empty, with their defaults. -ENOMEM. */
int launch_make_disks(struct launch_spec *spec, unsigned count);
int launch_make_drives(struct launch_spec *spec, unsigned count);
int launch_make_layers(struct launch_spec *spec, unsigned count);
int launch_make_networks(struct launch_spec *spec, unsigned count);
int launch_make_links(struct launch_spec *spec, unsigned count);
int launch_make_lowers(struct launch_spec *spec, unsigned count);
int launch_make_shares(struct launch_spec *spec, unsigned count);
int launch_make_groups(struct launch_spec *spec, unsigned count);

/* The text, the caller's to free(). What the reader would refuse is not written. */
int launch_write(const struct launch_spec *spec, char **text, struct error *err);
/* Whatever it is that the text holds. Nothing to free after a failure. */
int launch_read(const char *text, size_t len, struct launch_spec *spec, struct error *err);

/* The descriptors that it names, ascending; returns how many. */
unsigned launch_fds(const struct launch_spec *spec, int fd[LAUNCH_FDS_MAX]);
/*
 * Gives each descriptor the number that it has in the monitor, from LAUNCH_FD + 1 on in their order;
 * fd has what they were here. Returns how many.
 */
unsigned launch_number_fds(struct launch_spec *spec, int fd[LAUNCH_FDS_MAX]);

#endif
