/* SPDX-License-Identifier: Apache-2.0 */
/* Two processors: starting them, their clocks, page tables and code that both use. */
#include "truth.h"

#define PAGE_1 0x8000u
#define PAGE_2 0x9000u
#define SHARED 0x28000000000ull
#define ROUNDS 3000u

extern const uint8_t trampoline[], trampoline_end[];
void ap_main(void);

static volatile unsigned started, done;
static void (*volatile work)(void);

void ap_main(void)
{
	static bool known;

	if (!known)
		trap_init(1);
	known = true;
	apic_write(APIC_SVR, 0x1ff);
	started++;
	for (;;) {
		void (*now)(void) = work;

		if (now) {
			work = NULL;
			now();
			done++;
		}
		asm volatile("pause" : : : "memory");
	}
}

static void pause_us(unsigned us)
{
	uint64_t start = tsc();

	/* at any rate from 1 to 4 GHz */
	while (tsc() - start < (uint64_t)us * 2000)
		asm volatile("pause");
}

static void send(uint32_t command)
{
	apic_write(APIC_ICR_HIGH, 1u << 24);
	apic_write(APIC_ICR, command);
}

static bool start_at(uint32_t page)
{
	volatile uint8_t *to = (void *)(uint64_t)page;
	unsigned before = started;

	for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
		to[i] = trampoline[i];
	send(0x4600 | page >> 12);
	for (unsigned n = 0; n < 20000 && started == before; n++)
		pause_us(10);
	return started != before;
}

void ap_run(void (*function)(void))
{
	done = 0;
	work = function;
}

void ap_wait(void)
{
	while (!done)
		asm volatile("pause" : : : "memory");
}

/* --- clocks ------------------------------------------------------------------------------- */

static volatile uint64_t ball;
static volatile unsigned turn, backwards;

static void play(unsigned me)
{
	for (unsigned n = 0; n < ROUNDS; n++) {
		uint64_t now;

		while (turn != me)
			asm volatile("pause");
		now = tsc();
		if (now < ball)
			backwards++;
		ball = now;
		asm volatile("" : : : "memory");
		turn = !me;
	}
}

static void play_second(void)
{
	play(1);
}

/* --- accessed and dirty bits ------------------------------------------------------------------ */

static volatile uint64_t t3[512] __attribute__((aligned(4096)));
static volatile uint64_t t2[512] __attribute__((aligned(4096)));
static volatile uint64_t t1[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));
static volatile unsigned toggled, stop;

/* Flips a bit that the processor ignores; an update of A or D that is not atomic would lose some. */
static void toggle(void)
{
	while (!stop) {
		asm volatile("lock xorq %1, %0" : "+m"(t1[0]) : "r"(0x400ull) : "memory");
		toggled++;
	}
}

static void dirty_bits(void)
{
	unsigned missed = 0;

	tables_4[SHARED >> 39] = (uint64_t)t3 | 7;
	t3[0] = (uint64_t)t2 | 7;
	t2[0] = (uint64_t)t1 | 7;
	t1[0] = (uint64_t)page | 7;
	stop = toggled = 0;
	ap_run(toggle);
	for (unsigned n = 0; n < ROUNDS; n++) {
		asm volatile("lock andq %1, %0" : "+m"(t1[0]) : "r"(~0x60ull) : "memory");
		invlpg(SHARED);
		*(volatile uint8_t *)SHARED = 1;
		missed += (t1[0] & 0x60) != 0x60;
	}
	stop = 1;
	ap_wait();
	check(!missed, "accessed and dirty bits while another processor changes the entry");
	check((t1[0] >> 10 & 1) == (toggled & 1), "... none of whose changes is lost");
}

/* --- code ------------------------------------------------------------------------------------ */

/* movl $value, %eax; ret, the value aligned */
static uint8_t shared_code[64] __attribute__((aligned(64), section(".code")));
static volatile unsigned wanted, stale;

static unsigned call_code(void)
{
	return ((unsigned (*)(void))(shared_code + 3))();
}

static void follow(void)
{
	bool serialize = has(7, 3, 14);
	uint32_t out[4];

	for (unsigned n = 1; n <= ROUNDS; n++) {
		while (wanted != n)
			if (call_code() > n)
				stale++;
		/* either serializes (SDM 3A 8.1.3) */
		if (serialize)
			asm volatile(".byte 0x0f, 0x01, 0xe8" : : : "memory");
		else
			cpuid(0, 0, out);
		stale += call_code() != n;
		asm volatile("" : : : "memory");
		wanted = 0;
	}
}

static void cross_modified(void)
{
	volatile uint32_t *value = (void *)(shared_code + 4);

	shared_code[3] = 0xb8;
	*value = 0;
	shared_code[8] = 0xc3;
	wanted = stale = 0;
	ap_run(follow);
	for (unsigned n = 1; n <= ROUNDS; n++) {
		*value = n;
		asm volatile("" : : : "memory");
		wanted = n;
		while (wanted)
			asm volatile("pause");
	}
	ap_wait();
	check(!stale, "code that another processor changes: %x stale", (uint64_t)stale);
}

