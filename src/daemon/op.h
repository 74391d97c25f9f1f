/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations share (op_*.c): see operation.h. */
#ifndef DACH_DAEMON_OP_H
#define DACH_DAEMON_OP_H

#include "daemon/operation.h"
#include "domain/config.h"

struct guest;

#define OP_VERB_TIMEOUT_MS 10000
#define OP_REFRESH_MS 2000
#define OP_NO_DISKS "given other disks: it has none" /* operation_kind.machine */

struct operation {
	struct operation *next;
	const struct operation_kind *kind;
	struct daemon *daemon;
	const struct caller *caller; /* while it begins; NULL afterwards */
	bool manager;                /* what of the caller counts also later */
	uid_t uid;
	struct operation_arguments arguments;
	char uuid[DOMAIN_UUID_LEN + 1]; /* of the guest that it is about, across waiting */
	int fd;                         /* the answer's, own; -1 */
	json_t *value; /* the answer, where it is made before its time; own reference */
	unsigned open; /* list: answers that guests still owe to it */
	bool beginning, finished;
	operation_done *done;
	void *ctx;
};

/*
 * Each of these ends the operation. Afterwards it is gone, unless it is still beginning (inside of
 * operation_begin()). value is taken; NULL: out of memory.
 */
void op_finish(struct operation *op, json_t *value);
/* With its descriptor. */
void op_finish_fd(struct operation *op);
void op_refuse(struct operation *op, int r, const char *text);
void op_refuse_error(struct operation *op, int r, const struct error *err);
/* With the guest as it is, after its monitor has been asked. */
void op_finish_guest(struct operation *op, struct guest *guest);

/* The guest as the caller sees it; NULL: out of memory. */
json_t *op_describe(const struct operation *op, const struct guest *guest);

/*
 * The guest that it is about. NULL: the guest is gone, and the operation was ended with that. While it
 * begins the guest is always there.
 */
struct guest *op_guest(struct operation *op);
/* The same, once what was asked for has come out as r; if it failed the operation was ended with text. */
struct guest *op_guest_after(struct operation *op, int r, const char *text);
/* The same, if it has a monitor that can be asked. */
struct guest *op_running_guest(struct operation *op);
/* What a monitor_call() of an operation calls: ends with the guest, or as the monitor refused. */
void op_asked(void *ctx, int r, json_t *answer, const char *text);

/* op_life.c: may there be such a guest, new and the caller's? Completes it. While the operation begins. */
int op_check_new(struct operation *op, struct domain_config *config, struct error *err);
/* Takes a guest that is in no list into it, and starts it or keeps it; ends the operation with it. */
void op_add_guest(struct operation *op, struct guest *guest, bool start, const char *how);
/* Starts one that is off; ends the operation with it. */
void op_start_guest(struct operation *op, struct guest *guest);

/* What would keep a guest that is off from starting keeps it from being kept, too. */
int op_try_open(const struct guest *guest, struct error *err);

#endif
