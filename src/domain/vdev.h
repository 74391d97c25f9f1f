/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names under which a Xen guest knows its disks (xen-vbd-interface(7)): xvda, xvda2, hdc,
 * sdb1, d3p1. A name with a partition number is a disk entry of its own.
 */
#ifndef DACH_DOMAIN_VDEV_H
#define DACH_DOMAIN_VDEV_H

#include <stddef.h>

enum vdev_bus { VDEV_XVD, VDEV_HD, VDEV_SD };

struct vdev {
	enum vdev_bus bus;
	unsigned disk;      /* 0: xvda */
	unsigned partition; /* 0: the whole disk */
};

#define VDEV_DISKS_MAX (1u << 20) /* xvd; hd has 4, sd 16 */
#define VDEV_NAME_MAX 24

/*
 * Reads a name, with or without /dev/ in front; vdX counts as xvdX, numbers as xl takes them
 * (decimal or 0x...) too; those below 256, which no device has, are disks in order, 1 is xvdb. -EINVAL: it is none.
 */
int vdev_parse(const char *text, struct vdev *vdev);
/* xvda2, hdc, ...: the canonical name. Returns name. */
char *vdev_name(const struct vdev *vdev, char name[VDEV_NAME_MAX]);
/* The number that block-list shows: xvda1 is 51713. */
unsigned vdev_number(const struct vdev *vdev);
/* The letters of the n-th disk after a prefix: 0 is a, 26 is aa. At most VDEV_NAME_MAX - 8. */
size_t vdev_letters(unsigned disk, char *letters);

#endif
