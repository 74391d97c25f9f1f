/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor is asked on its control socket: a line with one JSON object,
 *
 *   {"id": 1, "do": "memory-set", "memory": 131072}
 *
 *   do           with
 *   info                                        what it is and does: see monitor/request.c
 *   pause, unpause
 *   shutdown                                    presses the power button
 *   reboot                                      the same, and the power-off that follows is told as a
 *                                               reboot: what every guest understands that can be shut
 *                                               down, without an agent in it
 *   destroy                                     ends it now
 *   trigger      "trigger": "nmi", "reset", "power"; "vcpu" for nmi (0)
 *   sysrq        "key": one letter or digit
 *   memory-set   "memory": KiB
 *   dump-core    "live": true not to pause it meanwhile; the file to write comes with the line
 *                (SCM_RIGHTS). A job: the answer comes when all is written.
 *   save         "then": "end", "wait",         its state into the file that comes with the line. A job,
 *                "run", "pause"                 during which it stands still, and which ends if who asked goes.
 *                                               Then it ends as "saved", stands until a release (but
 *                                               see monitor.h), goes on, or is paused
 *   disk-file    "disk": its number, "name",    keeps the file that comes with the line, for disk-layer: a qcow2
 *                "first": true for no others    image, new and empty, made to stand on that disk's top
 *   disk-layer   "disks": how many               all disks that files were kept for stand on those from one
 *                                               moment on, or none does: block/layer.h. A job, which ends if who
 *                                               asked goes; "held": the ns for which requests had to wait. In
 *                                               either case no file is kept any more.
 *   disk-copy    "kind": "stream", "commit",    block/copy.h's, of a disk while it is in use; no faster than "rate",
 *                "merge", "backup", "mirror";   bytes a second. With a commit comes its base, with a merge the image that takes
 *                "disk", "name", "format",      what is below it, open for reading and
 *                "rate"                         writing, with a backup or a mirror its file, of that name and format. A job;
 *                                               but for a stream it ends if who asked goes. A mirror is in step when the job
 *                                               has ended, and stays so until disk-pivot. Of a backup also: "since", a
 *                                               checkpoint, and "checkpoint", a new one (block/copy.h)
 *   disk-open    "name", "format",              keeps the file that comes with the line, for disk-attach: the next of a
 *                "first": true for no others    disk's chain
 *   disk-attach  "disk": its number, "vdev",    a disk of the files that were kept, which the guest is told of. Those
 *                "readonly"                     with this number and higher ones have one more from now on. A job
 *   disk-detach  "disk": its number, "vdev",    the guest is asked to give the disk up, for as long as "seconds"; when
 *                "seconds", "force": true       it has, and with force in any case, the disk's files are closed, and
 *                                               those with higher numbers have one less. A job
 *   disk-export  "disk": its number,           the disk as it is then, for NBD clients of the listening socket that
 *                "persistent": true             comes with the line; one raw file, of its size and empty, has come by
 *                                               disk-open before. A job, until it is cancelled or, unless it is to
 *                                               stay, the last client has left
 *                "since", "checkpoint"         as with disk-copy; clients are told what has been written since
 *   disk-checkpoint  "disk": its number,       this moment of the disk gets that name (block/checkpoint.h) or, with
 *                "checkpoint": a name          "remove": true, the name goes. A job.
 *   disk-pivot   "disk": its number,           one that disk-copy has brought in step in another file goes on there
 *                "drop": true                   or, with drop, stays where it is. A job.
 *   net-attach   "network": its number, "mac",  a network whose tap, or port of a switch, comes with the line, ready (as
 *                "mtu", "model", "rate",        network.h has them); the guest is told of it. Those with this number
 *                "rate_interval"                and higher ones have one more from now on
 *                "link"                         of a container: this link of the host's instead, which is its eth and
 *                                               "network" then
 *   net-detach   "network": its number, "mac",  the guest is asked to give it up, as by disk-detach. A job
 *                "seconds", "force": true
 *   net-forward  "network": its number, "mac",  a network in user mode forwards a port from now on (network.h has the
 *                "forward", "remove": true      form) or, with remove, no longer the one with this end on the host
 *   share-attach "name": a path there,          of a container: the folder that comes with the line is there from now on; what is missing
 *                "readonly"                     of the path is made
 *   share-detach "name"                         and no longer. -EINVAL: nothing was mounted there
 *   disk-resize  "disk": its number, "size":    it is larger from now on, and the guest is told; of a raw image
 *                bytes                          the file is so long already. A job.
 *   release      "end": true                    one that stands so ends as "saved", or goes on as it was
 *   clone        "disks": how many           what copies of it go on from, into the Unix socket that comes
 *                                               with the line: one message with the descriptors of a state and
 *                                               of "layers" files of frozen memory (launch.h). In the same
 *                                               moment so many disks get new images, as by disk-layer. A job;
 *                                               the guest has stood still for "pause" ns, and goes on
 *   exec                                        the Unix socket that comes with the line is where a command in the
 *                                               guest is asked for: vmm/exec.h
 *   snapshot     "disks": how many           its state as it is now into the file that comes with the line, while
 *                                               it goes on, if it can; in the same moment so many disks get new
 *                                               images, as by disk-layer. A job, which ends if who asked goes; it has
 *                                               stood still for "pause" ns
 *   migrate      "pause": ms, "rate": bytes a   it goes on in another monitor, which is at the other end of the socket that
 *                second                         comes with the line (migrate/wire.h), once it can be there with a pause of
 *                                               about that length; "storage": true, with what is in the disks that
 *                                               it may write to. A job, which ends if who asked goes. It has stood still for
 *                                               "pause" ns, of that by "parts" (migrate_part_names), "bytes" have been sent in
 *                                               "rounds", and it ends as "migrated".
 *                "local": true,                 The other monitor is this host's, and has what was offered; "handed": true,
 *                "handed": true                 memory too, of which nothing is sent then. -ENOTRECOVERABLE: it may run
 *                                               there, and does not here
 *   offer                                       what such a monitor shares with this one, into the Unix socket that comes
 *                                               with the line: one message with the descriptors of memory, if "memory" is
 *                                               true, of the file that UEFI keeps its variables in, if "variables" is,
 *                                               and of "networks", [{"network": its number, "mtu": bytes}]
 *   jobs                                        {"jobs": [...]}: what goes on, see job.h
 *   cancel       "job": its id                  the job's own answer tells when it has ended
 *
 * The answer is a line {"id": 1, "ok": true, ...} or {"id": 1, "error": "sentence", "errno": 22}. id is
 * any integer, 0 if left out.
 *
 * A verb is one row of request.c, by which both ends write and read it.
 */
