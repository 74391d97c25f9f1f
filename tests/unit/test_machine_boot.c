/* SPDX-License-Identifier: Apache-2.0 */
/* Loading kernels: good ones, and every way in which they can be bad. */
#include "boot_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static void linux_64(void **state)
{
	struct rig *rig = *state;
	char initrd[5000], cmdline[32];
	uint64_t at;

	memset(initrd, 'i', sizeof initrd);
	rig->config.initrd = (struct machine_file){file(initrd, sizeof initrd), "initrd"};
	assert_int_equal(reload(rig), 0);
	assert_int_equal(rig->state.rip, 0x1000200);
	assert_int_equal(rig->state.gpr[RSI], BOOT_PARAMS);
	assert_int_equal(rig->state.efer, EFER_LME | EFER_LMA);
	assert_true(rig->state.seg[SEG_CS].attr & SEG_ATTR_L);
	assert_int_equal(params(rig, 0x210, 1), 0xff);
	assert_int_equal(params(rig, 0x70, 8), 0xe0000);
	assert_true(params(rig, 0x1e8, 1) >= 4);
	assert_int_equal(params(rig, 0x2d0 + 16, 4), 1);
	assert_int_equal(memory_read(&rig->mem, params(rig, 0x228, 4), cmdline, 14), 0);
	assert_string_equal(cmdline, "console=ttyS0");
	at = params(rig, 0x218, 4);
	assert_int_equal(params(rig, 0x21c, 4), sizeof initrd);
	assert_int_equal(at, 32 * MIB - 8192);
	assert_int_equal(*(char *)memory_ptr(&rig->mem, at + sizeof initrd - 1, 1), 'i');
	close(rig->config.initrd.fd);
}

static void linux_32(void **state)
{
	struct rig *rig = *state;

	field(rig, 0x236, 2, 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(rig->state.rip, 0x1000000);
	assert_int_equal(rig->state.cr0 & CR0_PG, 0);
	assert_int_equal(rig->state.gpr[RSI], BOOT_PARAMS);
}

static void linux_misplaced(void **state)
{
	struct rig *rig = *state;

	field(rig, 0x258, 8, 0x40000000); /* where there is no memory */
	assert_int_equal(reload(rig), -ENOMEM);
	/* Below 1 MiB our own tables lie. */
	field(rig, 0x258, 8, 0x7000);
	assert_int_equal(reload(rig), -ENOEXEC);
	field(rig, 0x258, 8, UINT64_MAX - 4096);
	assert_int_equal(reload(rig), -ENOEXEC);
	field(rig, 0x258, 8, 0x1000000);
	field(rig, 0x260, 4, 0xffffffff);
	assert_int_equal(reload(rig), -ENOMEM);
	/* Old ones say nothing: 1 MiB. */
	field(rig, 0x206, 2, 0x209);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(rig->state.rip, 0x100000);
}

static void linux_bad(void **state)
{
	struct rig *rig = *state;
	static char text[4000];

	memset(text, 'x', sizeof text);
	assert_int_equal(load(rig, text, sizeof text), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "not a kernel"));
	assert_int_equal(load(rig, "", 0), -EINVAL);
	assert_int_equal(load(rig, "x", 1), -ENOEXEC);
	for (unsigned size = 1; size < sizeof rig->image; size += 97)
		assert_true(load(rig, rig->image, size) < 0);
	assert_int_equal(load(rig, rig->image, sizeof rig->image - 16), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "truncated"));
	rig->config.cmdline = "0123456789012345678901234567890123456789012345678901234567890123";
	assert_int_equal(reload(rig), -E2BIG);
	assert_non_null(strstr(rig->err.text, "too long"));
	rig->config.cmdline = "";
	field(rig, 0x206, 2, 0x200);
	assert_int_equal(reload(rig), -ENOEXEC);
}

