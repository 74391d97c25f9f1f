/* SPDX-License-Identifier: Apache-2.0 */
/* Debug registers and single step (SDM 3B 17.2, 17.3). */
#include "truth.h"

#define STEPS 16
#define DR6_NONE 0xffff0ff0ull
#define BS 0x4000u
#define BD 0x2000u
/* DR7: breakpoint k, what for, how long */
#define ON(k, kind, len) \
	(2ull << 2 * (k) | (uint64_t)(kind) << (16 + 4 * (k)) | (uint64_t)(len) << (18 + 4 * (k)))
enum { EXECUTE, WRITE, PORT, ACCESS };
enum { LEN_1, LEN_2, LEN_8, LEN_4 };

static volatile unsigned hits;
static volatile uint64_t hit_rip[STEPS], hit_dr6[STEPS], hit_rflags[STEPS];
static volatile uint8_t area[64] __attribute__((aligned(64)));

static void hit(struct frame *f)
{
	if (hits < STEPS) {
		hit_rip[hits] = f->rip;
		hit_dr6[hits] = read_dr6();
		hit_rflags[hits] = f->rflags;
	}
	if (++hits >= STEPS) {
		f->rflags &= ~(uint64_t)FL_TF;
		write_dr7(0x400);
	}
	write_dr6(DR6_NONE);
}

/* So many traps; the first with these bits of DR6, at this address. */
static void expect(unsigned count, uint64_t dr6, const void *rip, const char *name)
{
	write_dr7(0x400);
	check(hits == count &&
			(!count || ((hit_dr6[0] ^ DR6_NONE) == dr6 && hit_rip[0] == (uint64_t)rip)),
		"%s: %x traps, DR6 %x at %x", name, (uint64_t)hits, hits ? hit_dr6[0] : 0,
		hits ? hit_rip[0] : 0);
	hits = 0;
}

/* Labels that C can name. */
#define MARK(name) ".globl mark_" #name "\nmark_" #name ":\n\t"
#define MARKED(name) extern const uint8_t mark_##name[]

static void execution(void)
{
	MARKED(here);
	MARKED(second);
	MARKED(behind_ss);

	write_dr0((uint64_t)mark_here);
	write_dr7(0x400 | ON(0, EXECUTE, LEN_1));
	asm volatile(MARK(here) "nop");
	check(hits != 1 || hit_rflags[0] & FL_RF, "RF in the frame of an instruction breakpoint");
	expect(1, 1, mark_here, "an instruction breakpoint");

	write_dr0((uint64_t)mark_here);
	write_dr3((uint64_t)mark_second);
	write_dr7(0x400 | ON(3, EXECUTE, LEN_1));
	asm volatile("movl $5, %%ecx\n1:\t" MARK(second) "nop\n\tloop 1b" : : : "ecx");
	expect(5, 8, mark_second, "an instruction breakpoint in a loop");

	write_dr7(0x400);
	asm volatile("1: nop");
	expect(0, 0, NULL, "one that is not enabled");

	write_dr0((uint64_t)mark_behind_ss);
	write_dr7(0x400 | ON(0, EXECUTE, LEN_1));
	asm volatile("mov %%ss, %%eax\n\tmov %%eax, %%ss\n\t" MARK(behind_ss) "nop" : : : "eax");
	/* held off by Intel's processors (SDM 3A, 6.8.3), not by AMD's */
	expect(maker_amd(), 1, mark_behind_ss, "one behind MOV SS");
}

