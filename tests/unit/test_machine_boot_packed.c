/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels in a wrapping: compressed ones, and unified kernel images. */
#include "boot_rig.h"

#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

static size_t pack(const void *from, size_t size, uint8_t *to, size_t room)
{
	z_stream z = {.next_in = (void *)from, .avail_in = size, .next_out = to, .avail_out = room};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static size_t pack_zstd(const void *from, size_t size, uint8_t *to, size_t room)
{
	size_t got;
	ZSTD_CCtx *z = ZSTD_createCCtx();

	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	got = ZSTD_compress2(z, to, room, from, size);
	ZSTD_freeCCtx(z);
	assert_false(ZSTD_isError(got));
	return got;
}

static size_t pack_xz(const void *from, size_t size, uint8_t *to, size_t room)
{
	size_t got = 0;

	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, from, size, to, &got,
				 room),
		LZMA_OK);
	return got;
}

/* Packed: both kinds of kernel; what is damaged, and what is too much. */
static void packed_by(struct rig *rig,
	size_t (*by)(const void *from, size_t size, uint8_t *to, size_t room), const char *how)
{
	static uint8_t packed[65536], zeros[33 * MIB];
	struct elf_image e = make_elf();
	size_t size = by(&e, sizeof e, packed, sizeof packed);

	assert_int_equal(load(rig, packed, size), 0);
	assert_int_equal(rig->state.rip, 0x200010);
	assert_memory_equal(memory_ptr(&rig->mem, 0x200000, 5), "code", 5);
	/* Something behind it */
	packed[size] = 'x';
	assert_int_equal(load(rig, packed, size + 1), 0);
	size = by(rig->image, sizeof rig->image, packed, sizeof packed);
	assert_int_equal(load(rig, packed, size), 0);
	assert_int_equal(rig->state.rip, 0x1000200);
	assert_int_equal(*(uint8_t *)memory_ptr(&rig->mem, 0x1000000 + PAYLOAD - 1, 1), 0x90);
	for (size_t cut = 7; cut < size; cut++)
		assert_int_equal(load(rig, packed, cut), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, how));
	assert_non_null(strstr(rig->err.text, " kernel that is damaged or truncated"));
	packed[size / 2] ^= 1;
	assert_int_equal(load(rig, packed, size), -ENOEXEC);
	size = by(rig->image, 0, packed, sizeof packed);
	assert_int_equal(load(rig, packed, size), -EINVAL);
	size = by(zeros, sizeof zeros, packed, sizeof packed);
	assert_int_equal(load(rig, packed, size), -ENOMEM);
	assert_non_null(
		strstr(rig->err.text, "unpacked, the kernel does not fit into the guest's 32 MiB"));
	/* What is in it is no kernel. */
	size = by("#!/bin/sh", 9, packed, sizeof packed);
	assert_int_equal(load(rig, packed, size), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "it is a script"));
}

static void packed_kernels(void **state)
{
	packed_by(*state, pack, "gzip'd");
	packed_by(*state, pack_zstd, "zstd-compressed");
	packed_by(*state, pack_xz, "xz-compressed");
}

/* A unified kernel image of the rig's kernel. */
struct unified {
	uint8_t byte[512 + SETUP + PAYLOAD + 512 + 512];
	uint32_t sections, linux_at, initrd_at, cmdline_at;
};

static void add_section(struct unified *u, unsigned n, const char *name, uint32_t at, uint32_t size,
	uint32_t padded)
{
	uint8_t *entry = u->byte + u->sections + 40ul * n;

	memset(entry, 0, 40);
	memcpy(entry, name, strlen(name));
	memcpy(entry + 8, &size, 4);
	memcpy(entry + 16, &padded, 4);
	memcpy(entry + 20, &at, 4);
}

static struct unified make_unified(struct rig *rig)
{
	struct unified u = {.sections = 0x80 + 24, .linux_at = 512};

