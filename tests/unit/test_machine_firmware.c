/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board with firmware: what it finds at fw_cfg and in CMOS, ACPI tables put where it likes, ROM and RAM below 1 MiB
 * by the PAM registers, interrupts to the 8259s; garbage from a guest; and all of it in a saved state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>

#include "machine/acpi/acpi.h"
#include "machine/board.h"
#include "machine/chipset/piix.h"
#include "machine/firmware/cmos.h"
#include "machine/firmware/fw_cfg.h"
#include "machine/firmware/loader.h"
#include "machine/pci/bus.h"
#include "machine/pci/root.h"
#include "state_rig.h"

#define ROM_SIZE 0x40000u
#define BUFFER 0x20000u /* of guest memory */
#define TRANSFER 0x1000u

static struct board board;
static struct memory mem;
static struct board_firmware firmware;
static unsigned remaps;
static uint32_t irqs; /* that are up */

static void on_irq(void *ctx, unsigned irq, bool level)
{
	irqs = (irqs & ~(1u << irq)) | (uint32_t)level << irq;
}

static void on_remap(void *ctx)
{
	struct error err = {""};

	remaps++;
	assert_int_equal(board_remap(&board, &err), 0);
}

static const struct board_owner owner = {.irq = on_irq, .remap = on_remap};

/* Each byte tells where it is. */
static uint8_t rom_byte(uint32_t at)
{
	return at * 7 + (at >> 8) * 3 + (at >> 16);
}

static int make_rom(uint32_t size)
{
	int fd = memfd_create("rom", 0);
	uint8_t *bytes = malloc(size);

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = rom_byte(i);
	assert_int_equal(write(fd, bytes, size), size);
	free(bytes);
	return fd;
}

