/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a file system on the disk, of the kinds that fs/ has, read-only. */
#ifndef DACH_BOOTDISK_VOLUME_H
#define DACH_BOOTDISK_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bootdisk/partition.h"

struct volume;

enum volume_kind { VOLUME_NOTHING, VOLUME_FILE, VOLUME_FOLDER, VOLUME_OTHER };

/* The bytes stay the caller's. -ENODATA, without a sentence: what is there is no such file system. */
int volume_open(const struct disk_bytes *bytes, const char *name, const struct partition *where,
	struct volume **volume, struct error *err);
/* NULL is allowed. */
void volume_close(struct volume *volume);

/*
 * What is at an absolute path, behind its symbolic links. What cannot be read is nothing. size: a
 * file's, in bytes; may be NULL.
 */
enum volume_kind volume_look(struct volume *volume, const char *path, uint64_t *size);
/* Calls each for the names in a folder, in no order, until it says false; there may be none. */
void volume_list(struct volume *volume, const char *path, bool (*each)(void *to, const char *name),
	void *to);

/*
 * Where on the disk a file of size bytes lies; false: not in one place that may be written over without
 * the file system's knowing.
 */
bool volume_place(struct volume *volume, const char *path, size_t size, uint64_t *offset);

/*
 * A regular file by its absolute path; symbolic links are followed. -ENOENT, without a sentence:
 * there is none. -EFBIG: it has more than max bytes.
 *
 * volume_find() only looks; volume_read() leaves it in memory, with a 0 behind it, the caller's to free; volume_copy() in the
 * file to, at an offset.
 */
int volume_find(struct volume *volume, const char *path, struct error *err);
int volume_read(struct volume *volume, const char *path, uint64_t max, char **bytes, size_t *size,
	struct error *err);
int volume_copy(struct volume *volume, const char *path, uint64_t max, int to, uint64_t at,
	uint64_t *size, struct error *err);

#endif
