/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's extended state as an XSAVE image in standard format (SDM 1, 13.4), cpu.xsave. Valid
 * only after vcpu_vectors_save(). The bytes of a component that XSTATE_BV calls initial are its
 * initial state (xsave_initial()).
 */
#ifndef DACH_CPU_TRANSLATE_EMULATE_IMAGE_H
#define DACH_CPU_TRANSLATE_EMULATE_IMAGE_H

#include "cpu/translate/emulate/emulate.h"

#define FSW_ES 0x80u
#define FSW_B 0x8000u
#define FCW_KEPT 0x1f3fu /* the others read as FCW_FIXED whatever is loaded */
#define FCW_FIXED 0x40u

static inline uint16_t *image_u16(struct vcpu *v, unsigned offset)
{
	return (uint16_t *)(v->cpu.xsave + offset);
}

static inline uint32_t *image_u32(struct vcpu *v, unsigned offset)
{
	return (uint32_t *)(v->cpu.xsave + offset);
}

static inline uint64_t *image_u64(struct vcpu *v, unsigned offset)
{
	return (uint64_t *)(v->cpu.xsave + offset);
}

/* XSTATE_BV: which components differ from their initial state. */
static inline uint64_t *image_bv(struct vcpu *v)
{
	return xsave_bv(v->cpu.xsave);
}

/* Saves, and hides what is the host's: where the last x87 instruction was, which bits MXCSR has. */
void image_begin(struct vcpu *v);
/* Control and status word as they come from memory: reserved bits, and ES and B, which follow from
 * the rest. */
void image_control(struct vcpu *v, uint16_t fcw, uint16_t fsw);
bool mxcsr_valid(struct vcpu *v, uint32_t mxcsr);
/* TOP is about to change to top while the registers stay: turns the image, kept in stack order. */
void image_rotate(struct vcpu *v, unsigned top);

#endif