static int set_up(void **state)
{
	struct error err = {""};

	irqs = remaps = 0;
	firmware = (struct board_firmware){.fd = make_rom(ROM_SIZE),
		.name = "rom",
		.vcpus = 3,
		.boot = "dcn"};
	assert_int_equal(memory_create(&mem, 32 * RIG_MIB, 0, false, &err), 0);
	board = (struct board){.owner = &owner,
		.memory = &mem,
		.firmware = &firmware,
		.keyboard = true};
	board_init(&board);
	assert_int_equal(board_add(&board, &pci_root_device, &err), 0);
	assert_int_equal(board_add(&board, &piix_device, &err), 0);
	assert_int_equal(board_add(&board, &fw_cfg_device, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	board_destroy(&board);
	memory_destroy(&mem);
	close(firmware.fd);
	return 0;
}

/* fw_cfg */

static void read_item(uint16_t key, void *to, size_t len)
{
	bus_write(&board.io, FW_CFG_SELECT, 2, key);
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = bus_read(&board.io, FW_CFG_DATA, 1);
}

static uint32_t transfer_at(uint64_t gpa, uint32_t control, uint32_t len, uint64_t to)
{
	struct fw_cfg_transfer t = {htobe32(control), htobe32(len), htobe64(to)};
	uint32_t done = 0;

	memory_write(&mem, gpa, &t, sizeof t);
	bus_write(&board.io, FW_CFG_DMA, 4, htobe32(gpa >> 32));
	bus_write(&board.io, FW_CFG_DMA + 4, 4, htobe32((uint32_t)gpa));
	memory_read(&mem, gpa, &done, sizeof done);
	return be32toh(done);
}

static uint32_t transfer(uint32_t control, uint32_t len, uint64_t to)
{
	return transfer_at(TRANSFER, control, len, to);
}

struct file {
	uint32_t size;
	uint16_t key;
};

static struct file find_file(const char *name)
{
	struct {
		uint32_t size;
		uint16_t key, reserved;
		char name[56];
	} entry[32];
	uint32_t count;

	read_item(FW_CFG_DIRECTORY, &count, sizeof count);
	count = be32toh(count);
	assert_in_range(count, 1, 32);
	for (uint32_t i = 0; i < count * sizeof entry[0]; i++)
		((uint8_t *)entry)[i] = bus_read(&board.io, FW_CFG_DATA, 1);
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(entry[i].name, name))
			return (struct file){be32toh(entry[i].size), be16toh(entry[i].key)};
	fail_msg("no file %s", name);
	return (struct file){0, 0};
}

static void *load_file(const char *name, uint32_t *size)
{
	struct file file = find_file(name);
	uint8_t *bytes = malloc(file.size);

	*size = file.size;
	read_item(file.key, bytes, file.size);
	return bytes;
}

static void items(void **state)
{
	const struct {
		uint64_t start, size;
		uint32_t type;
	} __attribute__((packed)) * range;
	uint32_t size, id;
	uint16_t cpus;
	char text[5] = "";

	read_item(FW_CFG_SIGNATURE, text, 4);
	assert_string_equal(text, "QEMU");
	read_item(FW_CFG_ID, &id, 4);
	assert_int_equal(id, 3);
	read_item(FW_CFG_CPUS, &cpus, 2);
	assert_int_equal(cpus, 3);
	range = load_file("etc/e820", &size);
	assert_int_equal(size, 20);
	assert_int_equal(range->start, 0);
	assert_int_equal(range->size, 32 * RIG_MIB);
	assert_int_equal(range->type, 1);
	free((void *)range);
	/* Beyond an item's end there are zeros, and where there is no item. */
	read_item(FW_CFG_SIGNATURE, text, 4);
	assert_int_equal(bus_read(&board.io, FW_CFG_DATA, 1), 0);
	read_item(0x1234, text, 4);
	assert_memory_equal(text, "\0\0\0\0", 4);
}

static void transfers(void **state)
{
	struct file at = find_file(LOADER_GENERATION_AT), e820 = find_file("etc/e820");
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8];
	struct fw_cfg *fw = board_find(&board, &fw_cfg_device);

	assert_int_equal(bus_read(&board.io, FW_CFG_DMA, 4), 0x554d4551);
	assert_int_equal(bus_read(&board.io, FW_CFG_DMA + 4, 4), 0x47464320);
	memory_write(&mem, BUFFER, bytes, 8);
	assert_int_equal(transfer(FW_CFG_CHOOSE | FW_CFG_READ, 6, BUFFER), 0);
	memory_read(&mem, BUFFER, got, 8);
	assert_memory_equal(got, "QEMU\0\0\7\10", 8);
	/* It goes on where the last one was. */
	assert_int_equal(transfer(FW_CFG_CHOOSE | FW_CFG_SKIP, 1, 0), 0);
	assert_int_equal(transfer(FW_CFG_READ, 3, BUFFER), 0);
	memory_read(&mem, BUFFER, got, 3);
	assert_memory_equal(got, "EMU", 3);
	/* What may be written, and what not. */
	memory_write(&mem, BUFFER, bytes, 8);
	assert_int_equal(fw_cfg_generation(fw), 0);
	assert_int_equal(transfer(at.key << 16 | FW_CFG_CHOOSE | FW_CFG_WRITE, 8, BUFFER), 0);
	assert_int_equal(fw_cfg_generation(fw), 0x0807060504030201);
	assert_int_equal(transfer(at.key << 16 | FW_CFG_CHOOSE | FW_CFG_WRITE, 9, BUFFER),
		FW_CFG_ERROR);
	assert_int_equal(transfer(e820.key << 16 | FW_CFG_CHOOSE | FW_CFG_WRITE, 8, BUFFER),
		FW_CFG_ERROR);
	assert_int_equal(transfer(0x77 << 16 | FW_CFG_CHOOSE | FW_CFG_WRITE, 8, BUFFER),
		FW_CFG_ERROR);
}

