/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "protocol/launch.h"

/*
 * A line: device, number of the file on it, and r, w, b for what was written to and is only read now, e and d for what
 * was read, or written to, and the guest has given up, - for what is gone.
 */
#define CLAIM_MAX 40 /* bytes */
#define CLAIMS_MAX \
	(1u << 20) /* disks come and go, layers pile up: more of them than that in no life */

#define REMOTE UINT64_MAX /* no device's number */

struct claim {
	uint64_t device, file;
	bool writable;
};

/* By its name: FNV-1a. */
static uint64_t number_of(const char *name)
{
	uint64_t number = 0xcbf29ce484222325;

	for (; *name; name++)
		number = (number ^ (unsigned char)*name) * 0x100000001b3;
	return number;
}

static int claim_of(const struct disk_file *file, bool writable, struct claim *claim,
	struct error *err)
{
	struct stat st;

	if (file->fd < 0) { /* on an NBD server, which knows whose else it is */
		*claim = (struct claim){REMOTE, number_of(file->name), writable};
		return 0;
	}
	if (fstat(file->fd, &st))
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	/* A block device has many names, each a file of its own. */
	*claim = S_ISBLK(st.st_mode) ? (struct claim){st.st_rdev, 0, writable}
				     : (struct claim){st.st_dev, st.st_ino, writable};
	return 0;
}

static bool in_conflict(const struct claim *a, const struct claim *b)
{
	return a->device == b->device && a->file == b->file && (a->writable || b->writable);
}

/* Does the other guest have it? text: its file; same: its owner is the same. */
static bool has(const char *text, const struct claim *wanted, bool same)
{
	for (const char *line = text; *line;) {
		const char *next = strchr(line, '\n');
		struct claim claim;
		char mode;

		if (sscanf(line, "%" SCNx64 ":%" SCNx64 " %c", &claim.device, &claim.file, &mode) ==
			3) {
			claim.writable = mode == 'w' || (strchr("bd", mode) && !same);
			if (mode != '-' && !(strchr("de", mode) && same) &&
				in_conflict(&claim, wanted))
				return true;
		}
		if (!next)
			break;
		line = next + 1;
	}
	return false;
}

/* "" if it has none. free() afterwards; NULL: it cannot be read. */
static char *claims_of(const struct guest *guest)
{
	char *text = NULL;
	struct error err = {0};
	size_t len;
	int fd, r = launch_open_file(guest, "disks", O_RDONLY, &fd, &err);

	if (r)
		return r == -ENOENT ? strdup("") : NULL;
	if (io_read_file(fd, CLAIMS_MAX, &text, &len))
		text = NULL;
	close(fd);
	return text;
}

/* Whose it is only that one's owner is told. */
static int refuse(const struct guest *guest, const struct guest *has, const char *name,
	struct error *err)
{
	if (has->owner != guest->owner)
		return error_set(err, EBUSY, "%s: in use by another guest or program", name);
	return error_set(err, EBUSY, "%s: in use by the guest '" GUEST_LABEL "'", name,
		has->config.name);
}

static int check(const struct guest *guest, const struct claim *claim, unsigned count,
	const char *const *name, struct error *err)
{
	int r = 0;

	for (const struct guest *at = guest->daemon->guests; at && !r; at = at->next) {
		char *text;

		if (at == guest || !at->domid)
			continue;
		text = claims_of(at);
		for (unsigned i = 0; text && !r && i < count; i++)
			if (has(text, &claim[i], at->owner == guest->owner))
				r = refuse(guest, at, name[i], err);
		if (!text)
			r = error_set(err, EIO,
				"it cannot be told which files '" GUEST_LABEL "' has",
				at->config.name);
		free(text);
	}
	return r;
}

static void line_of(const struct claim *claim, char line[CLAIM_MAX + 1])
{
	snprintf(line, CLAIM_MAX + 1, "%" PRIx64 ":%" PRIx64 " %c\n", claim->device, claim->file,
		claim->writable ? 'w' : 'r');
}

static int write_claim(const struct guest *guest, int fd, const struct claim *claim,
	struct error *err)
{
	char line[CLAIM_MAX + 1];
	int r;

	line_of(claim, line);
	r = io_write_all(fd, line, strlen(line));
	return r ? error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r)) : 0;
}

int claims_take(const struct guest *guest, const struct launch_spec *spec, int fd,
	struct error *err)
{
	struct claim claim[LAUNCH_FDS_MAX] = {{0}};
	const char *name[LAUNCH_FDS_MAX] = {NULL};
	unsigned count = 0;
	int r = 0;

	for (unsigned i = 0; i < spec->disks; i++) {
		const struct disk_spec *disk = &spec->disk[i];

		for (unsigned k = 0; !r && k < disk->files && count < LAUNCH_FDS_MAX; k++) {
			name[count] = disk->file[k].name;
			r = claim_of(&disk->file[k], !k && !disk->readonly, &claim[count++], err);
		}
	}
	if (!r)
		r = check(guest, claim, count, name, err);
	for (unsigned i = 0; !r && i < count; i++)
		r = write_claim(guest, fd, &claim[i], err);
	return r;
}

