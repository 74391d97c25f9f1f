/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/firmware/flash.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/thread.h"
#include "machine/memory.h"
#include "machine/pci/root.h"
#include "state/state.h"

#define MAKER 0x89u /* Intel */
#define CHIP 0x18u

#define SIZE_MAX_BYTES (1u << 20) /* a section of a state has room for it */

enum mode { READS_ARRAY, READS_STATUS, READS_IDENTIFIER, READS_QUERY, MODES };

struct flash {
	struct board *board;
	struct memory_region region; /* as memory; host has what is in it */
	uint8_t *file;               /* the guest's file, mapped; NULL */
	struct mutex lock;           /* all that follows, and what is in it */
	uint8_t mode;                /* enum mode */
	uint8_t command;             /* whose second write comes next; 0: none */
	uint8_t status;
	bool is_memory; /* the region is in guest memory; changes while no vCPU runs */
};

/* --- what it says -------------------------------------------------------------------------------- */

static unsigned log2_of(uint64_t size)
{
	return 63 - __builtin_clzll(size);
}

/* The query structure (JESD68 and JEP137; offsets from 0x10 on). No power of two: the one above, as blocks say. */
static uint8_t query(const struct flash *flash, uint64_t offset)
{
	const unsigned blocks = flash->region.size / FLASH_BLOCK - 1;
	const uint8_t table[] = {
		[0x10] = 'Q',
		'R',
		'Y',
		0x01,
		0x00, /* commands: Intel's, whose table is ... */
		[0x15] = 0x31,
		[0x1b] = 0x45,
		0x55, /* volts */
		[0x1f] =
			0x07, /* 2^n us for a byte; 2^n ms for a block, and so many times that at most */
		[0x21] = 0x0a,
		[0x23] = 0x04,
		[0x25] = 0x04,
		[0x27] = log2_of(flash->region.size - 1) + 1,
		[0x2c] = 1, /* kind of blocks */
		[0x2d] = blocks & 0xff,
		blocks >> 8,
		(FLASH_BLOCK >> 8) & 0xff,
		FLASH_BLOCK >> 16,
		[0x31] = 'P',
		'R',
		'I',
		'1',
		'0',
	};

	return offset < sizeof table ? table[offset] : 0;
}

static uint8_t read_byte(const struct flash *flash, uint64_t offset) REQUIRES(flash->lock)
{
	switch (flash->mode) {
	case READS_STATUS:
		return flash->status;
	case READS_IDENTIFIER:
		return offset % FLASH_BLOCK == 0 ? MAKER : offset % FLASH_BLOCK == 1 ? CHIP : 0;
	case READS_QUERY:
		return query(flash, offset);
	default:
		return flash->region.host[offset];
	}
}

static uint64_t flash_read(void *ctx, uint64_t offset, unsigned size)
{
	struct flash *flash = ctx;
	uint64_t value = 0;

	mutex_assert_held(&flash->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(flash, offset + i) << (8 * i);
	return value;
}

/* --- what it is told ------------------------------------------------------------------------------ */

static void changed(struct flash *flash, uint64_t offset, uint64_t size) REQUIRES(flash->lock)
{
	if (flash->file)
		memcpy(flash->file + offset, flash->region.host + offset, size);
	memory_written(flash->board->memory, flash->region.gpa + offset, size);
}

/* The second write of a command. */
static void complete(struct flash *flash, uint64_t offset, uint8_t value) REQUIRES(flash->lock)
{
	const uint64_t block = offset & ~(uint64_t)(FLASH_BLOCK - 1);

	flash->status |= FLASH_STATUS_READY;
	if (flash->command == FLASH_PROGRAM) {
		flash->region.host[offset] &= value;
		changed(flash, offset, 1);
	} else if (flash->command == FLASH_ERASE && value == FLASH_CONFIRM) {
		memset(flash->region.host + block, 0xff, FLASH_BLOCK);
		changed(flash, block, FLASH_BLOCK);
	} else if (flash->command == FLASH_ERASE) {
		flash->status |= FLASH_STATUS_ERROR;
	}
	flash->command = 0;
	flash->mode = READS_STATUS;
}

static void begin(struct flash *flash, uint8_t value) REQUIRES(flash->lock)
{
	switch (value) {
	case FLASH_PROGRAM:
	case FLASH_PROGRAM_2:
		flash->command = FLASH_PROGRAM;
		flash->mode = READS_STATUS;
		break;
	case FLASH_ERASE:
	case FLASH_LOCK:
		flash->command = value;
		flash->mode = READS_STATUS;
		break;
	case FLASH_CLEAR_STATUS:
		flash->status = 0;
		flash->mode = READS_ARRAY;
		break;
	case FLASH_READ_STATUS:
		flash->mode = READS_STATUS;
		break;
	case FLASH_READ_IDENTIFIER:
		flash->mode = READS_IDENTIFIER;
		break;
	case FLASH_READ_QUERY:
		flash->mode = READS_QUERY;
		break;
	default: /* FLASH_READ_ARRAY, and what is no command */
		flash->mode = READS_ARRAY;
	}
}

static void flash_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct flash *flash = ctx;

	mutex_assert_held(&flash->lock);
	if (flash->command)
		complete(flash, offset, value);
	else
		begin(flash, value);
	if (flash->is_memory != (flash->mode == READS_ARRAY))
		flash->board->owner->remap(flash->board->ctx);
}

