/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU for tests of the emulator: 1 MiB of flat memory whose pages have rights of their own, and
 * functions that replace mmu.c, mode.c, vectors.c and engine.c at link time.
 */
#ifndef DACH_TESTS_EMULATE_RIG_H
#define DACH_TESTS_EMULATE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/vm.h"

#define RIG_SIZE (1u << 20)
#define RIG_PAGE_ABSENT 1u
#define RIG_PAGE_READ_ONLY 2u
#define RIG_PAGE_KERNEL 4u
#define RIG_PAGE_DEVICE 8u

/* Where things are. */
#define RIG_GDT 0x1000u
#define RIG_IDT 0x2000u
#define RIG_TSS 0x3000u
#define RIG_STACK0 0x8000u /* top */
#define RIG_IST 0x9000u
#define RIG_STACK3 0xa000u
#define RIG_CODE 0x10000u
#define RIG_HANDLER 0x20000u
#define RIG_DATA 0x40000u

/* Selectors. */
#define SEL_CODE64 0x08
#define SEL_DATA0 0x10
#define SEL_CODE32 0x18
#define SEL_USER_CODE32 0x23
#define SEL_USER_DATA 0x2b
#define SEL_USER_CODE64 0x33
#define SEL_TSS 0x40  /* two slots */
#define SEL_LDT 0x50  /* two slots */
#define SEL_FREE 0x60 /* and up, for tests */

static struct vcpu rig;
static uint8_t rig_memory[RIG_SIZE];
static uint8_t rig_page[RIG_SIZE >> 12];
static struct cpuid_policy rig_policy;
static uint64_t rig_port[8], rig_msr_value;
static unsigned rig_ports, rig_mode_updates, rig_flushes;

/* --- what the emulator calls --------------------------------------------------------- */

static enum outcome rig_check(struct vcpu *v, uint64_t linear, unsigned size, unsigned access)
{
	bool user = v->cpu.cpl == 3 && !(access & ACC_SYSTEM);

	for (uint64_t k = 0; k <= ((linear & 4095) + size - (size > 0)) >> 12; k++) {
		uint64_t a = (linear & ~4095ull) + k * 4096;
		uint8_t page = a < RIG_SIZE ? rig_page[a >> 12] : RIG_PAGE_ABSENT;

		if ((page & RIG_PAGE_ABSENT) || ((page & RIG_PAGE_KERNEL) && user) ||
			((page & RIG_PAGE_READ_ONLY) && (access & ACC_WRITE))) {
			fault_raise_error(v, EXC_PF,
				(page & RIG_PAGE_ABSENT ? 0 : 1) | (access & ACC_WRITE ? 2 : 0) |
					(user ? 4 : 0));
			v->fault.cr2 = k ? a : linear;
			return OUT_FAULT;
		}
	}
	return OUT_OK;
}

enum outcome mem_read(struct vcpu *v, uint64_t linear, void *data, unsigned size, unsigned access)
{
	TRY(rig_check(v, linear, size, access));
	memcpy(data, rig_memory + linear, size);
	return OUT_OK;
}

enum outcome mem_write(struct vcpu *v, uint64_t linear, const void *data, unsigned size,
	unsigned access)
{
	TRY(rig_check(v, linear, size, access | ACC_WRITE));
	memcpy(rig_memory + linear, data, size);
	return OUT_OK;
}

enum outcome mem_probe(struct vcpu *v, uint64_t linear, unsigned size, unsigned access)
{
	return rig_check(v, linear, size, access);
}

enum outcome mem_host(struct vcpu *v, uint64_t linear, unsigned size, unsigned access, void **host)
{
	*host = NULL;
	TRY(rig_check(v, linear, size, access));
	if ((linear & 4095) + size <= 4096 && !(rig_page[linear >> 12] & RIG_PAGE_DEVICE))
		*host = rig_memory + linear;
	return OUT_OK;
}

bool mmu_pdptes_good(struct vcpu *v, uint64_t cr3)
{
	return true;
}

void mmu_flush_all(struct vcpu *v)
{
	rig_flushes++;
}

void mmu_flush_nonglobal(struct vcpu *v)
{
	rig_flushes++;
}

void mmu_flush_page(struct vcpu *v, uint64_t linear)
{
	rig_flushes++;
}

void mmu_flush_pcid(struct vcpu *v, unsigned pcid)
{
	rig_flushes++;
}

void mmu_cr3_loaded(struct vcpu *v, bool keep)
{
	rig_flushes++;
}

void mode_update(struct vcpu *v)
{
	rig_mode_updates++;
}

void vcpu_vectors_save(struct vcpu *v)
{
	v->vectors_saved = true;
}

void vcpu_vectors_restore(struct vcpu *v)
{
	v->vectors_saved = false;
}

