/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "machine/boot/boot.h"

#define HEADER_MAGIC 0x1badb002u
#define START_MAGIC 0x2badb002u

/* What it is told, as bits of flags: memory, command line, modules, memory map. */
#define TELL_MEMORY 0x1u
#define TELL_CMDLINE 0x4u
#define TELL_MODULES 0x8u
#define TELL_MAP 0x40u

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	uint32_t symbols[4], mmap_length, mmap_addr, rest[17];
};

struct multiboot_module {
	uint32_t start, end, cmdline, reserved;
};

struct multiboot_range {
	uint32_t size; /* of what follows */
	uint64_t start, length;
	uint32_t type;
} __attribute__((packed));

bool boot_is_multiboot(const struct boot_image *image)
{
	for (uint32_t at = 0; at + 12 <= image->head_size; at += 4) {
		uint32_t header[3];

		memcpy(header, image->head + at, sizeof header);
		if (header[0] == HEADER_MAGIC && !(header[0] + header[1] + header[2]))
			return true;
	}
	return false;
}

int boot_multiboot(struct memory *mem, uint64_t initrd, uint64_t initrd_size,
	struct cpu_state *state)
{
	struct {
		struct multiboot_info info;
		struct multiboot_module module;
		struct multiboot_range map[BOOT_RANGES];
	} all = {0};
	struct boot_range ranges[BOOT_RANGES];
	unsigned count = boot_memory_map(mem, ranges);
	uint32_t at = BOOT_START_INFO;

	all.info = (struct multiboot_info){
		.flags = TELL_MEMORY | TELL_CMDLINE | TELL_MODULES | TELL_MAP,
		.mem_lower = BOOT_LOW_END >> 10,
		.mem_upper = (memory_low_end(mem) - BOOT_KERNEL_MIN) >> 10,
		.cmdline = BOOT_CMDLINE,
		.mods_count = initrd_size != 0,
		.mods_addr = at + ((char *)&all.module - (char *)&all),
		.mmap_length = count * sizeof all.map[0],
		.mmap_addr = at + ((char *)all.map - (char *)&all),
	};
	all.module = (struct multiboot_module){.start = initrd, .end = initrd + initrd_size};
	for (unsigned i = 0; i < count; i++)
		all.map[i] = (struct multiboot_range){sizeof all.map[0] - 4, ranges[i].start,
			ranges[i].size, ranges[i].type};
	state->gpr[RAX] = START_MAGIC;
	state->gpr[RBX] = at;
	return memory_write(mem, at, &all, sizeof all);
}
