/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/boot/elf.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NOTES_MAX 0x10000u
#define SEGMENTS_MAX 64
#define SECTIONS_MAX 256u

/* Notes of a kernel for Xen (xen/elfnote.h). */
#define NOTE_ENTRY 1
#define NOTE_HYPERCALL_PAGE 2
#define NOTE_GUEST_OS 6
/* What older ones have instead: a section of words KEY=VALUE with commas between. */
#define GUEST_SECTION "__xen_guest"
#define GUEST_TEXT_MAX 512u

static const char *machine_name(unsigned machine)
{
	static const struct {
		unsigned machine;
		const char *name;
	} names[] = {
		{EM_386, "a 32-bit PC"},
		{EM_AARCH64, "ARM64"},
		{EM_ARM, "ARM"},
		{EM_RISCV, "RISC-V"},
		{EM_PPC64, "POWER"},
		{EM_S390, "s390"},
		{EM_MIPS, "MIPS"},
		{258, "LoongArch"},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].machine == machine)
			return names[i].name;
	return "one that is not known";
}

static unsigned read_header(const struct boot_image *image, struct elf_file *elf)
{
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;

	elf->is64 = image->head[EI_CLASS] == ELFCLASS64;
	if (elf->is64) {
		memcpy(&h64, image->head, sizeof h64);
		elf->segments_at = h64.e_phoff;
		elf->sections_at = h64.e_shoff;
		elf->entry = h64.e_entry;
		elf->segments = h64.e_phnum;
		elf->segment_size = h64.e_phentsize;
		elf->sections = h64.e_shentsize == sizeof(Elf64_Shdr) ? h64.e_shnum : 0;
		elf->section_size = sizeof(Elf64_Shdr);
		elf->names = h64.e_shstrndx;
		return h64.e_machine;
	}
	memcpy(&h32, image->head, sizeof h32);
	elf->segments_at = h32.e_phoff;
	elf->sections_at = h32.e_shoff;
	elf->entry = h32.e_entry;
	elf->segments = h32.e_phnum;
	elf->segment_size = h32.e_phentsize;
	elf->sections = h32.e_shentsize == sizeof(Elf32_Shdr) ? h32.e_shnum : 0;
	elf->section_size = sizeof(Elf32_Shdr);
	elf->names = h32.e_shstrndx;
	return h32.e_machine;
}

