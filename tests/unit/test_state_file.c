/* SPDX-License-Identifier: Apache-2.0 */
/* Saved guests as files: memory in its places, zeros as holes, and nothing that is damaged or hostile taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <sys/stat.h>

#include "machine/memory_lazy.h"
#include "state_rig.h"

#define DISK (64u << 10)

struct file {
	struct rig rig;
	int fd;
	struct state_file_header header;
};

/* Two pages of noise in one chunk, with zeros between them, and one at the end of memory. */
static const uint64_t used[] = {0x13000, 0x15000, RIG_MIB - 0x1000};

static void fill(uint8_t page[4096], unsigned n)
{
	uint32_t noise = n + 1;

	for (unsigned i = 0; i < 4096; i++) {
		noise = noise * 1664525 + 1013904223;
		page[i] = (uint8_t)(noise >> 24);
	}
}

static void file_open(struct file *file)
{
	struct error err = {0};
	uint8_t page[4096];

	memset(file, 0, sizeof *file);
	file->fd = memfd_create("state", 0);
	assert_true(file->fd >= 0 && rig_open(&file->rig, DISK));
	for (unsigned n = 0; n < 3; n++) {
		fill(page, n);
		assert_int_equal(memory_write(machine_memory(file->rig.machine), used[n], page,
					 4096),
			0);
	}
	if (rig_save_file(&file->rig, file->fd, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pread(file->fd, &file->header, sizeof file->header, 0),
		sizeof file->header);
}

static void file_close(struct file *file)
{
	rig_close(&file->rig);
	close(file->fd);
}

static void set_header(struct file *file)
{
	file->header.crc = state_checksum(0, &file->header, sizeof file->header - 4);
	assert_int_equal(pwrite(file->fd, &file->header, sizeof file->header, 0),
		sizeof file->header);
}

/* Into a machine of its own; its sentence. */
static int load(int fd, struct error *err)
{
	struct rig rig;
	int r;

	err->text[0] = 0;
	assert_true(rig_open(&rig, DISK));
	r = rig_load_file(&rig, fd, err);
	rig_close(&rig);
	return r;
}

static void memory_has_its_places(void **unused)
{
	struct file file;
	struct error err = {0};
	uint8_t page[4096], there[4096];
	struct rig to;
	struct stat st;

	file_open(&file);
	assert_int_equal(file.header.memory, STATE_FILE_MEMORY);
	for (unsigned n = 0; n < 3; n++) {
		fill(page, n);
		assert_int_equal(pread(file.fd, there, 4096, (off_t)(STATE_FILE_MEMORY + used[n])),
			4096);
		assert_memory_equal(there, page, 4096);
	}
	/* All the rest of memory are holes: the next data behind the first page is the second one. */
	assert_int_equal(lseek(file.fd, STATE_FILE_MEMORY + 0x14000, SEEK_DATA),
		STATE_FILE_MEMORY + 0x15000);
	assert_int_equal(fstat(file.fd, &st), 0);
	assert_true(st.st_blocks * 512 < 200 << 10);
	assert_true(rig_open(&to, DISK));
	if (rig_load_file(&to, file.fd, &err))
		fail_msg("%s", err.text);
	for (unsigned n = 0; n < 3; n++) {
		fill(page, n);
		assert_int_equal(memory_read(machine_memory(to.machine), used[n], there, 4096), 0);
		assert_memory_equal(there, page, 4096);
	}
	assert_int_equal(memory_read(machine_memory(to.machine), 0x14000, there, 4096), 0);
	assert_true(!there[0] && !memcmp(there, there + 1, 4095));
	rig_close(&to);
	file_close(&file);
}

/* Anything that is changed is found: in the header, in memory, in the stream. */
static void damaged(void **unused)
{
	struct file file;
	struct error err;
	uint64_t at[] = {9, 20, 40, 46, STATE_FILE_MEMORY + used[0] + 100,
		STATE_FILE_MEMORY + used[2] + 4095, 0, 0, 0};

	file_open(&file);
	assert_int_equal(load(file.fd, &err), 0);
	for (unsigned i = 0; i < 3; i++)
		at[6 + i] = file.header.stream + (file.header.stream_size - 1) * i / 2;
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
		uint8_t byte;

		assert_int_equal(pread(file.fd, &byte, 1, (off_t)at[i]), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(file.fd, &byte, 1, (off_t)at[i]), 1);
		assert_true(load(file.fd, &err) != 0);
		byte ^= 0x10;
		assert_int_equal(pwrite(file.fd, &byte, 1, (off_t)at[i]), 1);
	}
	assert_int_equal(load(file.fd, &err), 0);
	assert_int_equal(pwrite(file.fd, "x", 1, (off_t)(STATE_FILE_MEMORY + used[1])), 1);
	assert_int_equal(load(file.fd, &err), -EINVAL);
	assert_string_equal(err.text,
		"saved: section memory-map: damaged: memory at 0x10000 has a wrong checksum");
	file_close(&file);
}

