/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/boot/boot.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "machine/chipset/serial.h"

#define PAGE 4096ull
#define ALIGNED(size) (((size) + 3) & ~3ull)

int boot_file_size(const struct machine_file *file, uint64_t *size, struct error *err)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return error_set(err, errno, "%s: %s", file->name, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "%s: is a directory", file->name);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: not a regular file", file->name);
	*size = st.st_size;
	return 0;
}

int boot_file_read(const struct machine_file *file, uint64_t offset, void *buf, uint64_t len,
	struct error *err)
{
	ssize_t n = io_pread_all(file->fd, buf, len, offset);

	if (n < 0)
		return error_set(err, -n, "%s: cannot read: %s", file->name, strerror(-n));
	if ((uint64_t)n < len)
		return error_set(err, EIO, "%s: ends too early", file->name);
	return 0;
}

int boot_image_read(const struct boot_image *image, uint64_t offset, void *buf, uint64_t len,
	struct error *err)
{
	const bool whole = !image->unpacked && !image->start;

	if (!whole && (offset > image->size || len > image->size - offset))
		return error_set(err, EIO, "%s: ends too early", image->file->name);
	if (!image->unpacked)
		return boot_file_read(image->file, image->start + offset, buf, len, err);
	memcpy(buf, image->unpacked + image->start + offset, len);
	return 0;
}

int boot_image_load(const struct boot_image *image, uint64_t offset, struct memory *mem,
	uint64_t gpa, uint64_t len, struct error *err)
{
	void *to = memory_ptr(mem, gpa, len);
	int r;

	if (!len)
		return 0;
	if (!to)
		return error_set(err, ENOMEM,
			"%s: does not fit into the guest's %llu MiB of memory", image->file->name,
			(unsigned long long)(mem->size / MIB));
	memory_prepare(mem, gpa, len);
	r = boot_image_read(image, offset, to, len, err);
	memory_written(mem, gpa, len);
	return r;
}

int boot_file_load(const struct machine_file *file, uint64_t offset, struct memory *mem,
	uint64_t gpa, uint64_t len, struct error *err)
{
	return boot_image_load(&(struct boot_image){.file = file}, offset, mem, gpa, len, err);
}

/* The highest page at which size bytes lie between start and end, or 0. */
static uint64_t highest(uint64_t start, uint64_t end, uint64_t size)
{
	uint64_t at;

	start = (start + PAGE - 1) & ~(PAGE - 1);
	if (start > end || size > end - start)
		return 0;
	at = (end - size) & ~(PAGE - 1);
	/* Rounding down may reach below the start: then it fits exactly. */
	return at < start ? start : at;
}

/* Both are archives, which begin at multiples of 4. */
static int load_initrd(struct memory *mem, const struct boot_image *image,
	const struct machine_file *initrd, uint64_t gpa, uint64_t size, struct error *err)
{
	struct boot_image own = *image;
	uint64_t behind = ALIGNED(image->initrd.size);
	int r = 0;

	own.start = image->initrd.start;
	own.size = image->initrd.size;
	if (own.size)
		r = boot_image_load(&own, 0, mem, gpa, own.size, err);
	return r || size <= behind
		? r
		: boot_file_load(initrd, 0, mem, gpa + behind, size - behind, err);
}

