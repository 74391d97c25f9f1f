/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in a saved guest's file: the fuzzer's text with the right checksum, or all of it the fuzzer's. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/saved.h"
#include "state/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct domain_config config = {0};
	struct error err = {0};
	struct {
		char magic[8];
		uint32_t format, length, crc;
	} head = {"dachconf", 1, (uint32_t)size, state_checksum(0, data, size)};
	off_t at = STATE_FILE_NOTE;

	if (fd < 0)
		fd = memfd_create("saved", 0);
	if (size > 60000 || ftruncate(fd, 0))
		return 0;
	if (!size || data[0] != 'r') {
		if (pwrite(fd, &head, sizeof head, at) != sizeof head)
			abort();
		at += sizeof head;
	}
	if (pwrite(fd, data, size, at) != (ssize_t)size)
		abort();
	if (!saved_read_config(fd, "saved", &config, &err))
		domain_config_free(&config);
	return 0;
}
