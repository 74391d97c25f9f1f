/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon can be asked to do. An operation has a caller (policy.h), arguments, and an answer that
 * comes at once or later. It checks the caller's rights and the arguments, changes and saves the state,
 * and asks the guest's monitor. How the question came is not its business: api/http/ is one way.
 *
 * Everything on the loop's thread.
 */
#ifndef DACH_DAEMON_OPERATION_H
#define DACH_DAEMON_OPERATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/policy.h"
#include "protocol/fields.h"
#include "protocol/request.h"

struct daemon;
struct listener;
struct operation;

#define OPERATION_CONFIG_MAX (1u << 20) /* bytes of a configuration as JSON */
#define OPERATION_USER_CONFIG_MAX \
	(64u << 10)                   /* of who is no manager: it goes into each answer of a list */
#define OPERATION_AS_IT_IS UINT32_MAX /* a number that is not to change */

/* The arguments of all operations; each takes some of them. Strings are malloc'd or NULL. */
struct operation_arguments {
	char *ref; /* which guest: domain ID, UUID or name; a network's name; NULL where it is about none */
	struct monitor_request request; /* ask */
	/* create, restore: as domain_config_from_json() takes it; migrate: what it is to be there, or NULL; network_create; disk_attach, network_attach, share_attach: one disk,
	   network or folder of it */
	json_t *config;
	json_t *told; /* migrate: the guest's configuration, as the other host was told; NULL. convert: as who asks was told */
	uint64_t ended; /* convert: when the guest's last life ended, likewise; 0: it had none */
	bool paused;    /* create, start, resume, restore, clone, migrate, receive */
	bool managed;   /* create, receive */
	enum field_choice start; /* create: left out, it is started unless it is managed;
				    snapshot_revert: left out, it does what it did */
	char *name;     /* rename, host_add, host_token; clone: with a '%' for each one's number */
	unsigned count; /* clone */
	char *path;     /* share_detach; absolute; dump_core: and there is nothing of that name */
	unsigned then;  /* save: it ends, runs on, or is paused */
	bool lazy;      /* resume, restore: memory comes as it is touched */
	bool live;      /* dump_core: the guest runs meanwhile */
	unsigned network; /* network_detach, network_forward: its devid */
	char *forward;    /* network_forward: as net_forward_parse() reads it */
	bool force;       /* disk_detach, disk_medium, network_detach: whatever the guest does */
	uint64_t memory;  /* memory, memory_max: KiB */
	unsigned weight, cap; /* scheduler: or OPERATION_AS_IT_IS */
	bool autostart;       /* autostart, receive */
	unsigned pause;       /* migrate: ms; 0: as the monitor has it */
	bool storage;         /* migrate, host_fetch: its disks go along */
	char *host; /* migrate: to one that is known (peers.h); NULL: over a connection that is open */
	bool evacuate;                       /* migrate: it is to come back */
	char *guest;                         /* host_fetch: its UUID */
	char *address, *fingerprint, *token; /* host_add */
	json_t *disk_sizes; /* receive: those that come along, bytes by vdev; or NULL */
	char *vcpu;         /* affinity: its number, or "all" */
	char *cpus, *soft;  /* affinity: as host/cpuset.h reads it; NULL: as it is */
	char **disks;       /* disk_layer: vdevs; none: all that it may write to */
	unsigned disks_count;
	char *disk;      /* disk_stream and its like: vdev */
	unsigned format; /* disk_backup: raw, qcow2 */
	char *since,
		*checkpoint; /* disk_backup, disk_export: block/copy.h; disk_checkpoint: the latter */
	char *base; /* disk_backup: absolute, what the file is to stand on; NULL: nothing */
	unsigned base_format; /* disk_backup: as format */
	bool remove;          /* disk_checkpoint, network_forward */
	uint64_t size;        /* disk_resize: bytes */
	uint64_t rate;        /* disk_stream and its like, migrate, host_fetch: bytes a second */
	char *listen;         /* disk_export: ADDR:PORT, where path is not the socket */
	bool persistent;      /* disk_export: it stays when clients leave */
	char *folder;         /* disk_layer: absolute; NULL: beside the disk */
	char *snapshot; /* which, where it is about one that there is; clone: from that, or NULL */
	char *comment;  /* snapshot_create */
	bool disk_only; /* snapshot_create */
	bool children;  /* snapshot_delete: what was made on it, too */
};

