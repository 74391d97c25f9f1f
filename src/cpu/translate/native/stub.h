/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mirror process (mirror.h) has besides the guest program's pages: a page of code, what that loads
 * the program's registers from, and a stack for signals, in this order somewhere in the address space. The code
 * finds the rest by its distance, so that no register has to say where.
 */
#ifndef DACH_CPU_TRANSLATE_STUB_H
#define DACH_CPU_TRANSLATE_STUB_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/state.h"

/* Distances from the code's first byte. */
#define STUB_CONTROL 0x1000u
#define STUB_CONTROL_SIZE 0x3000u
#define STUB_STACK (STUB_CONTROL + STUB_CONTROL_SIZE + 0x1000u) /* a gap before it */
#define STUB_STACK_SIZE 0x10000u
#define STUB_SIZE (STUB_STACK + STUB_STACK_SIZE)
/* It has so much of the addresses to itself. */
#define STUB_ALIGN 0x200000ull

/* Where the program's pages may be: what Linux lets a process have (vm.mmap_min_addr; arch/x86/x86_64/mm.rst). */
#define MIRROR_FIRST 0x10000ull
#define MIRROR_END 0x7ffffffff000ull

/* What the stub does when a system call of its own has come back. */
enum stub_command {
	STUB_RUN,    /* loads the program's registers and goes there */
	STUB_CALL,   /* makes the call that `number` and `arg` say */
	STUB_REPORT, /* says what the call has returned */
};

/* Numbers that no system call has. EXIT: frame, siginfo, the turn, selectors, bases of FS and GS. */
#define STUB_SAYS_EXIT 0x0dac0001
#define STUB_SAYS_RESULT 0x0dac0002

/* Read-only there. */
struct stub_control {
	uint32_t command; /* enum stub_command */
	uint32_t touch;   /* the vector registers as vectors.c says */
	uint32_t turn;    /* how often the program has been sent off */
	uint64_t number, arg[6];
	uint64_t vectors; /* XRSTOR's mask */
	uint64_t gpr[16]; /* in the order of their numbers */
	uint64_t rip, rflags, fs_base, gs_base;
	uint16_t ds, es, fs, gs;
	uint8_t xsave[CPU_XSAVE_SIZE] __attribute__((aligned(64)));
};
_Static_assert(sizeof(struct stub_control) <= STUB_CONTROL_SIZE, "more pages");

/* The code, which begins with the handler of all signals. */
extern const uint8_t stub_code[], stub_call[], stub_called[], stub_code_end[];

#endif