static void bad_transfers(void **state)
{
	const uint64_t end = 32 * RIG_MIB;

	assert_int_equal(transfer(FW_CFG_READ, 4, end - 3), FW_CFG_ERROR);
	assert_int_equal(transfer(FW_CFG_READ, 4, UINT64_MAX - 1), FW_CFG_ERROR);
	assert_int_equal(transfer(FW_CFG_READ, UINT32_MAX, BUFFER), FW_CFG_ERROR);
	assert_int_equal(transfer(FW_CFG_READ, 0, UINT64_MAX), 0);
	assert_int_equal(transfer(FW_CFG_SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(transfer(FW_CFG_SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(bus_read(&board.io, FW_CFG_DATA, 1), 0);
	assert_int_equal(transfer(FW_CFG_CHOOSE | FW_CFG_READ, 16 << 20, BUFFER), 0);
	/* A description that is not in memory, or not all of it: nothing. */
	transfer_at(end - 4, FW_CFG_READ, 4, BUFFER);
	transfer_at(UINT64_MAX - 4, FW_CFG_READ, 4, BUFFER);
	/* One that lies in what it asks for. */
	transfer(FW_CFG_CHOOSE | FW_CFG_READ, 64, TRANSFER - 8);
	/* Odd sizes and places at the ports. */
	bus_write(&board.io, FW_CFG_SELECT, 1, 0xff);
	bus_write(&board.io, FW_CFG_DATA, 1, 0xff);
	bus_write(&board.io, FW_CFG_DMA + 3, 4, 0xffffffff);
	bus_read(&board.io, FW_CFG_SELECT, 4);
}

/* The file that is made last, and only then has a size. */
static void boot_order(void **state)
{
	static char much[FW_CFG_BOOT_ORDER_MAX + 1];
	struct fw_cfg *fw = board_find(&board, &fw_cfg_device);
	struct error err = {""};
	uint32_t size;
	char *text;

	assert_int_equal(find_file("bootorder").size, 0);
	assert_int_equal(fw_cfg_set_boot_order(fw, "/one\n/two", &err), 0);
	text = load_file("bootorder", &size);
	assert_int_equal(size, 10);
	assert_string_equal(text, "/one\n/two");
	free(text);
	memset(much, 'x', sizeof much - 1);
	assert_int_equal(fw_cfg_set_boot_order(fw, much, &err), -E2BIG);
	assert_int_equal(find_file("bootorder").size, 10);
	assert_int_equal(fw_cfg_set_boot_order(fw, "", &err), 0);
	assert_int_equal(find_file("bootorder").size, 0);
}

/* What SeaBIOS and OVMF do with the script; each file to its own place. */
static void tables(void **state)
{
	static const struct {
		const char *name;
		uint64_t gpa;
	} place[] = {{LOADER_RSDP, 0xf1230}, {LOADER_TABLES, 0x1fe0040},
		{LOADER_GENERATION, 0x1ff0000}};
	uint8_t *file[3] = {NULL}, *script, *tables, *rsdp;
	uint32_t size[3] = {0}, length;
	uint64_t xsdt, dsdt = 0;
	uint8_t sum;

#define FILE_OF(text)                                \
	({                                           \
		unsigned n_ = 0;                     \
		while (strcmp(place[n_].name, text)) \
			assert_true(++n_ < 3);       \
		n_;                                  \
	})
	script = load_file("etc/table-loader", &length);
	assert_int_equal(length % LOADER_ENTRY, 0);
	for (uint8_t *e = script; e < script + length; e += LOADER_ENTRY) {
		const char *one = (char *)e + 4, *other = (char *)e + 60;
		uint32_t command, at, start, len;

		memcpy(&command, e, 4);
		if (command == 4) {
			assert_string_equal(one, LOADER_GENERATION_AT);
			assert_string_equal(other, LOADER_GENERATION);
			continue;
		}
		if (command == 1) {
			unsigned n = FILE_OF(one);

			memcpy(&at, e + 60, 4);
			assert_int_equal(place[n].gpa % at, 0);
			file[n] = load_file(one, &size[n]);
		} else if (command == 2) {
			unsigned to = FILE_OF(one), from = FILE_OF(other);
			uint64_t value = 0;
			uint8_t bytes = e[120];

			memcpy(&at, e + 116, 4);
			assert_true(file[to] && at + bytes <= size[to]);
			memcpy(&value, file[to] + at, bytes);
			value += place[from].gpa;
			memcpy(file[to] + at, &value, bytes);
		} else {
			unsigned n = FILE_OF(one);

			sum = 0;
			assert_int_equal(command, 3);
			memcpy(&at, e + 60, 4);
			memcpy(&start, e + 64, 4);
			memcpy(&len, e + 68, 4);
			assert_true(file[n] && start + len <= size[n] && at < size[n]);
			for (uint32_t i = 0; i < len; i++)
				sum += file[n][start + i];
			file[n][at] -= sum;
		}
	}
	rsdp = file[0];
	tables = file[1];
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	memcpy(&xsdt, rsdp + 24, 8);
	xsdt -= place[1].gpa;
	assert_memory_equal(tables + xsdt, "XSDT", 4);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t table;
		uint32_t len;

		sum = 0;
		memcpy(&table, tables + xsdt + 36 + 8 * i, 8);
		table -= place[1].gpa;
		memcpy(&len, tables + table + 4, 4);
		assert_true(table + len <= size[1]);
		for (uint32_t k = 0; k < len; k++)
			sum += tables[table + k];
		assert_int_equal(sum, 0);
		if (!memcmp(tables + table, "FACP", 4))
			memcpy(&dsdt, tables + table + 140, 8);
	}
	dsdt -= place[1].gpa;
	assert_memory_equal(tables + dsdt, "DSDT", 4);
	/* The generation ID's place, as a constant of the DSDT. */
	assert_non_null(memmem(tables + dsdt, size[1] - dsdt, "\x0c\x00\x00\xff\x01", 5));
	/* PNP0303: SeaBIOS has no other way to know. */
	assert_non_null(memmem(tables + dsdt, size[1] - dsdt, "\x0c\x41\xd0\x03\x03", 5));
	memcpy(&length, tables + dsdt + 4, 4);
	assert_in_range(length, 1000, size[1] - dsdt);
	for (sum = 0; length; length--)
		sum += tables[dsdt + length - 1];
	assert_int_equal(sum, 0);
	for (unsigned i = 0; i < 3; i++)
		free(file[i]);
	free(script);
}

static void cmos(void **state)
{
	uint8_t bytes[128] = {0};

	cmos_fill(&board, bytes);
	assert_int_equal(bytes[0x34] | bytes[0x35] << 8, 16 * RIG_MIB / 0x10000);
	assert_int_equal(bytes[0x30] | bytes[0x31] << 8, 31 * 1024);
	assert_int_equal(bytes[0x5f], 2);
	assert_int_equal(bytes[0x3d], 0x23); /* first d, second c ... */
	assert_int_equal(bytes[0x38], 0x41); /* ... third n */
	board.firmware = NULL;
	memset(bytes, 0, sizeof bytes);
	cmos_fill(&board, bytes);
	for (unsigned i = 0; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], 0);
	board.firmware = &firmware;
}

/* ROM and RAM */

static void config_write(unsigned slot, unsigned function, unsigned at, unsigned size,
	uint32_t value)
{
	bus_write(&board.io, 0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | (at & 0xfc));
	bus_write(&board.io, 0xcfc + (at & 3), size, value);
}

static uint32_t config_read(unsigned slot, unsigned function, unsigned at)
{
	bus_write(&board.io, 0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | (at & 0xfc));
	return bus_read(&board.io, 0xcfc, 4);
}

static bool shows_rom(uint32_t gpa)
{
	const uint8_t *p = memory_ptr_read(&mem, gpa, 1);

	assert_null(memory_ptr(&mem, gpa, 1));
	return p && *p == rom_byte(ROM_SIZE - 0x100000 + gpa);
}

static void pam(void **state)
{
	uint8_t *ram = memory_ptr(&mem, 0xc0000, 0x40000);
	uint64_t low = 0x100000000ull - ROM_SIZE;
	const uint8_t *p;

	/* Until it is switched on, all is RAM, so that a state can be loaded. */
	assert_non_null(ram);
	for (uint32_t i = 0; i < 0x40000; i += 0x1000)
		ram[i] = 0xee;
	board_power_on(&board);
	assert_int_equal(remaps, 1);
	p = memory_ptr_read(&mem, low, ROM_SIZE);
	assert_non_null(p);
	assert_int_equal(p[ROM_SIZE - 16], rom_byte(ROM_SIZE - 16));
	assert_null(memory_ptr(&mem, low, 1));
	assert_true(shows_rom(0xffff0) && shows_rom(0xe0000));
	assert_null(memory_ptr_read(&mem, 0xdffff, 1));
	assert_null(memory_ptr_read(&mem, 0xc0000, 1));
	/* As SeaBIOS does it: RAM, then read-only, in two writes of four bytes. */
	config_write(0, 0, 0x58, 4, 0x33333000);
	config_write(0, 0, 0x5c, 4, 0x33333333);
	assert_int_equal(remaps, 3);
	assert_ptr_equal(memory_ptr(&mem, 0xc0000, 0x40000), ram);
	assert_int_equal(config_read(0, 0, 0x58), 0x33333000);
	config_write(0, 0, 0x59, 1, 0x10);
	assert_null(memory_ptr(&mem, 0xf0000, 1));
	assert_ptr_equal(memory_ptr_read(&mem, 0xf0000, 0x10000), ram + 0x30000);
	assert_non_null(memory_ptr(&mem, 0xe0000, 0x10000));
	/* Half bytes: 16 KiB each. */
	config_write(0, 0, 0x5e, 1, 0x03);
	assert_non_null(memory_ptr(&mem, 0xe0000, 0x4000));
	assert_true(shows_rom(0xe4000) && shows_rom(0xe7fff));
	config_write(0, 0, 0x5a, 1, 0x31);
	assert_null(memory_ptr(&mem, 0xc3fff, 1));
	assert_non_null(memory_ptr(&mem, 0xc4000, 1));
	/* Nothing changes: nobody is asked. */
	remaps = 0;
	config_write(0, 0, 0x5a, 1, 0x31);
	config_write(0, 0, 0x72, 1, 0x4a);
	assert_int_equal(remaps, 0);
	/* A reset shows the ROM again, and RAM has kept what it had. */
	board_reset(&board);
	assert_true(shows_rom(0xf0000));
	config_write(0, 0, 0x58, 4, 0x33333000);
	config_write(0, 0, 0x5c, 4, 0x33333333);
	assert_int_equal(ram[0x3f000], 0xee);
	/* Any values one behind the other. */
	for (uint32_t i = 0, x = 1; i < 500; i++, x = x * 1664525 + 1013904223)
		config_write(0, 0, 0x59 + (x >> 8) % 7, 1, x >> 24);
	board_reset(&board);
	assert_true(shows_rom(0xe0000) && shows_rom(0xf0000));
}

static void bad_roms(void **state)
{
	static const uint32_t sizes[] = {0, 0x1000, 0x2ffff, 0x20001, 0x810000};
	struct board_firmware bad = firmware;
	struct error err;

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct board other = {.owner = &owner, .memory = &mem, .firmware = &bad};

		bad.fd = make_rom(sizes[i]);
		err.text[0] = 0;
		board_init(&other);
		assert_int_equal(board_add(&other, &pci_root_device, &err), -EINVAL);
		assert_non_null(strstr(err.text, "rom: not a firmware"));
		board_destroy(&other);
		close(bad.fd);
	}
}

/* Interrupts */

static void pirqs(void **state)
{
	struct pci_bus *bus = board_find(&board, &pci_root_device);
	static const struct pci_ids ids = {.vendor = 1, .device = 2};
	struct pci_device dev[2];
	struct error err = {""};

	for (unsigned i = 0; i < 2; i++) {
		pci_device_init(&dev[i], "device", &ids, NULL);
		pci_use_intx(&dev[i]);
		assert_int_equal(pci_bus_add(bus, &dev[i], &err), 0);
		assert_int_equal(dev[i].slot, 2 + i);
		assert_int_equal(config_read(2 + i, 0, 0x3c) & 0xff, 0);
	}
	assert_int_equal(config_read(1, 0, 0), 0x70008086);
	assert_int_equal(config_read(1, 3, 0), 0x71138086);
	/* Routed nowhere: only the I/O APIC's input. Slot 2 has PIRQB at its INTA#. */
	pci_intx_set(&dev[0], true);
	assert_int_equal(irqs, 1u << 18);
	config_write(1, 0, 0x60, 4, 0x0b0b0a0a);
	assert_int_equal(irqs, 1u << 18 | 1u << 10);
	pci_intx_set(&dev[1], true);
	assert_int_equal(irqs, 1u << 18 | 1u << 19 | 1u << 10 | 1u << 11);
	/* Both to one: it goes down with the last. */
	config_write(1, 0, 0x62, 1, 10);
	assert_int_equal(irqs, 1u << 18 | 1u << 19 | 1u << 10);
	pci_intx_set(&dev[0], false);
	assert_int_equal(irqs, 1u << 19 | 1u << 10);
	pci_intx_set(&dev[1], false);
	assert_int_equal(irqs, 0);
	/* Inputs that cannot be: nothing. */
	pci_intx_set(&dev[1], true);
	config_write(1, 0, 0x62, 1, 0);
	config_write(1, 0, 0x62, 1, 13);
	config_write(1, 0, 0x62, 1, 0x8a);
	assert_int_equal(irqs, 1u << 19);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pci_bus_remove(&dev[i], &err), 0);
		pci_device_destroy(&dev[i]);
	}
}

