/* SPDX-License-Identifier: Apache-2.0 */
/* An ELF file of either class (System V ABI, chapters 4 and 5), whose content is not trusted. */
#ifndef DACH_MACHINE_BOOT_ELF_H
#define DACH_MACHINE_BOOT_ELF_H

#include "machine/boot/boot.h"

struct elf_file {
	const struct boot_image *image;
	bool is64;
	uint64_t entry;
	/* The tables: where they are, and how many entries of which size they have. */
	uint64_t segments_at, sections_at;
	unsigned segments, segment_size, sections, section_size;
	unsigned names; /* the section that has the sections' names */
};

struct elf_segment {
	uint32_t type;
	uint64_t offset, filesz, memsz, paddr, align;
};

struct elf_section {
	uint32_t name, type;
	uint64_t offset, size, align;
};

/* One for this processor, or the sentence that says what it is. */
int elf_open(const struct boot_image *image, struct elf_file *elf, struct error *err);
/* What is to be loaded, and notes, lie in the file. */
int elf_segment(const struct elf_file *elf, unsigned index, struct elf_segment *segment,
	struct error *err);
/* False: it is not in the file. */
bool elf_section(const struct elf_file *elf, unsigned index, struct elf_section *section);

/*
 * Looks through notes, size bytes at offset of the file, for Xen's of a type. *len: how much of it is
 * in desc, at most room bytes, 0: there is none.
 */
int elf_find_note(const struct elf_file *elf, uint64_t offset, uint64_t size, uint64_t align,
	uint32_t type, void *desc, size_t room, size_t *len, struct error *err);

/*
 * Whether it is a kernel for Xen's paravirtualized guests, and of which system, if it says so; os has
 * ELF_OS_MAX bytes.
 */
#define ELF_OS_MAX 32u
bool elf_is_xen(const struct elf_file *elf, char *os);

#endif
