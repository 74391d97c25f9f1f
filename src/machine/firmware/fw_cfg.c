/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/firmware/fw_cfg.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/thread.h"
#include "machine/chipset/serial.h"
#include "machine/firmware/loader.h"
#include "machine/memory.h"
#include "state/state.h"

#define ID_PORTS 1u
#define ID_TRANSFERS 2u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

#define ITEMS 24
#define NAME_SIZE 56
#define BOOT_ORDER "bootorder"   /* the last of the files */
#define TRANSFER_MAX (16u << 20) /* more than all that there is */

struct item {
	uint16_t key;
	bool writable;
	char name[NAME_SIZE]; /* of a file; else empty */
	void *data;
	uint32_t size;
};

struct fw_entry {
	uint32_t size;
	uint16_t key, reserved;
	char name[NAME_SIZE];
};

struct directory {
	uint32_t count;
	struct fw_entry entry[ITEMS];
};

/* The e820 file: what INT 15h, AX=E820h will say (ACPI 6.4, 15.1). */
struct e820_range {
	uint64_t start, size;
	uint32_t type;
} __attribute__((packed));
#define RANGE_RAM 1u

/* Little-endian, as all items' numbers are. */
struct facts {
	uint32_t id;
	uint64_t ram, serial, boot_fail_wait, generation_at;
	uint16_t cpus, no_menu;
	uint8_t irq0_override;
	uint8_t generation[ACPI_GENERATION_SIZE];
	struct e820_range ram_range[2];
	struct directory directory;
	struct loader loader;
	char boot_order[FW_CFG_BOOT_ORDER_MAX];
};

struct fw_cfg {
	struct board *board;
	struct facts facts; /* generation, generation_at: by lock */
	struct item item[ITEMS];
	unsigned items;
	struct mutex lock; /* all that follows */
	uint16_t key;
	uint32_t offset;
	uint32_t dma_high;
};

/* --- what there is ------------------------------------------------------------------------------- */

static void add_item(struct fw_cfg *fw, uint16_t key, const void *data, uint32_t size)
{
	fw->item[fw->items++] =
		(struct item){.key = key, .data = (void *)(uintptr_t)data, .size = size};
}

static void add_file(struct fw_cfg *fw, const char *name, const void *data, uint32_t size)
{
	struct directory *directory = &fw->facts.directory;
	uint32_t n = be32toh(directory->count);
	struct fw_entry *entry = &directory->entry[n];

	add_item(fw, FW_CFG_FILES + n, data, size);
	strcpy(fw->item[fw->items - 1].name, name);
	entry->size = htobe32(size);
	entry->key = htobe16(FW_CFG_FILES + n);
	strcpy(entry->name, name);
	directory->count = htobe32(n + 1);
}

static unsigned ram_ranges(const struct memory *mem, struct e820_range range[2])
{
	range[0] = (struct e820_range){0, memory_low_end(mem), RANGE_RAM};
	range[1] =
		(struct e820_range){MEMORY_HIGH_START, mem->size + mem->room - mem->low, RANGE_RAM};
	return range[1].size ? 2 : 1;
}

