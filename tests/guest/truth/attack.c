/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine attacked: every opcode there is, noise as code, jumps into the middle
 * of instructions, code in device memory, page tables that programs write, code that
 * changes under another processor, stacks where the address space ends. Whatever
 * happens to this guest, the monitor is to stand. Programs run at CPL 3 until they
 * fault or the timer ends them; at last, noise runs at CPL 0.
 */
#include "truth.h"

#define TIMER 0x51
#define DEVICE 0xff000000ull
#define TABLES 0x30000000000ull /* a user mapping of the page tables */
#define AREA 512u               /* bytes of noise */

static uint64_t state = 0x853c49e6748fea9bull;
static volatile unsigned stop, round_now;

/* xorshift64* (Vigna, 2014) */
static uint32_t noise(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 32);
}

static uint64_t noise_address(void)
{
	static const uint64_t edges[] = {0, 8, 0x7fffffffffff, 0x800000000000, 0x7ffffffffff8,
		0xffff800000000000, -1ull, -8ull, 0xfffffffffffff000, 0xffffffff, 0x100000000,
		USER_LOW - 4, USER_LOW + 0x7ffc, USER_CODE, DEVICE, DEVICE + 0xffc, TABLES,
		0xc0000000};

	switch (noise() % 4) {
	case 0:
		return edges[noise() % (sizeof edges / sizeof *edges)] +
			(noise() & 3 ? 0 : noise() % 16);
	case 1:
		return noise();
	default:
		return USER_DATA + noise() % 0x3000;
	}
}

/* Loads the registers from USER_DATA; what follows is the attack. */
CODE(registers,
	"movq %rdi, %rsp\n popq %rax\n popq %rcx\n popq %rdx\n popq %rbx\n popq %rbp\n popq %rsi\n"
	"popq %rdi\n popq %r8\n popq %r9\n popq %r10\n popq %r11\n popq %r12\n popq %r13\n"
	"popq %r14\n popq %r15\n movq 0x70001078, %rsp");

static uint8_t code[1024];

static unsigned run(unsigned size)
{
	volatile uint64_t *values = (void *)USER_DATA;
	size_t head = (size_t)(registers_end - registers);
	uint8_t all[sizeof code];
	unsigned vector;

	for (unsigned i = 0; i < 16; i++)
		values[i] = noise() & 1 ? noise_address() : noise() % 64;
	for (size_t i = 0; i < head; i++)
		all[i] = registers[i];
	for (unsigned i = 0; i < size; i++)
		all[head + i] = code[i];
	round_now++;
	apic_write(APIC_TIMER, TIMER);
	apic_write(APIC_INITIAL, 300000);
	vector = user_run(all, head + size, USER_DATA, 0, FL_IF | (noise() & 0x40cd5 & ~FL_TF));
	apic_write(APIC_INITIAL, 0);
	apic_write(APIC_EOI, 0);
	return vector;
}

/* One instruction of every opcode, under every prefix that selects among them. */
static void opcodes(void)
{
	static const uint8_t prefix[] = {0, 0x66, 0xf2, 0xf3, 0xf0, 0x48};

	for (unsigned n = 0; n < 4 * 256 * 6; n++) {
		unsigned at = 0, map = n / 256 % 4;

		if (prefix[n / 1024])
			code[at++] = prefix[n / 1024];
		if (map)
			code[at++] = 0x0f;
		if (map > 1)
			code[at++] = map == 2 ? 0x38 : 0x3a;
		code[at++] = (uint8_t)n;
		for (unsigned k = 0; k < 8; k++)
			code[at++] = (uint8_t)noise();
		run(at);
	}
	/* VEX and EVEX */
	for (unsigned n = 0; n < 256 * 12; n++) {
		unsigned at = 0;

		if (n & 1) {
			code[at++] = 0x62;
			code[at++] = (uint8_t)((noise() & 0xf0) | n / 1024 % 4);
			code[at++] = (uint8_t)(noise() | 4);
			code[at++] = (uint8_t)noise();
		} else {
			code[at++] = 0xc4;
			code[at++] = (uint8_t)((noise() & 0xe0) | n / 1024 % 4);
			code[at++] = (uint8_t)noise();
		}
		code[at++] = (uint8_t)(n / 4);
		for (unsigned k = 0; k < 8; k++)
			code[at++] = (uint8_t)noise();
		run(at);
	}
}

