/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/firmware/loader.h"

#include <errno.h>
#include <string.h>

enum { ALLOCATE = 1, ADD_POINTER, ADD_CHECKSUM, WRITE_POINTER };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT };

#define NAME_SIZE 56

/* Numbers are little-endian, as this host's are. */
struct loader_entry {
	uint32_t command;
	union {
		struct {
			char file[NAME_SIZE];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char to[NAME_SIZE], from[NAME_SIZE];
			uint32_t at;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[NAME_SIZE];
			uint32_t at, start, length;
		} __attribute__((packed)) sum;
		struct {
			char to[NAME_SIZE], from[NAME_SIZE];
			uint32_t at, from_at;
			uint8_t size;
		} __attribute__((packed)) back;
		uint8_t room[LOADER_ENTRY - 4];
	};
} __attribute__((packed));

_Static_assert(sizeof(struct loader_entry) == LOADER_ENTRY, "an entry's size");

static void put(struct loader *loader, const struct loader_entry *entry)
{
	memcpy(loader->script + loader->entries++ * LOADER_ENTRY, entry, sizeof *entry);
}

static void allocate(struct loader *loader, const char *file, uint32_t align, uint8_t zone)
{
	struct loader_entry e = {.command = ALLOCATE, .allocate = {.align = align, .zone = zone}};

	strcpy(e.allocate.file, file);
	put(loader, &e);
}

static void add_pointer(struct loader *loader, const char *to, const char *from, uint32_t at,
	uint8_t size)
{
	struct loader_entry e = {.command = ADD_POINTER, .pointer = {.at = at, .size = size}};

	strcpy(e.pointer.to, to);
	strcpy(e.pointer.from, from);
	put(loader, &e);
}

static void add_checksum(struct loader *loader, const char *file, const struct acpi_sum *sum)
{
	struct loader_entry e = {.command = ADD_CHECKSUM,
		.sum = {.at = sum->at, .start = sum->start, .length = sum->length}};

	strcpy(e.sum.file, file);
	put(loader, &e);
}

static void write_pointer(struct loader *loader, const char *to, const char *from, uint8_t size)
{
	struct loader_entry e = {.command = WRITE_POINTER, .back = {.size = size}};

	strcpy(e.back.to, to);
	strcpy(e.back.from, from);
	put(loader, &e);
}

/* The RSDP is a file of its own, of the same offsets. */
static const char *file_of(uint32_t at)
{
	return at < ACPI_RSDP_SIZE ? LOADER_RSDP : LOADER_TABLES;
}

int loader_build(struct loader *loader, const struct acpi_config *config, struct error *err)
{
	struct acpi_links links;
	int used = acpi_build_linked(loader->tables, sizeof loader->tables, config, &links, err);

	_Static_assert(5 + 2 * ACPI_LINKS <= LOADER_ENTRIES, "room for all that is to be done");
	if (used < 0)
		return used;
	loader->tables_size = used;
	loader->entries = 0;
	memcpy(loader->rsdp, loader->tables, sizeof loader->rsdp);
	memset(loader->tables, 0, sizeof loader->rsdp);
	allocate(loader, LOADER_RSDP, 16, ZONE_F_SEGMENT);
	allocate(loader, LOADER_TABLES, 64, ZONE_HIGH);
	allocate(loader, LOADER_GENERATION, 4096, ZONE_HIGH);
	for (unsigned i = 0; i < links.pointers; i++)
		add_pointer(loader, file_of(links.pointer[i].at), LOADER_TABLES,
			links.pointer[i].at, links.pointer[i].size);
	add_pointer(loader, LOADER_TABLES, LOADER_GENERATION, links.generation, 4);
	write_pointer(loader, LOADER_GENERATION_AT, LOADER_GENERATION, 8);
	for (unsigned i = 0; i < links.sums; i++)
		add_checksum(loader, file_of(links.sum[i].at), &links.sum[i]);
	return 0;
}
