/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translating engine as a whole, on guests of a few instructions in long mode. Each exception's
 * handler halts; where it lies tells which one it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/translate/vm.h"

#define RAM (4u << 20)
#define GUARD 4096u
#define TABLES 0x1000u
#define IDT 0x5000u
#define GDT 0x6000u
#define TSS 0x7000u
#define STACK 0xa000u
#define CODE 0x10000u
#define HANDLERS 0x20000u
#define DATA 0x30000u

#define CS0 0x08
#define SS0 0x10
#define SS3 0x1b
#define CS3 0x23

static struct {
	struct cpuid_policy policy;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	struct cpu_state state;
	uint8_t *ram;
	int fd;
} g;

static uint64_t io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	return 0;
}

static void io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
}

static uint64_t mmio_read(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	return 0;
}

static void mmio_write(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
}

static bool msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	return false;
}

static bool msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	return false;
}

static int no_irq(void *ctx, unsigned index)
{
	return -1;
}

static uint64_t tpr_read(void *ctx, unsigned index)
{
	return 0;
}

static void tpr_write(void *ctx, unsigned index, uint64_t value)
{
}

static const struct engine_callbacks callbacks = {.io_read = io_read,
	.io_write = io_write,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.irq_pending = no_irq,
	.irq_ack = no_irq,
	.tpr_read = tpr_read,
	.tpr_write = tpr_write};

static void put(uint64_t at, uint64_t value)
{
	memcpy(g.ram + at, &value, 8);
}

static uint64_t get(uint64_t at)
{
	uint64_t value;

	memcpy(&value, g.ram + at, 8);
	return value;
}

/* Memory is where it is in physical memory, for everybody. */
static void make_tables(void)
{
	put(TABLES, (TABLES + 0x1000) | 7);
	put(TABLES + 0x1000, (TABLES + 0x2000) | 7);
	for (unsigned k = 0; k < RAM >> 21; k++)
		put(TABLES + 0x2000 + 8 * k, (uint64_t)k << 21 | 0x87);
	put(GDT + CS0, 0x00af9b000000ffff);
	put(GDT + SS0, 0x00cf93000000ffff);
	put(GDT + (SS3 & ~7), 0x00cff3000000ffff);
	put(GDT + (CS3 & ~7), 0x00affb000000ffff);
	put(TSS + 4, STACK);
	for (unsigned v = 0; v < 32; v++) {
		uint64_t at = HANDLERS + 16 * v;

		put(IDT + 16 * v,
			(at & 0xffff) | CS0 << 16 | 0x8eull << 40 | (at & 0xffff0000) << 32);
		g.ram[at] = 0xf4; /* hlt */
	}
}

static void begin(unsigned cpl)
{
	struct cpu_state *s = &g.state;

	engine_translate.vcpu_get_state(g.vcpu, s);
	s->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	s->cr3 = TABLES;
	s->rflags = 2;
	s->cpl = (uint8_t)cpl;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct segment){.selector = SS3, .attr = 0xc0f3, .limit = ~0u};
	if (!cpl)
		s->seg[SEG_SS] = (struct segment){.selector = SS0, .attr = 0xc093, .limit = ~0u};
	s->seg[SEG_CS] = (struct segment){.selector = cpl ? CS3 : CS0,
		.attr = cpl ? 0xa0fb : 0xa09b,
		.limit = ~0u};
	s->gdtr = (struct table_register){GDT, 0xfff};
	s->idtr = (struct table_register){IDT, 0xfff};
	s->tr = (struct segment){.selector = 0x30, .attr = 0x8b, .limit = 0x67, .base = TSS};
	s->gpr[RSP] = STACK - 0x800;
	s->rip = CODE;
	/* as MOV CR3 would */
	hostmap_space(((struct translate_vm *)g.vm)->vcpu[0]->user->hostmap, s->cr3);
}

