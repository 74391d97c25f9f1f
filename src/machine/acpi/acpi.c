/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/acpi/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dsdt.hex"
#include "keyboard.hex"
#include "machine/chipset/pm.h"
#include "machine/interrupt/ioapic.h"
#include "machine/interrupt/lapic.h"

#define HEADER_SIZE 36
#define RSDP_SIZE ACPI_RSDP_SIZE
#define FACS_SIZE 64

/* FADT flags and boot flags (ACPI 6.4, tables 5.10 and 5.11) */
#define FADT_WBINVD 0x1u
#define FADT_C1 0x4u
#define FADT_NO_SLEEP_BUTTON 0x20u
#define FADT_TIMER_32 0x100u
#define FADT_RESET 0x400u
#define BOOT_LEGACY_DEVICES 0x1u
#define BOOT_8042 0x2u
#define BOOT_NO_VGA 0x4u

/* Writes tables one behind the other; a write that does not fit sets overflow and is dropped. */
struct builder {
	uint8_t *buf;
	size_t size, used;
	bool overflow;
	uint64_t base;            /* where the tables are to be; 0: not known yet */
	struct acpi_links *links; /* what to do when it is; or NULL */
};

static void put(struct builder *b, const void *bytes, size_t len)
{
	if (b->overflow || len > b->size - b->used) {
		b->overflow = true;
		return;
	}
	memcpy(b->buf + b->used, bytes, len);
	b->used += len;
}

static void number(struct builder *b, uint64_t value, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++)
		bytes[i] = value >> (8 * i);
	put(b, bytes, len);
}

/* An address within the tables. */
static void pointer(struct builder *b, uint64_t value, size_t len)
{
	struct acpi_links *links = b->links;

	if (links && links->pointers == ACPI_LINKS)
		b->overflow = true;
	else if (links)
		links->pointer[links->pointers++] =
			(struct acpi_pointer){(uint32_t)b->used, (uint8_t)len};
	number(b, value, len);
}

static void zeros(struct builder *b, size_t len)
{
	while (len--)
		number(b, 0, 1);
}

static void align(struct builder *b, size_t to)
{
	while (b->used % to && !b->overflow)
		number(b, 0, 1);
}

static void checksum(struct builder *b, size_t start, size_t len, size_t at)
{
	struct acpi_links *links = b->links;
	uint8_t sum = 0;

	if (links && links->sums == ACPI_LINKS)
		b->overflow = true;
	if (b->overflow)
		return;
	b->buf[start + at] = 0;
	if (links) {
		links->sum[links->sums++] =
			(struct acpi_sum){(uint32_t)start, (uint32_t)len, (uint32_t)(start + at)};
		return;
	}
	for (size_t i = 0; i < len; i++)
		sum += b->buf[start + i];
	b->buf[start + at] = -sum;
}

/* A table's header; finish() fills in length and checksum. Returns where it starts. */
static size_t begin(struct builder *b, const char *signature, uint8_t revision)
{
	size_t start;

	align(b, 8);
	start = b->used;
	put(b, signature, 4);
	number(b, 0, 4);
	number(b, revision, 1);
	number(b, 0, 1);
	put(b, "DACH\0\0", 6);
	put(b, "DACH", 4);
	put(b, signature, 4);
	number(b, 1, 4);
	put(b, "DACH", 4);
	number(b, 1, 4);
	return start;
}

static uint64_t finish(struct builder *b, size_t start)
{
	size_t len = b->used - start;

	if (b->overflow)
		return 0;
	for (unsigned i = 0; i < 4; i++)
		b->buf[start + 4 + i] = len >> (8 * i);
	checksum(b, start, len, 9);
	return b->base + start;
}

/* A generic address structure for a port (ACPI 6.4, 5.2.3.2); size 0 for none. */
static void port_address(struct builder *b, uint16_t port, unsigned bytes)
{
	number(b, bytes ? 1 : 0, 1); /* system I/O space */
	number(b, bytes * 8, 1);
	number(b, 0, 1);
	number(b, bytes == 4 ? 3 : bytes, 1); /* access size: byte 1, word 2, dword 3 */
	number(b, port, 8);
}