int claims_add(const struct guest *guest, int fd, struct error *err)
{
	struct claim claim;
	int file, r = claim_of(&(struct disk_file){.fd = fd, .name = "a layer"}, true, &claim, err);

	if (!r)
		r = launch_open_file(guest, "disks", O_WRONLY | O_APPEND, &file, err);
	if (r)
		return r;
	r = write_claim(guest, file, &claim, err);
	close(file);
	return r;
}

/* Where the line of such a mode is that the file has, of its life's. -1: nowhere. */
static long find_line(const struct guest *guest, const struct disk_file *file, char mode)
{
	char line[CLAIM_MAX + 1], *text, *at;
	struct claim claim;
	long found = -1;

	if (claim_of(file, true, &claim, NULL))
		return -1;
	line_of(&claim, line);
	line[strlen(line) - 2] = mode;
	text = claims_of(guest);
	at = text ? strstr(text, line) : NULL;
	if (at && (at == text || at[-1] == '\n'))
		found = at - text + (long)strlen(line) - 2;
	free(text);
	return found;
}

int claims_same(const struct guest *guest, const struct launch_spec *spec, struct error *err)
{
	for (unsigned i = 0; i < spec->disks; i++) {
		const struct disk_spec *disk = &spec->disk[i];

		for (unsigned k = 0; k < disk->files; k++) {
			const struct disk_file *file = &disk->file[k];
			const bool own = !k && !disk->readonly ? find_line(guest, file, 'w') >= 0
							       : find_line(guest, file, 'r') >= 0 ||
					find_line(guest, file, 'b') >= 0;

			if (!own)
				return error_set(err, EBUSY,
					"%s: is another file now than the guest has", file->name);
		}
	}
	return 0;
}

/* Whether there was one. */
static bool change(const struct guest *guest, const struct disk_file *file, char from, char to)
{
	long at = find_line(guest, file, from);
	int fd, r;

	if (at < 0 || launch_open_file(guest, "disks", O_WRONLY, &fd, NULL))
		return false;
	r = io_pwrite_all(fd, &to, 1, (uint64_t)at);
	close(fd);
	return !r;
}

/* One line for a file that has come and gone before. */
static int add(const struct guest *guest, const struct claim *claim, const struct disk_file *file,
	struct error *err)
{
	int fd, r;

	if (change(guest, file, 'd', claim->writable ? 'w' : 'b') ||
		change(guest, file, 'e', claim->writable ? 'w' : 'r'))
		return 0;
	r = launch_open_file(guest, "disks", O_WRONLY | O_APPEND, &fd, err);
	if (r)
		return r;
	r = write_claim(guest, fd, claim, err);
	close(fd);
	return r;
}

int claims_join(const struct guest *guest, const struct disk_spec *disk, struct error *err)
{
	struct claim claim[LIMIT_CHAIN];
	const char *name[LIMIT_CHAIN];
	int r = 0;

	for (unsigned i = 0; !r && i < disk->files; i++) {
		name[i] = disk->file[i].name;
		r = claim_of(&disk->file[i], !i && !disk->readonly, &claim[i], err);
	}
	if (!r)
		r = check(guest, claim, disk->files, name, err);
	for (unsigned i = 0; !r && i < disk->files; i++)
		r = add(guest, &claim[i], &disk->file[i], err);
	return r;
}

void claims_leave(const struct guest *guest, const struct disk_spec *disk)
{
	/* A line for each disk that has the file: others stay. */
	for (unsigned i = 0; i < disk->files; i++) {
		const struct disk_file *file = &disk->file[i];

		if (!i && !disk->readonly)
			change(guest, file, 'w', 'd');
		else if (!change(guest, file, 'r', 'e'))
			change(guest, file, 'b', 'd');
	}
}

void claims_lower(const struct guest *guest, int fd)
{
	change(guest, &(struct disk_file){.fd = fd}, 'w', 'b');
}

void claims_drop(const struct guest *guest, int fd)
{
	const struct disk_file file = {.fd = fd};

	for (const char *mode = "wrbde"; *mode; mode++)
		while (change(guest, &file, *mode, '-'))
			continue;
}

bool claims_is_base(const struct guest *guest, int fd)
{
	return find_line(guest, &(struct disk_file){.fd = fd}, 'b') >= 0;
}

int claims_raise(const struct guest *guest, int fd, const char *name, struct error *err)
{
	struct claim claim;
	const struct disk_file file = {.fd = fd, .name = (char *)(uintptr_t)name};
	int r = claim_of(&file, true, &claim, err);

	if (!r)
		r = check(guest, &claim, 1, &name, err);
	return r ? r : claims_add(guest, fd, err);
}