	u.initrd_at = u.linux_at + sizeof rig->image;
	u.cmdline_at = u.initrd_at + 512;
	memcpy(u.byte, "MZ", 2);
	u.byte[0x3c] = 0x80;
	memcpy(u.byte + 0x80, "PE\0\0\x64\x86\4\0", 8);
	add_section(&u, 0, ".text", 0, 1, 1);
	add_section(&u, 1, ".cmdline", u.cmdline_at, 12, 512);
	add_section(&u, 2, ".initrd", u.initrd_at, 9, 512);
	add_section(&u, 3, ".linux", u.linux_at, sizeof rig->image, sizeof rig->image);
	memcpy(u.byte + u.linux_at, rig->image, sizeof rig->image);
	memcpy(u.byte + u.initrd_at, "its own..", 9);
	memcpy(u.byte + u.cmdline_at, "root=LABEL=x\n", 13);
	return u;
}

static const char *at_32(struct rig *rig, unsigned field)
{
	uint32_t gpa, size;

	memcpy(&gpa, memory_ptr(&rig->mem, BOOT_PARAMS + field, 4), 4);
	memcpy(&size, memory_ptr(&rig->mem, BOOT_PARAMS + 0x21c, 4), 4);
	return memory_ptr(&rig->mem, gpa, field == 0x218 ? size : 1);
}

static void unified(void **state)
{
	struct rig *rig = *state;
	struct unified u = make_unified(rig), good = u;
	static uint8_t packed[65536], large[100000];
	struct machine_file none = rig->config.initrd;
	uint32_t size;

	rig->config.cmdline = "console=ttyS0";
	rig->config.initrd = (struct machine_file){-1, NULL};
	assert_int_equal(load(rig, u.byte, sizeof u.byte), 0);
	assert_int_equal(rig->state.rip, 0x1000200);
	assert_string_equal(at_32(rig, 0x228), "root=LABEL=x console=ttyS0");
	assert_memory_equal(at_32(rig, 0x218), "its own..", 9);
	memcpy(&size, memory_ptr(&rig->mem, BOOT_PARAMS + 0x21c, 4), 4);
	assert_int_equal(size, 9);
	/* One that is given comes behind it. */
	rig->config.initrd = (struct machine_file){file("another", 7), "initrd"};
	assert_int_equal(load(rig, u.byte, sizeof u.byte), 0);
	assert_memory_equal(at_32(rig, 0x218), "its own..", 9);
	assert_memory_equal(at_32(rig, 0x218) + 12, "another", 7);
	close(rig->config.initrd.fd);
	rig->config.initrd = (struct machine_file){-1, NULL};
	assert_int_equal(load(rig, packed, pack_zstd(u.byte, sizeof u.byte, packed, sizeof packed)),
		0);
	/* Without the two. */
	u.byte[u.sections + 41] = u.byte[u.sections + 81] = 'x';
	assert_int_equal(load(rig, u.byte, sizeof u.byte), 0);
	assert_string_equal(at_32(rig, 0x228), "console=ttyS0");
	/* Cut, another processor's, a size and a place beyond the end, no kernel in it. */
	for (size_t cut = 300; cut < good.cmdline_at + 12; cut += 97)
		assert_int_not_equal(load(rig, good.byte, cut), 0);
	u = good;
	u.byte[0x84] = 0x4c;
	assert_int_equal(load(rig, u.byte, sizeof u.byte), -ENOEXEC);
	assert_non_null(strstr(rig->err.text, "for another kind of processor"));
	for (unsigned field = 8; field <= 20; field += 4)
		for (unsigned n = 1; n < 4; n++) {
			u = good;
			memset(u.byte + u.sections + 40ul * n + field, 0xff, 4);
			if (load(rig, u.byte, sizeof u.byte))
				assert_non_null(strstr(rig->err.text, "vmlinuz"));
		}
	u = good;
	memset(u.byte + u.linux_at, 0, 1024);
	assert_int_equal(load(rig, u.byte, sizeof u.byte), -ENOEXEC);
	/* More words than there is room for. */
	u = good;
	add_section(&u, 1, ".cmdline", sizeof u.byte, 70000, 70000);
	memset(large, 'x', sizeof large);
	memcpy(large, u.byte, sizeof u.byte);
	assert_int_equal(load(rig, large, sizeof large), -E2BIG);
	rig->config.initrd = none;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packed_kernels, setup, teardown),
		cmocka_unit_test_setup_teardown(unified, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
