/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor from inside, for vmm.c, save.c and verbs.c. */
#ifndef DACH_VMM_INTERNAL_H
#define DACH_VMM_INTERNAL_H

#include "base/loop.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "debug/gdb.h"
#include "machine/machine.h"
#include "monitor/console.h"
#include "monitor/control.h"
#include "vmm/core.h"
#include "vmm/devices.h"
#include "vmm/idle.h"
#include "vmm/move.h"
#include "bootdisk/bootdisk.h"
#include "vmm/kernel_reader.h"
#include "vmm/power.h"
#include "vmm/sight.h"
#include "monitor/signals.h"
#include "monitor/terminal.h"
#include "vmm/vmm.h"

struct vmm {
	const struct vmm_config *config;
	const struct engine *engine;
	struct cpuid_policy cpuid;
	struct loop *loop;
	struct machine *machine;
	struct devices devices;
	struct terminal terminal; /* in the foreground */
	struct console *console;  /* a daemon's guest: this and the next */
	struct control *control;
	struct signals signals;
	struct power power;
	struct sight sight;
	struct gdb *gdb;
	struct idle idle;             /* a daemon's guest */
	struct nest *vcpu_nest;       /* where the vCPUs' threads will start; NULL: has been used */
	struct kernel_reader *reader; /* the kernel is the disk's own; or NULL */
	struct bootdisk_saved
		boot_saved; /* what is to be written to the first disk before it runs */
	struct loop_work reader_work;
	/* Those that have names; a disk's own are its reader's. */
	struct machine_file kernel, initrd;
	int save, restore; /* files, see save.c; -1: none */
	struct move move;
	struct vmm_config restored; /* config, with what the state says */
	bool signals_started, landlocked;
	bool virtio_console;           /* the guest has last spoken on that one; atomic */
	struct loop_work balloon_work; /* the guest has come to its memory target */
	uint64_t started;              /* clock_now() */
	/* The loop's thread: */
	bool paused;       /* by request */
	struct core *core; /* being written, or NULL; who asked for it, and whether it pauses */
	struct control_asker core_asker;
	bool core_pauses;
	bool reboot; /* a power-off is to be told as a reboot */
	bool saved;
	bool held; /* ended as it says next, and kept to be looked at */
	enum end_reason end;
};

/* save.c: the guest's states; after save_open() config may be another */
int save_open(struct vmm *vmm, struct error *err);
void save_guest(void *vmm);
void save_close(struct vmm *vmm); /* again does nothing */

/* verbs.c: tells of the guest's memory */
void verbs_tell_memory(void *vmm);
/* verbs.c: the guest has ended; who still waits for an answer gets one */
void verbs_end(struct vmm *vmm);
/* verbs.c: control_handler.handle, with the vmm as ctx */
void verbs_handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd);

#endif
