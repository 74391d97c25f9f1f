/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's extended state as an XSAVE image in standard format (SDM 1, 13.4), cpu.xsave. Valid
 * only after vcpu_vectors_save().
 */
#ifndef DACH_CPU_TRANSLATE_EMULATE_IMAGE_H
#define DACH_CPU_TRANSLATE_EMULATE_IMAGE_H

#include "cpu/translate/emulate/emulate.h"

#define IMAGE_FCW 0
#define IMAGE_FSW 2
#define IMAGE_FTW 4 /* abridged: a bit a register, 1 is in use */
#define IMAGE_FOP 6
#define IMAGE_FIP 8
#define IMAGE_FDP 16
#define IMAGE_MXCSR 24
#define IMAGE_ST 32
#define IMAGE_XMM 160
#define IMAGE_XMM_END 416
#define IMAGE_HEADER 512
#define IMAGE_END 576
#define COMP_X87 0
#define COMP_SSE 1
#define COMP_AVX 2
#define COMP_OPMASK 5
#define COMP_ZMM_HI 6
#define COMP_ZMM_HI16 7
#define COMP_COUNT 8
#define MXCSR_DEFAULT 0x1f80u
#define FSW_ES 0x80u
#define FSW_B 0x8000u
#define FCW_KEPT 0x1f3fu /* the others read as FCW_FIXED whatever is loaded */
#define FCW_FIXED 0x40u

/* Where the host's processor (and so the guest's) keeps components 2 and up. */
struct image_layout {
	uint16_t offset[COMP_COUNT], size[COMP_COUNT];
	uint8_t align; /* a bit a component: 64-byte aligned in compacted format */
};
void image_layout(struct vcpu *v, struct image_layout *l);

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
	return image_u64(v, IMAGE_HEADER);
}

/* Saves, and hides where in the code cache the last x87 instruction was. */
void image_begin(struct vcpu *v);
/*
 * Makes the bytes of these components valid: those in their initial state are written out (their
 * bit in XSTATE_BV stays clear).
 */
void image_fill(struct vcpu *v, const struct image_layout *l, uint64_t components);
/* Control and status word as they come from memory: reserved bits, and ES and B, which follow from
 * the rest. */
void image_control(struct vcpu *v, uint16_t fcw, uint16_t fsw);
bool mxcsr_valid(struct vcpu *v, uint32_t mxcsr);
/* TOP is about to change to top while the registers stay: turns the image, kept in stack order. */
void image_rotate(struct vcpu *v, unsigned top);

#endif
