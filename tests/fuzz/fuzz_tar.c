/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of a container's layers: two of them, made of one input, become a root. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/flatten.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const uint8_t *data, size_t size, char name[32])
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(name, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* The first byte: where the second layer begins, in blocks. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[2][32];
	const char *const layer[] = {name[0], name[1]};
	const struct flatten flatten = {layer, 2, true, 1 << 20};
	static int null = -1;
	size_t first;
	int fd[2];

	if (!size)
		return 0;
	first = data[0] * 512u < size - 1 ? data[0] * 512u : size - 1;
	fd[0] = file_of(data + 1, first, name[0]);
	fd[1] = file_of(data + 1 + first, size - 1 - first, name[1]);
	if (null < 0)
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	flatten_write(&flatten, null, NULL);
	close(fd[0]);
	close(fd[1]);
	return 0;
}
