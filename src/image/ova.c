/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ova.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/io.h"

#define BLOCK 512u
#define MEMBERS_MAX 1000u
#define DESCRIPTION_MAX (1u << 20)
#define PROCESSORS 3 /* kinds of resources, of CIM_ResourceAllocationSettingData */
#define MEMORY 4
#define VALUE_MAX (1ull << 40)

struct member {
	char name[101];
	uint64_t offset, size; /* of its bytes */
	char type;
};

/* Octal digits, or big-endian behind a byte of 0x80. */
static bool take_size(const uint8_t *field, uint64_t *size)
{
	unsigned i = 0;

	*size = 0;
	if (field[0] & 0x80) {
		for (i = 4; i < 12; i++)
			*size = *size << 8 | field[i];
		return !memcmp(field + 1, "\0\0\0", 3) && *size >> 62 == 0;
	}
	while (i < 12 && field[i] == ' ')
		i++;
	for (; i < 12 && field[i] >= '0' && field[i] <= '7'; i++)
		*size = *size << 3 | (field[i] - '0');
	return i == 12 || !field[i] || field[i] == ' ';
}

/* The member at *at, which becomes where the next one is. 1: there it is, 0: the end. */
static int next_member(int fd, const char *name, uint64_t *at, struct member *member,
	struct error *err)
{
	uint8_t head[BLOCK];
	ssize_t n = io_pread_all(fd, head, sizeof head, *at);

	if (n < 0)
		return error_set(err, (int)-n, "%s: %s", name, strerror((int)-n));
	if (n < (ssize_t)sizeof head || !head[0])
		return 0;
	if (memcmp(head + 257, "ustar", 5) || !take_size(head + 124, &member->size))
		return error_set(err, EINVAL, "%s: a damaged archive", name);
	memcpy(member->name, head, 100);
	member->name[100] = 0;
	member->type = (char)head[156];
	member->offset = *at + BLOCK;
	*at = member->offset + (member->size + BLOCK - 1) / BLOCK * BLOCK;
	return 1;
}

static bool ends_in(const char *name, const char *end)
{
	size_t size = strlen(name), len = strlen(end);

	return size > len && !strcasecmp(name + size - len, end);
}

/* The number that an element has; false: it has none of that name, whatever its name space. */
static bool number_of(const char *text, const char *end, const char *element, uint64_t *number)
{
	const size_t len = strlen(element);

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), element, len));
		at += len) {
		const char *digit = memchr(at + len, '>', (size_t)(end - at - len));

		if ((at[-1] != ':' && at[-1] != '<') || (at[len] != '>' && at[len] != ' ') ||
			!digit)
			continue;
		*number = 0;
		for (digit++; isspace((unsigned char)*digit); digit++)
			;
		if (!isdigit((unsigned char)*digit))
			return false;
		for (; isdigit((unsigned char)*digit) && *number < VALUE_MAX; digit++)
			*number = *number * 10 + (unsigned)(*digit - '0');
		return *number < VALUE_MAX;
	}
	return false;
}

/* "byte * 2^20", "MegaBytes", "MB" and their like; without one it is MiB. */
static uint64_t unit_of(const char *text, const char *end)
{
	static const struct {
		const char *word;
		unsigned shift;
	} units[] = {{"2^30", 30}, {"GigaBytes", 30}, {"GB", 30}, {"2^10", 10}, {"KiloBytes", 10},
		{"KB", 10}};
	const char *at = memmem(text, (size_t)(end - text), "AllocationUnits", 15);
	const char *close = at ? memchr(at, '/', (size_t)(end - at)) : NULL;

	for (size_t i = 0; close && i < sizeof units / sizeof *units; i++)
		if (memmem(at, (size_t)(close - at), units[i].word, strlen(units[i].word)))
			return 1ull << units[i].shift;
	return 1ull << 20;
}

void ova_read_description(const char *text, struct ova *ova)
{
	const char *item = text, *end;

	for (; (item = strstr(item, "Item>")); item = end) {
		uint64_t type = 0, value = 0;

		item += 5;
		end = strstr(item, "Item>");
		if (!end)
			return;
		if (!number_of(item, end, "ResourceType", &type) ||
			!number_of(item, end, "VirtualQuantity", &value))
			continue;
		if (type == PROCESSORS && value <= 4096)
			ova->vcpus = (unsigned)value;
		else if (type == MEMORY && value < VALUE_MAX / 1024)
			ova->memory = value * unit_of(item, end);
	}
}

static int read_description(int fd, const char *name, const struct member *member, struct ova *ova,
	struct error *err)
{
	char *text;
	ssize_t n;

	if (member->size > DESCRIPTION_MAX)
		return error_set(err, EFBIG, "%s: its description is too large", name);
	text = calloc(1, member->size + 1);
	if (!text)
		return error_nomem(err);
	n = io_pread_all(fd, text, member->size, member->offset);
	if (n >= 0)
		ova_read_description(text, ova);
	free(text);
	return 0;
}

int ova_read(int fd, const char *name, struct ova *ova, struct error *err)
{
	off_t end = lseek(fd, 0, SEEK_END);
	struct member member;
	unsigned disks = 0;
	uint64_t at = 0;
	int r = 1;

	*ova = (struct ova){.vcpus = 0};
	for (unsigned n = 0; n < MEMBERS_MAX && r > 0; n++) {
		r = next_member(fd, name, &at, &member, err);
		if (r <= 0 || (member.type && member.type != '0'))
			continue;
		if (ends_in(member.name, ".ovf")) {
			int bad = read_description(fd, name, &member, ova, err);

			r = bad ? bad : r;
		} else if (ends_in(member.name, ".gz")) {
			r = error_set(err, ENOTSUP,
				"%s: its disk is packed (%s): take it out by tar, unpack it and import that",
				name, member.name);
		} else if (ends_in(member.name, ".vmdk") || ends_in(member.name, ".img") ||
			ends_in(member.name, ".vhd") || ends_in(member.name, ".raw")) {
			disks++;
			ova->disk_offset = member.offset;
			ova->disk_size = member.size;
		}
	}
	if (r < 0)
		return r;
	if (!disks)
		return error_set(err, ENOENT, "%s: an archive without a disk in it", name);
	if (disks > 1)
		return error_set(err, ENOTSUP,
			"%s: has %u disks: take them out by tar and import each", name, disks);
	if (end < 0 || ova->disk_offset + ova->disk_size > (uint64_t)end)
		return error_set(err, EINVAL, "%s: ends within its disk", name);
	return 0;
}
