/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of frozen memory that come from anywhere: some small files, with their end as it ought to be but for the
 * fuzzer's bytes, and sealed or not; and memory that stands on them is read and written.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/memory_base.h"

#define SIZE (1u << 20)
#define FILE_MAX (128u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shape {
	uint8_t pages, seals, wrong;
	int8_t longer;
	uint64_t told;
} __attribute__((packed));

static int map(struct engine_vm *vm, const struct memory_region *region, struct error *err)
{
	return 0;
}

static int door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	return 0;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
}

static const struct engine engine = {.kind = CPUID_TRANSLATE,
	.vm_map = map,
	.vm_door = door,
	.vm_written = written};

static int make_layer(const struct shape *shape, const uint8_t *data, size_t size)
{
	struct memory_layer end = {.pages = shape->wrong & 1 ? shape->told : shape->pages};
	uint64_t bits = (uint64_t)(shape->pages + 63) / 64 * 8;
	int64_t length = (int64_t)(shape->pages * REGION_PAGE + bits + sizeof end) + shape->longer;
	int fd = memfd_create("layer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (length < 0)
		length = 0;
	memcpy(end.magic, MEMORY_LAYER_MAGIC, sizeof end.magic);
	if (shape->wrong & 2)
		end.magic[shape->told % 8] ^= 1;
	if (ftruncate(fd, length) ||
		(size && pwrite(fd, data, size, shape->pages * REGION_PAGE) < 0) ||
		(length >= (int64_t)sizeof end &&
			pwrite(fd, &end, sizeof end, length - (int64_t)sizeof end) < 0))
		abort();
	fcntl(fd, F_ADD_SEALS, shape->seals % 16 ? 0xe : 0);
	return fd;
}

static void use(struct memory *mem)
{
	struct error err = {0};
	uint8_t byte;

	for (uint64_t gpa = 0; gpa < SIZE; gpa += REGION_PAGE)
		if (memory_read(mem, gpa, &byte, 1) || memory_write(mem, gpa + 1, &byte, 1))
			abort();
	if (memory_freeze(mem, false, &err) && mem->fd >= 0)
		abort();
	if (memory_read(mem, SIZE / 2, &byte, 1))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd[MEMORY_LAYERS];
	struct error err = {0};
	struct memory mem;
	unsigned count = 0;

	if (memory_create(&mem, SIZE, 0, true, &err) || memory_attach(&mem, &engine, NULL, &err))
		abort();
	while (size >= sizeof(struct shape) && count < MEMORY_LAYERS) {
		struct shape shape;
		size_t some;

		memcpy(&shape, data, sizeof shape);
		shape.pages %= FILE_MAX / REGION_PAGE;
		data += sizeof shape;
		size -= sizeof shape;
		some = size < 8 ? size : 8;
		fd[count++] = make_layer(&shape, data, some);
		data += some;
		size -= some;
	}
	if (count && !memory_stand_on(&mem, fd, count, &err))
		use(&mem);
	memory_destroy(&mem);
	while (count)
		close(fd[--count]);
	return 0;
}
