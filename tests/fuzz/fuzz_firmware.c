/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's accesses to what a board with firmware has more than others: fw_cfg's ports and its transfers, whose
 * descriptions and targets are anywhere, the registers of the bridges, what memory shows below 1 MiB after them, and
 * commands to the flash memory.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/board.h"
#include "machine/chipset/piix.h"
#include "machine/firmware/flash.h"
#include "machine/firmware/fw_cfg.h"
#include "machine/memory.h"
#include "machine/pci/root.h"

#define ROM 0x20000
#define MEMORY (2u << 20)
#define FLASH_SIZE (2 * FLASH_BLOCK)
#define FLASH (0x100000000ull - ROM - FLASH_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct board board;
static struct memory mem;
static struct board_firmware firmware = {.name = "rom",
	.variables_name = "variables",
	.vcpus = 4,
	.boot = "cdn"};

static void on_irq(void *ctx, unsigned irq, bool level)
{
	if (irq > 23)
		abort();
}

static void on_remap(void *ctx)
{
	struct error err = {""};

	if (board_remap(&board, &err))
		abort();
}

static const struct board_owner owner = {.irq = on_irq, .remap = on_remap};

static void set_up(void)
{
	struct error err = {""};

	firmware.fd = memfd_create("rom", 0);
	firmware.variables = memfd_create("variables", 0);
	if (ftruncate(firmware.fd, ROM) || ftruncate(firmware.variables, FLASH_SIZE) ||
		memory_create(&mem, MEMORY, 0, false, &err))
		abort();
	board = (struct board){.owner = &owner, .memory = &mem, .firmware = &firmware};
	board_init(&board);
	if (board_add(&board, &pci_root_device, &err) || board_add(&board, &piix_device, &err) ||
		board_add(&board, &fw_cfg_device, &err) || board_add(&board, &flash_device, &err))
		abort();
}

struct step {
	uint8_t what, at;
	uint16_t a;
	uint32_t b, c;
} __attribute__((packed));

static void take(const struct step *step)
{
	static const uint32_t slots[] = {0x80000000, 0x80000800, 0x80000b00, 0x80001000};
	const unsigned width = 1u << step->a % 3;

	switch (step->what % 8) {
	case 0:
		bus_write(&board.io, FW_CFG_SELECT + step->at % 12, width, step->b);
		break;
	case 1:
		bus_read(&board.io, FW_CFG_SELECT + step->at % 12, width);
		break;
	case 2: /* a transfer, its description where a says */
		memory_write(&mem, step->a, &step->b, 8);
		bus_write(&board.io, FW_CFG_DMA + 4, 4, __builtin_bswap32(step->a));
		break;
	case 3:
		bus_write(&board.io, 0xcf8, 4, slots[step->at % 4] | (step->a & 0xfc));
		bus_write(&board.io, 0xcfc + step->at / 4 % 4, 1u << step->at / 16 % 3, step->b);
		break;
	case 4: /* the PAM registers, most of the time */
		bus_write(&board.io, 0xcf8, 4, 0x80000058 + (step->at & 4));
		bus_write(&board.io, 0xcfc, 4, step->b);
		break;
	case 5:
		bus_write(&board.mmio, FLASH + (step->a + step->c) % FLASH_SIZE, width, step->b);
		break;
	case 6:
		bus_read(&board.mmio, FLASH + (step->a + step->c) % FLASH_SIZE, width);
		break;
	default:
		memory_write(&mem, 0xc0000 + step->b % 0x40000, &step->c, 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	if (!mem.host)
		set_up();
	board_reset(&board);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(&step);
	}
	return 0;
}
