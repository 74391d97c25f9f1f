/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is to be made of, as the command line or the daemon says it.
 * Nothing here is opened or looked up yet, but what the daemon has opened.
 * Strings belong to whoever fills it in and outlive the guest.
 */
#ifndef DACH_VMM_CONFIG_H
#define DACH_VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define VMM_DISKS_MAX 8
#define VMM_NETS_MAX 4
#define VMM_VCPUS_MAX 64
#define VMM_CODE_CACHE_MIN (4u << 20)
#define VMM_CODE_CACHE_MAX (2047u << 20)

/* What a monitor has from the daemon beyond what the command line can say. Descriptors: -1 is none. */
struct vmm_given {
	const char *name, *uuid;
	unsigned domid;
	int kernel, initrd;
	struct {
		int fd;
		bool read_only;
		const char *vdev; /* what the guest calls it; "" for nothing in particular */
	} disk[VMM_DISKS_MAX];
	int control, console; /* listening Unix sockets */
	int lock, status;     /* files */
	uint64_t target;      /* bytes: what the guest is to use of its memory at first */
	bool paused;          /* starts paused */
	unsigned keep;        /* ends (1 << END_...) at which it stays, paused, to be looked at */
	bool has_user;
	unsigned uid, gid; /* becomes this user, if it is root and has_user says so */
};

struct vmm_config {
	const char *engine; /* "auto", "translate", "kvm" */
	const char *cpu;    /* as for cpuid_model_parse(); NULL: the host's */
	const char *kernel; /* NULL: the first disk's own, to which the next two are added */
	const char *initrd; /* NULL: none */
	const char *cmdline;
	bool own_kernel; /* kernel and initrd are for a first disk that has none; cmdline as without kernel */
	uint64_t memory; /* bytes */
	unsigned vcpus;
	const char *disk[VMM_DISKS_MAX]; /* FILE[,ro]; if given, names for messages */
	unsigned disks;
	const char *net[VMM_NETS_MAX]; /* user[,fwd=tcp:ADDRESS:PORT-:PORT]... */
	unsigned nets;
	const char *gdb;          /* unix:PATH or ADDRESS:PORT; NULL: none */
	const char *test_vendor;  /* what CPUID calls the processor's vendor; NULL: as the host */
	bool test_devices;        /* machine/testdev.h */
	bool stats;               /* counters on standard error at the end */
	const char *save_to;      /* SIGUSR2 saves the guest there and ends it; or NULL */
	const char *restore_from; /* goes on from there, with that memory and vcpus; or NULL */
	const struct vmm_given *given; /* a daemon's guest; NULL: one in the foreground */
	bool no_windows;               /* the translator's second tier stays off */
	bool perf_map;                 /* /tmp/perf-PID.map names translated code at the end */
	uint32_t code_cache; /* bytes of translated code at most; 0: the engine's choice */
	const char *profile; /* where the guest's time went, written at the end; NULL: not */
	const char *symbols; /* of the guest's kernel, for both; NULL: none */
};

#endif
