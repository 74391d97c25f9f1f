/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "machine/boot/boot.h"

/* The setup header's fields, by offset in the file and in boot_params (boot.rst). */
#define HDR_SETUP_SECTS 0x1f1
#define HDR_SYSSIZE 0x1f4
#define HDR_JUMP 0x201
#define HDR_VERSION 0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS 0x211
#define HDR_RAMDISK_IMAGE 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_MAX 0x22c
#define HDR_XLOADFLAGS 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE 0x260
#define HDR_START 0x1f1
#define HDR_END 0x268 /* of what is read here */

/* boot_params alone (Linux Documentation/x86/zero-page.rst) */
#define PARAMS_VIDEO_MODE 0x06
#define PARAMS_VIDEO_COLUMNS 0x07
#define PARAMS_VIDEO_LINES 0x0e
#define PARAMS_VIDEO_IS_VGA 0x0f
#define PARAMS_VIDEO_POINTS 0x10 /* lines of a character */
#define PARAMS_RSDP 0x70
#define PARAMS_E820_COUNT 0x1e8
#define PARAMS_E820 0x2d0
#define PARAMS_AFTER_HDR 0x290

#define VERSION_MIN 0x206 /* cmdline_size */
#define VERSION_64 0x20c  /* xloadflags */
#define LOADED_HIGH 0x01u
#define XLF_KERNEL_64 0x01u
#define ENTRY_64 0x200

static uint64_t get(const struct boot_image *image, unsigned at, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size && at + i < image->head_size; i++)
		value |= (uint64_t)image->head[at + i] << (8 * i);
	return value;
}

static void set(uint8_t *params, unsigned at, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		params[at + i] = value >> (8 * i);
}

struct kernel {
	unsigned version;
	uint64_t payload, payload_size; /* in the file */
	uint64_t load, room;            /* in the guest: where, and what it needs there */
	uint64_t initrd_limit, cmdline_max;
	bool is64;
};

static int check(const struct boot_image *image, struct kernel *kernel, struct error *err)
{
	const char *name = image->file->name;
	uint64_t setup = get(image, HDR_SETUP_SECTS, 1), declared;

	kernel->version = get(image, HDR_VERSION, 2);
	if (image->size < HDR_END)
		return error_set(err, ENOEXEC, "%s: the kernel is truncated", name);
	if (kernel->version < VERSION_MIN || !(get(image, HDR_LOADFLAGS, 1) & LOADED_HIGH))
		return error_set(err, ENOEXEC, "%s: a kernel too old to be started here", name);
	kernel->payload = ((setup ? setup : 4) + 1) * 512;
	declared = get(image, HDR_SYSSIZE, 4) * 16;
	/* The size is told in units of 16 bytes; the last may be cut short. */
	if (image->size <= kernel->payload || image->size - kernel->payload + 15 < declared)
		return error_set(err, ENOEXEC,
			"%s: the kernel is truncated: %llu bytes, it says it has %llu", name,
			(unsigned long long)image->size,
			(unsigned long long)(kernel->payload + declared));
	kernel->payload_size = image->size - kernel->payload;
	if (declared && declared < kernel->payload_size)
		kernel->payload_size = declared;
	kernel->is64 =
		kernel->version >= VERSION_64 && (get(image, HDR_XLOADFLAGS, 2) & XLF_KERNEL_64);
	kernel->initrd_limit = get(image, HDR_INITRD_MAX, 4) + 1;
	kernel->cmdline_max = get(image, HDR_CMDLINE_SIZE, 4);
	return 0;
}

static void measure(const struct boot_image *image, struct kernel *kernel)
{
	uint64_t init_size = 0;

	kernel->load = BOOT_KERNEL_MIN;
	if (kernel->version >= 0x20a) {
		kernel->load = get(image, HDR_PREF_ADDRESS, 8);
		init_size = get(image, HDR_INIT_SIZE, 4);
	}
	kernel->room = init_size > kernel->payload_size ? init_size : kernel->payload_size;
}

/*
 * A kernel unpacks itself below its packed copy (init_size counts both), and the memory of a small
 * guest may suffice for the one but not for both. The copy's share, which nobody needs after, is
 * then lent to it. What is lent stays: where in it the running kernel ends, no header tells.
 */
static uint64_t lent(const struct kernel *kernel)
{
	if (kernel->room == kernel->payload_size)
		return 0;
	return kernel->payload_size < BOOT_ROOM_MAX ? kernel->payload_size : BOOT_ROOM_MAX;
}

