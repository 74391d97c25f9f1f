/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/state.h"

#include <string.h>

#include "cpu/xsave.h"

#define CODE_ATTR (SEG_ATTR_P | SEG_ATTR_S | 0xb) /* accessed, readable code */
#define DATA_ATTR (SEG_ATTR_P | SEG_ATTR_S | 0x3) /* accessed, writable data */
#define TSS_ATTR (SEG_ATTR_P | 0xb)               /* busy 32-bit TSS */
#define LDT_ATTR (SEG_ATTR_P | 0x2)

#define PAT_DEFAULT 0x0007040600070406ull
#define APIC_BASE_DEFAULT 0xfee00800ull /* enabled; the boot processor's bit is the machine's */
#define MISC_FAST_STRINGS 0x1u

static void put16(struct cpu_state *state, unsigned offset, uint16_t value)
{
	memcpy(&state->xsave[offset], &value, sizeof value);
}

static void put32(struct cpu_state *state, unsigned offset, uint32_t value)
{
	memcpy(&state->xsave[offset], &value, sizeof value);
}

void cpu_state_reset(struct cpu_state *state)
{
	memset(state, 0, sizeof *state);
	state->rip = 0xfff0;
	state->rflags = 2;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		state->seg[i] = (struct segment){.attr = DATA_ATTR, .limit = 0xffff};
	state->seg[SEG_CS] = (struct segment){.selector = 0xf000,
		.attr = CODE_ATTR,
		.limit = 0xffff,
		.base = 0xffff0000};
	state->tr = (struct segment){.attr = TSS_ATTR, .limit = 0xffff};
	state->ldtr = (struct segment){.attr = LDT_ATTR, .limit = 0xffff};
	state->gdtr.limit = state->idtr.limit = 0xffff;
	state->cr0 = CR0_CD | CR0_NW | CR0_ET;
	state->xcr0 = 1;
	state->dr6 = 0xffff0ff0;
	state->dr7 = 0x400;
	state->pat = PAT_DEFAULT;
	state->misc_enable = MISC_FAST_STRINGS;
	state->apic_base = APIC_BASE_DEFAULT;
	/* x87 as FINIT leaves it (power-on differs in bits that nobody sees); MXCSR. */
	put16(state, XSAVE_FCW, FCW_INITIAL);
	put32(state, XSAVE_MXCSR, MXCSR_INITIAL);
	state->xsave[XSAVE_BV] = 3;
}