void vm_exclusive_begin(struct vcpu *v)
{
}

void native_unpatch(struct translate_vm *vm, uint64_t gpa)
{
}

void vm_exclusive_end(struct vcpu *v)
{
}

const struct cpuid_policy *vcpu_cpuid(const struct vcpu *v)
{
	return &rig_policy;
}

const struct xsave_layout *vcpu_layout(const struct vcpu *v)
{
	static struct xsave_layout layout;

	xsave_layout(&layout, &rig_policy);
	return &layout;
}

static uint64_t rig_io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	assert_true(rig.vectors_saved);
	return 0x1122334455667788ull + rig_ports++;
}

static void rig_io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
	assert_true(rig.vectors_saved);
	rig_port[rig_ports++ & 7] = value;
}

static bool rig_msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	*value = rig_msr_value;
	return msr == 0x1b;
}

static bool rig_msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	rig_msr_value = value;
	return msr == 0x1b;
}

static uint64_t rig_tpr_read(void *ctx, unsigned index)
{
	return rig.cpu.cr8;
}

static void rig_tpr_write(void *ctx, unsigned index, uint64_t value)
{
}

static const struct engine_callbacks rig_callbacks = {
	.io_read = rig_io_read,
	.io_write = rig_io_write,
	.msr_read = rig_msr_read,
	.msr_write = rig_msr_write,
	.tpr_read = rig_tpr_read,
	.tpr_write = rig_tpr_write,
};

const struct engine_callbacks *vcpu_callbacks(const struct vcpu *v, void **ctx)
{
	*ctx = NULL;
	return &rig_callbacks;
}

/* --- memory and tables --------------------------------------------------------------- */

static inline void put(uint32_t at, uint64_t value, unsigned size)
{
	memcpy(rig_memory + at, &value, size);
}

static inline uint64_t get(uint32_t at, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, rig_memory + at, size);
	return value;
}

/* A segment descriptor; attr as in struct segment. */
static inline uint64_t descriptor(uint32_t base, uint32_t limit, unsigned attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
		(uint64_t)(attr & 0xf0ff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
		(uint64_t)(base >> 24) << 56;
}

static inline void gdt(unsigned selector, uint64_t value)
{
	put(RIG_GDT + (selector & 0xfff8), value, 8);
}

/* A gate without its type: selector, offset, attr (P, DPL, type). */
static inline uint64_t gate(uint16_t selector, uint64_t offset, unsigned attr)
{
	return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)attr << 40 |
		(offset >> 16 & 0xffff) << 48;
}

static inline void idt64(unsigned vector, uint16_t selector, uint64_t offset, unsigned attr,
	unsigned ist)
{
	put(RIG_IDT + 16 * vector, gate(selector, offset, attr) | (uint64_t)ist << 32, 8);
	put(RIG_IDT + 16 * vector + 8, offset >> 32, 8);
}

static inline void load(unsigned seg, uint16_t selector)
{
	struct descriptor d = {.low = get(RIG_GDT + (selector & 0xfff8), 8)};

	descriptor_unpack(&rig.cpu.seg[seg], selector, &d);
}

/* A kernel in long mode at CPL 0, all vectors handled at RIG_HANDLER + 16 * vector. */
static inline void rig_long(void)
{
	struct cpu_state *c = &rig.cpu;

	memset(&rig, 0, sizeof(rig));
	memset(rig_memory, 0, sizeof(rig_memory));
	memset(rig_page, 0, sizeof(rig_page));
	rig_ports = rig_flushes = rig_mode_updates = 0;
	gdt(SEL_CODE64, descriptor(0, 0xfffff, 0xa09b));
	gdt(SEL_DATA0, descriptor(0, 0xfffff, 0xc093));
	gdt(SEL_CODE32, descriptor(0, 0xfffff, 0xc09b));
	gdt(SEL_USER_CODE32, descriptor(0, 0xfffff, 0xc0fb));
	gdt(SEL_USER_DATA, descriptor(0, 0xfffff, 0xc0f3));
	gdt(SEL_USER_CODE64, descriptor(0, 0xfffff, 0xa0fb));
	gdt(SEL_TSS, descriptor(RIG_TSS, 0x67, 0x8b));
	gdt(SEL_LDT, descriptor(0x5000, 0xff, 0x82));
	for (unsigned n = 0; n < 256; n++)
		idt64(n, SEL_CODE64, RIG_HANDLER + 16 * n, 0x8e, 0);
	put(RIG_TSS + 4, RIG_STACK0, 8);
	put(RIG_TSS + 36, RIG_IST, 8);
	c->gdtr = (struct table_register){RIG_GDT, 0x7f};
	c->idtr = (struct table_register){RIG_IDT, 0xfff};
	c->tr = (struct segment){SEL_TSS, 0x8b, 0x67, RIG_TSS};
	c->ldtr.attr = SEG_ATTR_UNUSABLE;
	c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_AM | CR0_MP;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	c->rflags = 2 | FL_IF;
	c->dr6 = DR6_FIXED;
	c->dr7 = DR7_FIXED;
	c->xcr0 = 1;
	c->xsave[0] = 0x7f;
	c->xsave[1] = 3;
	*(uint32_t *)(c->xsave + 24) = 0x1f80;
	load(SEG_CS, SEL_CODE64);
	load(SEG_SS, SEL_DATA0);
	load(SEG_DS, SEL_DATA0);
	load(SEG_ES, SEL_DATA0);
	load(SEG_FS, SEL_DATA0);
	load(SEG_GS, SEL_DATA0);
	c->gpr[RSP] = RIG_STACK0 - 0x100;
	c->rip = RIG_CODE;
	memset(&rig_policy, 0, sizeof(rig_policy));
	rig_policy.phys_bits = 40;
	rig_policy.virt_bits = 48;
	rig_policy.xcr0 = 7;
	rig_policy.area.mxcsr_mask = MXCSR_BITS;
}