uint64_t boot_linux_room(const struct boot_image *image, uint64_t memory)
{
	struct kernel kernel = {0};
	uint64_t end;

	if (check(image, &kernel, NULL) < 0)
		return 0;
	measure(image, &kernel);
	if (kernel.load < BOOT_KERNEL_MIN || kernel.load >= MEMORY_LOW_END)
		return 0;
	end = kernel.load + kernel.room;
	if (end <= memory || end - memory > lent(&kernel))
		return 0;
	return (end - memory + MIB - 1) & ~(MIB - 1);
}

/*
 * Where the kernel wants to be. A relocatable one could be loaded lower, but would then move itself
 * up to that place (boot.rst, init_size), and guest memory has no holes that it could lie above.
 */
static int place(const struct memory *mem, const struct boot_image *image, struct kernel *kernel,
	struct error *err)
{
	measure(image, kernel);
	if (kernel->load < BOOT_KERNEL_MIN || kernel->load >= MEMORY_LOW_END)
		return error_set(err, ENOEXEC,
			"%s: wants to be loaded at %#llx, where it cannot be", image->file->name,
			(unsigned long long)kernel->load);
	if (memory_ptr(mem, kernel->load, kernel->room))
		return 0;
	return error_set(err, ENOMEM,
		"%s: the kernel needs %llu MiB to start, the guest has %llu MiB of memory",
		image->file->name,
		(unsigned long long)((kernel->load + kernel->room - lent(kernel) + MIB - 1) / MIB),
		(unsigned long long)(mem->size / MIB));
}

static void fill_params(uint8_t *params, const struct memory *mem, const struct boot_config *config,
	const struct boot_image *image, uint64_t initrd, uint64_t initrd_size)
{
	struct boot_range ranges[BOOT_RANGES];
	unsigned count = boot_memory_map(mem, ranges), end = 0x202 + image->head[HDR_JUMP];

	if (end > PARAMS_AFTER_HDR)
		end = PARAMS_AFTER_HDR;
	memcpy(params + HDR_START, image->head + HDR_START, end - HDR_START);
	set(params, HDR_TYPE_OF_LOADER, 1, 0xff);
	set(params, HDR_CMD_LINE_PTR, 4, BOOT_CMDLINE);
	set(params, HDR_RAMDISK_IMAGE, 4, initrd);
	set(params, HDR_RAMDISK_SIZE, 4, initrd_size);
	set(params, PARAMS_RSDP, 8, config->rsdp);
	if (config->screen) {
		set(params, PARAMS_VIDEO_MODE, 1, 3);
		set(params, PARAMS_VIDEO_COLUMNS, 1, 80);
		set(params, PARAMS_VIDEO_LINES, 1, 25);
		set(params, PARAMS_VIDEO_IS_VGA, 1, 1);
		set(params, PARAMS_VIDEO_POINTS, 2, 16);
	}
	set(params, PARAMS_E820_COUNT, 1, count);
	for (unsigned i = 0; i < count; i++) {
		set(params, PARAMS_E820 + 20 * i, 8, ranges[i].start);
		set(params, PARAMS_E820 + 20 * i + 8, 8, ranges[i].size);
		set(params, PARAMS_E820 + 20 * i + 16, 4, ranges[i].type);
	}
}

static int enter(struct memory *mem, const struct kernel *kernel, struct cpu_state *state,
	struct error *err)
{
	int r = kernel->is64 ? boot_flat_64(mem, state, kernel->load + ENTRY_64)
			     : boot_flat_32(mem, state, kernel->load);

	if (r < 0)
		return error_set(err, ENOMEM, "the guest has too little memory to start");
	state->gpr[RSI] = BOOT_PARAMS;
	return 0;
}

int boot_linux(struct memory *mem, const struct boot_config *config, const struct boot_image *image,
	struct cpu_state *state, struct error *err)
{
	struct kernel kernel = {0};
	uint64_t initrd, initrd_size;
	struct boot_span span;
	uint8_t params[4096] = {0};
	int r = check(image, &kernel, err);

	if (r < 0)
		return r;
	r = place(mem, image, &kernel, err);
	if (r < 0)
		return r;
	r = boot_cmdline(mem, config->cmdline, kernel.cmdline_max, err);
	if (r < 0)
		return r;
	r = boot_image_load(image, kernel.payload, mem, kernel.load, kernel.payload_size, err);
	if (r < 0)
		return r;
	span = (struct boot_span){kernel.load, kernel.load + kernel.room};
	r = boot_initrd(mem, image, &config->initrd, &span, kernel.initrd_limit, &initrd,
		&initrd_size, err);
	if (r < 0)
		return r;
	fill_params(params, mem, config, image, initrd, initrd_size);
	if (memory_write(mem, BOOT_PARAMS, params, sizeof params) < 0)
		return error_set(err, ENOMEM, "the guest has too little memory to start");
	return enter(mem, &kernel, state, err);
}
