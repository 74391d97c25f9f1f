/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a guest may have: one list for who configures it (config/, domain/, the daemon's API), who
 * hands it over and who starts it, so that what could not start is refused when it is configured.
 */
#ifndef DACH_PROTOCOL_LIMITS_H
#define DACH_PROTOCOL_LIMITS_H

#define LIMIT_DRIVES 10 /* of old controllers: ata/ide.h, ata/ahci.h */
#define LIMIT_DISKS 16  /* that have a medium; each has a slot of the PCI bus */
#define LIMIT_CHAIN 16  /* files of one disk */
#define LIMIT_NETWORKS 8
#define LIMIT_SHARES 8     /* folders of the host's */
#define LIMIT_GROUPS 64    /* of a user's */
#define LIMIT_LAYERS 3     /* of frozen memory that a guest's stands on */
#define LIMIT_FORWARDS 256 /* of one network */
#define LIMIT_ADDRESSES 64 /* of one network */
#define LIMIT_ALLOWS 64    /* of one network */
#define LIMIT_VCPUS 64
#define LIMIT_MEMORY_MIN 4096ull      /* KiB */
#define LIMIT_MEMORY_MAX (1ull << 32) /* KiB: 4 TiB */

/* Bytes, without the NUL. */
#define LIMIT_NAME 127
#define LIMIT_STRING 4095  /* of a path, and of what has no limit of its own */
#define LIMIT_CMDLINE 2047 /* what a Linux kernel takes on x86 */
#define LIMIT_VDEV 31
#define LIMIT_SHARE_PATH 1024
#define LIMIT_CHECKPOINT 63
#define LIMIT_UUID 36
#define LIMIT_VNC_PASSWORD 8 /* more characters do not count: RFC 6143, 7.2.2 */
#define LIMIT_SERIAL 20      /* virtio 1.2, 5.2.6 */

/*
 * As root each guest's monitor becomes a user of its own: the first of these plus what its domid leaves when
 * divided by their number. Nothing else uses them (systemd's UIDS-GIDS).
 */
#define LIMIT_UIDS_FIRST 1900000000u
#define LIMIT_UIDS 65536u
/* And the one after those each connection with another host. */
#define LIMIT_UID_PEERS (LIMIT_UIDS_FIRST + LIMIT_UIDS)

/* The numbers of descriptors that are handed over; 3 is the launch description's own. */
#define LIMIT_FD_MIN 4
#define LIMIT_FD_MAX 1023

#endif
