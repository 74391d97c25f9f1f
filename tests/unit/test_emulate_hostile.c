/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random instructions on random state: nothing may crash, run on for ever, or leave a state that a
 * processor cannot be in.
 */
#include <stdlib.h>

#include "../layouts.h"
#include "emulate_rig.h"

#define RFLAGS_KNOWN                                                                            \
	(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | \
		FL_VIP | FL_ID | 2)

static uint64_t random64(void)
{
	return (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
}

/* Addresses that exist, borders, wild ones, selectors. */
static uint64_t interesting(void)
{
	static const uint64_t border[] = {0, 1, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff,
		0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, ~0ull};

	switch (rand() % 8) {
	case 0:
		return random64();
	case 1:
		return border[rand() % 12] + (uint64_t)(rand() % 17) - 8;
	case 2:
		return (uint64_t)(rand() % 0x80);
	case 3:
		return RIG_GDT + (uint64_t)(rand() % 0x80);
	default:
		return (uint64_t)rand() % RIG_SIZE & (rand() & 1 ? ~7ull : ~63ull);
	}
}

static void random_tables(void)
{
	for (unsigned k = 0x60; k < 0x80; k += 8)
		put(RIG_GDT + k, random64() | (rand() & 1 ? 1ull << 47 : 0), 8);
	for (unsigned k = 0; k < 8; k++) {
		put(RIG_IDT + 16 * (unsigned)(rand() % 256), random64() | 0x8e0000000000, 8);
		put((uint32_t)(rand() % (RIG_SIZE - 8)), interesting(), 8);
	}
	for (unsigned k = 0; k < RIG_SIZE >> 12; k++)
		rig_page[k] = rand() % 5 ? 0 : (uint8_t)(rand() & 15);
	for (unsigned k = 0; k < 4; k++)
		rig_page[RIG_GDT / 4096 + k] = 0;
}

static void random_state(void)
{
	static void (*const modes[])(void) = {rig_long, rig_user, rig_protected, rig_real};

	modes[rand() % 4]();
	if (rand() % 8 == 0)
		load(SEG_CS, rig.cpu.cpl ? SEL_USER_CODE32 : SEL_CODE32); /* compatibility mode */
	random_tables();
	for (unsigned k = 0; k < 16; k++)
		rig.cpu.gpr[k] = interesting();
	if (rand() & 1)
		rig.cpu.gpr[RSP] = RIG_STACK0 - 0x200;
	if (rand() & 1)
		for (unsigned k = 0; k < 8; k++)
			put((uint32_t)(rig.cpu.gpr[RSP] % (RIG_SIZE - 64)) + 8 * k, interesting(),
				8);
	rig.cpu.rflags |= random64() & (RFLAGS_KNOWN & ~FL_VM);
	if (!(rig.cpu.efer & EFER_LMA) && rig.cpu.cr0 & CR0_PE && rand() % 8 == 0) {
		rig.cpu.rflags |= FL_VM;
		rig.cpu.cpl = 3;
		for (unsigned k = 0; k < SEG_COUNT; k++)
			segment_load_paragraph(&rig, k, (uint16_t)(rand() & 0xfff));
	}
	rig.cpu.cr4 |= rand() & 1 ? CR4_OSXSAVE | CR4_FSGSBASE : 0;
	rig_policy.count = 1;
	rig_policy.leaf[0] = (struct cpuid_leaf){7, 0, 1, ~0u, ~0u, ~0u, true};
	rig_policy.area = layouts[(unsigned)rand() % 2].area;
	layout_tell(&rig_policy, &layouts[(unsigned)rand() % LAYOUTS], 7);
	rig.cpu.xcr0 = rand() & 1 ? rig_policy.xcr0 : rig_policy.xcr0 & 7;
	rig_policy.max_basic = 13;
	*(uint64_t *)(rig.cpu.xsave + 512) = random64() & rig.cpu.xcr0;
	xsave_settle(rig.cpu.xsave, &rig_policy.area);
}

/* What XSTATE_BV calls initial is so in memory. */
static void check_image(void)
{
	static uint8_t settled[CPU_XSAVE_SIZE] __attribute__((aligned(64)));

	memcpy(settled, rig.cpu.xsave, sizeof settled);
	xsave_settle(settled, &rig_policy.area);
	assert_memory_equal(settled, rig.cpu.xsave, sizeof settled);
}

static void check_state(void)
{
	const struct cpu_state *c = &rig.cpu;
	uint64_t bv = *(const uint64_t *)(c->xsave + 512);
	bool wide = c->efer & EFER_LMA;

	assert_true(c->cpl <= 3);
	assert_int_equal(c->rflags & ~(uint64_t)RFLAGS_KNOWN, 0);
	assert_true(c->rflags & 2);
	assert_int_equal(wide, (c->cr0 & CR0_PG) && (c->efer & EFER_LME));
	assert_int_equal(c->cr0 >> 32, 0);
	assert_int_equal(c->cr3 >> 52, 0);
	if (!(c->cr0 & CR0_PE))
		assert_int_equal(c->cpl, 0);
	else if (wide)
		assert_int_equal(c->seg[SEG_CS].selector & 3, c->cpl);
	assert_int_equal(bv & ~0xe7ull, 0);
	assert_int_equal(*(const uint64_t *)(c->xsave + 520), 0);
	assert_int_equal(*(const uint32_t *)(c->xsave + 24) & 0xffff0000, 0);
	for (unsigned k = 0; k < SEG_COUNT; k++)
		assert_true(canonical_ok(c->seg[k].base));
	assert_true(canonical_ok(c->tr.base) && canonical_ok(c->gdtr.base));
	assert_true(canonical_ok(c->lstar) && canonical_ok(c->kernel_gs_base));
}

static unsigned random_insn(uint8_t bytes[15])
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x65, 0xf0,
		0x48, 0x41, 0x4f};
	static const uint8_t one_byte[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f,
		0x37, 0x3f, 0x40, 0x48, 0x60, 0x61, 0x62, 0x63, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x8c,
		0x8e, 0x8f, 0x9a, 0x9c, 0x9d, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae,
		0xaf, 0xc2, 0xc3, 0xc4, 0xc5, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd4,
		0xd5, 0xd6, 0xd7, 0xd9, 0xdd, 0xe0, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe8, 0xe9, 0xea,
		0xec, 0xed, 0xee, 0xef, 0xf1, 0xf4, 0xfa, 0xfb, 0xff, 0xff, 0xff, 0x50, 0x58};
	static const uint8_t two_byte[] = {0x00, 0x01, 0x01, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07,
		0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0xa0, 0xa1,
		0xa3, 0xa8, 0xa9, 0xab, 0xae, 0xae, 0xae, 0xb2, 0xb3, 0xb4, 0xb5, 0xbb, 0xc7, 0xf7};
	unsigned n = 0;

	for (unsigned k = 0; k < 15; k++)
		bytes[k] = (uint8_t)rand();
	while (rand() % 3 == 0 && n < 4)
		bytes[n++] = prefixes[rand() % sizeof(prefixes)];
	switch (rand() % 8) {
	case 0: /* anything */
		break;
	case 1:
	case 2:
	case 3:
		bytes[n] = one_byte[rand() % sizeof(one_byte)];
		break;
	case 4: /* gathers and scatters */
		n = 0;
		if (rand() & 1) {
			bytes[n++] = 0xc4;
			bytes[n++] = (uint8_t)((rand() & 0xe0) | 2);
			bytes[n++] = (uint8_t)((rand() & 0xfc) | 1);
			bytes[n++] = 0x90 | (rand() & 3);
		} else {
			bytes[n++] = 0x62;
			bytes[n++] = (uint8_t)((rand() & 0xf0) | 2);
			bytes[n++] = (uint8_t)((rand() & 0x80) | 0x7d);
			bytes[n++] = (uint8_t)((rand() & 0x6f) | 1);
			bytes[n++] = (rand() & 1 ? 0x90 : 0xa0) | (rand() & 3);
		}
		bytes[n] = (uint8_t)((rand() & 0xb8) | 4);
		break;
	default:
		bytes[n++] = 0x0f;
		bytes[n] = two_byte[rand() % sizeof(two_byte)];
		break;
	}
	return n;
}

