/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives of tar (POSIX.1-2017 pax, "Extended Header"; GNU tar's manual, "Basic Tar Format"), read whatever they
 * hold and written. Plain ones, by gzip and by zstd.
 */
#ifndef DACH_IMAGE_TAR_H
#define DACH_IMAGE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define TAR_PATH_MAX 4095u

enum tar_kind { TAR_FILE, TAR_FOLDER, TAR_SYMLINK, TAR_LINK, TAR_OTHER };

#define TAR_CAPABILITY 20u /* bytes of a file's capabilities (struct vfs_cap_data, version 2) */

struct tar_entry {
	enum tar_kind kind;
	char path[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1]; /* as they stand there */
	uint32_t mode;                                       /* the low 12 bits */
	uint64_t uid, gid, size;                             /* size: of a file's data */
	int64_t mtime;
	bool capable; /* it has capabilities, as an extended attribute: of those the only one that is kept */
	uint8_t capability[TAR_CAPABILITY];
};

struct tar_input;

/* name: for sentences; outlives it. fd becomes the input's. */
int tar_open(int fd, const char *name, struct tar_input **tar, struct error *err);
void tar_close(struct tar_input *tar); /* NULL is allowed */
/* The next entry: 1; 0: the end; or a negative errno. What was not read of the last one's data is skipped. */
int tar_next(struct tar_input *tar, struct tar_entry *entry, struct error *err);
/* Its data: how many bytes, 0 at their end; or a negative errno. */
ssize_t tar_read(struct tar_input *tar, void *to, size_t size, struct error *err);

/* Into fd: an entry's header (path and link as they stand, at most TAR_PATH_MAX), its data, the end. */
int tar_write_entry(int fd, const struct tar_entry *entry, struct error *err);
int tar_write_data(int fd, const void *from, size_t size, struct error *err);
int tar_write_padding(int fd, uint64_t size, struct error *err); /* behind so much data */
int tar_write_end(int fd, struct error *err);

#endif
