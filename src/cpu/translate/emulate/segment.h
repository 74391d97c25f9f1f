/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation: Intel SDM 3A chapters 3 and 5. Descriptors, segment register
 * loads with all their checks, and the way from seg:offset to a linear address.
 */
#ifndef DACH_CPU_TRANSLATE_SEGMENT_H
#define DACH_CPU_TRANSLATE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/translate/decode/insn.h"
#include "cpu/translate/vcpu.h"

/* The type field of attr (SDM 3A, 3.4.5.1 and 3.5). */
#define TYPE_ACCESSED 1u
#define TYPE_WRITABLE 2u /* data */
#define TYPE_DOWN 4u     /* data: expand-down */
#define TYPE_READABLE 2u /* code */
#define TYPE_CONFORMING 4u
#define TYPE_CODE 8u
enum {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS = 9,
	SYS_TSS_BUSY = 11,
	SYS_CALL = 12,
	SYS_INT = 14,
	SYS_TRAP = 15,
};

/* The effective address of the memory operand: the offset in its segment. */
uint64_t insn_address(const struct vcpu *v, const struct insn *i);

/*
 * The linear address of size bytes at seg:offset: canonical check in 64-bit mode; limit and type
 * checks otherwise. Raises #SS(0) for SS, else #GP(0). access: ACC_READ or ACC_WRITE; alignment
 * is not looked at.
 */
enum outcome linear_address(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	unsigned access, uint64_t *linear);

/*
 * The same outside 64-bit mode for a segment given by value: false if limit or type forbid it;
 * raises nothing.
 */
bool segment_linear(const struct vcpu *v, const struct segment *s, uint32_t offset, unsigned size,
	unsigned access, uint64_t *linear);

/* A descriptor as it stands in memory. */
struct descriptor {
	uint64_t low, high; /* high: the second half of a 16-byte system descriptor */
	uint64_t linear;    /* where it came from */
};

static inline unsigned descriptor_attr(uint64_t low)
{
	return (low >> 40) & 0xf0ff;
}

/*
 * Reads selector's descriptor from the GDT or LDT. Outside the table: the exception vector with
 * the selector (RPL cleared) | ext as error code. wide: 16 bytes.
 */
enum outcome descriptor_read(struct vcpu *v, uint16_t selector, bool wide, unsigned vector,
	unsigned ext, struct descriptor *d);
/* The hidden part of a segment register from its descriptor. */
void descriptor_unpack(struct segment *s, uint16_t selector, const struct descriptor *d);
/* Sets bits of the descriptor's type byte in memory (accessed, busy), atomically where it can be.
 */
enum outcome descriptor_mark(struct vcpu *v, const struct descriptor *d, uint8_t set,
	uint8_t clear);
/* The same if it is not yet accessed; also in *s. */
enum outcome descriptor_accessed(struct vcpu *v, const struct descriptor *d, struct segment *s);

/*
 * Loads ES, SS, DS, FS or GS in any mode, as MOV does (SDM 2B, MOV). Does not set sti_shadow, does
 * not call mode_update().
 */
enum outcome segment_load(struct vcpu *v, unsigned seg, uint16_t selector);
/* Real and virtual-8086 mode. */
void segment_load_paragraph(struct vcpu *v, unsigned seg, uint16_t selector);
/*
 * Checks a stack segment for a stack of privilege cpl: null, limit, RPL, type, DPL give vector(sel
 * | ext), not present gives #SS(sel | ext). The result is in *s, marked accessed.
 */
enum outcome segment_stack_check(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
	unsigned ext, struct segment *s);
/*
 * The same for a segment that DS, ES, FS or GS may take at privilege cpl; the selector is not null.
 * Not present gives #NP(sel | ext).
 */
enum outcome segment_data_check(struct vcpu *v, uint16_t selector, unsigned cpl, unsigned vector,
	unsigned ext, struct segment *s);
/* Data segments that the new CPL may not use become null (returns to outer privilege). */
void segment_drop_inner(struct vcpu *v, unsigned cpl);
/* A null selector's hidden part. */
static inline void segment_null(struct segment *s, uint16_t selector)
{
	*s = (struct segment){.selector = selector, .attr = SEG_ATTR_UNUSABLE};
}
/* The flat segments of SYSCALL and SYSENTER (base 0, limit 4 GiB). */
static inline void segment_flat(struct segment *s, uint16_t selector, uint16_t attr)
{
	*s = (struct segment){.selector = selector, .attr = attr, .limit = 0xffffffff};
}
#define ATTR_FLAT_CODE(dpl) (0x809b | (dpl) << 5) /* G P S code readable accessed */
#define ATTR_FLAT_DATA(dpl) (0xc093 | (dpl) << 5) /* G B P S writable accessed */

#endif