static int make_facts(struct fw_cfg *fw, struct error *err)
{
	const struct board *board = fw->board;
	struct facts *f = &fw->facts;
	unsigned ranges = ram_ranges(board->memory, f->ram_range);
	const struct acpi_config acpi = {.vcpus = board->firmware->vcpus,
		.keyboard = board->keyboard};
	int r = loader_build(&f->loader, &acpi, err);

	f->id = ID_PORTS | ID_TRANSFERS;
	f->ram = memory_low_end(board->memory);
	f->cpus = board->firmware->vcpus;
	f->irq0_override = 1;
	f->serial = SERIAL_COM1;
	f->boot_fail_wait = UINT64_MAX; /* nothing to start from: for good */
	add_item(fw, FW_CFG_SIGNATURE, "QEMU", 4);
	add_item(fw, FW_CFG_ID, &f->id, sizeof f->id);
	add_item(fw, FW_CFG_RAM, &f->ram, sizeof f->ram);
	add_item(fw, FW_CFG_CPUS, &f->cpus, sizeof f->cpus);
	add_item(fw, FW_CFG_MAX_CPUS, &f->cpus, sizeof f->cpus);
	add_item(fw, FW_CFG_BOOT_MENU, &f->no_menu, sizeof f->no_menu);
	add_item(fw, FW_CFG_IRQ0_OVERRIDE, &f->irq0_override, sizeof f->irq0_override);
	add_item(fw, FW_CFG_DIRECTORY, &f->directory, sizeof f->directory);
	add_file(fw, "etc/e820", f->ram_range, ranges * sizeof f->ram_range[0]);
	add_file(fw, "etc/sercon-port", &f->serial, sizeof f->serial);
	add_file(fw, "etc/boot-fail-wait", &f->boot_fail_wait, sizeof f->boot_fail_wait);
	add_file(fw, LOADER_RSDP, f->loader.rsdp, sizeof f->loader.rsdp);
	add_file(fw, LOADER_TABLES, f->loader.tables, f->loader.tables_size);
	add_file(fw, LOADER_GENERATION, f->generation, sizeof f->generation);
	add_file(fw, LOADER_GENERATION_AT, &f->generation_at, sizeof f->generation_at);
	fw->item[fw->items - 1].writable = true;
	add_file(fw, "etc/table-loader", f->loader.script, f->loader.entries * LOADER_ENTRY);
	add_file(fw, BOOT_ORDER, f->boot_order, 0);
	return r;
}

int fw_cfg_set_boot_order(struct fw_cfg *fw, const char *paths, struct error *err)
{
	struct directory *directory = &fw->facts.directory;
	const size_t size = *paths ? strlen(paths) + 1 : 0;

	if (size > sizeof fw->facts.boot_order)
		return error_set(err, E2BIG, "more to start from than a firmware can be told of");
	mutex_lock(&fw->lock);
	memcpy(fw->facts.boot_order, paths, size);
	fw->item[fw->items - 1].size = size;
	directory->entry[be32toh(directory->count) - 1].size = htobe32(size);
	mutex_unlock(&fw->lock);
	return 0;
}

uint64_t fw_cfg_generation(struct fw_cfg *fw)
{
	uint64_t at;

	mutex_lock(&fw->lock);
	at = le64toh(fw->facts.generation_at);
	mutex_unlock(&fw->lock);
	return at;
}

/* --- what the guest reads ------------------------------------------------------------------------- */

static const struct item *chosen(const struct fw_cfg *fw) REQUIRES(fw->lock)
{
	for (unsigned i = 0; i < fw->items; i++)
		if (fw->item[i].key == fw->key)
			return &fw->item[i];
	return NULL;
}

/* How many of len bytes of the item from the offset on there are. */
static uint32_t there(const struct fw_cfg *fw, const struct item *item, uint32_t len)
	REQUIRES(fw->lock)
{
	uint32_t left = item && fw->offset < item->size ? item->size - fw->offset : 0;

	return len < left ? len : left;
}

static void choose(struct fw_cfg *fw, uint16_t key) REQUIRES(fw->lock)
{
	fw->key = key;
	fw->offset = 0;
}

static void pass(struct fw_cfg *fw, uint32_t len) REQUIRES(fw->lock)
{
	fw->offset = len < UINT32_MAX - fw->offset ? fw->offset + len : UINT32_MAX;
}

static uint64_t ports_read(void *ctx, uint64_t offset, unsigned size)
{
	struct fw_cfg *fw = ctx;
	const struct item *item;
	uint8_t byte = 0;

	mutex_assert_held(&fw->lock);
	if (offset != FW_CFG_DATA - FW_CFG_SELECT)
		return 0;
	item = chosen(fw);
	if (there(fw, item, 1))
		byte = ((const uint8_t *)item->data)[fw->offset];
	pass(fw, 1);
	return byte;
}

static void ports_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct fw_cfg *fw = ctx;

	mutex_assert_held(&fw->lock);
	if (!offset && size == 2)
		choose(fw, value);
}

/* What is beyond an item's end reads as zeros. */
static int transfer_read(struct fw_cfg *fw, uint64_t gpa, uint32_t len) REQUIRES(fw->lock)
{
	const struct item *item = chosen(fw);
	uint32_t has = there(fw, item, len);
	struct memory *mem = fw->board->memory;

	if (len && !memory_ptr(mem, gpa, len))
		return -EFAULT;
	if (has)
		memory_write(mem, gpa, (const uint8_t *)item->data + fw->offset, has);
	if (len > has)
		memory_zero(mem, gpa + has, len - has);
	return 0;
}

