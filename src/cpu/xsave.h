/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_state.xsave: x87, SSE, AVX and AVX-512 state as an XSAVE area in standard format (SDM 1, 10.5.1
 * and 13.4; APM 2, 11.5). Where the components behind the header lie is each processor's own
 * (CPUID leaf 0xd): AMD's and Intel's differ from the opmasks on. In cpu_state.xsave they lie where
 * this host has them, since its own XSAVE and XRSTOR work there; what a guest's XSAVE writes into the
 * guest's memory goes by the guest's CPUID.
 */
#ifndef DACH_CPU_XSAVE_H
#define DACH_CPU_XSAVE_H

#include <stdint.h>

struct cpuid_policy;

#define XSAVE_FCW 0
#define XSAVE_FSW 2
#define XSAVE_FTW 4 /* abridged: a bit a register, 1 is in use */
#define XSAVE_FOP 6
#define XSAVE_FIP 8
#define XSAVE_FDP 16
#define XSAVE_MXCSR 24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_ST 32
#define XSAVE_XMM 160
#define XSAVE_XMM_END 416
#define XSAVE_BV 512 /* the header: XSTATE_BV, which components are not in their initial state */
#define XSAVE_COMP_BV 520
#define XSAVE_END 576 /* of the header */

#define COMP_X87 0
#define COMP_SSE 1
#define COMP_AVX 2
#define COMP_OPMASK 5
#define COMP_ZMM_HI 6
#define COMP_ZMM_HI16 7
#define COMP_COUNT 8

#define FCW_INITIAL 0x37fu
#define MXCSR_INITIAL 0x1f80u
#define MXCSR_BITS 0xffffu /* of any processor */
#define MXCSR_MM 0x20000u  /* misaligned operands of SSE instructions: AMD only (APM 1, 4.2.2) */

/* Of components 2 and up, one that there is not has size 0. */
struct xsave_layout {
	uint16_t offset[COMP_COUNT], size[COMP_COUNT];
	uint8_t align;       /* a bit a component: 64-byte aligned in compacted format */
	uint32_t mxcsr_mask; /* the bits that MXCSR has */
};

/* The layout that the guest is told of, as far as this host has the same components and bits. */
void xsave_layout(struct xsave_layout *l, const struct cpuid_policy *policy);

/*
 * NULL, or why the host's XRSTOR would not take the area (SDM 1, 13.8.1). components: XSTATE_BV has no
 * others; mxcsr_mask: MXCSR has no other bits.
 */
const char *xsave_check(const uint8_t *xsave, uint64_t components, uint32_t mxcsr_mask);

static inline uint64_t *xsave_bv(uint8_t *xsave)
{
	return (uint64_t *)(xsave + XSAVE_BV);
}

static inline void xsave_zero(uint8_t *xsave, unsigned from, unsigned to)
{
	/* Not memset(): this also runs while the vector registers are the guest's. */
	for (; from + 8 <= to; from += 8)
		*(volatile uint64_t *)(xsave + from) = 0;
}

/*
 * Puts components into their initial state, their bytes as well as their bits in XSTATE_BV: bytes left
 * behind a clear bit are some other program's registers, and neither a guest nor a processor is to
 * find them there. MXCSR stays. l is the host's layout.
 */
static inline void xsave_initial(uint8_t *xsave, const struct xsave_layout *l, uint64_t components)
{
	if (components & 1u << COMP_X87) {
		*(volatile uint64_t *)(xsave + XSAVE_FCW) = FCW_INITIAL;
		xsave_zero(xsave, XSAVE_FIP, XSAVE_MXCSR);
		xsave_zero(xsave, XSAVE_ST, XSAVE_XMM);
	}
	if (components & 1u << COMP_SSE)
		xsave_zero(xsave, XSAVE_XMM, XSAVE_XMM_END);
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (components >> c & 1)
			xsave_zero(xsave, l->offset[c], l->offset[c] + l->size[c]);
	*xsave_bv(xsave) &= ~components;
}

/* The same for all that XSTATE_BV calls initial: for an area that comes from elsewhere. */
static inline void xsave_settle(uint8_t *xsave, const struct xsave_layout *l)
{
	xsave_initial(xsave, l, ~*xsave_bv(xsave));
}

#endif
