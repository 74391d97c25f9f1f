/* SPDX-License-Identifier: Apache-2.0 */
/* A machine as a guest, from inside. */
#ifndef DACH_VMM_INTERNAL_H
#define DACH_VMM_INTERNAL_H

#include "block/copy.h"
#include "base/loop.h"
#include "base/thread.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "debug/gdb.h"
#include "machine/machine.h"
#include "monitor/monitor.h"
#include "monitor/sandbox.h"
#include "vmm/calls.h"
#include "vmm/command.h"
#include "vmm/devices.h"
#include "vmm/exec.h"
#include "vmm/idle.h"
#include "vmm/kernel_reader.h"
#include "vmm/layers.h"
#include "vmm/moment.h"
#include "vmm/move.h"
#include "vmm/plug.h"
#include "vmm/profile.h"
#include "vmm/renew.h"
#include "vmm/screen.h"
#include "vmm/shares.h"
#include "vmm/vmm.h"
#include "vmm/watch.h"

struct vmm {
	struct vmm_config config; /* with what a state says that is restored */
	struct guest_monitor *monitor;
	const struct engine *engine;
	struct cpuid_policy cpuid;
	struct machine *machine;
	struct devices devices;
	struct layers layers; /* the files that have come; loop */
	unsigned layering;    /* jobs that know disks by their numbers; loop */
	/* Held while disks' images change places, and while who asks is told of them. */
	struct mutex disks_lock;
	struct plugging plugging;
	struct mirror {
		struct block_device *disk;
		struct block_copy *copy; /* NULL: there is none */
	} mirror;                        /* mirror.c; loop */
	struct profile_files profile;
	struct gdb *gdb;
	struct command *command; /* that the guest is there for; or NULL */
	struct exec *exec;       /* commands beside its own system; or NULL */
	struct screen *screen;   /* or NULL */
	struct shares *shares;   /* folders of the host's; or NULL */
	unsigned asked;          /* how often it was to shut down */
	struct idle idle;
	struct renewal renewal; /* of a clone */
	struct guest_watch watch;
	struct nest *vcpu_nest;       /* where the vCPUs' threads will start; NULL: here */
	struct kernel_reader *reader; /* the kernel is the disk's own; or NULL */
	struct loop_work reader_work;
	/* Those that have names; a disk's own are its reader's. */
	struct machine_file kernel, initrd;
	struct machine_file variables; /* the firmware's; no name: it keeps none */
	struct firmware_line {         /* what it has begun to say; one vCPU at a time */
		char text[256];
		unsigned used;
	} firmware_line;
	char *cmdline;         /* with what is added to it; or NULL */
	struct disk_spec seed; /* the last of config.disk, if there is one */
	int save, restore;     /* files, see save.c; -1: none */
	struct move move;
	struct arrival *arrival; /* it comes from another monitor; NULL: it does not, or is here */
	struct vmm_needs needs;
	struct loop_work balloon_work; /* the guest has come to its memory target */
	bool sized;                    /* it is shown on a terminal whose size it may know */
	bool virtio_console;           /* the guest has last spoken on that one; atomic */
	/* The loop's thread: */
	bool saved, departing, migrated; /* departing: depart.c moves it */
	bool was_paused;                 /* before the monitor had it paused */
	enum machine_result result;      /* of machine_run() */
};

/* make.c: guest_ops.create, with the vmm as ctx */
int vmm_make(void *vmm, struct guest_monitor *monitor, struct error *err);
/* make.c: a file that is written to may be so large from now on; qcow2 images grow as they need. Loop, and jobs. */
void vmm_allow_file(const struct vmm *vmm, enum disk_format format, uint64_t bytes);
/* vmm.c */
enum end_reason vmm_end_of(const struct vmm *vmm, enum machine_result result);

/* kernel.c: what the guest starts from. vmm->reader is there if the disk's own kernel is asked for. */
int kernel_open(struct vmm *vmm, struct error *err);
void kernel_close(struct vmm *vmm); /* again does nothing */
/* The firmware's variables: the file stays open, for another monitor (offer.c). */
void kernel_close_variables(struct vmm *vmm);
/* kernel.c: machine_owner.load, with the vmm as ctx; the disks are there */
int kernel_load(void *vmm, struct machine_file *kernel, struct machine_file *initrd,
	const char **cmdline, struct error *err);

/* boot_order.c: tells the firmware from what to start; the devices are there */
int boot_order_tell(struct vmm *vmm, struct error *err);