static void set_up(const char *maker, enum hostmap_policy windows)
{
	struct engine_vm_config config = {.vcpus = 1, .cpuid = &g.policy, .callbacks = &callbacks};
	struct error err = {0};
	uint8_t *area;

	assert_int_equal(cpuid_policy_init(&g.policy, CPUID_TRANSLATE, 1, NULL, &err), 0);
	cpuid_policy_vendor(&g.policy, maker);
	g.fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(g.fd, RAM), 0);
	area = mmap(NULL, RAM + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(area != MAP_FAILED);
	g.ram = mmap(area + GUARD, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, g.fd, 0);
	assert_ptr_equal(g.ram, area + GUARD);
	assert_int_equal(engine_translate.vm_create(&config, &g.vm, &err), 0);
	assert_int_equal(engine_translate.vm_map(g.vm,
				 &(struct memory_region){.gpa = 0,
					 .size = RAM,
					 .host = g.ram,
					 .fd = g.fd},
				 &err),
		0);
	((struct translate_vm *)g.vm)->pool.policy = windows;
	assert_int_equal(engine_translate.vcpu_create(g.vm, 0, &g.vcpu, &err), 0);
	make_tables();
}

static void tear_down(void)
{
	engine_translate.vcpu_destroy(g.vcpu);
	engine_translate.vm_destroy(g.vm);
	munmap(g.ram - GUARD, RAM + 2 * GUARD);
	close(g.fd);
}

/* Until HLT; the address of that. */
static uint64_t run(void)
{
	struct error err = {0};

	assert_int_equal(engine_translate.vcpu_set_state(g.vcpu, &g.state, &err), 0);
	assert_int_equal(engine_translate.vcpu_run(g.vcpu, &err), ENGINE_EXIT_HALT);
	engine_translate.vcpu_get_state(g.vcpu, &g.state);
	return g.state.rip - 1;
}

/* --- an instruction that touches more than its check knows of ------------------------------------- */

/* In all translated code: a load of one byte into AL loads eight into RAX. */
static unsigned load_more(void)
{
	struct cache *c = &((struct translate_vm *)g.vm)->cache;
	unsigned found = 0;

	for (uint32_t at = CODE_START; at + 2 < c->size; at++)
		if ((c->write[at] & 0xf8) == 0x48 && c->write[at + 1] == 0x8a) {
			c->write[at + 1] = 0x8b;
			found++;
		}
	return found;
}

static void check_beyond(unsigned cpl, enum hostmap_policy windows)
{
	/* REX.W mov al, [rbx]; at CPL 3 int3 comes to its handler by #GP, since its gate is not for that */
	static const uint8_t code[] = {0x90, 0x48, 0x8a, 0x03, 0xf4};

	set_up("GenuineIntel", windows);
	memcpy(g.ram + CODE, code, sizeof code);
	begin(cpl);
	g.state.gpr[RBX] = DATA;
	run();
	/* in line, and out of line */
	assert_int_equal(load_more(), 2);
	begin(cpl);
	g.state.gpr[RBX] = RAM - 8;
	assert_int_equal(run(), cpl ? HANDLERS + 16 * EXC_GP : CODE + 4);
	begin(cpl);
	g.state.gpr[RBX] = RAM - 1;
	assert_int_equal(run(), HANDLERS + 16 * EXC_GP);
	/* the fault is that of the block, not of HLT behind it */
	assert_int_equal(get(g.state.gpr[RSP]), 0);
	assert_in_range(get(g.state.gpr[RSP] + 8), CODE, CODE + 1);
	tear_down();
}

static void beyond_memory(void **state)
{
	check_beyond(0, HOSTMAP_NEVER);
	check_beyond(3, HOSTMAP_NEVER);
	check_beyond(3, HOSTMAP_ALWAYS);
}

/* --- breakpoints ------------------------------------------------------------------------------------- */