int elf_open(const struct boot_image *image, struct elf_file *elf, struct error *err)
{
	const char *name = image->file->name;
	unsigned machine;

	*elf = (struct elf_file){.image = image};
	if (image->head_size < sizeof(Elf64_Ehdr))
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", name);
	machine = read_header(image, elf);
	if (machine != (elf->is64 ? EM_X86_64 : EM_386) || image->head[EI_DATA] != ELFDATA2LSB ||
		(!elf->is64 && image->head[EI_CLASS] != ELFCLASS32))
		return error_set(err, ENOEXEC, "%s: an ELF file for another kind of processor (%s)",
			name, machine_name(machine));
	if (elf->segments &&
		elf->segment_size != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return error_set(err, ENOEXEC, "%s: an ELF file with a table of another kind",
			name);
	if (!elf->segments || elf->segments > SEGMENTS_MAX)
		return error_set(err, ENOEXEC, "%s: an ELF file with %u segments", name,
			elf->segments);
	if (elf->segments_at > image->size ||
		(uint64_t)elf->segments * elf->segment_size > image->size - elf->segments_at)
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", name);
	return 0;
}

int elf_segment(const struct elf_file *elf, unsigned index, struct elf_segment *out,
	struct error *err)
{
	const struct boot_image *image = elf->image;
	uint64_t at = elf->segments_at + (uint64_t)index * elf->segment_size;
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	int r;

	if (elf->is64) {
		r = boot_image_read(image, at, &p64, sizeof p64, err);
		if (r < 0)
			return r;
		*out = (struct elf_segment){p64.p_type, p64.p_offset, p64.p_filesz, p64.p_memsz,
			p64.p_paddr, p64.p_align};
	} else {
		r = boot_image_read(image, at, &p32, sizeof p32, err);
		if (r < 0)
			return r;
		*out = (struct elf_segment){p32.p_type, p32.p_offset, p32.p_filesz, p32.p_memsz,
			p32.p_paddr, p32.p_align};
	}
	if ((out->type == PT_LOAD || out->type == PT_NOTE) &&
		(out->offset > image->size || out->filesz > image->size - out->offset))
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", image->file->name);
	return 0;
}

bool elf_section(const struct elf_file *elf, unsigned index, struct elf_section *out)
{
	const struct boot_image *image = elf->image;
	uint64_t at = (uint64_t)index * elf->section_size;
	Elf64_Shdr s64;
	Elf32_Shdr s32;

	if (index >= elf->sections || elf->sections_at > image->size ||
		at + elf->section_size > image->size - elf->sections_at)
		return false;
	at += elf->sections_at;
	if (elf->is64) {
		if (boot_image_read(image, at, &s64, sizeof s64, NULL) < 0)
			return false;
		*out = (struct elf_section){s64.sh_name, s64.sh_type, s64.sh_offset, s64.sh_size,
			s64.sh_addralign};
	} else {
		if (boot_image_read(image, at, &s32, sizeof s32, NULL) < 0)
			return false;
		*out = (struct elf_section){s32.sh_name, s32.sh_type, s32.sh_offset, s32.sh_size,
			s32.sh_addralign};
	}
	return out->offset <= image->size && out->size <= image->size - out->offset;
}

int elf_find_note(const struct elf_file *elf, uint64_t offset, uint64_t size, uint64_t align,
	uint32_t type, void *desc, size_t room, size_t *len, struct error *err)
{
	uint64_t end = size < NOTES_MAX ? size : NOTES_MAX, at = 0;

	align = align == 8 ? 8 : 4;
	*len = 0;
	while (end - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name, value;
		char owner[4] = "";
		int r = boot_image_read(elf->image, offset + at, &note, sizeof note, err);

		if (r < 0)
			return r;
		name = at + sizeof note;
		value = name + ((note.n_namesz + align - 1) & ~(align - 1));
		at = value + ((note.n_descsz + align - 1) & ~(align - 1));
		if (at > end)
			return 0;
		if (note.n_type != type || note.n_namesz != sizeof owner || !note.n_descsz)
			continue;
		r = boot_image_read(elf->image, offset + name, owner, sizeof owner, err);
		if (r < 0)
			return r;
		if (memcmp(owner, "Xen", 4) != 0)
			continue;
		*len = note.n_descsz < room ? note.n_descsz : room;
		return boot_image_read(elf->image, offset + value, desc, *len, err);
	}
	return 0;
}

/* Kernels for Xen */

static bool note_says_xen(const struct elf_file *elf, uint64_t offset, uint64_t size,
	uint64_t align, char *os)
{
	static const uint32_t types[] = {NOTE_GUEST_OS, NOTE_ENTRY, NOTE_HYPERCALL_PAGE};
	char desc[ELF_OS_MAX];
	size_t len;

	for (unsigned i = 0; i < 3; i++) {
		if (elf_find_note(elf, offset, size, align, types[i], desc, sizeof desc, &len,
			    NULL) ||
			!len)
			continue;
		if (types[i] == NOTE_GUEST_OS)
			snprintf(os, ELF_OS_MAX, "%.*s", (int)len, desc);
		return true;
	}
	return false;
}

static bool is_guest_section(const struct elf_file *elf, const struct elf_section *section)
{
	char name[sizeof GUEST_SECTION] = "";
	struct elf_section names;

	return elf_section(elf, elf->names, &names) && section->name < names.size &&
		!boot_image_read(elf->image, names.offset + section->name, name, sizeof name,
			NULL) &&
		!strcmp(name, GUEST_SECTION);
}

static void take_guest_os(const struct elf_file *elf, const struct elf_section *section, char *os)
{
	char text[GUEST_TEXT_MAX + 1] = "";
	size_t len = section->size < GUEST_TEXT_MAX ? section->size : GUEST_TEXT_MAX;
	const char *at;

	if (boot_image_read(elf->image, section->offset, text, len, NULL))
		return;
	at = strstr(text, "GUEST_OS=");
	if (at)
		snprintf(os, ELF_OS_MAX, "%.*s", (int)strcspn(at + 9, ","), at + 9);
}

bool elf_is_xen(const struct elf_file *elf, char *os)
{
	struct elf_segment segment;
	struct elf_section section;

	*os = 0;
	for (unsigned i = 0; i < elf->segments; i++)
		if (!elf_segment(elf, i, &segment, NULL) && segment.type == PT_NOTE &&
			note_says_xen(elf, segment.offset, segment.filesz, segment.align, os))
			return true;
	for (unsigned i = 0; i < elf->sections && i < SECTIONS_MAX; i++) {
		if (!elf_section(elf, i, &section))
			continue;
		if (section.type == SHT_NOTE &&
			note_says_xen(elf, section.offset, section.size, section.align, os))
			return true;
		if (!is_guest_section(elf, &section))
			continue;
		take_guest_os(elf, &section, os);
		return true;
	}
	return false;
}
