/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory of 32 MiB, and small kernels of both kinds (bzImage, ELF with PVH's note) to load into it. */
#ifndef DACH_TESTS_BOOT_RIG_H
#define DACH_TESTS_BOOT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/boot/boot.h"

#define MIB 0x100000ull
#define SETUP (5 * 512)
#define PAYLOAD 8192

struct rig {
	struct memory mem;
	struct boot_config config;
	struct cpu_state state;
	struct error err;
	uint8_t image[SETUP + PAYLOAD];
};

static inline void field(struct rig *rig, unsigned at, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		rig->image[at + i] = value >> (8 * i);
}

static inline int file(const void *data, size_t size)
{
	int fd = memfd_create("test", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	return fd;
}

static inline void make_bzimage(struct rig *rig)
{
	memset(rig->image, 0, sizeof rig->image);
	memset(rig->image + SETUP, 0x90, PAYLOAD);
	field(rig, 0x1f1, 1, 4);
	field(rig, 0x1f4, 4, PAYLOAD / 16);
	field(rig, 0x1fe, 2, 0xaa55);
	field(rig, 0x201, 1, 0x6a);
	memcpy(rig->image + 0x202, "HdrS", 4);
	field(rig, 0x206, 2, 0x20f);
	field(rig, 0x211, 1, 1);
	field(rig, 0x22c, 4, 0x7fffffff);
	field(rig, 0x230, 4, 0x200000);
	field(rig, 0x234, 1, 1);
	field(rig, 0x236, 2, 1);
	field(rig, 0x238, 4, 63);
	field(rig, 0x258, 8, 0x1000000);
	field(rig, 0x260, 4, 0x10000);
}

static inline int load(struct rig *rig, const void *data, size_t size)
{
	int r;

	if (data)
		rig->config.kernel = (struct machine_file){file(data, size), "vmlinuz"};
	cpu_state_reset(&rig->state);
	rig->err.text[0] = 0;
	r = boot_load(&rig->mem, &rig->config, &rig->state, &rig->err);
	if (data)
		close(rig->config.kernel.fd);
	assert_true(r == 0 || rig->err.text[0]);
	return r;
}

static inline int reload(struct rig *rig)
{
	return load(rig, rig->image, sizeof rig->image);
}

static inline int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof *rig);

	assert_int_equal(memory_create(&rig->mem, 32 * MIB, 0, false, &rig->err), 0);
	rig->config.initrd.fd = -1;
	rig->config.cmdline = "console=ttyS0";
	rig->config.rsdp = 0xe0000;
	make_bzimage(rig);
	*state = rig;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *rig = *state;

	memory_destroy(&rig->mem);
	free(rig);
	return 0;
}

static inline uint64_t params(struct rig *rig, unsigned at, unsigned size)
{
	uint64_t value = 0;

	memory_read(&rig->mem, BOOT_PARAMS + at, &value, size);
	return value;
}

struct elf_image {
	Elf64_Ehdr head;
	Elf64_Phdr seg[2];
	Elf64_Nhdr note;
	char name[4];
	uint32_t entry;
	char code[64];
};

static inline struct elf_image make_elf(void)
{
	struct elf_image e = {
		.head = {.e_machine = EM_X86_64,
			.e_phoff = offsetof(struct elf_image, seg),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2},
		.seg = {{.p_type = PT_LOAD,
				.p_offset = offsetof(struct elf_image, code),
				.p_filesz = 64,
				.p_memsz = 8192,
				.p_paddr = 0x200000},
			{.p_type = PT_NOTE,
				.p_offset = offsetof(struct elf_image, note),
				.p_filesz = 20,
				.p_align = 4}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x200010,
		.code = "code",
	};

	memcpy(e.head.e_ident, "\177ELF\2\1\1", 7);
	return e;
}

#endif
