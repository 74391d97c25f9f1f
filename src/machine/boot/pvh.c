/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "machine/boot/elf.h"

#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u

/* hvm_start_info, version 1; all addresses are physical. */
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, cmdline, rsdp, memory_map;
	uint32_t memory_entries, reserved;
};

struct module_entry {
	uint64_t start, size, cmdline, reserved;
};

struct memory_entry {
	uint64_t start, size;
	uint32_t type, reserved;
};

/* In a note segment, the PVH entry. */
static int find_entry(const struct elf_file *elf, const struct elf_segment *notes, uint64_t *entry,
	struct error *err)
{
	uint64_t value = 0;
	size_t len;
	int r = elf_find_note(elf, notes->offset, notes->filesz, notes->align, NOTE_PHYS32_ENTRY,
		&value, sizeof value, &len, err);

	if (!r && (len == 4 || len == 8))
		*entry = value;
	return r;
}

static int load_segment(struct memory *mem, const struct elf_file *elf,
	const struct elf_segment *seg, uint64_t floor, struct error *err)
{
	const struct machine_file *file = elf->image->file;

	if (!seg->memsz)
		return 0;
	if (seg->memsz < seg->filesz)
		return error_set(err, ENOEXEC, "%s: a segment larger in the file than in memory",
			file->name);
	if (seg->paddr < floor)
		return error_set(err, ENOEXEC, "%s: wants to be loaded below %s", file->name,
			floor == BOOT_KERNEL_MIN ? "1 MiB" : "what it finds in memory");
	if (!memory_ptr(mem, seg->paddr, seg->memsz))
		return error_set(err, ENOMEM,
			"%s: the kernel does not fit into the guest's %llu MiB of memory",
			file->name, (unsigned long long)(mem->size >> 20));
	memory_zero(mem, seg->paddr + seg->filesz, seg->memsz - seg->filesz);
	return boot_image_load(elf->image, seg->offset, mem, seg->paddr, seg->filesz, err);
}

static int load(struct memory *mem, const struct elf_file *elf, uint64_t floor, uint64_t *entry,
	struct boot_span *span, struct error *err)
{
	for (unsigned i = 0; i < elf->segments; i++) {
		struct elf_segment seg;
		int r = elf_segment(elf, i, &seg, err);

		if (r < 0)
			return r;
		if (seg.type == PT_NOTE && !*entry)
			r = find_entry(elf, &seg, entry, err);
		if (seg.type == PT_LOAD) {
			r = load_segment(mem, elf, &seg, floor, err);
			if (!r && seg.memsz && seg.paddr + seg.memsz > span->end)
				span->end = seg.paddr + seg.memsz;
			if (!r && seg.memsz && seg.paddr < span->start)
				span->start = seg.paddr;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_info(struct memory *mem, const struct boot_config *config, uint64_t initrd,
	uint64_t initrd_size)
{
	struct {
		struct start_info info;
		struct module_entry module;
		struct memory_entry memory[BOOT_RANGES];
	} all = {0};
	struct boot_range ranges[BOOT_RANGES];
	uint64_t module_at = BOOT_START_INFO + ((char *)&all.module - (char *)&all);
	uint64_t memory_at = BOOT_START_INFO + ((char *)all.memory - (char *)&all);
	unsigned count = boot_memory_map(mem, ranges);

	all.info = (struct start_info){
		.magic = START_MAGIC,
		.version = 1,
		.modules = initrd_size ? 1 : 0,
		.module_list = initrd_size ? module_at : 0,
		.cmdline = BOOT_CMDLINE,
		.rsdp = config->rsdp,
		.memory_map = memory_at,
		.memory_entries = count,
	};
	all.module = (struct module_entry){.start = initrd, .size = initrd_size};
	for (unsigned i = 0; i < count; i++)
		all.memory[i] = (struct memory_entry){.start = ranges[i].start,
			.size = ranges[i].size,
			.type = ranges[i].type};
	return memory_write(mem, BOOT_START_INFO, &all, sizeof all);
}

static int no_entry(const struct elf_file *elf, struct error *err)
{
	const char *name = elf->image->file->name;
	char os[ELF_OS_MAX];

	if (elf_is_xen(elf, os))
		return error_set(err, ENOEXEC,
			"%s: a kernel%s%s for Xen's paravirtualized guests only, which are not there; "
			"take one with a PVH entry (Linux with CONFIG_PVH, NetBSD's GENERIC from 10 on)",
			name, *os ? " of " : "", os);
	for (unsigned i = 0; i < elf->segments; i++) {
		struct elf_segment segment;

		if (!elf_segment(elf, i, &segment, NULL) && segment.type == PT_INTERP)
			return error_set(err, ENOEXEC, "%s: a program, not a kernel", name);
	}
	return error_set(err, ENOEXEC,
		"%s: an ELF file without a PVH entry (a Linux kernel needs CONFIG_PVH)", name);
}

int boot_pvh(struct memory *mem, const struct boot_config *config, const struct boot_image *image,
	struct cpu_state *state, struct error *err)
{
	struct boot_span span = {UINT64_MAX, BOOT_KERNEL_MIN};
	uint64_t entry = 0, initrd, initrd_size;
	bool multiboot;
	struct elf_file elf;
	int r = elf_open(image, &elf, err);

	if (r < 0)
		return r;
	/* tests that start in 16-bit code lie low */
	r = load(mem, &elf, config->multiboot ? BOOT_PARAMS : BOOT_KERNEL_MIN, &entry, &span, err);
	if (r < 0)
		return r;
	multiboot = config->multiboot && !entry && boot_is_multiboot(image);
	if (multiboot)
		entry = elf.entry;
	if (!entry || entry > UINT32_MAX)
		return no_entry(&elf, err);
	r = boot_cmdline(mem, config->cmdline, BOOT_CMDLINE_SIZE - 1, err);
	if (r < 0)
		return r;
	r = boot_initrd(mem, image, &config->initrd, &span, UINT32_MAX, &initrd, &initrd_size, err);
	if (r < 0)
		return r;
	r = boot_flat_32(mem, state, entry);
	state->gpr[RBX] = BOOT_START_INFO;
	if (!r)
		r = multiboot ? boot_multiboot(mem, initrd, initrd_size, state)
			      : write_info(mem, config, initrd, initrd_size);
	if (r < 0)
		return error_set(err, ENOMEM, "the guest has too little memory to start");
	return 0;
}
