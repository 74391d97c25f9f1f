/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved guests' files (state/file.h) as the daemon keeps them: with the guest's configuration, which makes
 * one whole, and under their name only once they are. Until then a file is NAME.new beside it. What a
 * managed guest is suspended to is such a file in the daemon's folder.
 *
 * Everything is done with the rights of who asked.
 */
#ifndef DACH_DAEMON_SAVED_H
#define DACH_DAEMON_SAVED_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "daemon/policy.h"
#include "domain/config.h"

struct daemon;
struct guest;

/* One that is being written. */
struct saved_file {
	struct caller owner;
	int fd, folder;
	char name[NAME_MAX + 1], temp[NAME_MAX + 1];
	char path[PATH_MAX]; /* of the latter, links resolved */
};

/*
 * Makes the file NAME.new beside path, for a guest that runs; a note in the guest's folder says so until
 * that is decided, for a daemon that comes after one that was killed. saved_close() afterwards, whatever
 * has become of it.
 */
int saved_begin(const struct guest *guest, const struct caller *caller, const char *path,
	struct saved_file *file, struct error *err);
/* The guest's state is in it: with the configuration it is stable, and has its name. */
int saved_commit(struct saved_file *file, const struct domain_config *config, struct error *err);
/* It is to be gone: before it had its name, or after it. */
void saved_drop(struct saved_file *file);
void saved_withdraw(struct saved_file *file);
void saved_close(struct saved_file *file);

/* Opens one for reading. config may be NULL: it is not asked for. */
int saved_open(const struct caller *caller, const char *path, int *fd, struct domain_config *config,
	struct error *err);
/* The configuration in an open one; whatever the file holds. */
int saved_read_config(int fd, const char *name, struct domain_config *config, struct error *err);

bool saved_is_noted(const struct guest *guest);
/* It is decided: no note any more. */
void saved_forget_note(const struct guest *guest);
/*
 * Another daemon made the note, if there is one: the file that was being written is removed. True: it has its
 * name already, so that the guest is to be no more. What cannot be told counts as not saved.
 */
bool saved_settle(const struct guest *guest);

/* What a managed guest is suspended to; path has PATH_MAX bytes. */
int saved_suspend_path(const struct guest *guest, char *path, struct error *err);
bool saved_is_suspended(const struct guest *guest);
void saved_forget_suspended(struct guest *guest);

#endif
