/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/i440fx.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "machine/pci/bus.h"
#include "state/state.h"

#define PAM0 0x59 /* its upper half: from 0xf0000 on */
#define PAM1 0x5a /* a half byte for each 16 KiB from 0xc0000 on */
#define PAMS 6
#define SMRAM 0x72

#define SHADOW_START 0xc0000u
#define SECTION 0x4000u
#define LAST_SEGMENT 12 /* the first section that PAM0 has */

#define LOW_END 0x100000u
#define ROM_END 0x100000000ull
#define ROM_MAX 0x800000u /* the APICs are below that */
#define ROM_LOW 0x20000u  /* so much of it is below 1 MiB, too */

/* What is seen of a section, by the two bits of its register: reads and writes go to RAM. */
enum { SHOWS_ROM = 0, SHOWS_RAM_READ_ONLY = 1, SHOWS_RAM = 3 };

static uint8_t wanted(const struct i440fx *bridge, unsigned section)
{
	const uint8_t *config = bridge->pci.config;
	uint8_t bits = section >= LAST_SEGMENT ? config[PAM0] >> 4
					       : config[PAM1 + section / 2] >> (section % 2 * 4);

	/* To write below a ROM that is read is for code that copies a ROM onto itself: none is known that still does. */
	return (bits & 3) == 2 ? SHOWS_ROM : bits & 3;
}

static bool is_stale(const struct i440fx *bridge)
{
	for (unsigned i = 0; i < I440FX_SECTIONS; i++)
		if (bridge->shown[i] != wanted(bridge, i))
			return true;
	return false;
}

/* Sections [first, end) become what they are to be, all of them the same. */
static int show(struct i440fx *bridge, unsigned first, unsigned end, struct error *err)
{
	struct memory *mem = bridge->board->memory;
	const uint64_t gpa = SHADOW_START + first * SECTION, size = (end - first) * SECTION;
	const uint64_t low = LOW_END - ROM_LOW;
	const uint8_t what = wanted(bridge, first);
	struct memory_region region;
	int r = memory_remove(mem, gpa, size, err);

	if (r)
		return r;
	if (what != SHOWS_ROM) {
		if (!memory_ram(mem, gpa, size, &region))
			return error_set(err, ENOMEM, "the guest has too little memory to start");
		region.read_only = what == SHOWS_RAM_READ_ONLY;
		return memory_add(mem, &region, err);
	}
	/* Of a ROM that is smaller there is the rest only; where there is none, nobody answers. */
	region = bridge->rom;
	region.gpa = gpa < low ? low : gpa;
	if (region.gpa >= gpa + size)
		return 0;
	region.size = gpa + size - region.gpa;
	region.offset = bridge->rom.size - (LOW_END - region.gpa);
	region.host += region.offset;
	region.door_page = region.offset / REGION_PAGE;
	return memory_add(mem, &region, err);
}

int i440fx_remap(struct i440fx *bridge, struct error *err)
{
	int r = 0;

	for (unsigned first = 0, end; first < I440FX_SECTIONS && !r; first = end) {
		const bool stale = bridge->shown[first] != wanted(bridge, first);

		for (end = first + 1; end < I440FX_SECTIONS &&
			wanted(bridge, end) == wanted(bridge, first) &&
			(bridge->shown[end] != wanted(bridge, end)) == stale;)
			end++;
		if (stale)
			r = show(bridge, first, end, err);
		for (unsigned i = first; i < end && !r; i++)
			bridge->shown[i] = wanted(bridge, i);
	}
	return r;
}

void i440fx_power_on(struct i440fx *bridge)
{
	if (is_stale(bridge))
		bridge->board->owner->remap(bridge->board->ctx);
}

static struct i440fx *from_pci(struct pci_device *dev)
{
	return (struct i440fx *)dev; /* its first member */
}

static void on_write(struct pci_device *dev, unsigned offset, unsigned size)
{
	i440fx_power_on(from_pci(dev));
}

static void on_reset(struct pci_device *dev)
{
	i440fx_power_on(from_pci(dev));
}

/* Its registers are with those of all PCI devices; no vCPU runs. */
static void on_describe(struct pci_device *dev, struct state *s)
{
	struct error err = {0};

	if (state_loading(s) && state_ok(s) && i440fx_remap(from_pci(dev), &err))
		state_fail(s, EINVAL, "%s", err.text);
}

static const struct pci_device_ops ops = {
	.config_write = on_write,
	.reset = on_reset,
	.describe = on_describe,
};

static int read_rom(struct i440fx *bridge, const struct board_firmware *firmware, struct error *err)
{
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(firmware->fd, &st))
		return error_set(err, errno, "%s: %s", firmware->name, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size < ROM_LOW || st.st_size > ROM_MAX ||
		st.st_size % REGION_PAGE)
		return error_set(err, EINVAL,
			"%s: not a firmware (128 KiB to 8 MiB, a multiple of 4 KiB)",
			firmware->name);
	r = memory_region_create(&bridge->rom, ROM_END - st.st_size, st.st_size, err);
	if (r)
		return r;
	bridge->rom.read_only = true;
	n = io_pread_all(firmware->fd, bridge->rom.host, st.st_size, 0);
	if (n != st.st_size)
		return error_set(err, n < 0 ? -n : EIO, "%s: cannot read: %s", firmware->name,
			n < 0 ? strerror(-n) : "it has become shorter");
	return memory_add(bridge->board->memory, &bridge->rom, err);
}

int i440fx_init(struct i440fx *bridge, struct board *board, struct error *err)
{
	/* The subsystem is that of the board that firmware for virtual machines looks for (SeaBIOS, OVMF). */
	static const struct pci_ids ids = {.vendor = 0x8086,
		.device = 0x1237,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x060000,
		.revision = 2};

	bridge->board = board;
	memset(bridge->shown, SHOWS_RAM, sizeof bridge->shown);
	pci_device_init(&bridge->pci, "host bridge", &ids, &ops);
	memset(&bridge->pci.wmask[PAM0], 0x33, 1 + PAMS);
	bridge->pci.wmask[PAM0] = 0x30;
	bridge->pci.wmask[SMRAM] = 0xff;
	return read_rom(bridge, board->firmware, err);
}

void i440fx_destroy(struct i440fx *bridge)
{
	if (!bridge->board)
		return;
	pci_device_destroy(&bridge->pci);
	/* Guest memory, which has it yet, is not used any more either. */
	memory_region_destroy(&bridge->rom);
}