/* What a processor's programs rarely say: the sensitive, the withdrawn, the not offered. */
static const uint8_t sensitive[][5] = {{0x0f, 0x01}, {0x0f, 0x00}, {0xf3, 0x0f, 0xae}, {0x0f, 0xae},
	{0x0f, 0xc7}, {0xf3, 0x48, 0x0f, 0xae}, {0x0f, 0x05}, {0x0f, 0x34}, {0xf4}, {0xcd}, {0xcf},
	{0x48, 0xcf}, {0x0f, 0x07}, {0x0f, 0x30}, {0x0f, 0x32}, {0x0f, 0x33}, {0x0f, 0x22},
	{0x0f, 0x23}, {0x8e}, {0x9d}, {0xca}, {0xcb}, {0xff}, {0x66, 0x0f, 0x38, 0x82},
	{0xf3, 0x0f, 0x38, 0xf6}, {0x0f, 0x37}, {0xc6, 0xf8}, {0xc7, 0xf8}, {0xf3, 0x0f, 0x1e},
	{0xf2, 0x0f, 0x38, 0xf8}, {0x66, 0x0f, 0x38, 0xf8}, {0xf3, 0x0f, 0xc7}, {0x0f, 0x0b},
	{0xf1}, {0x6c}, {0xf3, 0x6e}, {0xe4}, {0xd7}, {0xc8}, {0x0f, 0xb2}, {0x0f, 0xa1},
	{0xf3, 0xa4}, {0xf2, 0xae}, {0xf3, 0x48, 0xab}};

static unsigned some_code(unsigned size)
{
	unsigned at = 0;

	while (at < size) {
		const uint8_t *from = sensitive[noise() % (sizeof sensitive / sizeof *sensitive)];

		for (unsigned k = 0; k < 5 && from[k] && noise() % 3 == 0; k++)
			code[at++] = from[k];
		for (unsigned k = noise() % 8; k; k--)
			code[at++] = (uint8_t)noise();
	}
	return size;
}

static void code_noise(unsigned rounds)
{
	for (unsigned n = 0; n < rounds; n++) {
		unsigned size = some_code(n % 3 ? 40 : AREA);

		/* the same again, from the middle */
		run(size);
		for (unsigned i = 0; i + 7 < size; i++)
			code[i] = code[i + noise() % 7];
		run(size);
	}
}

/* Programs whose stack is where nothing can be. */
static void edges(void)
{
	static const uint64_t at[] = {0, 1, 7, 8, 0x7fffffffffff, 0x800000000000, 0x800000000004,
		0xffff800000000000, 0xffff800000000004, -1ull, -4ull, -8ull, DEVICE + 8,
		TABLES + 8};
	static const uint8_t what[][3] = {{0x50}, {0x58}, {0x9c}, {0x9d}, {0xc3}, {0xe8}, {0xc9},
		{0xc8, 8, 1}, {0x48, 0xcf}, {0xff, 0x34, 0x24}, {0x8f, 0x04, 0x24}, {0x0f, 0xa0},
		{0x48, 0xcb}};

	for (unsigned i = 0; i < sizeof at / sizeof *at; i++)
		for (unsigned k = 0; k < sizeof what / sizeof *what; k++) {
			unsigned n = 0;

			code[n++] = 0x48;
			code[n++] = 0xbc;
			for (unsigned b = 0; b < 8; b++)
				code[n++] = (uint8_t)(at[i] >> 8 * b);
			for (unsigned b = 0; b < 8; b++)
				code[n++] = b < 3 ? what[k][b] : 0;
			run(n);
		}
}

/* A jump to code in device memory, which holds what was written; accesses of all kinds to it. */
static void devices(void)
{
	static const uint8_t jump[] = {0x48, 0xbf, 0, 0, 0, 0xff, 0, 0, 0, 0, 0xff, 0xe7};
	volatile uint8_t *memory = (void *)DEVICE;

	for (unsigned n = 0; n < 256; n++)
		memory[n] = (uint8_t)noise();
	for (unsigned n = 0; n < 50; n++) {
		for (unsigned i = 0; i < sizeof jump; i++)
			code[i] = jump[i];
		code[2] = (uint8_t)n;
		run(sizeof jump);
	}
	check(TRY("jmp *%0",
		      :
		      : "r"(0xc0000000ull)
		      : "r11", "memory") != NONE,
		"code where nothing is");
	check(TRY("jmp *%0", : : "r"(DEVICE) : "r11", "memory") != NONE, "code in a device");
}

/* --- two processors ------------------------------------------------------------------------- */