static void initrd_bad(void **state)
{
	struct rig *rig = *state;
	int fd = memfd_create("initrd", 0);

	rig->config.initrd = (struct machine_file){fd, "initrd"};
	assert_int_equal(reload(rig), -EINVAL); /* empty */
	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	assert_int_equal(reload(rig), -ENOMEM);
	assert_non_null(strstr(rig->err.text, "does not fit"));
	assert_int_equal(ftruncate(fd, 1ull << 45), 0);
	assert_int_equal(reload(rig), -ENOMEM);
	/* Exactly what is left above the kernel, and a byte more. */
	assert_int_equal(ftruncate(fd, 16 * MIB - 0x10000), 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(ftruncate(fd, 16 * MIB - 0x10000 + 1), 0);
	assert_int_equal(reload(rig), -ENOMEM);
	close(fd);
	rig->config.initrd.fd = open("/", 0);
	assert_int_equal(reload(rig), -EISDIR);
	close(rig->config.initrd.fd);
}

/* A guest with little memory: the initrd goes where there is room, and the kernel stays whole. */
static void initrd_below(void **state)
{
	struct rig *rig = *state;
	int fd = memfd_create("initrd", 0);

	rig->config.initrd = (struct machine_file){fd, "initrd"};
	field(rig, 0x260, 4, 15 * MIB);
	assert_int_equal(ftruncate(fd, 1 * MIB), 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(params(rig, 0x218, 4), 31 * MIB);
	assert_int_equal(ftruncate(fd, 1 * MIB + 1), 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(params(rig, 0x218, 4), 15 * MIB - 4096);
	/* All between 1 MiB and the kernel, and a byte more. */
	assert_int_equal(ftruncate(fd, 15 * MIB), 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(params(rig, 0x218, 4), 1 * MIB);
	assert_int_equal(ftruncate(fd, 15 * MIB + 1), 0);
	assert_int_equal(reload(rig), -ENOMEM);
	/* The kernel's own limit counts there too. */
	field(rig, 0x22c, 4, 8 * MIB - 1);
	assert_int_equal(ftruncate(fd, 1 * MIB), 0);
	assert_int_equal(reload(rig), 0);
	assert_int_equal(params(rig, 0x218, 4), 7 * MIB);
	close(fd);
}

static uint64_t room(struct rig *rig, uint64_t memory)
{
	const struct machine_file kernel = {file(rig->image, sizeof rig->image), "vmlinuz"};
	uint64_t size = boot_room(&kernel, memory);

	close(kernel.fd);
	return size;
}

/* The packed copy's share of what a kernel needs to unpack itself may lie beyond the guest's memory. */
static void linux_room(void **state)
{
	struct rig *rig = *state;
	struct boot_range map[BOOT_RANGES];
	unsigned count;
	bool reserved = false;

	assert_int_equal(room(rig, 32 * MIB), 0);
	field(rig, 0x260, 4, 16 * MIB);
	assert_int_equal(room(rig, 32 * MIB), 0);
	field(rig, 0x260, 4, 16 * MIB + PAYLOAD + 1);
	assert_int_equal(room(rig, 32 * MIB), 0);
	assert_int_equal(reload(rig), -ENOMEM);
	assert_non_null(strstr(rig->err.text, "needs 33 MiB"));
	field(rig, 0x260, 4, 16 * MIB + PAYLOAD);
	assert_int_equal(room(rig, 32 * MIB), MIB);
	assert_int_equal(room(rig, 31 * MIB), 0);
	memory_destroy(&rig->mem);
	/* What it may need is made, what it does not need goes: the guard is where it ends then. */
	assert_int_equal(memory_create(&rig->mem, 32 * MIB, BOOT_ROOM_MAX, false, &rig->err), 0);
	memory_keep_room(&rig->mem, MIB);
	assert_int_equal(rig->mem.size, 32 * MIB);
	assert_null(memory_ptr(&rig->mem, 33 * MIB, 1));
	assert_non_null(memory_ptr(&rig->mem, 33 * MIB - 1, 1));
	for (unsigned at = 33; at < 32 + BOOT_ROOM_MAX / MIB; at++)
		assert_int_equal(msync(rig->mem.host + at * MIB + 4096, 4096, MS_ASYNC), -1);
	assert_int_equal(reload(rig), 0);
	count = boot_memory_map(&rig->mem, map);
	for (unsigned i = 0; i < count; i++) {
		if (map[i].type == BOOT_RAM)
			assert_true(map[i].start + map[i].size <= 32 * MIB);
		reserved |= map[i].start == 32 * MIB && map[i].size == MIB;
	}
	assert_true(reserved);
	/* What is no bzImage asks for nothing. */
	field(rig, 0x202, 1, 0);
	assert_int_equal(room(rig, 32 * MIB), 0);
}

/* Where there are devices behind it, memory has no room. */
static void no_room(void **state)
{
	struct memory mem;
	struct error err = {0};

	assert_int_equal(memory_create(&mem, MEMORY_LOW_END, MIB, false, &err), 0);
	assert_int_equal(mem.room, 0);
	assert_int_equal(memory_low_end(&mem), MEMORY_LOW_END);
	assert_null(memory_ptr(&mem, MEMORY_LOW_END, 1));
	memory_destroy(&mem);
}

static void not_files(void **state)
{
	struct rig *rig = *state;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	rig->config.kernel = (struct machine_file){pipes[0], "pipe"};
	assert_int_equal(load(rig, NULL, 0), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	rig->config.kernel = (struct machine_file){open("/", 0), "/"};
	assert_int_equal(load(rig, NULL, 0), -EISDIR);
	close(rig->config.kernel.fd);
}

/* A type is its owner's: the one of FreeBSD's or Go's note 18 is no entry. */
static void foreign_notes(void **state)
{
	static const char owners[][4] = {"BSD", "GNU", "Go\0", "xen", "Xe"};
	struct rig *rig = *state;
	struct elf_image e = make_elf();

	for (unsigned i = 0; i < sizeof owners / sizeof *owners; i++) {
		memcpy(e.name, owners[i], sizeof e.name);
		assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	}
	memcpy(e.name, "Xen", sizeof e.name);
	e.head.e_phnum = 1; /* without the segment of notes */
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
}

static void pvh(void **state)
{
	struct rig *rig = *state;
	struct elf_image e = make_elf();
	uint32_t info[14];

	assert_int_equal(load(rig, &e, sizeof e), 0);
	assert_int_equal(rig->state.rip, 0x200010);
	assert_int_equal(rig->state.gpr[RBX], BOOT_START_INFO);
	assert_int_equal(rig->state.cr0, CR0_PE | CR0_ET);
	assert_memory_equal(memory_ptr(&rig->mem, 0x200000, 5), "code", 5);
	memory_read(&rig->mem, BOOT_START_INFO, info, sizeof info);
	assert_int_equal(info[0], 0x336ec578);
	assert_int_equal(info[1], 1);
	assert_int_equal(info[8], 0xe0000);
	assert_true(info[12] >= 4);
}

/* Each kernel finds it, and it says what the map says. */
static void bios_data(void **state)
{
	struct rig *rig = *state;
	struct elf_image e = make_elf();
	struct boot_range map[BOOT_RANGES];
	uint16_t com1, extended, equipment, kib;
	uint8_t extended_kib;

	assert_int_equal(load(rig, &e, sizeof e), 0);
	memory_read(&rig->mem, 0x400, &com1, 2);
	memory_read(&rig->mem, 0x40e, &extended, 2);
	memory_read(&rig->mem, 0x410, &equipment, 2);
	memory_read(&rig->mem, 0x413, &kib, 2);
	assert_int_equal(com1, 0x3f8);
	assert_int_equal(equipment >> 9 & 7, 1);
	boot_memory_map(&rig->mem, map);
	assert_int_equal(map[0].start, 0);
	assert_int_equal(map[0].type, BOOT_RAM);
	assert_int_equal(map[0].size, kib * 1024);
	assert_int_equal(map[1].start, extended * 16);
	assert_int_equal(map[1].type, BOOT_RESERVED);
	memory_read(&rig->mem, extended * 16, &extended_kib, 1);
	assert_int_equal(map[1].size, extended_kib * 1024);
}

/* Only where the test devices are asked for, and only with a header whose sum is right. */
static void multiboot(void **state)
{
	struct rig *rig = *state;
	struct elf_image e = make_elf();
	const uint32_t header[3] = {0x1badb002, 0, -0x1badb002u};
	uint32_t info[30], module[4];
	int initrd = file("NAME=1", 6);

	e.head.e_entry = 0x200010;
	memset(&e.note, 0, sizeof e.note);
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	rig->config.multiboot = true;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	memcpy(e.code, header, sizeof header);
	rig->config.initrd = (struct machine_file){initrd, "initrd"};
	assert_int_equal(load(rig, &e, sizeof e), 0);
	assert_int_equal(rig->state.rip, e.head.e_entry);
	assert_int_equal(rig->state.gpr[RAX], 0x2badb002);
	assert_int_equal(memory_read(&rig->mem, rig->state.gpr[RBX], info, sizeof info), 0);
	assert_int_equal(info[0], 0x4d);
	assert_int_equal(info[5], 1);
	assert_int_equal(memory_read(&rig->mem, info[6], module, sizeof module), 0);
	assert_int_equal(module[1] - module[0], 6);
	assert_memory_equal(memory_ptr(&rig->mem, module[0], 6), "NAME=1", 6);
	close(initrd);
	rig->config.initrd.fd = -1;
	e.code[8] ^= 1;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
}

static void pvh_bad(void **state)
{
	struct rig *rig = *state;
	struct elf_image e;
	uint8_t *bytes = (uint8_t *)&e;

	e = make_elf();
	e.name[0] = 'Y';
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "PVH"));
	e = make_elf();
	e.seg[0].p_paddr = 0x1000;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	e = make_elf();
	e.seg[0].p_memsz = UINT64_MAX;
	assert_int_equal(load(rig, &e, sizeof e), -ENOMEM);
	e = make_elf();
	e.seg[0].p_filesz = 8193;
	assert_true(load(rig, &e, sizeof e) < 0);
	e = make_elf();
	e.seg[0].p_offset = UINT64_MAX - 10;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	e = make_elf();
	e.head.e_phoff = UINT64_MAX - 10;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	e = make_elf();
	e.head.e_phnum = 0;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	e = make_elf();
	e.head.e_machine = EM_AARCH64;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	e = make_elf();
	e.note.n_namesz = UINT32_MAX;
	e.note.n_descsz = UINT32_MAX;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	/* Any byte of the headers broken, in turn: an error or a load, nothing worse. */
	for (unsigned i = 0; i < offsetof(struct elf_image, code); i++) {
		for (unsigned bit = 0; bit < 8; bit += 3) {
			e = make_elf();
			bytes[i] ^= 1u << bit;
			load(rig, &e, sizeof e);
		}
	}
}

/* Kernels for Xen's own kind of guest, told by notes in a segment, in a section, or by a section's words. */

struct xen_image {
	struct elf_image elf;
	Elf64_Shdr section[3];
	char names[16];
	char words[40];
};

static struct xen_image make_xen(void)
{
	struct xen_image x = {
		.elf = make_elf(),
		.section = {{.sh_type = SHT_NULL},
			{.sh_name = 1,
				.sh_type = SHT_PROGBITS,
				.sh_offset = offsetof(struct xen_image, words),
				.sh_size = 30},
			{.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct xen_image, names),
				.sh_size = 16}},
		.names = "\0__xen_guest",
		.words = "LOADER=x,GUEST_OS=netbsd,VIRT_BASE=0",
	};

	x.elf.head.e_shoff = offsetof(struct xen_image, section);
	x.elf.head.e_shentsize = sizeof(Elf64_Shdr);
	x.elf.head.e_shnum = 3;
	x.elf.head.e_shstrndx = 2;
	x.elf.head.e_phnum = 1;
	return x;
}

static void xen_only(void **state)
{
	struct rig *rig = *state;
	struct elf_image e = make_elf();
	struct xen_image x = make_xen();

	e.note.n_type = 6;
	memcpy(&e.entry, "bsd", 4);
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_non_null(strstr(rig->err.text,
		"vmlinuz: a kernel of bsd for Xen's paravirtualized guests only, which are not there"));
	e.note.n_type = 2;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "a kernel for Xen's"));
	e.name[0] = 'Y';
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_null(strstr(rig->err.text, "Xen's"));
	assert_int_equal(load(rig, &x, sizeof x), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "a kernel of netbsd for Xen's"));
	x.section[1].sh_name = 0;
	assert_int_equal(load(rig, &x, sizeof x), -ENOEXEC);
	assert_null(strstr(rig->err.text, "Xen's"));
	x = make_xen();
	x.elf.note.n_type = 1;
	x.section[1].sh_type = SHT_NOTE;
	x.section[1].sh_name = 0;
	x.section[1].sh_offset = offsetof(struct xen_image, elf.note);
	assert_int_equal(load(rig, &x, sizeof x), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "a kernel for Xen's"));
	/* One with both is started. */
	x.elf.head.e_phnum = 2;
	x.elf.note.n_type = 18;
	assert_int_equal(load(rig, &x, sizeof x), 0);
}