struct operation_kind {
	const char *name;    /* its operationId in doc/openapi.json */
	const char *answer;  /* the schema of its answer there */
	bool guest;          /* it is about the guest that ref names */
	const char *machine; /* it is for machines alone: what a container cannot be */
	const struct field
		*arguments; /* of struct operation_arguments, beside ref and vcpu; NULL: none */
	bool verb;          /* ask: its arguments are request, and so the verb's */
	void (*run)(struct operation *operation);
};

/*
 * log_clear answers with what it then forgets; destroy with the guest as it was, every other one that
 * changes a guest with the guest as it then is; exec with a socket on which a command in the guest is asked for
 * (vmm/exec.h); migration and receive with one on which monitors speak (migrate/wire.h). ask passes a verb of protocol/request.h on to the guest's
 * monitor as it is.
 */
extern const struct operation_kind operation_host, operation_log, operation_log_clear,
	operation_list, operation_create, operation_get, operation_delete, operation_start,
	operation_destroy, operation_ask, operation_rename, operation_dump_core, operation_memory,
	operation_memory_max, operation_scheduler_get, operation_scheduler, operation_autostart,
	operation_affinity, operation_save, operation_restore, operation_suspend, operation_resume,
	operation_jobs, operation_disk_layer, operation_disk_stream, operation_disk_commit,
	operation_disk_backup, operation_disk_resize, operation_disk_checkpoint,
	operation_disk_move, operation_clone, operation_convert, operation_exec, operation_networks,
	operation_network_create, operation_network_get, operation_network_edit,
	operation_network_start, operation_network_stop, operation_network_delete,
	operation_disk_attach, operation_disk_detach, operation_disk_medium, operation_disk_export,
	operation_network_attach, operation_network_detach, operation_network_forward,
	operation_share_attach, operation_share_detach, operation_snapshot_list,
	operation_snapshot_get, operation_snapshot_create, operation_snapshot_revert,
	operation_snapshot_delete, operation_migration, operation_migrate, operation_receive,
	operation_live_update, operation_hosts, operation_host_get, operation_host_add,
	operation_host_delete, operation_host_token, operation_host_fetch;

/* Defaults. operation_arguments_free() afterwards, also after it was given away (it is empty then). */
void operation_arguments_init(const struct operation_kind *kind,
	struct operation_arguments *arguments);
void operation_arguments_free(struct operation_arguments *arguments);
/*
 * Reads them from an object that a client sent (NULL: it sent none). For ask, request.verb must be set
 * before. -EINVAL: something in it is unknown, missing or out of bounds.
 */
int operation_arguments_read(const struct operation_kind *kind, const json_t *json,
	struct operation_arguments *arguments, struct error *err);

struct operation_answer {
	int r;         /* 0 or a negative errno */
	bool no_guest; /* r is -ENOENT: there is no such guest, or none that the caller may see */
	const char *text; /* the sentence where r is not 0; "" otherwise */
	json_t *value;    /* where r is 0; json_incref() it to keep it */
	int fd; /* exec, migration, receive: a connected socket, which becomes the asker's, and value is NULL; -1: none */
};
typedef void operation_done(void *ctx, const struct operation_answer *answer);

/*
 * Begins an operation. arguments are taken (left empty); the caller is not kept. done is called once:
 * later, or before this returns, which is then NULL.
 */
struct operation *operation_begin(const struct operation_kind *kind, struct daemon *daemon,
	const struct caller *caller, struct operation_arguments *arguments, operation_done *done,
	void *ctx);
/* done will not be called; what was begun goes on. NULL is allowed. */
void operation_abandon(struct operation *operation);
/* At the daemon's end, after its guests are freed: frees what still waits, and tells nobody. */
void operation_free_all(struct daemon *daemon);

/*
 * The guest's console, or its screen (RFB): *fd, a connected socket that becomes the asker's, carries bytes both ways.
 * -ENOENT and *no_guest as in an answer.
 */
int operation_console(struct daemon *daemon, const struct caller *caller, const char *ref, int *fd,
	bool *no_guest, struct error *err);
int operation_screen(struct daemon *daemon, const struct caller *caller, const char *ref, int *fd,
	bool *no_guest, struct error *err);
/* The events that the caller may see go to the listener from now on (events.h). */
int operation_listen(struct daemon *daemon, const struct caller *caller, struct listener *listener,
	struct error *err);

#endif