#ifndef DACH_PROTOCOL_REQUEST_H
#define DACH_PROTOCOL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/disk.h"
#include "protocol/limits.h"
#include "protocol/network.h"

struct field;

#define REQUEST_MAX 4096u /* bytes in a line */
#define REQUEST_NAME_MAX 1023u
#define MIGRATE_PAUSE 30u /* ms */
#define MIGRATE_PAUSE_MAX 60000u

/* What the time that a guest stands is spent on, one behind the other. */
enum migrate_part {
	MIGRATE_STOP,    /* its processors come to stand */
	MIGRATE_MEMORY,  /* the last round is sent */
	MIGRATE_DEVICES, /* their state is taken */
	MIGRATE_DISKS,   /* they are made stable and given up */
	MIGRATE_READY,   /* the other side takes the rest and has loaded it */
	MIGRATE_RUNNING, /* it takes the disks, runs the guest and has said so */
	MIGRATE_PARTS,
};
extern const char *const migrate_part_names[MIGRATE_PARTS];

enum request_verb {
	REQUEST_INFO,
	REQUEST_PAUSE,
	REQUEST_UNPAUSE,
	REQUEST_SHUTDOWN,
	REQUEST_REBOOT,
	REQUEST_DESTROY,
	REQUEST_TRIGGER,
	REQUEST_SYSRQ,
	REQUEST_MEMORY_SET,
	REQUEST_DUMP_CORE,
	REQUEST_SAVE,
	REQUEST_DISK_FILE,
	REQUEST_DISK_LAYER,
	REQUEST_DISK_COPY,
	REQUEST_DISK_RESIZE,
	REQUEST_DISK_OPEN,
	REQUEST_DISK_ATTACH,
	REQUEST_DISK_DETACH,
	REQUEST_DISK_EXPORT,
	REQUEST_DISK_CHECKPOINT,
	REQUEST_DISK_PIVOT,
	REQUEST_NET_ATTACH,
	REQUEST_NET_DETACH,
	REQUEST_NET_FORWARD,
	REQUEST_SHARE_ATTACH,
	REQUEST_SHARE_DETACH,
	REQUEST_RELEASE,
	REQUEST_CLONE,
	REQUEST_EXEC,
	REQUEST_SNAPSHOT,
	REQUEST_MIGRATE,
	REQUEST_OFFER,
	REQUEST_JOBS,
	REQUEST_CANCEL,
	REQUEST_VERBS,
};