static uint64_t behind_mov_ss(const char *maker)
{
	/* mov ss, eax; nop; hlt */
	static const uint8_t code[] = {0x8e, 0xd0, 0x90, 0xf4};
	uint64_t at;

	set_up(maker, HOSTMAP_NEVER);
	memcpy(g.ram + CODE, code, sizeof code);
	begin(0);
	g.state.gpr[RAX] = SS0;
	g.state.dr[0] = CODE + 2;
	g.state.dr7 = 0x402;
	at = run();
	if (at == HANDLERS + 16 * EXC_DB) {
		assert_int_equal(get(g.state.gpr[RSP]), CODE + 2);
		assert_int_equal(g.state.dr6 & 0xf, 1);
	}
	tear_down();
	return at;
}

/* MOV SS holds off an instruction breakpoint behind it (SDM 3A, 6.8.3); not on AMD's processors (seen). */
static void breakpoints_behind_mov_ss(void **state)
{
	assert_int_equal(behind_mov_ss("GenuineIntel"), CODE + 3);
	assert_int_equal(behind_mov_ss("AuthenticAMD"), HANDLERS + 16 * EXC_DB);
	assert_int_equal(behind_mov_ss("HygonGenuine"), HANDLERS + 16 * EXC_DB);
}

/* --- the stack of 32-bit code ------------------------------------------------------------------------ */

/* Protected mode without paging. A segment with a limit that nobody comes to: then C code does what host code would. */
static void begin_32(bool flat, uint32_t esp)
{
	struct cpu_state *s = &g.state;

	begin(0);
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr4 = CR4_OSFXSR;
	s->efer = 0;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct segment){.selector = SS0, .attr = 0xc093, .limit = ~0u};
	s->seg[SEG_CS] = (struct segment){.selector = CS0, .attr = 0xc09b, .limit = ~0u};
	if (!flat)
		s->seg[SEG_ES].limit = 0xfffffff;
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = 0x01010101u * (i + 1);
	s->gpr[RBX] = DATA;
	s->gpr[RBP] = DATA + 16;
	s->gpr[RSP] = esp;
}

/* All registers, and what there is now around the stack and at address 0. */
static enum engine_exit stack_result(const uint8_t *code, size_t size, bool flat, uint32_t esp,
	uint64_t gpr[16], uint8_t memory[256])
{
	struct error err = {0};
	enum engine_exit exit;

	set_up("GenuineIntel", HOSTMAP_NEVER);
	memcpy(g.ram + CODE, code, size);
	for (unsigned i = 0; i < 64; i++)
		put(DATA + 8 * i, 0x1122334455667788ull * (i + 1));
	begin_32(flat, esp);
	assert_int_equal(engine_translate.vcpu_set_state(g.vcpu, &g.state, &err), 0);
	exit = engine_translate.vcpu_run(g.vcpu, &err);
	engine_translate.vcpu_get_state(g.vcpu, &g.state);
	memcpy(gpr, g.state.gpr, 16 * sizeof *gpr);
	memcpy(memory, g.ram + STACK - 0x880, 192);
	memcpy(memory + 192, g.ram, 64);
	tear_down();
	return exit;
}

