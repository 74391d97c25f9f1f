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

#include "monitor/sandbox.h"
#include "protocol/disk.h"
#include "protocol/firmware.h"
#include "protocol/limits.h"
#include "protocol/machine_spec.h"
#include "protocol/network.h"
#include "protocol/share.h"
#include "seed/seed.h"

#define VMM_CODE_CACHE_MIN (4u << 20)
#define VMM_CODE_CACHE_MAX (2047u << 20)

/* A command that the guest is there for. */
struct vmm_command {
	const char *const *argv;        /* ends with NULL */
	const char *const *env;         /* NAME=VALUE, likewise */
	const char *user, *folder;      /* NULL: root, and its own */
	const char *program;            /* the agent's, on this host */
	bool terminal;                  /* it gets one: our standard streams are one */
	bool keeps;                     /* the guest's disks are to be in order when it ends */
	bool quiet;                     /* as vmm_config.quiet */
	const struct share_spec *share; /* as vmm_config.share, with paths */
	unsigned shares;
};

struct vmm_config {
	const struct vmm_command *command; /* NULL: the guest is for itself */
	struct machine_spec machine;
	const char *kernel; /* NULL: the first disk's own, to which the next two are added */
	const char *initrd; /* NULL: none */
	const char *cmdline;
	enum firmware firmware; /* kernel is its file, and there is no initrd */
	const char *boot;       /* with firmware: firmware_check_boot(); NULL: its own order */
	const char *
		variables; /* a file with what the firmware's variables are at first; NULL: it keeps none */
	const char *
		nvram; /* the file that keeps them, made of that one if it is not there; NULL: until the end */
	int nvram_fd; /* where given: the same, open; -1: none */
	bool own_kernel; /* kernel and initrd are for a first disk that has none; cmdline as without kernel */
	bool given; /* the next three (-1: none) are open; else the names are to be opened */
	int kernel_fd, initrd_fd;
	int overlay_fd;  /* belongs behind the initrd */
	int agent_fd;    /* where given: our agent for machine.qemu_agent to bring; -1: none */
	uint64_t memory; /* bytes that it is made with */
	uint64_t target; /* bytes that it is to use at first; 0: all */
	unsigned vcpus;
	uint32_t tsc_khz; /* of the host's TSC; 0: it is looked for */
	struct disk_spec disk[LIMIT_DISKS];
	unsigned disks;
	struct drive_spec drive[LIMIT_DRIVES]; /* CD drives without a medium */
	unsigned drives;
	struct seed seed; /* its disk comes behind the others; no instance: none */
	struct net_spec net[LIMIT_NETWORKS];
	unsigned nets;
	struct share_spec share[LIMIT_SHARES]; /* one that is to be opened: its path has no links */
	unsigned shares;
	struct sandbox_user owner; /* as whom they are served, if we are root */
	int screen_fd; /* where given: a socket on which it is shown to whom the daemon lets in; -1: none */
	const char *vnc; /* where its screen is shown, see screen_listen.h; NULL: it has none */
	const char *vnc_password; /* NULL: none is asked for */
	const char *gdb;          /* unix:PATH or ADDRESS:PORT; NULL: none */
	const char *test_vendor;  /* what CPUID calls the processor's vendor; NULL: as the host */
	bool test_devices;        /* machine/chipset/testdev.h */
	bool stats;               /* counters on standard error at the end */
	const char *save_to;      /* SIGUSR2 saves the guest there and ends it; or NULL */
	const char *restore_from; /* goes on from there, with that memory and vcpus; or NULL */
	int restore_fd;           /* the same, where it is given */
	int layer[LIMIT_LAYERS];  /* a clone: frozen memory that its own stands on */
	unsigned layers;
	bool renew; /* it is told that it is another than the one that was saved, as with layers */
	bool arriving; /* with restore_fd, a socket: another monitor has it as yet (arrive.c) */
	bool adopts;   /* and its memory is in ram_fd, which the other has, too */
	int ram_fd;
	bool lazy;           /* its memory comes as it is touched, where that can be */
	bool no_windows;     /* the translator's second tier stays off */
	bool perf_map;       /* /tmp/perf-PID.map names translated code at the end */
	uint32_t code_cache; /* bytes of translated code at most; 0: the engine's choice */
	const char *profile; /* where the guest's time went, written at the end; NULL: not */
	bool no_reboot;      /* a guest that asks to start again ends */
	unsigned keep;       /* 1 << END_...: at these ends it stays, paused, until it is ended */
	bool trims;          /* one without work gives back what is kept for speed alone */
	uint64_t grace; /* ns that a guest asked to end has before it is ended; 0: SIGNALS_GRACE */
	uint64_t timeout;    /* ns after its start at which it is ended; 0: none */
	const char *console; /* a file for what it says; NULL: standard output, and input */
	bool quiet;          /* no lines of our own but errors */
	bool verbose;        /* beside a command: what the guest says, on standard error */
	const char *symbols; /* of the guest's kernel, for both; NULL: none */
};

#endif