/* What is no kernel is called what it is. */
static void other_files(void **state)
{
	static const struct {
		unsigned at, size;
		const char *magic, *says;
	} cases[] = {
		{0, 3, "BZh",
			"not a kernel (neither a bzImage nor an ELF file): it is compressed by bzip2: unpack "
			"it first"},
		{56, 4, "ARMd", "a kernel for ARM64"},
		{0, 6, "070701", "an initial RAM disk"},
		{0, 4, "#!/b", "a script"},
		{0, 4, "QFI\xfb", "a disk image (qcow2)"},
		{1080, 2, "\x53\xef", "a file system (ext2, ext3 or ext4)"},
		{510, 2, "\x55\xaa", "a disk with partitions, or a boot sector"},
		{0x8001, 5, "CD001", "the image of a CD"},
		{0, 2, "MZ", "an EFI program"},
	};
	struct rig *rig = *state;
	static uint8_t bytes[0x9000];
	struct elf_image e = make_elf();

	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		memset(bytes, 0, sizeof bytes);
		memcpy(bytes + cases[n].at, cases[n].magic, cases[n].size);
		assert_int_equal(load(rig, bytes, sizeof bytes), -ENOEXEC);
		if (!strstr(rig->err.text, cases[n].says))
			fail_msg("'%s' is not in: %s", cases[n].says, rig->err.text);
	}
	/* An ELF file of another kind */
	e.head.e_machine = EM_AARCH64;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "another kind of processor (ARM64)"));
	e = make_elf();
	e.seg[1].p_type = PT_INTERP;
	assert_int_equal(load(rig, &e, sizeof e), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "a program, not a kernel"));
}

static void header_garbage(void **state)
{
	struct rig *rig = *state;

	srandom(2);
	for (unsigned i = 0; i < 3000; i++) {
		make_bzimage(rig);
		for (unsigned n = random() % 8; n; n--)
			field(rig, 0x1f1 + random() % 0x77, 1, random());
		reload(rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(linux_64, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_32, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_misplaced, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_below, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_room, setup, teardown),
		cmocka_unit_test(no_room),
		cmocka_unit_test_setup_teardown(not_files, setup, teardown),
		cmocka_unit_test_setup_teardown(pvh, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_notes, setup, teardown),
		cmocka_unit_test_setup_teardown(bios_data, setup, teardown),
		cmocka_unit_test_setup_teardown(multiboot, setup, teardown),
		cmocka_unit_test_setup_teardown(pvh_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(xen_only, setup, teardown),
		cmocka_unit_test_setup_teardown(other_files, setup, teardown),
		cmocka_unit_test_setup_teardown(header_garbage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