static int transfer_write(struct fw_cfg *fw, uint64_t gpa, uint32_t len) REQUIRES(fw->lock)
{
	const struct item *item = chosen(fw);

	if (!item || !item->writable || there(fw, item, len) < len)
		return -EPERM;
	return memory_read(fw->board->memory, gpa, (uint8_t *)item->data + fw->offset, len);
}

static void transfer(struct fw_cfg *fw, uint64_t gpa) REQUIRES(fw->lock)
{
	struct memory *mem = fw->board->memory;
	struct fw_cfg_transfer t;
	uint32_t control, len, done = 0;
	uint64_t at;
	int r = 0;

	if (memory_read(mem, gpa, &t, sizeof t))
		return;
	control = be32toh(t.control);
	len = be32toh(t.length);
	at = be64toh(t.address);
	if (control & FW_CFG_CHOOSE)
		choose(fw, control >> 16);
	if (control & (FW_CFG_READ | FW_CFG_WRITE) && len > TRANSFER_MAX)
		r = -EFBIG;
	else if (control & FW_CFG_READ)
		r = transfer_read(fw, at, len);
	else if (control & FW_CFG_WRITE)
		r = len ? transfer_write(fw, at, len) : 0;
	if (r)
		done = htobe32(FW_CFG_ERROR);
	else if (control & (FW_CFG_READ | FW_CFG_WRITE | FW_CFG_SKIP))
		pass(fw, len);
	memory_write(mem, gpa, &done, sizeof done);
}

static uint64_t dma_read(void *ctx, uint64_t offset, unsigned size)
{
	const uint64_t signature = htobe64(DMA_SIGNATURE);

	return signature >> (8 * offset);
}

static void dma_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct fw_cfg *fw = ctx;
	const uint32_t half = be32toh((uint32_t)value);

	mutex_assert_held(&fw->lock);
	if (!offset) {
		fw->dma_high = half;
	} else {
		transfer(fw, (uint64_t)fw->dma_high << 32 | half);
		fw->dma_high = 0;
	}
}

static const struct bus_ops ports_ops = {ports_read, ports_write, 1 | 2, false};
static const struct bus_ops dma_ops = {dma_read, dma_write, 4, true};

/* --- on the board --------------------------------------------------------------------------------- */

static void fw_reset(void *device)
{
	struct fw_cfg *fw = device;

	mutex_lock(&fw->lock);
	choose(fw, 0);
	fw->dma_high = 0;
	fw->facts.generation_at = 0;
	/* Where there are no random numbers the ID stays: it is a new machine's all the same. */
	if (getrandom(fw->facts.generation, sizeof fw->facts.generation, 0) < 0)
		fw->facts.generation[0]++;
	mutex_unlock(&fw->lock);
}

static void fw_describe(void *device, struct state *s)
{
	struct fw_cfg *fw = device;

	mutex_lock(&fw->lock);
	state_begin(s, "fw-cfg", 0, 1);
	state_u16(s, "item", &fw->key);
	state_u32(s, "offset", &fw->offset);
	state_u32(s, "transfer_high", &fw->dma_high);
	state_u64(s, "generation_address", &fw->facts.generation_at);
	state_end(s);
	mutex_unlock(&fw->lock);
}

static int fw_init(void *device, struct board *board, struct error *err)
{
	struct fw_cfg *fw = device;
	int r;

	mutex_init(&fw->lock);
	fw->board = board;
	r = make_facts(fw, err);
	fw_reset(fw);
	if (!r)
		r = bus_map(&board->io, FW_CFG_SELECT, 2, &ports_ops, fw, &fw->lock);
	return r ? r : bus_map(&board->io, FW_CFG_DMA, 8, &dma_ops, fw, &fw->lock);
}

static void fw_destroy(void *device)
{
	struct fw_cfg *fw = device;

	mutex_destroy(&fw->lock);
}

static bool has_firmware(const struct board *board)
{
	return board->firmware;
}

const struct board_device fw_cfg_device = {
	.name = "firmware configuration",
	.size = sizeof(struct fw_cfg),
	.wanted = has_firmware,
	.init = fw_init,
	.reset = fw_reset,
	.destroy = fw_destroy,
	.describe = fw_describe,
};
