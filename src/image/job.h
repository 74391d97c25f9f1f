/* SPDX-License-Identifier: Apache-2.0 */
/* The making of one image, as its steps share it (inside image/ only). */
#ifndef DACH_IMAGE_JOB_H
#define DACH_IMAGE_JOB_H

#include <limits.h>
#include <signal.h>
#include <stddef.h>

#include "base/error.h"
#include "image/create.h"
#include "image/overlay.h"

/* Files of the work folder that are gone when the image is ready. */
#define JOB_APT_CONF "apt.conf"
#define JOB_APT_SOURCES "apt.list"

struct job {
	const struct image_request *request;
	struct overlay overlay;
	char work[PATH_MAX]; /* the folder where everything is made, as an absolute path (work.h) */
	int lock;            /* on it */
	char uuid[37];       /* of the root file system */
	char ssh_key[8192];
	int log, signals; /* see struct process */
};

/* Runs a program in the work folder, its lines in the log. */
int job_run(struct job *job, const char *const *argv, struct error *err);
/* The same, with each line of its output to line. */
int job_read(struct job *job, const char *const *argv, void (*line)(void *ctx, const char *line),
	void *ctx, struct error *err);
/* The same, but the log does not get to see the output, in which there may be passwords. */
int job_read_private(struct job *job, const char *const *argv,
	void (*line)(void *ctx, const char *line), void *ctx, struct error *err);

/* create.c: what making any image begins and ends with. */
int job_make_uuid(char uuid[37], struct error *err);
/* Blocks the signals that end it; a signalfd, or a negative errno. */
int job_catch_signals(sigset_t *old, struct error *err);
/* Takes work folder and log; final: the image's folder to be, of PATH_MAX bytes. */
int job_prepare(struct job *job, char *final, size_t size, char *log, struct error *err);
/* Opens the ready folder to others, unless a root is in it, whose programs are this host's root's too; then it gets its name. */
int job_finish(struct job *job, const char *final, struct error *err);
/* Closes log and lock; signals are as they were. failed: why, for the log; or NULL. */
void job_end(struct job *job, const sigset_t *old, const struct error *failed);

/* root.c: makes root.tar, vmlinuz and initrd.img in the work folder. */
int job_make_root(struct job *job, struct error *err);
/* disk.c: makes disk.raw of root.tar, which is gone afterwards. */
int job_make_disk(struct job *job, struct error *err);

#endif