static void stack_of_32_bits(void **state)
{
	static const uint8_t code[] = {0x50, 0x51, 0x68, 0x78, 0x56, 0x34, 0x12, 0x6a, 0xfe, 0x54,
		0xff, 0x33, 0xff, 0x74, 0x24, 0x04, 0xff, 0x75, 0x08, 0x5a, 0x5e, 0x66, 0x50, 0x66,
		0x5f, 0x55, 0x58, 0x50, 0x8f, 0x03, 0xf4};
	/* push ecx; push edx; pop eax; pop esi; hlt; and pop esp */
	static const uint8_t few[] = {0x51, 0x52, 0x58, 0x5e, 0xf4};
	static const uint8_t switches[] = {0x53, 0x5c, 0x51, 0xf4};
	/* What lies on both sides of 4 GiB is each processor's own to decide (SDM 3A 5.3). */
	static const uint32_t tops[] = {STACK - 0x800, STACK - 0x7fe, 0x1002, 0x1004, 8, 4, 0};
	uint64_t host[16], emulated[16];
	uint8_t host_memory[256], emulated_memory[256];
	enum engine_exit exit;

	for (unsigned i = 0; i < sizeof tops / sizeof *tops; i++) {
		const uint8_t *one = i < 2 ? code : few;
		size_t size = i < 2 ? sizeof code : sizeof few;

		exit = stack_result(one, size, true, tops[i], host, host_memory);
		assert_int_equal(exit,
			stack_result(one, size, false, tops[i], emulated, emulated_memory));
		assert_memory_equal(host, emulated, sizeof host);
		assert_memory_equal(host_memory, emulated_memory, sizeof host_memory);
		assert_int_equal(exit, ENGINE_EXIT_HALT);
		assert_int_equal(host[RSP], i < 2 ? tops[i] - 4 * 6 : tops[i]);
	}
	stack_result(switches, sizeof switches, true, STACK - 0x800, host, host_memory);
	assert_int_equal(host[RSP], DATA - 4);
}

/* --- a block for people to read -------------------------------------------------------------------- */

/* What doc/translate.md works through: a block of user code. */
static char *worked_example(enum hostmap_policy windows)
{
	/* mov rax, [rbx+8]; add rax, rcx; hlt */
	static const uint8_t code[] = {0x48, 0x8b, 0x43, 0x08, 0x48, 0x01, 0xc8, 0xf4};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	set_up("GenuineIntel", windows);
	memcpy(g.ram + CODE, code, sizeof code);
	begin(3);
	g.state.gpr[RBX] = DATA;
	run();
	engine_translate.vm_dump_block(g.vm, CODE, out);
	assert_int_equal(fclose(out), 0);
	tear_down();
	if (getenv("DACH_PRINT"))
		fputs(text, stdout);
	return text;
}

/* Is there such a line from *text on? Goes on behind it. */
static bool has_line(const char **text, const char *line)
{
	size_t length = strlen(line);
	const char *at = *text;

	while (at && *at) {
		const char *next = strchr(at, '\n');

		if (next && (size_t)(next - at) == length && !memcmp(at, line, length)) {
			*text = next + 1;
			return true;
		}
		at = next ? next + 1 : NULL;
	}
	return false;
}

/* Each line of the document's two listings is one of the block's, in order. */
static void worked_example_is_true(void **state)
{
	static const enum hostmap_policy policy[] = {HOSTMAP_NEVER, HOSTMAP_ALWAYS};
	FILE *doc = fopen(TEST_SOURCE_DIR "/../../doc/translate.md", "r");
	char line[512], *all = NULL;
	const char *at = NULL;
	unsigned listings = 0, lines = 0;
	bool inside = false;

	assert_non_null(doc);
	set_up("GenuineIntel", HOSTMAP_NEVER);
	if (!((struct translate_vm *)g.vm)->cache.adx) {
		tear_down();
		fclose(doc);
		skip(); /* another check: see gen_access.c */
	}
	tear_down();
	while (fgets(line, sizeof line, doc)) {
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "```")) {
			inside = !inside;
			if (!inside)
				continue;
			assert_true(listings < 2);
			free(all);
			at = all = worked_example(policy[listings++]);
		} else if (inside) {
			lines++;
			if (!has_line(&at, line))
				fail_msg("doc/translate.md has\n%s\nbut the block is\n%s", line,
					all);
		}
	}
	fclose(doc);
	free(all);
	assert_int_equal(listings, 2);
	assert_true(lines > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worked_example_is_true),
		cmocka_unit_test(beyond_memory),
		cmocka_unit_test(breakpoints_behind_mov_ss),
		cmocka_unit_test(stack_of_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
