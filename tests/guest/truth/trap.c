/* SPDX-License-Identifier: Apache-2.0 */
/* Traps, and programs at CPL 3. */
#include "truth.h"

#define PAGES 8

volatile struct caught caught;
volatile uint64_t recover, recover_rsp, try_at;
handler *volatile handlers[256];

bool quiet;

static bool in_user;
static uint64_t idt[256][2];
static uint64_t user_table_3[512] __attribute__((aligned(4096)));
static uint64_t user_table_2[512] __attribute__((aligned(4096)));
static uint64_t user_table_1[512] __attribute__((aligned(4096)));
static uint64_t low_table_1[512] __attribute__((aligned(4096)));
static uint8_t user_pages[PAGES][4096] __attribute__((aligned(4096)));

void trap(struct frame *f);
void trap(struct frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	caught.cr2 = read_cr2();
	caught.vector = (unsigned)f->vector;
	caught.error = f->error;
	caught.rip = f->rip;
	caught.rflags = f->rflags;
	caught.rax = f->rax;
	if (in_user && (f->cs & 3 || !recover)) {
		in_user = false;
		user_leave();
	}
	if (recover && !(f->cs & 3)) {
		f->rip = recover;
		f->rsp = recover_rsp;
		f->rflags &= ~(uint64_t)(FL_TF | FL_IF);
		recover = 0;
		return;
	}
	if (quiet)
		out32(0xf4, 1);
	say("not ok trap ");
	say_hex(f->vector);
	say(" error ");
	say_hex(f->error);
	say(" at ");
	say_hex(f->rip);
	say(" cr2 ");
	say_hex(read_cr2());
	say("\n");
	for (;;)
		out32(0xf4, 31);
}

static void tss_descriptor(unsigned selector, uint64_t base)
{
	uint64_t *d = (uint64_t *)(gdt + selector);

	d[0] = 0x67 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
}

void trap_init(unsigned cpu)
{
	static uint8_t tss[112];
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = {sizeof idt - 1, (uint64_t)idt};

	for (unsigned v = 0; v < 256; v++) {
		uint64_t at = (uint64_t)stubs + 16 * v;

		idt[v][0] = (at & 0xffff) | KERNEL_CS << 16 |
			(v == BACK || v == BP || v == OF ? 0xeeull : 0x8eull) << 40 |
			(at >> 16) << 48;
		idt[v][1] = at >> 32;
	}
	asm volatile("lidt %0" : : "m"(idtr));
	tss64[102] = tss[102] = 104; /* no ports */
	tss_descriptor(cpu ? 0x48 : 0x38, (uint64_t)(cpu ? tss : tss64));
	asm volatile("ltr %w0" : : "r"(cpu ? 0x48 : 0x38));
	apic_write(APIC_SVR, 0x1ff);
}

/* The same pages at USER_CODE, and at USER_LOW, which the mapping of the first 4 GiB covers. */
void user_init(void)
{
	tables_4[USER_CODE >> 39] = (uint64_t)user_table_3 | 7;
	user_table_3[0] = (uint64_t)user_table_2 | 7;
	user_table_2[0] = (uint64_t)user_table_1 | 7;
	for (unsigned i = 0; i < PAGES; i++)
		user_table_1[i] = low_table_1[i] = (uint64_t)user_pages[i] | 7;
	tables_4[0] |= 4;
	tables_3[USER_LOW >> 30] |= 4;
	tables_2[USER_LOW >> 21] = (uint64_t)low_table_1 | 7;
	write_cr3(read_cr3());
}

static unsigned run(uint64_t rip, uint16_t cs, uint16_t ss, const void *code, size_t size,
	uint64_t rdi, uint64_t rsi, uint64_t rflags)
{
	struct user user = {rip, cs, rflags | 2, USER_LOW + 0x4000, ss, rdi, rsi};
	const uint8_t *from = code;

	for (size_t i = 0; i < size; i++)
		user_pages[0][i] = from[i];
	user_pages[0][size] = 0xcd;
	user_pages[0][size + 1] = BACK;
	caught.vector = NONE;
	in_user = true;
	user_enter(&user);
	return caught.vector;
}

unsigned user_run(const void *code, size_t size, uint64_t rdi, uint64_t rsi, uint64_t rflags)
{
	return run(USER_CODE, USER_CS, USER_DS, code, size, rdi, rsi, rflags);
}

unsigned user_run_as(uint16_t cs, uint16_t ss, const void *code, size_t size, uint64_t rdi)
{
	uint64_t rip = cs == USER_CS ? USER_CODE : cs == USER_CS_16 ? 0 : USER_LOW;

	return run(rip, cs, ss, code, size, rdi, 0, 0);
}