static void data(void)
{
	MARKED(stored);
	MARKED(loaded);
	MARKED(wide);
	MARKED(pushed);
	MARKED(strings);

	write_dr1((uint64_t)&area[8]);
	write_dr7(0x400 | ON(1, WRITE, LEN_4));
	asm volatile("movl $1, %0\n" MARK(stored) : "=m"(area[8]));
	expect(1, 2, mark_stored, "a store to a data breakpoint");
	write_dr7(0x400 | ON(1, WRITE, LEN_4));
	(void)area[8];
	area[12] = 1;
	area[7] = 1;
	expect(0, 0, NULL, "a load, and stores beside it");
	write_dr7(0x400 | ON(1, ACCESS, LEN_4));
	asm volatile("movb %0, %%al\n" MARK(loaded) : : "m"(area[11]) : "eax");
	expect(1, 2, mark_loaded, "a load from one for all accesses");
	write_dr7(0x400 | ON(1, WRITE, LEN_1));
	asm volatile("movq $0, %0\n" MARK(wide) : "=m"(area[1]));
	expect(1, 2, mark_wide, "a wide store whose last byte it is");
	write_dr2((uint64_t)&area[24]);
	write_dr7(0x400 | ON(1, WRITE, LEN_8) | ON(2, WRITE, LEN_8));
	asm volatile("movq %%rsp, %%rdx\n\tleaq %0, %%rsp\n\tpushq %%rax\n" MARK(
		pushed) "movq %%rdx, %%rsp"
		     :
		     : "m"(area[32])
		     : "rdx", "memory");
	expect(1, 4, mark_pushed, "PUSH to one of eight bytes");
	write_dr7(0x400 | ON(1, WRITE, LEN_1));
	{
		void *to = (void *)area;
		uint64_t count = 16;

		asm volatile(MARK(strings) "rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
		check(hits && count == 0, "REP STOS ends behind a data breakpoint");
	}
	expect(1, 2, mark_strings, "REP STOS over a data breakpoint");
	write_dr7(0x400 | ON(1, ACCESS, LEN_1) | ON(2, ACCESS, LEN_1));
	asm volatile("movb %0, %%al\n\tnop\n"
		     "movb %1, %%al"
		     :
		     : "m"(area[24]), "m"(area[8])
		     : "eax");
	check(hits == 2 && (hit_dr6[0] & 15) == 4 && (hit_dr6[1] & 15) == 2,
		"two data breakpoints");
	hits = 0;
	write_dr7(0x400 | ON(1, WRITE, LEN_4));
	asm volatile("lock addl $1, %0\n\txchgl %%eax, %0\n\tincl %0" : "+m"(area[8]) : : "eax");
	check(hits == 3, "reads that write: %x", (uint64_t)hits);
	write_dr7(0x400);
	hits = 0;
}

static void ports_and_detection(void)
{
	MARKED(port);
	MARKED(detected);
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 | 8);
	write_dr0(0x80);
	write_dr7(0x400 | ON(0, PORT, LEN_1));
	asm volatile("outb %%al, $0x80\n" MARK(port) : : "a"(0));
	expect(1, 1, mark_port, "a port");
	check(TRY("mov %%dr4, %%rax", : : : "rax", "r11") == UD, "DR4 with CR4.DE");
	write_cr4(cr4);
	check(TRY("mov %%dr4, %%rax", : : : "rax", "r11") == NONE, "DR4 without CR4.DE");
	write_dr7(0x400 | 0x2000);
	asm volatile(MARK(detected) "mov %%dr0, %%rax" : : : "rax");
	expect(1, BD, mark_detected, "general detect");
	check(!(read_dr7() & 0x2000), "... goes off in the handler");
	check(TRY("mov %0, %%dr7", : : "r"(1ull << 32) : "r11") == GP, "DR7: an upper bit");
}

#define TF_ON "pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
#define TF_OFF "pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq\n\t"

static void stepping(void)
{
	MARKED(s1);
	MARKED(s2);
	MARKED(s3);
	MARKED(s4);
	MARKED(s5);
	uint32_t count = 3;
	void *to = (void *)area;

	asm volatile(TF_ON "nop\n" MARK(s1) TF_OFF : : : "memory", "cc");
	expect(4, BS, mark_s1, "single step");
	asm volatile(TF_ON "movl %%ss, %%eax\n" MARK(s2) "movl %%eax, %%ss\n\tnop\n\t" TF_OFF
		     :
		     :
		     : "eax", "memory", "cc");
	expect(5, BS, mark_s2, "single step over MOV SS");
	asm volatile(TF_ON "rep stosb\n" MARK(s3) TF_OFF
		     : "+D"(to), "+c"(count)
		     : "a"(0)
		     : "memory", "cc");
	check(hits == 6 && hit_rip[2] == (uint64_t)mark_s3 && hit_rip[0] == hit_rip[1],
		"single step through REP STOS: %x", (uint64_t)hits);
	hits = 0;
	asm volatile(TF_ON "cpuid\n" MARK(s4) TF_OFF
		     :
		     : "a"(0), "c"(0)
		     : "ebx", "edx", "memory", "cc");
	expect(4, BS, mark_s4, "single step over CPUID");
	/* the handler of INT runs without; the trap behind it is that of IRET's next */
	asm volatile(TF_ON "int $0x43\n\tnop\n" MARK(s5) TF_OFF : : : "memory", "cc");
	expect(4, BS, mark_s5, "single step over INT");
	check(TRY(TF_ON "ud2",
		      :
		      :
		      : "r11", "memory", "cc") == UD &&
			hits == 0,
		"a fault under single step");
	hits = 0;
}