static uint64_t facs(struct builder *b)
{
	size_t start;

	align(b, 64);
	start = b->used;
	put(b, "FACS", 4);
	number(b, FACS_SIZE, 4);
	zeros(b, 24);
	number(b, 2, 1);
	zeros(b, FACS_SIZE - 33);
	return b->base + start;
}

static uint64_t fadt(struct builder *b, const struct acpi_config *config, uint64_t facs_at,
	uint64_t dsdt_at)
{
	size_t start = begin(b, "FACP", 6);

	pointer(b, facs_at, 4);
	pointer(b, dsdt_at, 4);
	number(b, 0, 1);
	number(b, 0, 1); /* preferred profile: unspecified */
	number(b, PM_SCI, 2);
	number(b, 0, 4); /* no SMI command: always in ACPI mode */
	zeros(b, 4);
	number(b, PM1_EVENT, 4);
	number(b, 0, 4);
	number(b, PM1_CONTROL, 4);
	number(b, 0, 4);
	number(b, 0, 4);
	number(b, PM_TIMER, 4);
	zeros(b, 8); /* no general purpose events */
	number(b, 4, 1);
	number(b, 2, 1);
	number(b, 0, 1);
	number(b, 4, 1);
	zeros(b, 4);
	number(b, 0xfff, 2); /* no C2 */
	number(b, 0xfff, 2); /* no C3 */
	zeros(b, 8);
	number(b, 0x32, 1); /* CMOS index of the century */
	number(b,
		BOOT_LEGACY_DEVICES | (config->screen ? 0 : BOOT_NO_VGA) |
			(config->keyboard ? BOOT_8042 : 0),
		2);
	number(b, 0, 1);
	number(b, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_TIMER_32 | FADT_RESET, 4);
	port_address(b, PM_RESET_PORT, 1);
	number(b, PM_RESET_VALUE, 1);
	zeros(b, 2);
	number(b, 4, 1); /* minor version */
	number(b, 0, 8); /* FACS is below 4 GiB: the short address serves */
	pointer(b, dsdt_at, 8);
	port_address(b, PM1_EVENT, 4);
	port_address(b, 0, 0);
	port_address(b, PM1_CONTROL, 2);
	port_address(b, 0, 0);
	port_address(b, 0, 0);
	port_address(b, PM_TIMER, 4);
	port_address(b, 0, 0);
	port_address(b, 0, 0);
	port_address(b, 0, 0); /* sleep control */
	port_address(b, 0, 0); /* sleep status */
	put(b, "DACH\0\0\0\0", 8);
	return finish(b, start);
}

static void source_override(struct builder *b, unsigned irq, unsigned gsi, unsigned flags)
{
	number(b, 2, 1);
	number(b, 10, 1);
	number(b, 0, 1);
	number(b, irq, 1);
	number(b, gsi, 4);
	number(b, flags, 2);
}

static uint64_t madt(struct builder *b, unsigned vcpus)
{
	size_t start = begin(b, "APIC", 5);

	number(b, LAPIC_BASE, 4);
	number(b, 1, 4); /* there is a pair of 8259s */
	for (unsigned i = 0; i < vcpus; i++) {
		number(b, 0, 1);
		number(b, 8, 1);
		number(b, i, 1);
		number(b, i, 1);
		number(b, 1, 4); /* enabled */
	}
	number(b, 1, 1);
	number(b, 12, 1);
	number(b, 0, 1); /* id */
	number(b, 0, 1);
	number(b, IOAPIC_BASE, 4);
	number(b, 0, 4);
	source_override(b, 0, 2, 0);
	source_override(b, PM_SCI, PM_SCI, 0xd); /* active high, level-triggered */
	/* NMI on LINT1 of all processors. */
	number(b, 4, 1);
	number(b, 6, 1);
	number(b, 0xff, 1);
	number(b, 0, 2);
	number(b, 1, 1);
	return finish(b, start);
}

