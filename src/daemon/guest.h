/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's guests: the list, finding one, keeping it in the store, describing it. */
#ifndef DACH_DAEMON_GUEST_H
#define DACH_DAEMON_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "domain/config.h"
#include "daemon/snapshot.h"
#include "daemon/store.h"
#include "protocol/limits.h"

#define GUEST_TEXT_MAX 512

struct daemon;
struct live_update;
struct monitor;
struct caller;

/* Somebody who waits until a guest has started, or has ended. */
struct guest_wait {
	struct guest_wait *next;
	bool end; /* else: started */
	void (*done)(void *ctx, int r, const char *text);
	void *ctx;
};

/* What its next monitor shares with the one that it has (live_update.c); -1: not that. */
struct guest_handed {
	int ram;
	int variables; /* UEFI's, locked for the guest */
	int net[LIMIT_NETWORKS];
	unsigned mtu[LIMIT_NETWORKS];
};

struct guest {
	struct guest *next;
	struct daemon *daemon;
	/* As the store has it. */
	struct domain_config config;
	uid_t owner;
	bool managed, autostart;
	enum record_state state;
	unsigned domid; /* 0: none */
	int64_t started;
	pid_t pid;
	char boot[STORE_BOOT_LEN + 1];
	enum end_reason reason; /* of its last end, and the next two */
	char text[GUEST_TEXT_MAX];
	int64_t ended;
	struct snapshots snapshots;
	/* Of this life only. */
	struct monitor *monitor; /* NULL: no monitor, or it has gone */
	struct loop_fd process;  /* process.h */
	bool begun;      /* its monitor was started by this daemon, and not by one before it */
	bool up;         /* its monitor has answered */
	bool destroying; /* somebody asked for its end */
	bool ending;     /* its monitor cannot be asked any more, and may still be there */
	bool held;       /* it has ended, its monitor stays for a look */
	bool dumping;
	unsigned committing; /* disks that may be another file any moment */
	bool plugging;       /* a disk comes or goes */
	bool deaf;           /* its monitor did not answer in time; a question waits for it */
	bool late;           /* it starts with the host and could not yet: daemon.c */
	bool retrying;       /* the timer begins its next life */
	bool created;        /* by a request that still waits: gone if it does not start */
	bool paused;         /* starts paused */
	bool told_paused;    /* what listeners and the log have been told last */
	bool suspended;      /* its state is kept (saved.h), and the next start goes on from it */
	bool saved;       /* its state has its file: whatever its monitor says, it ends as saved */
	int state_fd;     /* what it is about to go on from; -1: it starts anew */
	char *state_name; /* for messages; NULL */
	int layer[LIMIT_LAYERS]; /* a clone: the memory that it goes on from ... */
	unsigned layers;         /* ... until it has been started */
	bool arriving; /* what it goes on from is the connection to where it still runs ... */
	bool becomes_managed, becomes_autostart; /* ... and what it is to be once it is here */
	const json_t
		*disk_sizes; /* ... of disks that it brings, while it begins: by vdev; or NULL */
	json_t *brought;     /* files that were made for them (op_migrate.c, "made"); NULL: none */
	const struct guest_handed *handed; /* while its next monitor is started; or NULL */
	struct live_update
		*update; /* it is about to have another monitor, or just got it; or NULL */
	bool writes; /* its memory is or was written to a file, which counts as its own where that is in memory (tmpfs) */
	unsigned frozen;         /* layers of memory that it stands on, which its clones do, too */
	bool departing;          /* its monitor has been told to send it elsewhere */
	int line;                /* the connection for that, which waits for it; -1 */
	bool lazy;               /* and memory comes as it is touched */
	bool renews;             /* and others go on from there, too, or it did before */
	json_t *info;            /* the monitor's last answer; NULL */
	unsigned brief;          /* lives in a row that were short: after.c */
	unsigned tries;          /* of what the timer does */
	bool killed;             /* its monitor was, which is in the log */
	struct loop_timer timer; /* life.c's; without a loop until it is first needed */
	struct guest_wait *waits;
};

/* The sentence's names are 64 bytes at most. */
#define GUEST_LABEL "%.64s"

/* A new one with the configuration, which is taken (left empty). Not in the list nor the store. */
struct guest *guest_new(struct daemon *daemon, struct domain_config *config);
/* From the store. */
int guest_from_record(struct daemon *daemon, const struct record *record, struct guest **guest,
	struct error *err);
void guest_add(struct guest *guest);  /* into the list */
void guest_sort(struct guest *guest); /* its domain ID or name has changed */
/* Out of the list, and freed. Its waits are told -ENOENT. */
void guest_free(struct guest *guest);

/* state_fd, state_name and layers: it does not go on from there any more. */
void guest_drop_state(struct guest *guest);

/*
 * The guest that ref names and the caller may see: by its domain ID, its UUID, its name, or UID/NAME. Names are
 * their owner's: one's own guest goes before others', and a manager reaches those of others by the name
 * alone as long as only one has it. -ENOENT; -EEXIST: several, which the sentence names.
 */
int guest_find(struct daemon *daemon, const struct caller *caller, const char *ref,
	struct guest **guest, struct error *err);
#define GUEST_REF_MAX (DOMAIN_NAME_MAX + 12)
/* By what those who see it reach it: its name, or UID/NAME where the name leads elsewhere. */
const char *guest_ref(const struct guest *guest, bool manager, uid_t uid, char text[GUEST_REF_MAX]);
struct guest *guest_by_name(struct daemon *daemon, uid_t owner, const char *name);
struct guest *guest_by_uuid(struct daemon *daemon, const char *uuid);
/* It has no life, and none is to begin by itself. */
bool guest_is_off(const struct guest *guest);
/* It has a monitor that can be asked (also one that was found again and has yet to say something). */
bool guest_answers(const struct guest *guest);
/* A manager may see it, and its owner. */
bool guest_visible(const struct guest *guest, bool manager, uid_t uid);

/* Commits it as it is now. */
int guest_save(struct guest *guest, struct error *err);
/* The same for what counts only while this host goes on: store_relax(). */
int guest_note(struct guest *guest, struct error *err);
/* The same with a new domain ID, given only if that works. */
int guest_save_new_life(struct guest *guest, struct error *err);

/* A line in the daemon's log; text, what more there is to say, may be "". */
void guest_log(const struct guest *guest, const char *what, const char *text);

void guest_wait(struct guest *guest, bool end, void (*done)(void *ctx, int r, const char *text),
	void *ctx);
/* Tells those who wait for what has happened; with r, those who wait in vain. */
void guest_tell(struct guest *guest, bool end, int r, const char *text);

#endif
