/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor is given: the files that its guest's configuration names, opened as the guest's
 * owner may, and the launch description that tells what they are (protocol/launch.h).
 */
#ifndef DACH_DAEMON_SPEC_H
#define DACH_DAEMON_SPEC_H

#include <limits.h>

#include "daemon/guest.h"
#include "protocol/launch.h"

struct spec_files {
	struct launch_spec
		spec; /* its control, console, screen, lock and status are launch.c's to open */
	int null, output, written; /* standard input, output and error; the description as a file */
	char program[PATH_MAX];    /* the monitor */
	int fd[LAUNCH_FDS_MAX]; /* once it is written: what becomes LAUNCH_FD + 1 and so on there */
	unsigned count;
};

int spec_init(struct spec_files *files, struct error *err);
/* After spec_init() has succeeded. */
void spec_close(struct spec_files *files);
/* Kernel, initial ramdisk, disks, and all that is told of the guest. The sentence names the file. */
int spec_open(const struct guest *guest, struct spec_files *files, struct error *err);
/*
 * A network of the guest's as a start opens it; the descriptor and what is in it are the caller's. On failure
 * links_drop() is for what was made.
 */
int spec_open_network(const struct guest *guest, unsigned i, struct net_spec *to,
	struct error *err);
/* The program that runs in guests (agent/agent.h); the descriptor is the caller's. */
int spec_open_agent(int *fd, struct error *err);
/* A disk's files as a start opens them; the descriptors and what is in it are the caller's. */
int spec_open_disk(const struct guest *guest, const struct domain_disk *disk, struct disk_spec *to,
	struct error *err);
/*
 * By what the guest reaches a disk of its own: with firmware, drives have their names' bus, and CDs are in drives; a kernel
 * finds all at once on virtio. hdtype is of disks alone, as it is for xl.
 */
enum disk_bus spec_disk_bus(const struct domain_config *config, const struct domain_disk *disk);
/* Into a file in memory. */
int spec_write(struct spec_files *files, struct error *err);

/* The folders of the configuration, opened as the guest's owner; and one of them. */
int spec_open_shares(const struct domain_config *config, const struct caller *owner,
	struct launch_spec *spec, struct error *err);
int spec_open_share(const struct caller *owner, struct share_spec *share, struct error *err);

#endif
