/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel file, which may be one from a guest's own disk. The input is what is changed in a good one:
 * a byte that chooses it, one for the file's size, then offset (2 bytes) and value (1 byte), again and
 * again. The good one may be packed, before or after it is changed.
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "machine/boot/boot.h"

#define MEMORY (32 * MIB)
#define FILE_SIZE 16384u
#define TABLES 1024u /* of the ELF file: what lies there is its headers */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t good[3][FILE_SIZE]; /* bzImage, ELF, a unified image of the first */
static struct memory mem;
static struct boot_config config = {.cmdline = "console=ttyS0", .rsdp = 0xe0000};

static void field(unsigned at, unsigned size, uint64_t value)
{
	memcpy(good[0] + at, &value, size);
}

static void make_bzimage(void)
{
	field(0x1f1, 1, 4);
	field(0x1f4, 4, 512);
	field(0x1fe, 2, 0xaa55);
	field(0x202, 4, 0x53726448);
	field(0x206, 2, 0x20f);
	field(0x211, 1, 1);
	field(0x22c, 4, 0x7fffffff);
	field(0x230, 4, 0x200000);
	field(0x234, 4, 0x10001);
	field(0x238, 4, 63);
	field(0x258, 8, 0x1000000);
	field(0x260, 4, 0x10000);
}

static void make_elf(void)
{
	const struct {
		Elf64_Ehdr head;
		Elf64_Phdr seg[2];
		Elf64_Nhdr note;
		char name[4];
		uint32_t entry;
	} elf = {
		.head = {.e_ident = "\177ELF\2\1\1",
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2},
		.seg = {{.p_type = PT_LOAD,
				.p_offset = TABLES,
				.p_paddr = 0x1000000,
				.p_filesz = 4096,
				.p_memsz = 8192},
			{.p_type = PT_NOTE,
				.p_offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr),
				.p_filesz = sizeof(Elf64_Nhdr) + 8}},
		.note = {4, 4, 18},
		.name = "Xen",
		.entry = 0x1000000,
	};

	memcpy(good[1], &elf, sizeof elf);
}

static void make_unified(void)
{
	static const struct {
		char name[8];
		uint32_t size, at, raw_size, raw_at, rest[4];
	} sections[] = {{".linux", 12288, 0, 12288, 1024, {0}},
		{".initrd", 1000, 0, 1024, 13312, {0}}, {".cmdline", 10, 0, 512, 14336, {0}}};

	memcpy(good[2], "MZ", 2);
	good[2][0x3c] = 0x80;
	memcpy(good[2] + 0x80, "PE\0\0\x64\x86\3\0", 8);
	memcpy(good[2] + 0x98, sections, sizeof sections);
	memcpy(good[2] + 1024, good[0], 12288);
	memset(good[2] + 14336, 'x', 512);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct error err = {""};

	make_bzimage();
	make_elf();
	make_unified();
	config.kernel = (struct machine_file){memfd_create("kernel", 0), "kernel"};
	config.initrd = (struct machine_file){memfd_create("initrd", 0), "initrd"};
	if (memory_create(&mem, MEMORY, 0, false, &err) || ftruncate(config.initrd.fd, 100000))
		abort();
	return 0;
}

/* In place; returns the size. */
static size_t pack(uint8_t file[FILE_SIZE], size_t size)
{
	static uint8_t packed[FILE_SIZE];
	z_stream z = {.next_in = file,
		.avail_in = (uInt)size,
		.next_out = packed,
		.avail_out = sizeof packed};

	if (deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
		deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	memcpy(file, packed, sizeof packed);
	return sizeof packed - z.avail_out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t file[FILE_SIZE];
	struct error err = {""};
	struct cpu_state state;
	size_t len, changed = FILE_SIZE;
	bool untouched = size == 2 && !data[1];
	unsigned way;
	int r;

	if (size < 2)
		return 0;
	memcpy(file, good[data[0] & 16 ? 2 : data[0] & 1], sizeof file);
	config.multiboot = data[0] & 2;
	way = data[0] >> 2 & 3;
	len = data[1] ? FILE_SIZE * data[1] / 255 : FILE_SIZE;
	if (way == 2)
		len = changed = pack(file, len);
	for (data += 2, size -= 2; size >= 3; data += 3, size -= 3)
		file[(data[0] | data[1] << 8) % changed] = data[2];
	if (way == 1)
		len = pack(file, len);
	if (ftruncate(config.kernel.fd, 0) || pwrite(config.kernel.fd, file, len, 0) != len)
		abort();
	boot_room(&config.kernel, MEMORY);
	cpu_state_reset(&state);
	r = boot_load(&mem, &config, &state, &err);
	if ((r != 0) != (err.text[0] != 0) || (untouched && r))
		abort();
	return 0;
}
