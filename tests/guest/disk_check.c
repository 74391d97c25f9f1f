/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works on the first three quarters of a disk in a guest and knows what has to be on them: disk_check DEVICE. Blocks are written at random, some are given
 * back or emptied, and others are read and looked at, past the page cache. A line each second: how many were written and
 * read, and how many of those were wrong.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define ANY UINT32_MAX /* nobody knows what is in it */

static uint64_t seed = 88172645463325252u;

static uint64_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill(uint64_t *to, uint64_t block, uint32_t generation)
{
	for (unsigned i = 0; i < BLOCK / 8; i++)
		to[i] = generation ? (block << 32 | generation) + i * 0x9e3779b97f4a7c15u : 0;
}

int main(int count, char **words)
{
	uint64_t size = 0, written = 0, read = 0, wrong = 0, *is, *was;
	uint32_t *generation, next = 0;
	time_t told = 0;
	int fd = count > 1 ? open(words[1], O_RDWR | O_DIRECT) : -1;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
		return 1;
	size = size / 4 * 3;
	generation = malloc(size / BLOCK * sizeof *generation);
	is = aligned_alloc(BLOCK, BLOCK);
	was = aligned_alloc(BLOCK, BLOCK);
	memset(generation, 0xff, size / BLOCK * sizeof *generation);
	for (;;) {
		/* Half of the work is on a small part, so that much is written again. */
		uint64_t n = any() % (size / BLOCK / (any() % 2 ? 1 : 16));
		uint64_t range[2] = {n * BLOCK, BLOCK};
		unsigned what = any() % 16;

		if (what < 6 || generation[n] == ANY) {
			fill(was, n, ++next);
			if (pwrite(fd, was, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
				return 2;
			generation[n] = next;
			written++;
		} else if (what == 6 && !ioctl(fd, BLKZEROOUT, range)) {
			generation[n] = 0;
		} else if (what == 7 && !ioctl(fd, BLKDISCARD, range)) {
			generation[n] = ANY;
		} else if (what > 7) {
			fill(was, n, generation[n]);
			if (pread(fd, is, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
				return 3;
			if (memcmp(is, was, BLOCK))
				wrong++;
			read++;
		}
		if (time(NULL) != told) {
			told = time(NULL);
			printf("DISK %s %lu written %lu read %lu wrong\n", words[1], written, read,
				wrong);
			fflush(stdout);
		}
	}
}