static void scribble(void)
{
	volatile uint8_t *at = (void *)(USER_LOW + 0x30);
	uint32_t x = 12345;

	while (!stop) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		at[x % AREA] = (uint8_t)(x >> 24);
	}
}

static bool under_attack(unsigned rounds)
{
	if (!ap_start())
		return false;
	stop = 0;
	ap_run(scribble);
	code_noise(rounds);
	stop = 1;
	ap_wait();
	return true;
}

/* --- page tables ----------------------------------------------------------------------------- */

static uint64_t own_3[512] __attribute__((aligned(4096)));
static uint64_t own_2[512] __attribute__((aligned(4096)));
static uint64_t own_1[512] __attribute__((aligned(4096)));

/* The tables that map a page, in that page: each store may change where the next one goes. */
static void tables(void)
{
	unsigned done = 0;

	tables_4[TABLES >> 39] = (uint64_t)own_3 | 7;
	for (unsigned n = 0; n < 2000; n++) {
		volatile uint64_t *through = (void *)(TABLES + 8 * (noise() % 512));
		uint64_t target[] = {(uint64_t)own_1, (uint64_t)own_2, (uint64_t)own_3, USER_LOW,
			DEVICE, 0xc0000000, 1ull << 45};

		if (n % 16 == 0) {
			own_3[0] = (uint64_t)own_2 | 7;
			own_2[0] = (uint64_t)own_1 | 7;
			own_1[0] = (uint64_t)own_1 | 7;
			invlpg(TABLES);
		}
		done += TRY("movq %0, (%1)",
				:
				: "r"(target[noise() % 7] | (noise() & 0xfff)), "r"(through)
				: "r11", "memory") == NONE;
		if (noise() & 1)
			invlpg(TABLES);
		done += TRY("jmp *%0", : : "r"(TABLES + noise() % 4096) : "r11", "memory") == BACK;
	}
	/* and from CPL 3, where noise writes them */
	own_3[0] = (uint64_t)own_2 | 7;
	own_2[0] = (uint64_t)own_1 | 7;
	own_1[0] = (uint64_t)own_1 | 7;
	write_cr3(read_cr3());
	code_noise(100);
	tables_4[TABLES >> 39] = 0;
	write_cr3(read_cr3());
}

/* --- the end: CPL 0 ---------------------------------------------------------------------------- */

/* The other processor ends what hangs: an NMI, and if that does not help, the guest. */
static void watchdog(void)
{
	unsigned last = 0, same = 0;

	for (;;) {
		uint64_t start = tsc();

		while (tsc() - start < 5000000)
			asm volatile("pause");
		same = last == round_now ? same + 1 : 0;
		last = round_now;
		if (same > 200)
			out32(0xf4, 2);
		apic_write(APIC_ICR_HIGH, 0);
		apic_write(APIC_ICR, 0x4400);
	}
}

static void woken(struct frame *f)
{
	if (recover) {
		f->rip = recover;
		f->rsp = recover_rsp;
		f->rflags &= ~(uint64_t)(FL_TF | FL_IF);
		recover = 0;
	}
}

static void at_the_end(void)
{
	static uint8_t place[64] __attribute__((aligned(64), section(".code")));

	for (unsigned n = 0; n < 3000; n++) {
		unsigned size = some_code(6 + n % 20);

		round_now++;
		for (unsigned i = 0; i < size && i < 60; i++)
			place[i] = code[i];
		place[size] = 0xcd;
		place[size + 1] = BACK;
		TRY("call *%0",
			:
			: "r"(place)
			: "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			"r13", "r14", "r15", "memory");
	}
}

void attack(uint32_t seed)
{
	state ^= (uint64_t)seed << 32 | seed;
	write_msr(0xc0000080,
		read_msr(0xc0000080) & ~1ull); /* SYSCALL would keep the program's stack */
	tables_3[3] |= 4;
	tables_2[DEVICE >> 21] |= 4;
	tables_2[0xc0000000 >> 21] |= 4;
	write_cr4(read_cr4() | 0x40000 * has(1, 2, 26) | 0x10000 * has(7, 1, 0));
	if (has(1, 2, 28))
		asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
	say("opcodes\n");
	opcodes();
	say("edges\n");
	edges();
	say("devices\n");
	devices();
	say("noise\n");
	code_noise(400);
	say("two processors\n");
	if (under_attack(200)) {
		say("ATTACK-DONE\n");
		/* from here on the guest may go any moment */
		quiet = true;
		handlers[NMI] = woken;
		ap_run(watchdog);
		tables();
		at_the_end();
	}
}
