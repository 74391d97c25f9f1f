/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of a shared folder: requests of the fuzzer's bytes, mostly of a right form, on a folder with files, links
 * that lead out, and a pipe. What is beside the folder stays as it is.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (1u << 20)

static char top[64];
static int folder;
static struct share_rig rig;

/* Files are no larger. */
static bool too_large(uint8_t op, const void *in, size_t size)
{
	struct fuse_fallocate_in allocate;
	struct fuse_write_in write_;
	struct fuse_setattr_in set;

	if (op == FUSE_FALLOCATE && size >= sizeof allocate) {
		memcpy(&allocate, in, sizeof allocate);
		return allocate.offset > FILE_MAX || allocate.length > FILE_MAX;
	}
	if (op == FUSE_WRITE && size >= sizeof write_) {
		memcpy(&write_, in, sizeof write_);
		return write_.offset > FILE_MAX;
	}
	if (op == FUSE_SETATTR && size >= sizeof set) {
		memcpy(&set, in, sizeof set);
		return (set.valid & FATTR_SIZE) && set.size > FILE_MAX;
	}
	return false;
}

/* One request. */
struct step {
	uint8_t op, node, size, name, other, room;
	uint8_t bytes[90];
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	return remove(path);
}

static void remove_all(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	/* The umask may be 077. */
	if (fd < 0 || fchmod(fd, 0644) || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static void make_folder(void)
{
	if (!*top) {
		strcpy(top, "/tmp/dach-fuzz-XXXXXX");
		if (!mkdtemp(top) || atexit(remove_all))
			abort();
		folder = open(top, O_RDONLY | O_DIRECTORY);
		write_file("secret", "secret");
	}
	if (mkdirat(folder, "in", 0755) || mkdirat(folder, "in/a", 0755) ||
		mkdirat(folder, "in/a/b", 0755))
		abort();
	write_file("in/file", "some text");
	write_file("in/a/file", "more text");
	if (symlinkat("../secret", folder, "in/link") || symlinkat("../..", folder, "in/a/up") ||
		mkfifoat(folder, "in/pipe", 0644))
		abort();
}

/* One file beside the folder, and that as it was. */
static void check_outside(void)
{
	char text[16] = "";
	struct stat st;
	int fd = openat(folder, "secret", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof text) != 6 || memcmp(text, "secret", 6) ||
		fstat(fd, &st) || st.st_mode != (S_IFREG | 0644) || st.st_nlink != 1)
		abort();
	close(fd);
	if (fstat(folder, &st) || st.st_nlink != 3)
		abort();
}

static void take(const struct step *step)
{
	static const char *const names[] = {"a", "b", "file", "link", "up", "pipe", "new", "..",
		".", "a/file", "", "../secret"};
	static const uint8_t fixed[64] = {[FUSE_MKNOD] = 16,
		[FUSE_MKDIR] = 8,
		[FUSE_RENAME] = 8,
		[FUSE_LINK] = 8,
		[FUSE_CREATE] = 16,
		[FUSE_RENAME2] = 16};
	const uint8_t op = step->op % 64;
	char in[256];
	size_t size = fixed[op] ? fixed[op] : 0;

	/* By names, or as the bytes are. */
	rig.room = step->room < 16 ? 0 : step->room < 32 ? step->room : SHARE_BYTES_MAX;
	memcpy(in, step->bytes, sizeof step->bytes);
	if (fixed[op] || op == FUSE_LOOKUP || op == FUSE_UNLINK || op == FUSE_RMDIR ||
		op == FUSE_SYMLINK) {
		size += sprintf(in + size, "%s", names[step->name % 12]) + 1;
		size += sprintf(in + size, "%s", names[step->other % 12]) + 1;
	} else {
		size = step->size % (sizeof step->bytes + 1);
	}
	if (too_large(op, in, size))
		return;
	share_ask(&rig, op, step->node % 16, in, size);
	if (rig.len > rig.room ||
		(rig.len && ((struct fuse_out_header *)rig.answer)->len != rig.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct share_options options = {.files = 64};
	struct error err;
	struct step step;
	int root;

	if (size < 1)
		return 0;
	options.read_only = data[0] & 1;
	make_folder();
	root = openat(folder, "in", O_PATH | O_DIRECTORY);
	if (root < 0 || share_server_create(root, &options, &rig.server, &err))
		abort();
	share_begin(&rig);
	for (data++, size--; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(&step);
	}
	share_server_destroy(rig.server);
	close(root);
	check_outside();
	strcat(top, "/in");
	if (chmod(top, 0755) || nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		abort();
	*strrchr(top, '/') = 0;
	return 0;
}
