/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New images for the disks of a guest that runs: made as the guest's owner, beside the disks' own or in a folder,
 * each empty over what the disk is now. The order in which they come into use (op_disk.c):
 *
 *   1. a note in the guest's folder names the files and what they stand on; then they are made, and stable
 *   2. the store has them as the guest's disks. Nobody writes to them yet, so over what the monitor still
 *      writes to they read as that: should all end now, the guest starts with what it had
 *   3. its monitor puts them on its disks (block/layer.h)
 *   4. the note goes
 *
 * If the third fails, the store goes back first and the files go last. A daemon that finds the note asks the monitor
 * which it was.
 */
#ifndef DACH_DAEMON_LAYER_H
#define DACH_DAEMON_LAYER_H

#include <jansson.h>

#include "base/error.h"
#include "daemon/monitor.h"
#include "domain/config.h"
#include "protocol/limits.h"

struct guest;

struct layer_disk {
	unsigned disk;   /* of the configuration */
	unsigned number; /* of the monitor's, which has no empty drives */
	int fd;          /* the new file, until it is handed over */
	/* The one of the two that the configuration has not. */
	char *path;
	enum domain_format format;
	bool entered; /* the configuration has the new one */
};

struct layer_set {
	struct layer_disk disk[LIMIT_DISKS];
	unsigned count;
};

/* Refuses a disk that is on an NBD server: no image can be put beside it or on it. */
int layer_is_here(const struct domain_disk *disk, struct error *err);
/* A disk's size, bytes. */
int layer_measure(const struct guest *guest, const struct domain_disk *disk, uint64_t *size,
	struct error *err);
/* The same, with the rights of anybody. */
struct caller;
int layer_measure_as(const struct caller *caller, const struct domain_disk *disk, uint64_t *size,
	struct error *err);
/*
 * Names for files of these disks (by vdev; none named: all that the guest may write to). folder NULL: each beside what
 * it stands on. On failure set is empty. layer_free() afterwards.
 */
int layer_plan(const struct guest *guest, char *const *vdev, unsigned vdevs, const char *folder,
	struct layer_set *set, struct error *err);
/*
 * Steps 1 and 2, the guest's claims included; files that are made already (layer_make_named()) are taken as they are.
 * On failure nothing has changed, and the files are gone.
 */
int layer_enter(struct guest *guest, struct layer_set *set, struct error *err);
/* Step 3: sends the nth file to the monitor; what then makes them the disks' is asked for when all are there. */
void layer_send(struct guest *guest, const struct layer_set *set, unsigned n, monitor_done *done,
	void *ctx);
/* Step 3 came to nothing: the guest has its disks as before. */
void layer_withdraw(struct guest *guest, struct layer_set *set);
/* Step 4. */
void layer_done(struct guest *guest, struct layer_set *set);
void layer_free(struct layer_set *set);

/* Removes an image that was the guest's. */
void layer_remove(const struct guest *guest, const struct caller *owner, char *path);

/*
 * For a guest's snapshots: names that nothing has, of images over what a configuration of it has as disks; then the images,
 * stable; then they change places with what the configuration has. A configuration without disks that the guest may write
 * to has none. What was made is not removed on failure; -EEXIST: something has got one of the names meanwhile.
 */
int layer_name(const struct guest *guest, const struct domain_config *config, struct layer_set *set,
	struct error *err);
int layer_make_named(const struct guest *guest, const struct domain_config *config,
	struct layer_set *set, struct error *err);
void layer_exchange(struct domain_config *config, struct layer_set *set);

/*
 * Disks of a clone's own, each empty over one of the guest's that it is a copy of, whose configuration it has. First
 * they get names, which the configuration then has, and set what they are to stand on; a guest without disks that it
 * may write has none. Then, once the store knows them, they are made. They go when the guest is forgotten.
 */
int layer_name_own(struct guest *guest, const char *folder, struct layer_set *set,
	struct error *err);
int layer_make_own(const struct guest *guest, const struct layer_set *set, struct error *err);
void layer_remove_own(const struct guest *guest);

/* It runs, and nothing else is done to its disks or its state. Otherwise -EINVAL or -EBUSY, and what is. */
int layer_may_begin(const struct guest *guest, struct error *err);
/* A daemon before this one made the note, if there is one. info: what the monitor says; NULL: there is none. */
void layer_settle(struct guest *guest, const json_t *info);

#endif