/* A BAR that was in another's way gives it its place back when it moves. */
static void bars_in_the_way(void **state)
{
	static const struct bus_ops ops = {.sizes = 4};
	struct pci_bus *bus = board_find(&board, &pci_root_device);
	static const struct pci_ids ids = {.vendor = 1, .device = 2};
	struct pci_device dev[2];
	struct error err = {""};

	for (unsigned i = 0; i < 2; i++) {
		pci_device_init(&dev[i], "device", &ids, NULL);
		assert_int_equal(pci_add_bar(&dev[i], 0, 0x1000, 0, &ops, NULL, NULL), 0);
		assert_int_equal(pci_bus_add(bus, &dev[i], &err), 0);
		assert_int_equal(config_read(2 + i, 0, 0x10), 0);
		config_write(2 + i, 0, 0x10, 4, 0xe0000000);
		config_write(2 + i, 0, 0x04, 2, 2);
	}
	assert_int_equal(dev[0].bar[0].mapped, 0xe0000000);
	assert_int_equal(dev[1].bar[0].mapped, PCI_NO_ADDRESS);
	config_write(2, 0, 0x10, 4, 0xe1000000);
	assert_int_equal(dev[0].bar[0].mapped, 0xe1000000);
	assert_int_equal(dev[1].bar[0].mapped, 0xe0000000);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pci_bus_remove(&dev[i], &err), 0);
		pci_device_destroy(&dev[i]);
	}
}

