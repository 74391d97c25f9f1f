/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of files that somebody made up, unpacked: beside the folder nothing may come to be. */
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char top[64], to[80];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	if (kind == FTW_DNR || kind == FTW_D)
		chmod(path, 0700);
	return 0;
}

static int remove_after(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return remove(path) && 0;
}

static void clean(void)
{
	nftw(to, remove_one, 16, FTW_PHYS);
	nftw(to, remove_after, 16, FTW_PHYS | FTW_DEPTH);
}

static void leave(void)
{
	clean();
	rmdir(top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* Files may be sparse, and larger than a file in memory should be. */
	const struct rlimit limit = {64 << 20, 64 << 20};

	snprintf(top, sizeof top, "%s/dach-fuzz-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(top))
		abort();
	snprintf(to, sizeof to, "%s/to", top);
	setrlimit(RLIMIT_FSIZE, &limit);
	atexit(leave);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char why[PACK_WHY];
	int fd = memfd_create("stream", MFD_CLOEXEC);
	struct stat st;

	signal(SIGXFSZ, SIG_IGN); /* libFuzzer has a handler of its own since the beginning */
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET))
		abort();
	mkdir(to, 0700);
	pack_read(fd, to, "it", size && data[size - 1] & 1, why);
	/* When that is gone there is nothing. */
	clean();
	if (lstat(to, &st) == 0 || rmdir(top) || mkdir(top, 0700))
		abort();
	close(fd);
	return 0;
}
