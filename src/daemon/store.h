/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must last of the guests: one SQLite file, and while it is open its log beside it (-wal).
 * Everything that is visible outside was committed here before. A commit is on the disk when the call
 * returns (synchronous=FULL), and a process that is killed in the middle leaves the state before it.
 *
 * One thread. One process at a time: the daemon's lock sees to it.
 */
#ifndef DACH_DAEMON_STORE_H
#define DACH_DAEMON_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define STORE_VERSION 5
#define STORE_BOOT_LEN 36

enum record_state {
	RECORD_OFF,      /* managed, no monitor */
	RECORD_STARTING, /* has a domain ID; its monitor may or may not have been started */
	RECORD_RUNNING,  /* has a monitor, as far as is known */
	RECORD_SHUTDOWN, /* ended and preserved */
};

/* One guest. The store's to read while a function runs; strings of a loaded one are the store's. */
struct record {
	const char *uuid, *name; /* unique; the name among its owner's */
	const char *config;      /* struct domain_config as JSON */
	uid_t owner;
	bool managed, autostart;
	enum record_state state;
	unsigned domid;   /* 0: none */
	int64_t started;  /* Unix seconds; 0 */
	pid_t pid;        /* of the monitor; 0 */
	const char *boot; /* the host's boot ID when it was started; "" */
	/* How it ended last; reason "" if it never did. */
	const char *reason, *text;
	int64_t ended;
};

struct store;

/*
 * Opens or makes the file; one of an older version is changed to this one's. -EUCLEAN: it is no store or damaged; -EPROTO: a newer dachd wrote it
 * (left as it is); -ENOSPC, ...
 */
int store_open(const char *path, struct store **store, struct error *err);
void store_close(struct store *store); /* NULL is allowed */

/* Calls each for every guest, by name and owner; stops when it fails and returns that. */
int store_load(struct store *store, int (*each)(void *ctx, const struct record *record), void *ctx,
	struct error *err);

/*
 * Changes are made between these two, or one alone is a transaction of its own. After a failure
 * inside, store_rollback() (which store_commit() does itself when it fails).
 */
int store_begin(struct store *store, struct error *err);
int store_commit(struct store *store, struct error *err);
void store_rollback(struct store *store);

/*
 * Until it is called with false, what is committed lasts when processes are killed, and may be lost with the host: for
 * what nobody asks for after a boot, and must not wait for a disk. Not inside of a change.
 */
void store_relax(struct store *store, bool relaxed);

int store_save(struct store *store, const struct record *record, struct error *err);
/* Its snapshots go with it. */
int store_delete(struct store *store, const char *uuid, struct error *err);
/* What is known of a guest's snapshots (snapshot.h), one text; NULL: nothing any more. */
int store_save_snapshots(struct store *store, const char *uuid, const char *text,
	struct error *err);
/* NULL: none, which is no error. free() afterwards. */
int store_load_snapshots(struct store *store, const char *uuid, char **text, struct error *err);
/* A network of the host's (network.h), one text; NULL: forgotten. */
int store_save_network(struct store *store, const char *name, const char *text, struct error *err);
/* Calls each for every network, by name; stops when it fails and returns that. */
int store_load_networks(struct store *store,
	int (*each)(void *ctx, const char *name, const char *text), void *ctx, struct error *err);
/* Another host (peers.h), likewise. */
int store_save_peer(struct store *store, const char *name, const char *text, struct error *err);
int store_load_peers(struct store *store,
	int (*each)(void *ctx, const char *name, const char *text), void *ctx, struct error *err);
/* A domain ID that was never given before; counted for ever, from 1. */
int store_take_domid(struct store *store, unsigned *domid, struct error *err);
/* What the next will be; 0 if it cannot be read. */
unsigned store_next_domid(struct store *store);

const char *record_state_name(enum record_state state);

#endif