/* A machine that is saved and loaded: what is hidden and what is read-only comes along. */
static void machine_config_write(struct rig *rig, unsigned at, uint32_t value)
{
	bus_write(machine_io(rig->machine), 0xcf8, 4, 0x80000000u | at);
	bus_write(machine_io(rig->machine), 0xcfc, 4, value);
}

static void stop_loop(void *ctx)
{
	loop_stop(ctx);
}

static void fill_below_rom(struct rig *rig)
{
	struct memory *memory = machine_memory(rig->machine);
	uint8_t *ram = memory_ptr(memory, 0xc0000, 0x40000);
	struct loop_work stop = {.run = stop_loop, .ctx = rig->loop};

	assert_non_null(ram);
	for (uint32_t i = 0; i < 0x40000; i += 0x400)
		ram[i] = 1 + i / 0x400 % 255;
	machine_config_write(rig, 0x58, 0x11031000);
	machine_config_write(rig, 0x5c, 0x00110011);
	loop_post(rig->loop, &stop);
	loop_run(rig->loop); /* what was asked of it before that */
	assert_null(memory_ptr(memory, 0xf0000, 1));
}

static void check_below_rom(struct rig *rig)
{
	struct memory *memory = machine_memory(rig->machine);
	const uint8_t *ram;

	assert_null(memory_ptr(memory, 0xf0000, 1));
	ram = memory_ptr_read(memory, 0xf0000, 0x10000);
	assert_non_null(ram);
	ram -= 0x30000; /* what is hidden, too */
	for (uint32_t i = 0; i < 0x40000; i += 0x400)
		assert_int_equal(ram[i], 1 + i / 0x400 % 255);
	assert_null(memory_ptr_read(memory, 0xd8000, 1));
}

