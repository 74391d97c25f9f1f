/* SPDX-License-Identifier: Apache-2.0 */
/* When interrupts come: after STI and MOV SS, NMI, HLT; and the APIC's timer. */
#include "truth.h"

static volatile unsigned came, depth, deepest;
static volatile uint64_t came_at;

static void interrupt(struct frame *f)
{
	came++;
	came_at = f->rip;
	apic_write(APIC_EOI, 0);
}

static void pend(void)
{
	came = 0;
	apic_write(APIC_ICR, SELF | 0x50);
	for (unsigned n = 0; n < 1000 && !(apic_read(APIC_IRR + 0x20) >> 16 & 1); n++)
		;
}

/* A jump behind STI: the interrupt comes at its target, also once the way there has been taken. */
static void jumps(void)
{
	extern const uint8_t mark_near[], mark_far[], mark_ret[];

	for (unsigned n = 0; n < 4; n++) {
		came = 0;
		if (n & 1)
			pend();
		asm volatile("sti\n\tjmp mark_near\n\tud2\nmark_near:\tnop\n\tcli" : : : "memory");
		check(came == (n & 1) && (!came || came_at == (uint64_t)mark_near), "STI and JMP");
		if (n & 1)
			pend();
		asm volatile(
			".pushsection .text.far, \"ax\"\n\t.balign 4096\nmark_far:\tnop\n\tcli\n\tjmp 1f\n"
			".balign 4096\n\t.popsection\n\tsti\n\tjmp mark_far\n1:"
			:
			:
			: "memory");
		check(came == (n & 1) && (!came || came_at == (uint64_t)mark_far),
			"STI and JMP to another page");
		if (n & 1)
			pend();
		asm volatile("leaq mark_ret(%%rip), %%rax\n\tpushq %%rax\n\tsti\n\tret\n"
			     "mark_ret:\tnop\n\tcli"
			     :
			     :
			     : "rax", "memory");
		check(came == (n & 1) && (!came || came_at == (uint64_t)mark_ret), "STI and RET");
	}
}

static void windows(void)
{
	extern const uint8_t mark_sti[], mark_ss[], mark_popf[];

	handlers[0x50] = interrupt;
	pend();
	asm volatile("nop; nop");
	check(!came, "nothing while IF is clear");
	asm volatile("sti\n\tnop\nmark_sti:\tnop\n\tcli" : : : "memory");
	check(came == 1 && came_at == (uint64_t)mark_sti,
		"STI holds interrupts for an instruction");
	jumps();
	pend();
	asm volatile("sti\n\tcli\n\tnop" : : : "memory");
	check(!came, "STI and CLI");
	asm volatile("sti\n\tnop\n\tcli" : : : "memory");
	pend();
	asm volatile("movl %%ss, %%eax\n\tsti\n\tmovl %%eax, %%ss\n\tnop\nmark_ss:\tnop\n\tcli"
		     :
		     :
		     : "eax", "memory");
	check(came == 1 && came_at == (uint64_t)mark_ss, "STI and MOV SS");
	pend();
	asm volatile("pushfq\n\torl $0x200, (%%rsp)\n\tpopfq\nmark_popf:\tnop\n\tcli"
		     :
		     :
		     : "memory");
	check(came == 1 && came_at == (uint64_t)mark_popf, "POPF holds nothing");
	pend();
	asm volatile("sti\n\thlt\n\tcli" : : : "memory");
	check(came == 1, "STI and HLT");
	pend();
	asm volatile("mov %0, %%cr8" : : "r"(5ull));
	asm volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
	check(!came, "the TPR holds its class back");
	asm volatile("sti\n\tnop\n\tmov %0, %%cr8\n\tnop\n\tcli" : : "r"(4ull) : "memory");
	check(came == 1, "... until it is lowered");
	asm volatile("mov %0, %%cr8" : : "r"(0ull));
	handlers[0x50] = NULL;
}

static void nmi(struct frame *f)
{
	came++;
	if (++depth > deepest)
		deepest = depth;
	if (came == 1) {
		apic_write(APIC_ICR, SELF | 0x400);
		for (volatile unsigned n = 0; n < 1000; n++)
			;
	}
	depth--;
}

static void nmis(void)
{
	handlers[NMI] = nmi;
	came = 0;
	apic_write(APIC_ICR, SELF | 0x400);
	for (volatile unsigned n = 0; n < 100000 && came < 2; n++)
		;
	check(came == 2, "an NMI in an NMI's handler comes after it: %x", (uint64_t)came);
	check(deepest == 1, "... not into it");
	handlers[NMI] = NULL;
}

/* What is entered for a fault in the middle of things (SDM 3A table 6-5). */
static void double_faults(void)
{
	uint64_t kept[2], *gate;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr;

	asm volatile("sidt %0" : "=m"(idtr));
	gate = (uint64_t *)(idtr.base + 16 * GP);
	kept[0] = gate[0];
	gate[0] &= ~(1ull << 47);
	check(TRY("movl %0, %%eax; movl %%eax, %%ds",
		      :
		      : "i"(KERNEL_CS | 0x1000)
		      : "rax", "r11") == DF &&
			caught.error == 0,
		"a fault on the way to #GP");
	gate[0] = kept[0];
	gate = (uint64_t *)(idtr.base + 16 * UD);
	kept[0] = gate[0];
	gate[0] &= ~(1ull << 47);
	check(TRY("ud2",
		      :
		      :
		      : "r11") == NP &&
			caught.error == UD * 8 + 3,
		"a fault on the way to #UD");
	gate[0] = kept[0];
	check(TRY("int $0x60", : : : "r11") == 0x60, "INT n");
	check(TRY("int3", : : : "r11") == BP && caught.rip == try_at + 1, "INT3");
}

