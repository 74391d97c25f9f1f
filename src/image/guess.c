/* SPDX-License-Identifier: Apache-2.0 */
#include "image/guess.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

static const struct guess_row {
	enum guess kind;
	uint16_t offset, size;
	const char *magic;
} rows[] = {
	{GUESS_QCOW2, 0, 4, "QFI\xfb"},
	{GUESS_VMDK, 0, 4, "KDMV"},
	{GUESS_VMDK, 0, 4, "COWD"},
	{GUESS_VMDK, 0, 21, "# Disk DescriptorFile"},
	{GUESS_VHDX, 0, 8, "vhdxfile"},
	{GUESS_VHD, 0, 8, "conectix"},
	{GUESS_VDI, 64, 4, "\x7f\x10\xda\xbe"},
	{GUESS_QED, 0, 4, "QED\0"},
	{GUESS_OVA, 257, 5, "ustar"},
	{GUESS_PACKED, 0, 3, "\x1f\x8b\x08"},
	{GUESS_PACKED, 0, 6,
		"\xfd"
		"7zXZ\0"},
	{GUESS_PACKED, 0, 4, "\x28\xb5\x2f\xfd"},
	{GUESS_PACKED, 0, 3, "BZh"},
	{GUESS_PACKED, 0, 4, "PK\3\4"},
};

static const struct {
	const char *name, *driver;
} names[GUESS_KINDS] = {
	[GUESS_RAW] = {"raw", "raw"},
	[GUESS_QCOW2] = {"qcow2", "qcow2"},
	[GUESS_VMDK] = {"VMDK", "vmdk"},
	[GUESS_VHD] = {"VHD", "vpc"},
	[GUESS_VHDX] = {"VHDX", "vhdx"},
	[GUESS_VDI] = {"VDI", "vdi"},
	[GUESS_QED] = {"QED", "qed"},
	[GUESS_OVA] = {"an OVA", NULL},
	[GUESS_PACKED] = {"a packed file", NULL},
};

enum guess guess_bytes(const uint8_t *head, size_t size, const uint8_t *tail)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].offset + rows[i].size <= size &&
			!memcmp(head + rows[i].offset, rows[i].magic, rows[i].size))
			return rows[i].kind;
	/* One of a fixed size has only this. */
	return tail && !memcmp(tail, "conectix", 8) ? GUESS_VHD : GUESS_RAW;
}

int guess_file(int fd, const char *name, enum guess *guess, struct error *err)
{
	uint8_t head[GUESS_HEAD], tail[512];
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n = end < 0 ? -errno : io_pread_all(fd, head, sizeof head, 0);
	bool has_tail = end >= 1024 &&
		io_pread_all(fd, tail, sizeof tail, (uint64_t)end - sizeof tail) == sizeof tail;

	*guess = GUESS_RAW;
	if (n < 0)
		return error_set(err, (int)-n, "%s: %s", name, strerror((int)-n));
	*guess = guess_bytes(head, (size_t)n, has_tail ? tail : NULL);
	return 0;
}

const char *guess_name(enum guess guess)
{
	return names[guess].name;
}

const char *guess_driver(enum guess guess)
{
	return names[guess].driver;
}