static uint64_t xsdt(struct builder *b, const uint64_t *tables, unsigned count)
{
	size_t start = begin(b, "XSDT", 1);

	for (unsigned i = 0; i < count; i++)
		pointer(b, tables[i], 8);
	return finish(b, start);
}

static void rsdp(struct builder *b, uint64_t xsdt_at)
{
	struct builder head = {.buf = b->buf, .size = RSDP_SIZE, .links = b->links};

	put(&head, "RSD PTR ", 8);
	number(&head, 0, 1);
	put(&head, "DACH\0\0", 6);
	number(&head, 2, 1);
	number(&head, 0, 4);
	number(&head, RSDP_SIZE, 4);
	pointer(&head, xsdt_at, 8);
	number(&head, 0, 4);
	checksum(&head, 0, 20, 8);
	checksum(&head, 0, RSDP_SIZE, 32);
}

/* A table that iasl made. */
static uint64_t compiled(struct builder *b, const uint8_t *aml, size_t size)
{
	size_t start;

	align(b, 8);
	start = b->used;
	put(b, aml, size);
	return b->base + start;
}

/* The one constant of dsdt.asl that says where the generation ID is. */
static int link_generation(struct builder *b, size_t dsdt, struct error *err)
{
	static const uint8_t constant[] = {0x0c, ACPI_GENERATION & 0xff,
		ACPI_GENERATION >> 8 & 0xff, ACPI_GENERATION >> 16 & 0xff,
		ACPI_GENERATION >> 24 & 0xff};
	uint8_t *at = memmem(b->buf + dsdt, sizeof dsdt_aml_code, constant, sizeof constant);

	if (!at)
		return error_set(err, EINVAL,
			"the ACPI tables have no place for the generation ID");
	memset(at + 1, 0, 4);
	b->links->generation = (uint32_t)(at + 1 - b->buf);
	return 0;
}

/* For a firmware: SeaBIOS looks for a keyboard there, and in no other table. */
static int linked_dsdt(struct builder *b, const struct acpi_config *config, uint64_t *at,
	struct error *err)
{
	size_t start;
	int r;

	*at = compiled(b, dsdt_aml_code, sizeof dsdt_aml_code);
	start = *at - b->base;
	if (config->keyboard)
		put(b, keyboard_aml_code + HEADER_SIZE, sizeof keyboard_aml_code - HEADER_SIZE);
	if (b->overflow)
		return 0;
	r = link_generation(b, start, err);
	finish(b, start);
	return r;
}

static int build(struct builder *b, const struct acpi_config *config, struct error *err)
{
	uint64_t facs_at, dsdt_at, tables[3], xsdt_at;
	unsigned count = 0;
	int r = 0;

	zeros(b, RSDP_SIZE);
	facs_at = facs(b);
	if (b->links)
		r = linked_dsdt(b, config, &dsdt_at, err);
	else
		dsdt_at = compiled(b, dsdt_aml_code, sizeof dsdt_aml_code);
	if (r)
		return r;
	tables[count++] = fadt(b, config, facs_at, dsdt_at);
	tables[count++] = madt(b, config->vcpus);
	if (config->keyboard && !b->links)
		tables[count++] = compiled(b, keyboard_aml_code, sizeof keyboard_aml_code);
	xsdt_at = xsdt(b, tables, count);
	if (!b->overflow)
		rsdp(b, xsdt_at);
	return b->overflow ? error_set(err, ENOSPC, "the ACPI tables do not fit") : (int)b->used;
}

int acpi_build(uint8_t *buf, size_t size, const struct acpi_config *config, struct error *err)
{
	struct builder b = {.buf = buf, .size = size, .base = ACPI_BASE};

	return build(&b, config, err);
}

int acpi_build_linked(uint8_t *buf, size_t size, const struct acpi_config *config,
	struct acpi_links *links, struct error *err)
{
	struct builder b = {.buf = buf, .size = size, .links = links};

	*links = (struct acpi_links){.pointers = 0};
	return build(&b, config, err);
}
