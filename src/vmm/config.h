/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is to be made of, as the command line or a configuration file
 * says it. Nothing here is opened or looked up yet. Strings belong to whoever
 * fills it in and outlive the guest.
 */
#ifndef DACH_VMM_CONFIG_H
#define DACH_VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define VMM_DISKS_MAX 8
#define VMM_NETS_MAX 4
#define VMM_VCPUS_MAX 64

struct vmm_config {
	const char *engine; /* "auto", "translate", "kvm" */
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *cmdline;
	uint64_t memory; /* bytes */
	unsigned vcpus;
	const char *disk[VMM_DISKS_MAX]; /* FILE[,ro] */
	unsigned disks;
	const char *net[VMM_NETS_MAX]; /* user[,fwd=tcp:ADDRESS:PORT-:PORT]... */
	unsigned nets;
	const char *gdb;   /* unix:PATH or ADDRESS:PORT; NULL: none */
	bool test_devices; /* machine/testdev.h */
	bool stats;        /* counters on standard error at the end */
};

#endif
