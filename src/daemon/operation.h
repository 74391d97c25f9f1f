/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked of the daemon, by whom and with what: one function for each, whatever wire the
 * question came over (api/http/ is one). Here a caller's rights are looked at, arguments checked, state
 * changed and kept, monitors asked.
 *
 * An operation has a caller (policy.h), arguments and an answer that comes at once or later. Everything on
 * the loop's thread.
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
#define OPERATION_AS_IT_IS UINT32_MAX   /* a number that is not to change */

/* Of all operations: which of them one takes tells its table of fields. Strings are malloc'd or NULL. */
struct operation_arguments {
	char *ref; /* which guest: domain ID, UUID or name; NULL where it is about none */
	struct monitor_request request; /* ask */
	json_t *config;                 /* create: as domain_config_from_json() takes it */
	bool paused;                    /* create, start */
	bool managed;                   /* create */
	enum field_choice start;        /* create: left out, it is started unless it is managed */
	char *name;                     /* rename */
	char *path;                     /* dump_core: absolute, and there is nothing of that name */
	bool live;                      /* dump_core: the guest runs meanwhile */
	uint64_t memory;                /* memory, memory_max: KiB */
	unsigned weight, cap;           /* scheduler: or OPERATION_AS_IT_IS */
	bool autostart;                 /* autostart */
	char *vcpu;                     /* affinity: its number, or "all" */
	char *cpus, *soft;              /* affinity: as host/cpuset.h reads it; NULL: as it is */
};

struct operation_kind {
	const char *name;   /* its operationId in doc/openapi.json */
	const char *answer; /* the schema of its answer there */
	bool guest;         /* it is about the guest that ref names */
	const struct field
		*arguments; /* of struct operation_arguments, beside ref and vcpu; NULL: none */
	bool verb;          /* its arguments are those of the monitor's verb in request, instead */
	void (*run)(struct operation *operation);
};

/*
 * log_clear answers with what it then forgets; destroy with the guest as it was, every other one that
 * changes a guest with the guest as it then is. ask passes a verb of protocol/request.h on to the guest's
 * monitor as it is.
 */
extern const struct operation_kind operation_host, operation_log, operation_log_clear,
	operation_list, operation_create, operation_get, operation_delete, operation_start,
	operation_destroy, operation_ask, operation_rename, operation_dump_core, operation_memory,
	operation_memory_max, operation_scheduler_get, operation_scheduler, operation_autostart,
	operation_affinity;

/* Defaults. operation_arguments_free() afterwards, also after it was given away (it is empty then). */
void operation_arguments_init(const struct operation_kind *kind,
	struct operation_arguments *arguments);
void operation_arguments_free(struct operation_arguments *arguments);
/*
 * Out of an object that a client sent (NULL: it sent none). For ask, request.verb is set before: its
 * arguments are the verb's. What is unknown, missing or out of bounds is -EINVAL.
 */
int operation_arguments_read(const struct operation_kind *kind, const json_t *json,
	struct operation_arguments *arguments, struct error *err);

struct operation_answer {
	int r;         /* 0 or a negative errno */
	bool no_guest; /* r is -ENOENT: there is no such guest, or none that the caller may see */
	const char *text; /* the sentence where r is not 0; "" otherwise */
	json_t *value;    /* where r is 0; json_incref() it to keep it */
};
typedef void operation_done(void *ctx, const struct operation_answer *answer);

/*
 * Begins one. arguments are taken (left empty); the caller is not kept. done comes once, before this
 * returns or later: NULL is returned if it has come already.
 */
struct operation *operation_begin(const struct operation_kind *kind, struct daemon *daemon,
	const struct caller *caller, struct operation_arguments *arguments, operation_done *done,
	void *ctx);
/* Nobody waits for it any more: done is not called. What was begun goes on. NULL is allowed. */
void operation_abandon(struct operation *operation);
/* With the daemon's end, after its guests: whatever still waits is freed, and nobody is told. */
void operation_free_all(struct daemon *daemon);

/*
 * The guest's console: *fd, a connected socket that becomes the asker's, carries bytes both ways. -ENOENT
 * and *no_guest as in an answer.
 */
int operation_console(struct daemon *daemon, const struct caller *caller, const char *ref, int *fd,
	bool *no_guest, struct error *err);
/* The events that the caller may see go to the listener from now on (events.h). */
int operation_listen(struct daemon *daemon, const struct caller *caller, struct listener *listener,
	struct error *err);

#endif
