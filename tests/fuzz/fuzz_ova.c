/* SPDX-License-Identifier: Apache-2.0 */
/* An archive with a disk, and, where the input begins with a byte that is odd, its description alone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/guess.h"
#include "image/ova.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct error err = {""};
	struct ova ova = {.vcpus = 0};

	if (!size--)
		return 0;
	guess_bytes(data + 1, size, size >= 512 ? data + 1 + size - 512 : NULL);
	if (*data++ & 1) {
		char *text = strndup((const char *)data, size);

		ova_read_description(text, &ova);
		free(text);
		return 0;
	}
	if (fd < 0)
		fd = memfd_create("ova", 0);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if ((ova_read(fd, "ova", &ova, &err) != 0) != (err.text[0] != 0))
		abort();
	if (!err.text[0] && (ova.disk_offset > size || ova.disk_size > size - ova.disk_offset))
		abort();
	return 0;
}
