/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of a managed guest: what its disks, and where it ran its memory, were in one moment. The disks of one are
 * images that nobody writes to any more, since the guest went on in new ones over them (layer.h); its memory is a saved
 * guest's file (saved.h) in the daemon's folder. Each has a parent, the one that the guest came from when it was made.
 *
 * What counts is the store: a snapshot is there when it is in the list, which is written last when one is made and
 * first when one is deleted. Names of new images are in the store before the images are made. So after a daemon was killed at any
 * point, what no list and no guest needs is found and removed (snapshot_sweep()). A revert is in the store once all
 * that it needs is there; from then on it happens, by this daemon or the next: the guest ends, and then it is what it was.
 */
#ifndef DACH_DAEMON_SNAPSHOT_H
#define DACH_DAEMON_SNAPSHOT_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "domain/config.h"

#define SNAPSHOT_NAME_MAX 64
#define SNAPSHOT_COMMENT_MAX 1023
#define SNAPSHOTS_MAX 256 /* of a guest */
/* With memory, which the daemon keeps, of all guests of an owner who is no manager. */
#define SNAPSHOTS_USER_MAX 16

struct guest;
struct layer_set;

/* What the guest did. */
enum snapshot_state { SNAPSHOT_OFF, SNAPSHOT_RUNNING, SNAPSHOT_PAUSED };

struct guest_snapshot {
	struct guest_snapshot *next; /* in the order in which they were made */
	char name[SNAPSHOT_NAME_MAX + 1], parent[SNAPSHOT_NAME_MAX + 1]; /* parent "": none */
	char *comment;                                                   /* NULL */
	int64_t created;                                                 /* Unix seconds */
	enum snapshot_state state;
	bool memory;                 /* it has a file */
	struct domain_config config; /* with the disks that stand still since */
};

/* What a guest is on its way to. */
enum snapshot_work {
	SNAPSHOT_NO_WORK,
	SNAPSHOT_REVERT, /* it is to end, if it runs, and to become `next` */
	SNAPSHOT_START,  /* it has, and is to be started */
};

/* A guest's. Starts zeroed. */
struct snapshots {
	struct guest_snapshot *first;
	char current[SNAPSHOT_NAME_MAX + 1]; /* the parent of what the guest is now; "": none */
	struct snapshot_file {
		char *path, *base; /* what it was made over */
	} * file;                  /* images that were made for it */
	unsigned files;
	enum snapshot_work work;
	char target[SNAPSHOT_NAME_MAX + 1]; /* of the work: to which */
	struct domain_config next;          /* REVERT */
	bool starts, paused;                /* REVERT, START: it is to run then, or to stand */
	/* Not in the store: */
	bool busy;  /* one is being made */
	bool tried; /* START: it was, by this daemon */
};

/* [A-Za-z0-9][A-Za-z0-9_.-]*, SNAPSHOT_NAME_MAX bytes at most. */
bool snapshot_name_valid(const char *name);
/* A new one at the list's end, whose parent is the current one; config is copied. NULL: out of memory. */
struct guest_snapshot *snapshot_add(struct guest *guest, const char *name,
	const struct domain_config *config);
/* Out of the list, and freed; its children become its parent's, and so does the guest. */
void snapshot_remove(struct guest *guest, struct guest_snapshot *snapshot);
struct guest_snapshot *snapshot_find(const struct guest *guest, const char *name);
unsigned snapshot_count(const struct guest *guest);
/* As the API tells it. NULL: out of memory. */
json_t *snapshot_describe(const struct guest *guest, const struct guest_snapshot *snapshot);

/* From the store, and into it: all of the guest's. */
int snapshots_load(struct guest *guest, struct error *err);
int snapshots_save(const struct guest *guest, struct error *err);
void snapshots_free(struct guest *guest);

/* Where its memory is. The folder is made. */
int snapshot_memory_path(const struct guest *guest, const char *name, char path[PATH_MAX],
	struct error *err);
void snapshot_remove_memory(const struct guest *guest, const char *name);
/* Takes note of an image about to be made; snapshots_save() afterwards. */
int snapshot_add_file(struct guest *guest, const char *path, const char *base, struct error *err);
void snapshot_free_file(struct snapshot_file *file);
/*
 * The store knows of new images over what a managed guest has as disks, before they are made, and snapshot_sweep() removes
 * them when nothing needs them any more.
 */
int snapshot_note_images(struct guest *guest, const struct layer_set *set, struct error *err);
/* The same with names that nothing has; and makes them, for layer_enter() or layer_exchange(). */
int snapshot_make_images(struct guest *guest, struct layer_set *set, struct error *err);
/* Whether a snapshot's disks are made of this open file. */
bool snapshot_needs(const struct guest *guest, int fd);
/* Removes what nothing needs: images that were made for it, files of memory. While none is being made. */
void snapshot_sweep(struct guest *guest);

/*
 * Where the image below another one of a disk of a guest that runs is needed by nothing else any more, the two become
 * one, one disk after the other: what the top has comes into the image below it, and what is below another image comes into that, so
 * that a snapshot's disks keep their names; done is called once, maybe at once (NULL: nobody waits).
 */
void snapshot_merge(struct guest *guest, void (*done)(void *ctx), void *ctx);

/* Its revert, now that it is off: the guest is what it was then, in the store too, or nothing has changed. */
int snapshot_apply(struct guest *guest, struct error *err);
/* The guest is off, or the daemon has just begun: what it was on its way to. */
void snapshot_carry_on(struct guest *guest);
/* The guest's monitor has answered for the first time, and its disks are known. */
void snapshot_settle(struct guest *guest);

#endif