static void truncated(void **unused)
{
	struct file file;
	struct error err;
	uint64_t end;

	file_open(&file);
	end = file.header.stream + file.header.stream_size;
	for (uint64_t len = end; len > 10000; len -= len / 9) {
		assert_int_equal(ftruncate(file.fd, (off_t)len - 1), 0);
		assert_int_equal(load(file.fd, &err), -EINVAL);
		assert_string_equal(err.text, "saved: not whole: it ends too early");
	}
	/* Memory behind the stream's end, which the header does not tell. */
	assert_int_equal(ftruncate(file.fd, 60), 0);
	assert_int_equal(load(file.fd, &err), -EINVAL);
	assert_int_equal(ftruncate(file.fd, 30), 0);
	assert_int_equal(load(file.fd, &err), 1);
	file_close(&file);
}

static void foreign_and_newer(void **unused)
{
	struct state_file_header header;
	struct file file;
	struct error err;

	file_open(&file);
	header = file.header;
	file.header.flags = 4;
	set_header(&file);
	assert_int_equal(load(file.fd, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "newer dach"));
	file.header = header;
	file.header.format = STATE_FILE_FORMAT + 1;
	set_header(&file);
	assert_int_equal(load(file.fd, &err), 1);
	for (unsigned i = 0; i < 5; i++) {
		file.header = header;
		uint64_t wrong = i < 3 ? UINT64_MAX - 4095 : 8;

		if (i % 3 == 0)
			file.header.memory = wrong;
		else if (i % 3 == 1)
			file.header.stream = wrong;
		else
			file.header.stream_size = wrong;
		set_header(&file);
		assert_true(load(file.fd, &err) < 0);
		assert_true(err.text[0]);
	}
	file.header = header;
	set_header(&file);
	assert_int_equal(load(file.fd, &err), 0);
	file_close(&file);
}

/* Lists of pages that nobody wrote, with right checksums. */
static void hostile_lists(void **unused)
{
	static const struct {
		unsigned at; /* byte of the first entry's */
		uint8_t value;
		const char *says;
	} changes[] = {{3, 0xff, "more memory than the guest has"},
		{2, 0x01, "more memory than the guest has"}, {12, 0, "pages in a wrong order"},
		{4, 0, "pages in a wrong order"}, {5, 0xff, "wrong checksum"},
		{6, 1, "wrong checksum"}, {8, 0x5a, "wrong checksum"}};
	struct file file;
	struct error err;

	file_open(&file);
	for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
		struct bytes b = {.len = file.header.stream_size};
		uint8_t *good = malloc(b.len), *list;

		b.data = malloc(b.len);
		assert_int_equal(pread(file.fd, good, b.len, (off_t)file.header.stream), b.len);
		memcpy(b.data, good, b.len);
		list = memmem(b.data, b.len, "chunks", 6);
		assert_non_null(list);
		list[6 + 5 + changes[i].at] = changes[i].value;
		bytes_seal(&b);
		assert_int_equal(pwrite(file.fd, b.data, b.len, (off_t)file.header.stream), b.len);
		assert_int_equal(load(file.fd, &err), -EINVAL);
		if (!strstr(err.text, changes[i].says))
			fail_msg("%u: %s", i, err.text);
		assert_int_equal(pwrite(file.fd, good, b.len, (off_t)file.header.stream), b.len);
		free(b.data);
		free(good);
	}
	assert_int_equal(load(file.fd, &err), 0);
	file_close(&file);
}

