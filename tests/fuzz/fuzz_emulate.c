/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that C code executes (cpu/translate/emulate/): the bytes are a processor's state, what is in
 * memory, and instructions, one after the other, whose faults are delivered. It stays in a state that a
 * processor can be in.
 */
#include <stdlib.h>

#include "../layouts.h"
#include "../unit/emulate_rig.h"

#define KNOWN_FLAGS                                                                             \
	(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | \
		FL_VIP | FL_ID | 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct start {
	uint8_t mode, flags, layout, pages[8];
	uint16_t rflags;
	uint8_t xcr0, bv;
	struct {
		uint8_t kind;
		uint16_t value;
	} __attribute__((packed)) gpr[16];
} __attribute__((packed));

struct step {
	uint8_t what, at;
	uint8_t bytes[15];
} __attribute__((packed));

/* Addresses that exist, borders, selectors, numbers. */
static uint64_t value_of(uint8_t kind, uint16_t value)
{
	static const uint64_t border[] = {0, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffff,
		0x800000000000, 0xffff7fffffffffff, ~0ull};

	switch (kind % 6) {
	case 0:
		return value;
	case 1:
		return border[value % 8] + (value >> 8) - 128;
	case 2:
		return RIG_GDT + (value & 0x7f);
	case 3:
		return (uint64_t)value << 48 | value;
	default:
		return (uint64_t)value * 16 % RIG_SIZE;
	}
}

static void begin(const struct start *start)
{
	static void (*const modes[])(void) = {rig_long, rig_user, rig_protected, rig_real};

	modes[start->mode % 4]();
	if (start->flags & 1)
		load(SEG_CS, rig.cpu.cpl ? SEL_USER_CODE32 : SEL_CODE32);
	for (unsigned k = 0; k < RIG_SIZE >> 12; k++)
		rig_page[k] = k / 8 < 4 ? 0 : start->pages[k % 8] & 15;
	for (unsigned k = 0; k < 16; k++)
		rig.cpu.gpr[k] = value_of(start->gpr[k].kind, start->gpr[k].value);
	rig.cpu.rflags |= start->rflags & KNOWN_FLAGS & ~FL_VM;
	if (!(rig.cpu.efer & EFER_LMA) && rig.cpu.cr0 & CR0_PE && start->flags & 2) {
		rig.cpu.rflags |= FL_VM;
		rig.cpu.cpl = 3;
		for (unsigned k = 0; k < SEG_COUNT; k++)
			segment_load_paragraph(&rig, k, start->gpr[k].value & 0xfff);
	}
	rig.cpu.cr4 |= start->flags & 4 ? CR4_OSXSAVE | CR4_FSGSBASE : 0;
	rig_policy.count = 1;
	rig_policy.leaf[0] = (struct cpuid_leaf){7, 0, 1, ~0u, ~0u, ~0u, true};
	rig_policy.area = layouts[start->layout % 2].area;
	layout_tell(&rig_policy, &layouts[start->layout / 2 % LAYOUTS], 7);
	rig.cpu.xcr0 = start->flags & 8 ? rig_policy.xcr0 : rig_policy.xcr0 & 7;
	rig_policy.max_basic = 13;
	*(uint64_t *)(rig.cpu.xsave + 512) = start->bv & rig.cpu.xcr0;
	xsave_settle(rig.cpu.xsave, &rig_policy.area);
}

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_state(void)
{
	const struct cpu_state *c = &rig.cpu;
	bool wide = c->efer & EFER_LMA;

	check(c->cpl <= 3 && !(c->rflags & ~(uint64_t)KNOWN_FLAGS) && c->rflags & 2);
	check(wide == ((c->cr0 & CR0_PG) && (c->efer & EFER_LME)));
	check(!(c->cr0 >> 32) && !(c->cr3 >> 52));
	check(c->cr0 & CR0_PE || !c->cpl);
	check(!wide || (c->seg[SEG_CS].selector & 3) == c->cpl);
	check(!(*(const uint64_t *)(c->xsave + 512) & ~0xe7ull));
	check(!(*(const uint32_t *)(c->xsave + 24) & 0xffff0000));
	for (unsigned k = 0; k < SEG_COUNT; k++)
		check(canonical_ok(c->seg[k].base));
	check(canonical_ok(c->tr.base) && canonical_ok(c->gdtr.base) && canonical_ok(c->lstar));
}

static void execute(const struct step *step)
{
	unsigned bits = mode_code64(&rig) ? 64 : rig.cpu.seg[SEG_CS].attr & SEG_ATTR_DB ? 32 : 16;
	enum outcome out;
	struct insn i;

	if (insn_decode(&i, step->bytes, 15, bits, NULL))
		out = fault_raise(&rig, EXC_UD);
	else
		out = emulate(&rig, &i);
	check(out == OUT_OK || out == OUT_FAULT || out == OUT_HALT || out == OUT_SHUTDOWN);
	if (out == OUT_FAULT && step->what & 16)
		event_deliver_fault(&rig);
	check_state();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct start start;
	struct step step;

	if (size < sizeof start)
		return 0;
	memcpy(&start, data, sizeof start);
	begin(&start);
	data += sizeof start;
	size -= sizeof start;
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		switch (step.what & 7) {
		case 0: /* a descriptor, a gate, a stack */
			memcpy(rig_memory + RIG_GDT + (step.at & 0x78), step.bytes, 8);
			break;
		case 1:
			memcpy(rig_memory + RIG_IDT + 16 * step.at, step.bytes, 15);
			break;
		case 2:
			memcpy(rig_memory + rig.cpu.gpr[step.at % 16] % (RIG_SIZE - 16), step.bytes,
				15);
			break;
		default:
			execute(&step);
		}
	}
	return 0;
}
