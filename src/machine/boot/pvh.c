/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "machine/boot/boot.h"

#define NOTE_PHYS32_ENTRY 18
#define NOTES_MAX 0x10000u
#define SEGMENTS_MAX 64
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

/* A program header, from either class of file. */
struct segment_info {
	uint32_t type;
	uint64_t offset, filesz, memsz, paddr, align;
};

struct elf {
	const struct boot_image *image;
	bool is64;
	uint64_t table, entry;
	unsigned count, entry_size;
};

static int header(const struct boot_image *image, struct elf *elf, struct error *err)
{
	const char *name = image->file->name;
	bool known;

	*elf = (struct elf){.image = image};
	if (image->head_size < sizeof(Elf64_Ehdr))
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", name);
	elf->is64 = image->head[EI_CLASS] == ELFCLASS64;
	if (elf->is64) {
		Elf64_Ehdr h;

		memcpy(&h, image->head, sizeof h);
		known = h.e_machine == EM_X86_64 && h.e_phentsize == sizeof(Elf64_Phdr);
		elf->table = h.e_phoff;
		elf->entry = h.e_entry;
		elf->count = h.e_phnum;
		elf->entry_size = sizeof(Elf64_Phdr);
	} else {
		Elf32_Ehdr h;

		memcpy(&h, image->head, sizeof h);
		known = image->head[EI_CLASS] == ELFCLASS32 && h.e_machine == EM_386 &&
			h.e_phentsize == sizeof(Elf32_Phdr);
		elf->table = h.e_phoff;
		elf->entry = h.e_entry;
		elf->count = h.e_phnum;
		elf->entry_size = sizeof(Elf32_Phdr);
	}
	if (!known || image->head[EI_DATA] != ELFDATA2LSB)
		return error_set(err, ENOEXEC, "%s: an ELF file for another kind of processor",
			name);
	if (!elf->count || elf->count > SEGMENTS_MAX)
		return error_set(err, ENOEXEC, "%s: an ELF file with %u segments", name,
			elf->count);
	if (elf->table > image->size ||
		(uint64_t)elf->count * elf->entry_size > image->size - elf->table)
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", name);
	return 0;
}

static int segment(const struct elf *elf, unsigned index, struct segment_info *out,
	struct error *err)
{
	const struct machine_file *file = elf->image->file;
	uint64_t at = elf->table + (uint64_t)index * elf->entry_size;
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	int r;

	if (elf->is64) {
		r = boot_file_read(file, at, &p64, sizeof p64, err);
		if (r < 0)
			return r;
		*out = (struct segment_info){p64.p_type, p64.p_offset, p64.p_filesz, p64.p_memsz,
			p64.p_paddr, p64.p_align};
	} else {
		r = boot_file_read(file, at, &p32, sizeof p32, err);
		if (r < 0)
			return r;
		*out = (struct segment_info){p32.p_type, p32.p_offset, p32.p_filesz, p32.p_memsz,
			p32.p_paddr, p32.p_align};
	}
	if ((out->type == PT_LOAD || out->type == PT_NOTE) &&
		(out->offset > elf->image->size || out->filesz > elf->image->size - out->offset))
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", file->name);
	return 0;
}

/* Looks through a note segment for the PVH entry. */
static int find_entry(const struct elf *elf, const struct segment_info *notes, uint64_t *entry,
	struct error *err)
{
	uint64_t align = notes->align == 8 ? 8 : 4, at = 0;
	uint64_t end = notes->filesz < NOTES_MAX ? notes->filesz : NOTES_MAX;

	while (end - at >= sizeof(Elf64_Nhdr)) {
		const struct machine_file *file = elf->image->file;
		Elf64_Nhdr note;
		uint64_t name, desc;
		char owner[4] = "";
		int r = boot_file_read(file, notes->offset + at, &note, sizeof note, err);

		if (r < 0)
			return r;
		name = at + sizeof note;
		desc = name + ((note.n_namesz + align - 1) & ~(align - 1));
		at = desc + ((note.n_descsz + align - 1) & ~(align - 1));
		if (at > end)
			return 0;
		if (note.n_type != NOTE_PHYS32_ENTRY || note.n_namesz != sizeof owner ||
			(note.n_descsz != 4 && note.n_descsz != 8))
			continue;
		r = boot_file_read(file, notes->offset + name, owner, sizeof owner, err);
		if (!r && !memcmp(owner, "Xen", 4))
			return boot_file_read(file, notes->offset + desc, entry, note.n_descsz,
				err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_segment(struct memory *mem, const struct elf *elf, const struct segment_info *seg,
	uint64_t floor, struct error *err)
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
	return boot_file_load(file, seg->offset, mem, seg->paddr, seg->filesz, err);
}

static int load(struct memory *mem, const struct elf *elf, uint64_t floor, uint64_t *entry,
	struct boot_span *span, struct error *err)
{
	for (unsigned i = 0; i < elf->count; i++) {
		struct segment_info seg;
		int r = segment(elf, i, &seg, err);

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

int boot_pvh(struct memory *mem, const struct boot_config *config, const struct boot_image *image,
	struct cpu_state *state, struct error *err)
{
	struct boot_span span = {UINT64_MAX, BOOT_KERNEL_MIN};
	uint64_t entry = 0, initrd, initrd_size;
	bool multiboot;
	struct elf elf;
	int r = header(image, &elf, err);

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
		return error_set(err, ENOEXEC,
			"%s: an ELF file without a PVH entry (a Linux kernel needs CONFIG_PVH)",
			image->file->name);
	r = boot_cmdline(mem, config->cmdline, BOOT_CMDLINE_SIZE - 1, err);
	if (r < 0)
		return r;
	r = boot_initrd(mem, &config->initrd, &span, UINT32_MAX, &initrd, &initrd_size, err);
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
