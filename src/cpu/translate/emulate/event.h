/* SPDX-License-Identifier: Apache-2.0 */
/* Events through the IDT: Intel SDM 3A chapter 6. The plain entries are in vcpu.h. */
#ifndef DACH_CPU_TRANSLATE_EVENT_H
#define DACH_CPU_TRANSLATE_EVENT_H

#include "cpu/translate/vcpu.h"

/* An event on its way to its handler. */
struct event {
	uint8_t vector;
	bool has_error;
	bool soft;  /* INT n, INT3, INTO: the gate's DPL counts, EXT is clear */
	bool fault; /* the saved flags get RF */
	uint32_t error;
	uint64_t next; /* the saved RIP */
};

/*
 * One attempt to enter the handler. OUT_FAULT: nothing has changed and vcpu.fault holds what went
 * wrong; what becomes of that (double fault) is the caller's business.
 */
enum outcome event_enter(struct vcpu *v, const struct event *e);
/* Legacy and real mode (event_legacy.c). */
enum outcome event_enter_protected(struct vcpu *v, const struct event *e);
enum outcome event_enter_real(struct vcpu *v, const struct event *e);

/*
 * INT n, INT3, INTO, and INT1 with soft false: next is the address after the instruction. On
 * OUT_FAULT rip is still at the instruction.
 */
enum outcome event_software(struct vcpu *v, unsigned vector, bool soft, uint64_t next);

/*
 * A debug exception: adds bits to DR6 (B0-B3 are replaced) and delivers #DB. trap: after the
 * instruction (single step, data breakpoint); else a fault at it.
 */
enum outcome event_debug(struct vcpu *v, uint64_t dr6_bits, bool trap);
#define DR6_B_MASK 0xfu
#define DR6_BD 0x2000u
#define DR6_BS 0x4000u
#define DR6_BT 0x8000u
#define DR6_FIXED 0xffff0ff0u
#define DR7_GD 0x2000u
#define DR7_FIXED 0x400u

#endif