enum request_then { SAVE_THEN_END, SAVE_THEN_WAIT, SAVE_THEN_RUN, SAVE_THEN_PAUSE };
enum request_disk_copy {
	DISK_COPY_STREAM,
	DISK_COPY_COMMIT,
	DISK_COPY_MERGE,
	DISK_COPY_BACKUP,
	DISK_COPY_MIRROR,
};
enum request_trigger { TRIGGER_NMI, TRIGGER_RESET, TRIGGER_POWER };

struct monitor_request {
	int64_t id;             /* also after a failure, as far as it could be read */
	enum request_verb verb; /* after a failure: REQUEST_VERBS if it is not known */
	enum request_trigger trigger;
	unsigned vcpu;                   /* TRIGGER */
	char key[2];                     /* SYSRQ */
	uint64_t memory;                 /* MEMORY_SET: KiB */
	bool live;                       /* DUMP_CORE */
	enum request_then then;          /* SAVE */
	bool end;                        /* RELEASE */
	unsigned disk, disks;            /* DISK_..., CLONE, SNAPSHOT */
	char name[REQUEST_NAME_MAX + 1]; /* DISK_FILE: for messages, and to be told by info */
	bool first;                      /* DISK_FILE, DISK_OPEN */
	char vdev[LIMIT_VDEV + 1];       /* DISK_ATTACH, DISK_DETACH */
	bool readonly;                   /* DISK_ATTACH */
	unsigned network;                /* NET_...: and the next */
	char mac[NET_MAC_TEXT + 1];
	char link[NET_LINK_TEXT + 1]; /* "": none */
	unsigned mtu, rate_interval;  /* NET_ATTACH, with rate */
	enum net_model model;         /* likewise */
	bool force;                   /* DISK_DETACH, NET_DETACH: and the next */
	unsigned seconds;
	bool persistent;             /* DISK_EXPORT */
	enum request_disk_copy kind; /* DISK_COPY, and the next two */
	enum disk_format format;
	uint64_t rate;
	char since[LIMIT_CHECKPOINT + 1]; /* DISK_COPY, DISK_EXPORT; "": none, as of the next */
	char checkpoint[LIMIT_CHECKPOINT + 1]; /* the same, and DISK_CHECKPOINT */
	bool local, handed;                    /* MIGRATE */
	unsigned pause;                        /* MIGRATE: ms; 0: MIGRATE_PAUSE. Also rate */
	bool storage;                          /* MIGRATE */
	bool remove;                           /* DISK_CHECKPOINT, NET_FORWARD */
	char forward[NET_FORWARD_TEXT + 1];    /* NET_FORWARD */
	bool drop;                             /* DISK_PIVOT */
	uint64_t size;                         /* DISK_RESIZE: bytes */
	uint64_t job;                          /* CANCEL */
};

const char *request_word(enum request_verb verb);
/* REQUEST_VERBS: it is no such word, or NULL. */
enum request_verb request_find(const char *word);
/* Whoever may see a guest may ask it of its monitor, which gets it as it is. */
bool request_is_passed(enum request_verb verb);
/* It makes no sense without arguments. */
bool request_needs_arguments(enum request_verb verb);
/* A descriptor comes with it. */
bool request_takes_fd(enum request_verb verb);
/* The fields of struct monitor_request that are its arguments; a NULL key ends them. */
const struct field *request_arguments(enum request_verb verb);

/* A line, whatever it holds. */
int request_parse(const char *line, size_t len, struct monitor_request *request, struct error *err);
/* The object that the line is; NULL: out of memory. */
json_t *request_write(const struct monitor_request *request);
/*
 * The arguments of a verb alone, by the names above (NULL: none): what else is there, is missing or is
 * out of bounds is refused.
 */
int request_read_arguments(enum request_verb verb, const json_t *arguments,
	struct monitor_request *request, struct error *err);

#endif