/* The same in user mode. */
static inline void rig_user(void)
{
	rig_long();
	rig.cpu.cpl = 3;
	load(SEG_CS, SEL_USER_CODE64);
	load(SEG_SS, SEL_USER_DATA);
	load(SEG_DS, SEL_USER_DATA);
	load(SEG_ES, SEL_USER_DATA);
	rig.cpu.gpr[RSP] = RIG_STACK3 - 0x100;
}

/* 32-bit protected mode without long mode, CPL 0; 8-byte gates to SEL_CODE32. */
static inline void rig_protected(void)
{
	rig_long();
	rig.cpu.efer = 0;
	rig.cpu.cr0 &= ~(uint64_t)CR0_PG;
	rig.cpu.cr4 = 0;
	load(SEG_CS, SEL_CODE32);
	for (unsigned n = 0; n < 256; n++)
		put(RIG_IDT + 8 * n, gate(SEL_CODE32, RIG_HANDLER + 16 * n, 0x8e), 8);
	put(RIG_TSS + 4, RIG_STACK0, 4);
	put(RIG_TSS + 8, SEL_DATA0, 4);
}

static inline void rig_real(void)
{
	rig_long();
	rig.cpu.efer = 0;
	rig.cpu.cr0 = CR0_ET;
	rig.cpu.cr4 = 0;
	rig.cpu.idtr = (struct table_register){0, 0x3ff};
	for (unsigned n = 0; n < SEG_COUNT; n++)
		rig.cpu.seg[n] = (struct segment){0, n == SEG_CS ? 0x9b : 0x93, 0xffff, 0};
	rig.cpu.rip = 0x7c00;
	rig.cpu.gpr[RSP] = 0x7000;
}

/* The guest is told that AMD made its processor: family 1Ah, or the one that signature tells of. */
static inline void rig_amd(uint32_t signature)
{
	rig_policy.count = 2;
	rig_policy.leaf[0] = (struct cpuid_leaf){.leaf = 0, .ebx = 0x68747541};
	rig_policy.leaf[1] =
		(struct cpuid_leaf){.leaf = 1, .eax = signature ? signature : 0xb00f21};
	assert_true(cpuid_policy_amd(&rig_policy));
}

/* --- running ------------------------------------------------------------------------- */

/* Decodes and emulates one instruction at rip. */
static inline enum outcome rig_step_bytes(const uint8_t *bytes, unsigned size)
{
	unsigned bits = mode_code64(&rig) ? 64 : rig.cpu.seg[SEG_CS].attr & SEG_ATTR_DB ? 32 : 16;
	uint8_t padded[15] = {0};
	struct insn i;

	memcpy(padded, bytes, size);
	/* NULL: with all features that there are */
	if (insn_decode(&i, padded, 15, bits, cpuid_policy_amd(&rig_policy) ? &rig_policy : NULL) !=
		0)
		return fault_raise(&rig, EXC_UD);
	assert_int_equal(i.length, size);
	return emulate(&rig, &i);
}
#define STEP(...) rig_step_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

#define assert_ok(expr) assert_int_equal(expr, OUT_OK)
/* expr faults with that vector and error code, RIP unmoved. */
#define assert_fault(expr, wanted, code)                    \
	do {                                                \
		uint64_t rip_before = rig.cpu.rip;          \
		assert_int_equal(expr, OUT_FAULT);          \
		assert_int_equal(rig.fault.vector, wanted); \
		assert_int_equal(rig.fault.error, code);    \
		assert_int_equal(rig.cpu.rip, rip_before);  \
	} while (0)

#endif