/* A stack in the page of the code that is called: what a CALL stores may end in that code's being forgotten. */
static void stack_beside_code(void)
{
	static uint8_t both[4096] __attribute__((aligned(4096), section(".code")));
	static const uint8_t code[] = {0xff, 0xc0, 0xc3}; /* inc eax; ret */
	unsigned result = 0;
	uint64_t moved;

	for (unsigned n = 0; n < sizeof code; n++)
		((volatile uint8_t *)both)[n] = code[n];
	asm volatile("movq %%rsp, %%rbx\n\tleaq 4096(%2), %%rsp\n\tmovl $500, %%ecx\n"
		     "1:\tcall *%2\n\tdecl %%ecx\n\tjnz 1b\n"
		     "\tmovq %%rsp, %1\n\tmovq %%rbx, %%rsp"
		     : "+a"(result), "=&r"(moved)
		     : "r"(both)
		     : "rbx", "rcx", "memory");
	check(result == 500 && moved == (uint64_t)both + sizeof both,
		"a stack beside the code that is called: %x", (uint64_t)result);
}

/* Code changes itself: the next instruction, through an alias, across a page's end. */
void test_code(void)
{
	static uint8_t pages[2][4096] __attribute__((aligned(4096), section(".code")));
	unsigned bad = 0, result;

	for (unsigned n = 0; n < 300; n++) {
		asm volatile("movb %b1, 1f + 1(%%rip)\n\tjmp 1f\n1:\tmovl $0, %0"
			     : "=&r"(result)
			     : "q"(n & 127)
			     : "memory");
		bad += result != (n & 127);
	}
	check(!bad, "code that changes what comes next");
	stack_beside_code();
	tables_4[SHARED >> 39] = (uint64_t)t3 | 7;
	t3[0] = (uint64_t)t2 | 7;
	t2[0] = (uint64_t)t1 | 7;
	t1[0] = (uint64_t)pages[0] | 3;
	t1[1] = (uint64_t)pages[1] | 3;
	invlpg(SHARED);
	invlpg(SHARED + 4096);
	bad = 0;
	for (unsigned at = 4090; at <= 4096; at++)
		for (unsigned n = 0; n < 50; n++) {
			volatile uint8_t *alias = (void *)(SHARED + at), *code = &pages[0][at];

			code[0] = 0xb8;
			*(volatile uint32_t *)(alias + 1) = n;
			code[5] = 0xc3;
			bad += ((unsigned (*)(void))(uint64_t)code)() != n;
			*(volatile uint8_t *)(code + 1) = (uint8_t)(n + 1);
			bad += ((unsigned (*)(void))(uint64_t)alias)() != n + 1;
		}
	check(!bad, "code in two pages, changed through another address");
	/* the page behind it goes elsewhere */
	t1[1] = (uint64_t)pages[0] | 3;
	invlpg(SHARED + 4096);
	for (unsigned i = 0; i < 8; i++)
		pages[0][i] = pages[1][i];
	pages[0][4094] = 0xb8;
	pages[0][4095] = 1;
	pages[1][0] = 2;
	pages[1][1] = pages[1][2] = 0;
	pages[1][3] = 0xc3;
	t1[1] = (uint64_t)pages[1] | 3;
	invlpg(SHARED + 4096);
	result = ((unsigned (*)(void))(SHARED + 4094))();
	pages[0][0] = 3;
	pages[0][1] = pages[0][2] = 0;
	pages[0][3] = 0xc3;
	t1[1] = (uint64_t)pages[0] | 3;
	invlpg(SHARED + 4096);
	check(result == 0x201 && ((unsigned (*)(void))(SHARED + 4094))() == 0x301,
		"an instruction in two pages, of which the second is mapped anew");
}

bool ap_start(void)
{
	send(0x4500);
	pause_us(10000);
	return start_at(PAGE_1);
}

void test_processors(void)
{
	volatile uint32_t *found;
	uint32_t out[4];

	/* what the compiler takes for no object */
	asm("movl $0x700, %k0" : "=r"(found));
	if (!ap_start()) {
		skip("a second processor");
		return;
	}
	cpuid(1, 0, out);
	check(found[0] == PAGE_1 << 12, "SIPI: CS %x", (uint64_t)found[0]);
	check((found[1] & ~0x60000000u) == 0x10, "... CR0 %x", (uint64_t)found[1]);
	check(found[2] == out[0], "... EDX %x", (uint64_t)found[2]);
	{
		unsigned before = started;

		send(0x4600 | PAGE_2 >> 12);
		pause_us(2000);
		check(started == before, "SIPI to a processor that runs");
	}
	ap_run(play_second);
	play(0);
	ap_wait();
	check(!backwards, "the TSC never goes back between processors: %x", (uint64_t)backwards);
	dirty_bits();
	cross_modified();
	send(0x4500);
	pause_us(10000);
	check(start_at(PAGE_2) && found[0] == PAGE_2 << 12, "INIT, and SIPI to another page");
	send(0x4500);
}