static void saved(void **state)
{
	struct bytes b = {0};
	struct error err = {""};
	struct rig rig, to;
	int fd = memfd_create("saved", 0);

	rig_rom = make_rom(ROM_SIZE);
	assert_true(rig_open(&rig, 0x10000));
	fill_below_rom(&rig);
	assert_int_equal(rig_save(&rig, &b, &err), 0);
	assert_true(rig_open(&to, 0x10000));
	assert_int_equal(rig_load(&to, &b, &err), 0);
	check_below_rom(&to);
	rig_close(&to);
	free(b.data);
	/* The same in a file's form, where memory is beside the stream. */
	assert_int_equal(rig_save_file(&rig, fd, &err), 0);
	assert_true(rig_open(&to, 0x10000));
	assert_int_equal(rig_load_file(&to, fd, &err), 0);
	check_below_rom(&to);
	rig_close(&to);
	rig_close(&rig);
	close(rig_rom);
	close(fd);
	rig_rom = -1;
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(items),
		TEST(transfers),
		TEST(boot_order),
		TEST(bad_transfers),
		TEST(tables),
		TEST(cmos),
		TEST(pam),
		TEST(bad_roms),
		TEST(pirqs),
		TEST(bars_in_the_way),
		cmocka_unit_test(saved),
	};

	return cmocka_run_group_tests_name("firmware", tests, NULL, NULL);
}