int boot_initrd(struct memory *mem, const struct boot_image *image,
	const struct machine_file *initrd, const struct boot_span *kernel, uint64_t limit,
	uint64_t *gpa, uint64_t *size, struct error *err)
{
	uint64_t end = memory_low_end(mem), own = image->initrd.size;
	const char *name = initrd->fd < 0 ? image->file->name : initrd->name;
	int r;

	*gpa = *size = 0;
	if (initrd->fd >= 0) {
		r = boot_file_size(initrd, size, err);
		if (r < 0)
			return r;
		if (!*size)
			return error_set(err, EINVAL, "%s: is empty", initrd->name);
		own = ALIGNED(own);
	}
	*size += own;
	if (!*size)
		return 0;
	if (end > limit)
		end = limit;
	*gpa = highest(kernel->end, end, *size);
	if (!*gpa)
		*gpa = highest(BOOT_KERNEL_MIN, end < kernel->start ? end : kernel->start, *size);
	if (!*gpa)
		return error_set(err, ENOMEM,
			"%s: the initrd (%llu MiB) does not fit beside the kernel into the guest's "
			"%llu MiB of memory",
			name, (unsigned long long)((*size + MIB - 1) / MIB),
			(unsigned long long)(mem->size / MIB));
	return load_initrd(mem, image, initrd, *gpa, *size, err);
}

int boot_cmdline(struct memory *mem, const char *cmdline, uint64_t max, struct error *err)
{
	size_t len = strlen(cmdline);

	if (max > BOOT_CMDLINE_SIZE - 1)
		max = BOOT_CMDLINE_SIZE - 1;
	if (len > max)
		return error_set(err, E2BIG,
			"the command line is too long: %zu characters, the kernel takes %llu", len,
			(unsigned long long)max);
	if (memory_write(mem, BOOT_CMDLINE, cmdline, len + 1) < 0)
		return error_set(err, ENOMEM, "the guest has too little memory to start");
	return 0;
}

unsigned boot_memory_map(const struct memory *mem, struct boot_range ranges[BOOT_RANGES])
{
	unsigned n = 0;

	ranges[n++] = (struct boot_range){0, BOOT_LOW_END, BOOT_RAM};
	ranges[n++] = (struct boot_range){BOOT_LOW_END, 0xa0000 - BOOT_LOW_END, BOOT_RESERVED};
	ranges[n++] = (struct boot_range){0xe0000, 0x20000, BOOT_RESERVED};
	if (memory_low_end(mem) > MIB)
		ranges[n++] = (struct boot_range){MIB, memory_low_end(mem) - MIB, BOOT_RAM};
	if (mem->size + mem->room > mem->low)
		ranges[n++] = (struct boot_range){MEMORY_HIGH_START,
			mem->size + mem->room - mem->low, BOOT_RAM};
	if (mem->room)
		ranges[n++] = (struct boot_range){memory_low_end(mem), mem->room, BOOT_RESERVED};
	/* The APICs. */
	ranges[n++] = (struct boot_range){0xfec00000, 0x1000, BOOT_RESERVED};
	ranges[n++] = (struct boot_range){0xfee00000, 0x1000, BOOT_RESERVED};
	return n;
}

/*
 * Where a processor begins, for kernels that jump there to start again (Linux's reboot=b): real mode code
 * that resets by port 0xcf9.
 */
static int write_reset_vector(struct memory *mem)
{
	static const uint8_t code[] = {
		0xba, 0xf9, 0x0c, /* mov $0xcf9, %dx */
		0xb0, 0x06,       /* mov $6, %al */
		0xee,             /* out %al, %dx */
		0xeb, 0xfe,       /* jmp . */
	};

	return memory_write(mem, BOOT_RESET_VECTOR, code, sizeof code);
}

/*
 * What a BIOS leaves for kernels that do not ask for the map: where the first serial port is, how
 * much memory there is below 1 MiB, and the extended area above it (IBM PS/2 and PC BIOS Interface
 * Technical Reference, "BIOS Data Area").
 */
static int write_bios_data(struct memory *mem)
{
	const struct {
		uint16_t com[4], lpt[3], extended; /* ports; the last a segment */
		uint16_t equipment;
		uint8_t self_test;
		uint16_t kib;
	} __attribute__((packed)) data = {
		.com = {SERIAL_COM1},
		.extended = BOOT_LOW_END >> 4,
		.equipment = 1 << 9 | 1 << 1, /* one serial port, a coprocessor */
		.kib = BOOT_LOW_END >> 10,
	};
	const uint8_t extended_kib = (0xa0000 - BOOT_LOW_END) >> 10;
	int r = memory_write(mem, BOOT_BIOS_DATA, &data, sizeof data);

	return r < 0 ? r : memory_write(mem, BOOT_LOW_END, &extended_kib, sizeof extended_kib);
}