static void by_ferr(struct frame *f)
{
	came++;
	out8(0xf0, 0);
	asm volatile("fnclex");
	apic_write(APIC_EOI, 0);
}

/* CR0.NE is clear: an x87 exception is interrupt 13 of a PC, which the I/O APIC brings. */
static void x87_errors(void)
{
	volatile uint32_t *index = (void *)0xfec00000, *data = (void *)0xfec00010;
	uint64_t cr0 = read_cr0();
	uint16_t control = 0x37b; /* division by zero is not masked */

	*index = 0x10 + 2 * 13 + 1;
	*data = 0;
	*index = 0x10 + 2 * 13;
	*data = 0x52;
	handlers[0x52] = by_ferr;
	came = 0;
	check(TRY("fninit; fldcw %0; fldz; fld1; fdivp; fwait",
		      :
		      : "m"(control)
		      : "r11") == MF,
		"an x87 exception");
	write_cr0(cr0 & ~0x20ull);
	asm volatile(
		"fninit\n\tfldcw %0\n\tfldz\n\tfld1\n\tsti\n\tfdivp\n\tfwait\n\tnop\n\tcli\n\tfninit"
		:
		: "m"(control));
	/* QEMU's comes a little later */
	for (unsigned n = 0; n < 1000000 && !came; n++)
		asm volatile("sti\n\tnop\n\tcli");
	check(came == 1, "... with CR0.NE clear: %x interrupts", (uint64_t)came);
	write_cr0(cr0);
	*index = 0x10 + 2 * 13;
	*data = 0x10000;
	handlers[0x52] = NULL;
}

void test_events(void)
{
	windows();
	nmis();
	double_faults();
	x87_errors();
}

/* --- the APIC's timer ----------------------------------------------------------------------- */

static void pause_for(uint64_t ticks)
{
	uint64_t start = tsc();

	asm volatile("sti");
	while (tsc() - start < ticks)
		asm volatile("pause");
	asm volatile("cli");
}

void test_apic(void)
{
	uint32_t first;

	handlers[0x51] = interrupt;
	came = 0;
	apic_write(APIC_DIVIDE, 0xb);
	apic_write(APIC_TIMER, 0x51);
	apic_write(APIC_INITIAL, 0x7fffffff);
	first = apic_read(APIC_CURRENT);
	check(first && first <= 0x7fffffff, "the APIC's timer counts");
	check(apic_read(APIC_CURRENT) <= first, "... down");
	apic_write(APIC_INITIAL, 100000);
	for (unsigned n = 0; n < 1000 && !came; n++)
		pause_for(1000000);
	pause_for(20000000);
	check(came == 1, "one shot: %x", (uint64_t)came);
	check(apic_read(APIC_CURRENT) == 0, "... then it stands");
	came = 0;
	apic_write(APIC_TIMER, 0x20051);
	apic_write(APIC_INITIAL, 100000);
	for (unsigned n = 0; n < 1000 && came < 4; n++)
		pause_for(1000000);
	check(came >= 4, "periodic: %x", (uint64_t)came);
	apic_write(APIC_TIMER, 0x30051);
	pause_for(1000000);
	came = 0;
	pause_for(20000000);
	check(!came, "masked");
	apic_write(APIC_INITIAL, 0);
	if (has(1, 2, 24)) {
		apic_write(APIC_TIMER, 0x40051);
		asm volatile("mfence");
		write_msr(0x6e0, tsc() + 1000000);
		check(read_msr(0x6e0) != 0, "a TSC deadline is armed");
		for (unsigned n = 0; n < 1000 && !came; n++)
			pause_for(1000000);
		check(came == 1 && read_msr(0x6e0) == 0, "... and comes once");
		write_msr(0x6e0, tsc() - 1);
		pause_for(20000000);
		check(came == 2, "a deadline in the past");
		write_msr(0x6e0, tsc() + 20000000);
		write_msr(0x6e0, 0);
		pause_for(60000000);
		check(came == 2, "one that was taken back");
	} else {
		skip("TSC deadlines");
	}
	apic_write(APIC_TIMER, 0x10051);
	handlers[0x51] = NULL;
	if (!careful()) {
		uint64_t base = read_msr(0x1b);
		uint32_t version = apic_read(0x30);

		write_msr(0x1b, base & ~0x800ull);
		check(!has(1, 3, 9), "an APIC that is off is not there");
		write_msr(0x1b, base);
		check(has(1, 3, 9), "... and there again");
		write_msr(0x1b, (base & 0xfff) | 0xfee10000);
		check(*(volatile uint32_t *)0xfee10030 == version &&
				*(volatile uint32_t *)0xfee00030 != version,
			"an APIC's page moves");
		write_msr(0x1b, base);
		check(apic_read(0x30) == version && *(volatile uint32_t *)0xfee10030 != version,
			"... and back");
		apic_write(APIC_SVR, 0x1ff);
	}
}