static void one_insn(void)
{
	unsigned bits = mode_code64(&rig) ? 64 : rig.cpu.seg[SEG_CS].attr & SEG_ATTR_DB ? 32 : 16;
	uint8_t bytes[15];
	enum outcome out;
	struct insn i;

	random_insn(bytes);
	if (rand() % 4 == 0)
		rig.cpu.gpr[RCX] = (const uint32_t[]){0xc0000080, 0xc0000081, 0xc0000101, 0x277,
			0x2ff, 0x10, 0x1b, 0x200, 0, 1}[rand() % 10];
	if (insn_decode(&i, bytes, 15, bits, NULL) != 0)
		out = fault_raise(&rig, EXC_UD);
	else
		out = emulate(&rig, &i);
	assert_true(out == OUT_OK || out == OUT_FAULT || out == OUT_HALT || out == OUT_SHUTDOWN);
	if (out == OUT_FAULT && rand() & 1) {
		out = event_deliver_fault(&rig);
		assert_true(out == OUT_OK || out == OUT_SHUTDOWN);
	}
	check_state();
}

static void hostile(void **state)
{
	srand(6);
	for (unsigned n = 0; n < 40000; n++) {
		random_state();
		for (unsigned k = 0; k < 8; k++)
			one_insn();
		check_image();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