/* Unpacked, if that is what it takes: it then has at most so many bytes. boot_image_free() in any case. */
static int look(const struct machine_file *kernel, uint64_t memory, struct boot_image *image,
	struct error *err)
{
	int r;

	*image = (struct boot_image){.file = kernel};
	r = boot_file_size(kernel, &image->size, err);
	if (r < 0)
		return r;
	if (!image->size)
		return error_set(err, EINVAL, "%s: is empty", kernel->name);
	image->head_size = image->size < BOOT_HEAD_SIZE ? image->size : BOOT_HEAD_SIZE;
	r = boot_file_read(kernel, 0, image->head, image->head_size, err);
	if (!r)
		r = boot_unpack(image, memory, err);
	return r ? r : boot_unified(image, err);
}

static bool is_linux(const struct boot_image *image)
{
	return image->head_size >= 0x206 && !memcmp(image->head + 0x202, "HdrS", 4) &&
		image->head[0x1fe] == 0x55 && image->head[0x1ff] == 0xaa;
}

uint64_t boot_room(const struct machine_file *kernel, uint64_t memory)
{
	struct boot_image image;
	uint64_t room = 0;

	if (!look(kernel, memory, &image, NULL) && is_linux(&image))
		room = boot_linux_room(&image, memory);
	boot_image_free(&image);
	return room;
}

static int load(struct memory *mem, const struct boot_config *config,
	const struct boot_image *image, struct cpu_state *state, struct error *err)
{
	const char *other;

	if (write_bios_data(mem) < 0 || write_reset_vector(mem) < 0)
		return error_set(err, ENOMEM, "the guest has too little memory to start");
	if (image->head_size >= 4 && !memcmp(image->head, "\177ELF", 4))
		return boot_pvh(mem, config, image, state, err);
	if (is_linux(image))
		return boot_linux(mem, config, image, state, err);
	other = boot_other(image);
	return error_set(err, ENOEXEC, "%s: not a kernel (neither a bzImage nor an ELF file)%s%s",
		config->kernel.name, other ? ": it is " : "", other ? other : "");
}

/* The image's own words, and the configuration's behind them: the later one counts. */
static int join_cmdline(const struct boot_image *image, const char *behind,
	char to[BOOT_CMDLINE_SIZE], struct error *err)
{
	struct boot_image own = *image;
	int r;

	own.start = image->cmdline.start;
	own.size = image->cmdline.size;
	if (own.size + strlen(behind) + 2 > BOOT_CMDLINE_SIZE)
		return error_set(err, E2BIG, "%s: its command line is too long", image->file->name);
	r = boot_image_read(&own, 0, to, own.size, err);
	to[r ? 0 : own.size] = 0;
	/* Lines of a file are words, too. */
	for (char *c = to; *c; c++)
		if (isspace((unsigned char)*c))
			*c = ' ';
	for (size_t end = strlen(to); end && to[end - 1] == ' '; end--)
		to[end - 1] = 0;
	if (*to && *behind)
		strcat(to, " ");
	strcat(to, behind);
	return r;
}

int boot_load(struct memory *mem, const struct boot_config *config, struct cpu_state *state,
	struct error *err)
{
	struct boot_config joined = *config;
	char cmdline[BOOT_CMDLINE_SIZE];
	struct boot_image image;
	int r = look(&config->kernel, mem->size, &image, err);

	if (!r && image.cmdline.size) {
		r = join_cmdline(&image, config->cmdline, cmdline, err);
		joined.cmdline = cmdline;
	}
	if (!r)
		r = load(mem, &joined, &image, state, err);
	boot_image_free(&image);
	return r;
}
