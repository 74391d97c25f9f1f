/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a kernel without firmware: bzImage by the Linux/x86 boot protocol
 * (Linux Documentation/x86/boot.rst) and ELF by PVH (Xen docs/misc/pvh.pandoc,
 * xen/arch-x86/hvm/start_info.h). A kernel may be packed as a whole (gzip, zstd, xz),
 * and may be a section of a unified kernel image (UAPI group, "Unified Kernel Image"). The files are not trusted.
 */
#ifndef DACH_MACHINE_BOOT_H
#define DACH_MACHINE_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/state.h"
#include "machine/machine.h"
#include "machine/memory.h"

/* Guest memory below 1 MiB while a kernel starts. */
#define BOOT_BIOS_DATA 0x400ull
#define BOOT_GDT 0x500ull
#define BOOT_START_INFO 0x6000ull /* PVH, with module list and memory map behind it */
#define BOOT_PARAMS 0x7000ull     /* the "zero page" */
#define BOOT_PAGE_TABLES 0x9000ull
#define BOOT_CMDLINE 0x20000ull
#define BOOT_CMDLINE_SIZE 0x10000u
#define BOOT_LOW_END 0x9fc00ull /* of usable memory; the extended BIOS data area is above */
#define BOOT_RESET_VECTOR 0xffff0ull
#define BOOT_KERNEL_MIN 0x100000ull

struct boot_config {
	struct machine_file kernel, initrd;
	const char *cmdline;
	uint64_t rsdp;  /* where the ACPI tables begin */
	bool screen;    /* a VGA in 80 x 25 characters */
	bool multiboot; /* an ELF file without a PVH entry may have a multiboot header */
};

/*
 * Loads kernel, initrd and command line, and sets state (which
 * cpu_state_reset() filled) to the kernel's entry. Everything that can be wrong
 * with the files is told in one sentence.
 */
int boot_load(struct memory *mem, const struct boot_config *config, struct cpu_state *state,
	struct error *err);

/*
 * How many bytes of RAM, a multiple of 1 MiB and at most BOOT_ROOM_MAX, this kernel needs beyond a guest's
 * memory to unpack itself; 0 when the memory suffices, or would not do even then, and for a file that is no
 * bzImage.
 */
#define BOOT_ROOM_MAX (32u << 20) /* a guest's owner may bring the kernel */
uint64_t boot_room(const struct machine_file *kernel, uint64_t memory);

/* Between the files of this folder: */

#define MIB 0x100000ull

/* The head of the kernel file, for looking at its headers. */
#define BOOT_HEAD_SIZE 8192u
struct boot_image {
	const struct machine_file *file;
	uint64_t start, size; /* where the kernel is */
	/* What a unified image has beside it; of no size: nothing. */
	struct boot_part {
		uint64_t start, size;
	} initrd, cmdline;
	uint8_t *unpacked; /* its bytes; NULL: they are in the file */
	uint64_t unpacked_room;
	uint32_t head_size; /* how much of head counts */
	uint8_t head[BOOT_HEAD_SIZE];
};

/* From its packed content, if it is packed, to the kernel itself, which has at most so many bytes. */
int boot_unpack(struct boot_image *image, uint64_t memory, struct error *err);
void boot_image_free(struct boot_image *image);
/* A unified kernel image: from then on the image is the kernel in it. Others stay what they are. */
int boot_unified(struct boot_image *image, struct error *err);
/* len bytes at offset of the kernel, all of them; into our own memory, or into the guest's. */
int boot_image_read(const struct boot_image *image, uint64_t offset, void *buf, uint64_t len,
	struct error *err);
int boot_image_load(const struct boot_image *image, uint64_t offset, struct memory *mem,
	uint64_t gpa, uint64_t len, struct error *err);
/* What it is instead of a kernel, with what to do if that is known; NULL: nothing that is known. */
const char *boot_other(const struct boot_image *image);

int boot_linux(struct memory *mem, const struct boot_config *config, const struct boot_image *image,
	struct cpu_state *state, struct error *err);
uint64_t boot_linux_room(const struct boot_image *image, uint64_t memory);
int boot_pvh(struct memory *mem, const struct boot_config *config, const struct boot_image *image,
	struct cpu_state *state, struct error *err);

/*
 * Whether there is a multiboot header (Multiboot Specification 0.6.96, section 3.1; for tests: what
 * its flags ask for is not looked at), and what such a kernel finds in memory and registers.
 */
bool boot_is_multiboot(const struct boot_image *image);
int boot_multiboot(struct memory *mem, uint64_t initrd, uint64_t initrd_size,
	struct cpu_state *state);

/* The size of a regular file. */
int boot_file_size(const struct machine_file *file, uint64_t *size, struct error *err);
/* len bytes at offset, all of them, into guest memory. */
int boot_file_load(const struct machine_file *file, uint64_t offset, struct memory *mem,
	uint64_t gpa, uint64_t len, struct error *err);
/* The same into our own. */
int boot_file_read(const struct machine_file *file, uint64_t offset, void *buf, uint64_t len,
	struct error *err);

/* Where the kernel is, with all the room that it takes until it has its own map of memory. */
struct boot_span {
	uint64_t start, end;
};

/*
 * Puts the initrd above the kernel, as high as limit (exclusive) and RAM below 4 GiB allow, or
 * below it when there is no room above: that of the kernel's image, with the file's behind it. No initrd:
 * *gpa and *size are 0.
 */
int boot_initrd(struct memory *mem, const struct boot_image *image,
	const struct machine_file *initrd, const struct boot_span *kernel, uint64_t limit,
	uint64_t *gpa, uint64_t *size, struct error *err);
/* The command line with its final zero; max is the longest that the kernel takes. */
int boot_cmdline(struct memory *mem, const char *cmdline, uint64_t max, struct error *err);

/* The memory map that a BIOS would give. */
struct boot_range {
	uint64_t start, size;
	uint32_t type;
};
#define BOOT_RAM 1
#define BOOT_RESERVED 2
#define BOOT_RANGES 8
unsigned boot_memory_map(const struct memory *mem, struct boot_range ranges[BOOT_RANGES]);

/* Flat segments: code is selector 0x10, data 0x18. */
int boot_flat_32(struct memory *mem, struct cpu_state *state, uint64_t entry);
/* The same in long mode, the first 4 GiB mapped one to one. */
int boot_flat_64(struct memory *mem, struct cpu_state *state, uint64_t entry);

#endif
