/* SPDX-License-Identifier: Apache-2.0 */
/* The processor state in which a kernel is entered. */
#include <string.h>

#include "machine/boot/boot.h"

#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define TSS_SELECTOR 0x20
#define CODE_64 0xa09b /* G, L, present, code, readable, accessed */
#define CODE_32 0xc09b /* G, D */
#define DATA_32 0xc093 /* G, B, present, data, writable, accessed */
#define TSS_32 0x008b  /* present, busy 32-bit TSS */

#define PTE_PRESENT 0x1u
#define PTE_WRITE 0x2u
#define PTE_ACCESSED 0x20u
#define PTE_DIRTY 0x40u
#define PTE_LARGE 0x80u
#define LARGE_PAGE 0x200000ull
#define MAPPED_GIB 4

static uint64_t descriptor(uint16_t attr, uint32_t limit, uint32_t base)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
		(uint64_t)(attr & 0xff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
		(uint64_t)(attr >> 12) << 52 | (uint64_t)(base >> 24) << 56;
}

static int flat_segments(struct memory *mem, struct cpu_state *state, uint16_t code)
{
	const uint64_t gdt[] = {0, 0, descriptor(code, 0xfffff, 0), descriptor(DATA_32, 0xfffff, 0),
		descriptor(TSS_32, 0x67, 0)};

	for (unsigned i = 0; i < SEG_COUNT; i++)
		state->seg[i] = (struct segment){.selector = DATA_SELECTOR,
			.attr = DATA_32,
			.limit = UINT32_MAX};
	state->seg[SEG_CS] =
		(struct segment){.selector = CODE_SELECTOR, .attr = code, .limit = UINT32_MAX};
	state->tr = (struct segment){.selector = TSS_SELECTOR, .attr = TSS_32, .limit = 0x67};
	state->gdtr = (struct table_register){.base = BOOT_GDT, .limit = sizeof gdt - 1};
	/* No gate; a table of no bytes at all would mean that a triple fault is on purpose. */
	state->idtr = (struct table_register){.limit = 1};
	state->rflags = 2;
	state->cpl = 0;
	memset(state->gpr, 0, sizeof state->gpr);
	return memory_write(mem, BOOT_GDT, gdt, sizeof gdt);
}

int boot_flat_32(struct memory *mem, struct cpu_state *state, uint64_t entry)
{
	state->cr0 = CR0_PE | CR0_ET;
	state->rip = entry;
	return flat_segments(mem, state, CODE_32);
}

/* One PML4 entry, one PDPT, and a page directory of 2 MiB pages for each GiB. */
static int identity_map(struct memory *mem)
{
	const uint64_t link = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
	uint64_t *tables = memory_ptr(mem, BOOT_PAGE_TABLES, (2 + MAPPED_GIB) * 4096);

	if (!tables)
		return -1;
	memset(tables, 0, 2 * 4096);
	tables[0] = (BOOT_PAGE_TABLES + 4096) | link;
	for (unsigned i = 0; i < MAPPED_GIB; i++)
		tables[512 + i] = (BOOT_PAGE_TABLES + (2 + i) * 4096) | link;
	for (unsigned i = 0; i < 512 * MAPPED_GIB; i++)
		tables[1024 + i] = i * LARGE_PAGE | link | PTE_DIRTY | PTE_LARGE;
	memory_written(mem, BOOT_PAGE_TABLES, (2 + MAPPED_GIB) * 4096);
	return 0;
}

int boot_flat_64(struct memory *mem, struct cpu_state *state, uint64_t entry)
{
	if (identity_map(mem) < 0)
		return -1;
	state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	state->cr3 = BOOT_PAGE_TABLES;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	state->rip = entry;
	return flat_segments(mem, state, CODE_64);
}