/* save.c: the guest's states; after save_open() config may be another */
int save_open(struct vmm *vmm, struct error *err);
/* save.c: foreground.save: a job that saves the guest to config.save_to, and then ends it */
void save_guest(void *vmm);
/* save.c: the same into a file that came with a request, and is taken. As guest_ops.request. */
int save_request(struct vmm *vmm, const struct control_asker *asker, enum request_then then, int fd,
	struct error *err);
void save_close(struct vmm *vmm); /* again does nothing */
/* save.c, on the job's thread: the stream behind memory's places, which end there, and the file's header last; stable. */
int save_finish_file(struct guest_job *job, int fd, const char *name,
	const struct moment_text *stream, uint64_t places_end, struct error *err);
/*
 * snapshot.c: its state into the file that came with the request, and is taken, while it goes on; in the same moment as
 * many of its disks get new images. As guest_ops.request.
 */
int snapshot_request(struct vmm *vmm, const struct control_asker *asker, unsigned disks, int fd,
	struct error *err);
/* save.c: the same where it has to stand still for that. layers and fd are taken. */
int save_snapshot(struct vmm *vmm, const struct control_asker *asker, struct layers *layers, int fd,
	struct error *err);
/*
 * clone.c: what copies of the guest go on from, into the socket that came with a request, and is taken: in one
 * message, a state's descriptor and those of the memory that it stands on. A job. disks: how many of its disks get
 * new images in the same moment (layers.h). As guest_ops.request.
 */
int clone_request(struct vmm *vmm, const struct control_asker *asker, unsigned disks, int socket,
	struct error *err);

/* offer.c: what the other monitor is to share with this one, if it is this host's, into the socket, which is taken. As guest_ops.request. */
int offer_request(struct vmm *vmm, int socket, json_t **fields, struct error *err);
/* depart.c: it goes on in another monitor, at the other end of a socket, which is taken. As guest_ops.request. */
int depart_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int socket, struct error *err);

/*
 * arrive.c: what comes from another monitor, in the order in which a restoring one does things (move.h): in place of
 * move_open(); before move_load(), that it is taken; and behind it, that it is here. After a failure arrive_fail() tells the other side.
 */
int arrive_open(struct vmm *vmm, struct error *err);
int arrive_accept(struct vmm *vmm, struct error *err);
int arrive_finish(struct vmm *vmm, struct error *err);
void arrive_fail(struct vmm *vmm, const struct error *err);
void arrive_told(struct vmm *vmm);  /* its daemon is being told that it is here */
void arrive_close(struct vmm *vmm); /* again does nothing */

/*
 * copies.c: the disk that a job is about to use, which does not go meanwhile, though it may get another number; and that it
 * does not any more. The loop's thread.
 */
int disk_use(struct vmm *vmm, unsigned n, struct block_device **disk, struct error *err);
void disk_leave(struct vmm *vmm, const struct block_device *disk);
/* export.c: a moment of a disk for NBD clients, as guest_ops.request; fd, a listening socket, is taken */
int export_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int fd, struct error *err);
/* copies.c: what a request says of checkpoints, kept while a job needs it in one place. */
struct points {
	struct block_copy_points of;
	char since[LIMIT_CHECKPOINT + 1], checkpoint[LIMIT_CHECKPOINT + 1];
};
void points_take(struct points *points, const struct monitor_request *request);
/* copies.c: a copy of a disk while it is in use, as guest_ops.request; fd is taken */
int copies_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int fd, struct error *err);

/* copies.c: a disk that becomes larger, likewise */
int resize_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);

/* mirror.c: a copy that is in step, of a disk that is in use; what becomes of it is asked for later. The loop's thread. */
void mirror_keep(struct vmm *vmm, struct block_device *disk, struct block_copy *copy);
int pivot_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
void mirror_end(struct vmm *vmm); /* again does nothing */

/* checkpoints.c: a disk's moment gets a name, or the name goes, likewise */
int checkpoint_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
/* Those of a disk, as "info" tells them. */
json_t *checkpoints_describe(struct block_device *disk);

/* verbs.c: tells of the guest's memory */
void verbs_tell_memory(void *vmm);
/* verbs.c: guest_ops.describe and .request */
void verbs_describe(void *vmm, json_t *info);
int verbs_request(void *vmm, const struct control_asker *asker,
	const struct monitor_request *request, int fd, json_t **fields, struct error *err);

#endif