static void nothing(struct frame *f)
{
}

CODE(user_step,
	"pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n nop\n pushfq\n andl $~0x100, (%rsp)\n popfq");
CODE(user_watch, "movl $1, (%rdi)\n nop");

static void at_cpl3(void)
{
	user_run(user_step, (size_t)(user_step_end - user_step), 0, 0, 0);
	check(caught.vector == BACK && hits == 5, "single step at CPL 3: %x", (uint64_t)hits);
	hits = 0;
	write_dr0(USER_DATA + 2);
	write_dr7(0x400 | ON(0, WRITE, LEN_1));
	user_run(user_watch, (size_t)(user_watch_end - user_watch), USER_DATA, 0, 0);
	expect(1, 1, (void *)(USER_CODE + 6), "a data breakpoint at CPL 3");
	write_dr0(USER_CODE + 6);
	write_dr7(0x400 | ON(0, EXECUTE, LEN_1));
	user_run(user_watch, (size_t)(user_watch_end - user_watch), USER_DATA, 0, 0);
	expect(1, 1, (void *)(USER_CODE + 6), "an instruction breakpoint at CPL 3");
}

void test_debug(void)
{
	handlers[DB] = hit;
	handlers[0x43] = nothing;
	write_dr6(DR6_NONE);
	execution();
	data();
	ports_and_detection();
	stepping();
	at_cpl3();
	write_dr7(0x400);
	handlers[DB] = NULL;
	handlers[0x43] = NULL;
}

/* --- alignment checks ------------------------------------------------------------------- */

CODE(load_4, "movl (%rdi), %eax");
CODE(store_8, "movq %rax, (%rdi)");
CODE(push_8, "movq %rsp, %rdx\n leaq 1024(%rdi), %rsp\n pushq %rax\n movq %rdx, %rsp");
CODE(load_x87, "fldt (%rdi)\n fstp %st(0)");
CODE(load_vector, "movups (%rdi), %xmm0");
CODE(load_xmm_8, "movsd (%rdi), %xmm0");
CODE(string_4, "movq %rdi, %rsi\n lodsl");
CODE(add_locked, "lock addw %ax, (%rdi)");

void test_alignment(void)
{
	static const struct {
		const char *name;
		const uint8_t *code, *end;
		unsigned align;
	} list[] = {
		{"load of 4", load_4, load_4_end, 4},
		{"store of 8", store_8, store_8_end, 8},
		{"PUSH", push_8, push_8_end, 8},
		{"FLD of 10", load_x87, load_x87_end, 8},
		{"MOVUPS", load_vector, load_vector_end, 1},
		{"MOVSD", load_xmm_8, load_xmm_8_end, 8},
		{"LODS", string_4, string_4_end, 4},
		{"LOCK ADD of 2", add_locked, add_locked_end, 2},
	};

	write_cr0(read_cr0() | FL_AC);
	for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
		unsigned bad = 0;

		for (unsigned at = 0; at < 8; at++) {
			size_t size = (size_t)(list[i].end - list[i].code);
			unsigned want = at % list[i].align ? AC : BACK;

			bad += user_run(list[i].code, size, USER_DATA + at, 0, FL_AC) != want;
			bad += want == AC && caught.error;
			bad += user_run(list[i].code, size, USER_DATA + at, 0, 0) != BACK;
		}
		check(!bad, "alignment checks: %s: %x wrong", list[i].name, (uint64_t)bad);
	}
	write_cr0(read_cr0() & ~(uint64_t)FL_AC);
	check(user_run(load_4, (size_t)(load_4_end - load_4), USER_DATA + 1, 0, FL_AC) == BACK,
		"CR0.AM is off");
}
