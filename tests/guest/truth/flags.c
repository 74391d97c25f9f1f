/* SPDX-License-Identifier: Apache-2.0 */
/* Flags: as they were in the frame of a fault, and where code changes the instruction that would have overwritten them. */
#include "truth.h"

#define STATUS 0x8d5ull /* CF PF AF ZF SF OF */
#define ABSENT 0x7000000000ull
#define PAGE_END ((uint64_t)page + sizeof page)

static uint8_t page[4096] __attribute__((aligned(4096)));
static unsigned bad;

/*
 * Sets the status flags and runs code, whose last access faults. RDI is an address that is not there, RSI
 * one that is. Registers that code may change: RAX, RCX, RDX.
 */
#define FAULTS(code)                                                                     \
	do {                                                                             \
		uint64_t flags = 0;                                                      \
                                                                                         \
		do {                                                                     \
			TRY("pushq %0\n\tpopfq\n\t" code,                                \
				:                                                        \
				: "r"(flags | 2), "D"(ABSENT), "S"(page)                 \
				: "rax", "rcx", "rdx", "r11", "memory", "cc");           \
			bad += caught.vector != PF || (caught.rflags & STATUS) != flags; \
			flags = (flags - STATUS) & STATUS; /* the next subset */         \
		} while (flags);                                                         \
	} while (0)

static void faults(void)
{
	bad = 0;
	FAULTS("addq $1, (%%rdi)");
	FAULTS("subl %%eax, (%%rdi)");
	FAULTS("andb $3, (%%rdi)");
	FAULTS("xorw %%ax, (%%rdi)");
	FAULTS("negq (%%rdi)");
	FAULTS("incl (%%rdi)");
	FAULTS("shlq (%%rdi)");
	FAULTS("xaddq %%rax, (%%rdi)");
	FAULTS("lock xaddl %%eax, (%%rdi)");
	FAULTS("cmpxchgq %%rcx, (%%rdi)");
	FAULTS("lock cmpxchg8b (%%rdi)");
	FAULTS("adcq %%rax, (%%rdi)");
	FAULTS("sbbq (%%rdi), %%rax");
	FAULTS("cmpq (%%rdi), %%rax");
	FAULTS("testb $1, (%%rdi)");
	FAULTS("btsq $3, (%%rdi)");
	FAULTS("btsq %%rax, (%%rdi)");
	FAULTS("imulq (%%rdi), %%rax");
	FAULTS("mulq (%%rdi)");
	FAULTS("divq (%%rdi)");
	check(!bad, "RFLAGS at a fault of an instruction that writes flags: %x wrong",
		(uint64_t)bad);
	bad = 0;
	FAULTS("movq (%%rdi), %%rax\n\taddq $1, %%rax");
	FAULTS("movq (%%rsi), %%rax\n\tmovq (%%rdi), %%rcx\n\tcmpq %%rax, %%rcx");
	FAULTS("movq (%%rsi), %%rax\n\tmovq 8(%%rsi), %%rcx\n\tmovq (%%rdi), %%rcx\n\ttestq %%rcx, %%rcx");
	FAULTS("movq %%rax, (%%rsi)\n\tmovq %%rax, 8(%%rdi)\n\tmovq %%rax, (%%rdi)\n\txorl %%eax, %%eax");
	FAULTS("movl (%%rsi), %%eax\n\tsetc (%%rsi)\n\tsetc (%%rdi)\n\txorl %%eax, %%eax");
	FAULTS("movl 4092(%%rsi), %%eax\n\tmovb (%%rdi), %%al\n\txorl %%eax, %%eax");
	FAULTS("movl 4092(%%rsi), %%eax\n\tmovl 4088(%%rsi), %%ecx\n\taddl (%%rdi), %%eax");
	FAULTS("leaq 16(%%rdi), %%rax\n\tmovl (%%rax), %%eax\n\txorl %%eax, %%eax");
	check(!bad, "... and of one before such: %x wrong", (uint64_t)bad);
}

/* What skips the instruction goes on with the flags that were there. */
static void skipped(void)
{
	uint8_t carry = 0;

	asm volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rax, recover\n\tmovq %%rsp, recover_rsp\n\t"
		     "stc\n\taddq $1, (%1)\n1:\tsetc %0\n\tmovq $0, recover"
		     : "=q"(carry)
		     : "D"(ABSENT)
		     : "rax", "memory", "cc");
	check(carry == 1, "a handler that skips the instruction");
}

/* An access that ends where its page ends, page 0, whatever CF is. */
static void places(void)
{
	volatile uint64_t *last = (void *)(PAGE_END - 8), *zero;
	uint64_t value = 0, both[2] = {0};
	uint8_t carry = 0;

	asm("movq $0x500, %0" : "=r"(zero));
	*last = 0x1122334455667788;
	last[-1] = 0x99;
	bad = 0;
	for (unsigned n = 0; n < 100; n++) {
		asm volatile("stc\n\tmovq (%2), %0\n\tsetc %1"
			     : "=&r"(value), "=q"(carry)
			     : "r"(last));
		bad += value != *last || carry != 1;
		asm volatile("stc\n\tmovq (%1), %0\n\txorl %%ecx, %%ecx"
			     : "=&r"(value)
			     : "r"(last)
			     : "rcx");
		bad += value != *last;
		asm volatile("stc\n\tmovq (%2), %0\n\tmovq -8(%2), %1\n\taddq $0, %%rcx"
			     : "=&r"(both[0]), "=&r"(both[1])
			     : "r"(last)
			     : "rcx");
		bad += both[0] != *last || both[1] != 0x99;
		asm volatile("stc\n\tadcq $0, (%0)" : : "r"(last - 1) : "memory");
		last[-1]--;
		value = *zero;
		asm volatile("stc\n\tadcq $1, (%0)" : : "r"(zero) : "memory");
		bad += *zero != value + 2;
		*zero = value;
	}
	check(!bad, "the end of a page and page 0, with CF: %x wrong", (uint64_t)bad);
}

/*
 * A store takes away the CMP behind it, or jumps over it: what the instruction before left is still there.
 * The code is put right each time and runs again.
 */
static void overwritten(void)
{
	extern uint8_t victim_1[], victim_2[];
	uint8_t carry, overflow, sign;

	bad = 0;
	for (unsigned n = 0; n < 200; n++) {
		*(volatile uint8_t *)victim_1 = 0x3c;
		asm volatile("xorl %%eax, %%eax\n\taddb $1, %%al\n\tstc\n\t"
			     "movb $0x90, victim_1(%%rip)\n"
			     "victim_1:\tcmpb $0x90, %%al\n\tsetc %0"
			     : "=q"(carry)
			     :
			     : "rax", "memory", "cc");
		bad += carry != 1;
		*(volatile uint16_t *)victim_2 = 0x3c48;
		asm volatile("movb $0x7f, %%al\n\taddb $1, %%al\n\t" /* OF, SF */
			     "movw $0x02eb, victim_2(%%rip)\n"
			     "victim_2:\t.byte 0x48, 0x3c, 0x80\n\tnop\n\tseto %0\n\tsets %1"
			     : "=q"(overflow), "=q"(sign)
			     :
			     : "rax", "memory", "cc");
		bad += overflow != 1 || sign != 1;
	}
	check(!bad, "a CMP that the store before it takes away: %x wrong", (uint64_t)bad);
}

void test_flags(void)
{
	faults();
	skipped();
	places();
	overwritten();
}