static const struct bus_ops ops = {flash_read, flash_write, 1, false};

/* --- on the board --------------------------------------------------------------------------------- */

static int flash_remap(void *device, struct error *err)
{
	struct flash *flash = device;
	struct memory *mem = flash->board->memory;
	const bool wanted = flash->mode == READS_ARRAY; /* no vCPU runs, who could change it */
	int r = 0;

	if (wanted && !flash->is_memory)
		r = memory_add(mem, &flash->region, err);
	else if (!wanted && flash->is_memory)
		r = memory_remove(mem, flash->region.gpa, flash->region.size, err);
	if (!r)
		flash->is_memory = wanted;
	return r;
}

static void flash_reset(void *device)
{
	struct flash *flash = device;

	mutex_lock(&flash->lock);
	flash->mode = READS_ARRAY;
	flash->command = flash->status = 0;
	if (!flash->is_memory)
		flash->board->owner->remap(flash->board->ctx);
	mutex_unlock(&flash->lock);
}

static void flash_describe(void *device, struct state *s)
{
	struct flash *flash = device;
	const void *bytes = flash->region.host;
	size_t size = flash->region.size;
	struct error err = {0};

	mutex_lock(&flash->lock);
	state_begin(s, "flash", 0, 1);
	state_u8(s, "mode", &flash->mode);
	state_u8(s, "command", &flash->command);
	state_u8(s, "status", &flash->status);
	state_blob(s, "bytes", &bytes, &size);
	state_require(s, flash->mode < MODES && size == flash->region.size, "another flash memory");
	if (state_loading(s) && state_ok(s)) {
		memcpy(flash->region.host, bytes, size);
		changed(flash, 0, size);
	}
	state_end(s);
	mutex_unlock(&flash->lock);
	if (state_loading(s) && state_ok(s) && flash_remap(flash, &err))
		state_fail(s, EINVAL, "%s", err.text);
}

/* The file's bytes, and the file itself to be written to. */
static int open_file(struct flash *flash, const struct board_firmware *firmware, struct error *err)
{
	const char *name = firmware->variables_name;
	struct stat st;
	uint64_t size;
	void *file;
	int r;

	if (fstat(firmware->variables, &st))
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	size = st.st_size;
	if (!S_ISREG(st.st_mode) || !size || size > SIZE_MAX_BYTES || size % FLASH_BLOCK)
		return error_set(err, EINVAL,
			"%s: not a firmware's variables (up to 1 MiB, a multiple of 4 KiB)", name);
	r = memory_region_create(&flash->region, pci_root_rom(flash->board) - size, size, err);
	if (r)
		return r;
	flash->region.read_only = flash->region.apart = true;
	file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, firmware->variables, 0);
	if (file == MAP_FAILED)
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	flash->file = file;
	memcpy(flash->region.host, file, size);
	return 0;
}

static int flash_init(void *device, struct board *board, struct error *err)
{
	struct flash *flash = device;
	int r;

	mutex_init(&flash->lock);
	flash->board = board;
	r = open_file(flash, board->firmware, err);
	if (!r)
		r = bus_map(&board->mmio, flash->region.gpa, flash->region.size, &ops, flash,
			&flash->lock);
	return r ? r : flash_remap(flash, err);
}

static void flash_destroy(void *device)
{
	struct flash *flash = device;

	if (flash->file)
		munmap(flash->file, flash->region.size);
	/* Guest memory, which has it yet, is not used any more either. */
	memory_region_destroy(&flash->region);
	mutex_destroy(&flash->lock);
}

static bool has_variables(const struct board *board)
{
	return board->firmware && board->firmware->variables_name;
}

const struct board_device flash_device = {
	.name = "flash memory",
	.size = sizeof(struct flash),
	.wanted = has_variables,
	.init = flash_init,
	.reset = flash_reset,
	.remap = flash_remap,
	.destroy = flash_destroy,
	.describe = flash_describe,
};