/* --- packed pages ----------------------------------------------------------------------------- */

#define PACKED 0x20000u /* a chunk of its own; without its second page */

static void fill_packed(uint8_t page[4096], unsigned n)
{
	for (unsigned i = 0; i < 4096; i++)
		page[i] = n == 1 ? 0 : (uint8_t)(i / 16 + n);
}

/* Whether the guest has them. */
static bool has_packed(struct machine *machine)
{
	uint8_t page[4096], there[4096];

	for (unsigned n = 0; n < CHUNK_PAGES; n++) {
		fill_packed(page, n);
		if (memory_read(machine_memory(machine), PACKED + n * 4096, there, 4096) ||
			memcmp(page, there, 4096) != 0)
			return false;
	}
	return true;
}

static void packed_open(struct file *file)
{
	struct rig *rig = &file->rig;
	struct error err = {0};
	uint8_t page[4096];

	file_open(file);
	for (unsigned n = 0; n < CHUNK_PAGES; n++) {
		fill_packed(page, n);
		assert_int_equal(memory_write(machine_memory(rig->machine), PACKED + n * 4096, page,
					 4096),
			0);
	}
	assert_int_equal(ftruncate(file->fd, 0), 0);
	if (rig_save_file(rig, file->fd, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pread(file->fd, &file->header, sizeof file->header, 0),
		sizeof file->header);
}

static void pages_are_packed(void **unused)
{
	const off_t place = STATE_FILE_MEMORY + PACKED;
	struct file file;
	struct error err = {0};
	unsigned found = 0;
	struct rig to;

	packed_open(&file);
	assert_true(lseek(file.fd, place, SEEK_HOLE) == place + 4096);
	for (unsigned later = 0; later < 2; later++) {
		assert_true(rig_open(&to, DISK));
		if (rig_load_file_as(&to, file.fd, later, &err))
			fail_msg("%s", err.text);
		assert_true(has_packed(to.machine));
		memory_lazy_end(machine_memory(to.machine));
		rig_close(&to);
	}
	/* What is changed is found, or makes no difference. */
	for (unsigned at = 0; at < 200; at++) {
		uint8_t byte;

		assert_int_equal(pread(file.fd, &byte, 1, place + at), 1);
		byte ^= 1 << at % 8;
		assert_int_equal(pwrite(file.fd, &byte, 1, place + at), 1);
		assert_true(rig_open(&to, DISK));
		if (rig_load_file(&to, file.fd, &err)) {
			assert_non_null(strstr(err.text, "memory at 0x20000 has a wrong checksum"));
			found++;
		} else {
			assert_true(has_packed(to.machine));
		}
		rig_close(&to);
		byte ^= 1 << at % 8;
		assert_int_equal(pwrite(file.fd, &byte, 1, place + at), 1);
	}
	assert_true(found > 20);
	file_close(&file);
}

/* A state of a program that did not pack yet; and one that says so and has packed pages. */
static void older_lists(void **unused)
{
	for (unsigned packs = 0; packs < 2; packs++) {
		struct state_section *section;
		struct file file;
		struct error err;
		struct bytes b;

		if (packs)
			packed_open(&file);
		else
			file_open(&file);
		b = (struct bytes){.len = file.header.stream_size};
		b.data = malloc(b.len);
		assert_int_equal(pread(file.fd, b.data, b.len, (off_t)file.header.stream), b.len);
		section = memmem(b.data, b.len, "memory-map", 10);
		assert_non_null(section);
		assert_int_equal(section->version, 2);
		section->version = 1;
		bytes_seal(&b);
		assert_int_equal(pwrite(file.fd, b.data, b.len, (off_t)file.header.stream), b.len);
		assert_int_equal(load(file.fd, &err), packs ? -EINVAL : 0);
		if (packs)
			assert_non_null(strstr(err.text, "pages in a wrong order"));
		free(b.data);
		file_close(&file);
	}
}

/* --- memory that comes later ----------------------------------------------------------------- */

/* The rig's engine is told of nothing; who touches memory is a device. */
static void memory_comes_later(void **unused)
{
	struct file file;
	struct error err = {0};
	uint8_t page[4096], there[4096];
	struct rig to;

	file_open(&file);
	assert_true(rig_open(&to, DISK));
	if (rig_load_file_as(&to, file.fd, true, &err))
		fail_msg("%s", err.text);
	for (unsigned n = 3; n-- > 0;) {
		fill(page, n);
		assert_int_equal(memory_read(machine_memory(to.machine), used[n], there, 4096), 0);
		assert_memory_equal(there, page, 4096);
	}
	/* What is written first is not read over. */
	memset(page, 0x77, sizeof page);
	assert_int_equal(memory_write(machine_memory(to.machine), used[1], page, 4096), 0);
	while (!memory_lazy_is_over(machine_memory(to.machine)))
		sched_yield();
	assert_int_equal(memory_lazy_result(machine_memory(to.machine), &err), 0);
	memory_lazy_end(machine_memory(to.machine));
	assert_int_equal(memory_read(machine_memory(to.machine), used[1], there, 4096), 0);
	assert_memory_equal(there, page, 4096);
	assert_int_equal(memory_read(machine_memory(to.machine), 0x14000, there, 4096), 0);
	assert_true(!there[0] && !memcmp(there, there + 1, 4095));
	rig_close(&to);
	file_close(&file);
}

static void damage_is_found_later(void **unused)
{
	struct file file;
	struct error err = {0};
	uint8_t there[4096], byte;
	struct rig to;

	file_open(&file);
	assert_int_equal(pread(file.fd, &byte, 1, (off_t)(STATE_FILE_MEMORY + used[1])), 1);
	assert_int_equal(pwrite(file.fd, "x", 1, (off_t)(STATE_FILE_MEMORY + used[1])), 1);
	assert_true(rig_open(&to, DISK));
	assert_int_equal(rig_load_file_as(&to, file.fd, true, &err), 0);
	assert_true(memory_read(machine_memory(to.machine), used[0], there, 4096) < 0);
	assert_int_equal(memory_read(machine_memory(to.machine), used[2], there, 4096), 0);
	while (!memory_lazy_is_over(machine_memory(to.machine)))
		sched_yield();
	assert_int_equal(memory_lazy_result(machine_memory(to.machine), &err), -EINVAL);
	assert_string_equal(err.text,
		"the saved guest's memory at 0x10000 is damaged: a wrong checksum");
	rig_close(&to);
	/* A file that is cut while it is read. */
	assert_true(rig_open(&to, DISK));
	assert_int_equal(pwrite(file.fd, &byte, 1, (off_t)(STATE_FILE_MEMORY + used[1])), 1);
	assert_int_equal(rig_load_file_as(&to, file.fd, true, &err), 0);
	assert_int_equal(ftruncate(file.fd, STATE_FILE_MEMORY), 0);
	memory_read(machine_memory(to.machine), used[0], there, 4096);
	rig_close(&to);
	file_close(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_has_its_places),
		cmocka_unit_test(damaged),
		cmocka_unit_test(truncated),
		cmocka_unit_test(foreign_and_newer),
		cmocka_unit_test(hostile_lists),
		cmocka_unit_test(pages_are_packed),
		cmocka_unit_test(older_lists),
		cmocka_unit_test(memory_comes_later),
		cmocka_unit_test(damage_is_found_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
