/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector state of two programs of a guest under the translating engine, one after the other: nothing of
 * the first is in the registers of the second or in the vCPU's state, whatever the processor's XSAVEOPT
 * leaves out. And what comes into the state from outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/state.h"
#include "cpu/translate/run/run.h"
#include "cpu/translate/vm.h"
#include "debug/registers.h"
#include "native.h"

#define RAM_SIZE (2u << 20)
#define GDT 0x3000u
#define IDT 0x4000u
#define CODE 0x10000u
#define SECRET 0x20000u
#define OTHER 0x21000u
#define OUT 0x22000u
#define OLD 0x5a /* the first program's bytes */
#define NEW 0x33 /* the second's */

/* rdi: components; CPUID is a way out to C and back */
extern const uint8_t guest[], guest_operation[], guest_save[], guest_end[];
__asm__(".section .rodata\n"
	"guest:\n"
	"movl %edi, %eax\n xorl %edx, %edx\n xrstor64 (%rsi)\n"
	"xorl %eax, %eax\n cpuid\n"
	"movl %edi, %eax\n xorl %edx, %edx\n xrstor64 (%r8)\n"
	"guest_operation:\n"
	".fill 4, 1, 0x90\n"
	"xorl %eax, %eax\n cpuid\n"
	"guest_save:\n"
	"movl %edi, %eax\n xorl %edx, %edx\n xsave64 (%r9)\n"
	"hlt\n"
	"guest_end:\n"
	".text\n");

struct two_programs {
	struct cpuid_policy policy;
	struct engine_callbacks callbacks;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	struct cpu_state state;
	uint8_t *ram;
	uint64_t components;
};

/* Hosts that have less than this one, or as much. */
static const struct kind {
	const char *name, *cpu;
	uint64_t vectors;
	bool xsaveopt, fsgsbase;
} kinds[] = {
	{"vectors", "host", 0xe7, true, true},
	{"vectors without XSAVEOPT and FSGSBASE", "host", 0xe7, false, false},
	{"vectors without AVX-512", "host,-avx512f", 7, true, true},
	{"vectors without AVX", "host,-avx", 3, true, true},
};
static const struct kind *kind;

static int no_irq(void *ctx, unsigned index)
{
	return -1;
}

static int start(void **state)
{
	struct two_programs *t = aligned_alloc(64, (sizeof *t + 63) & ~63ul);
	struct engine_vm_config config = {.vcpus = 1, .cpuid = &t->policy, .ctx = t};
	struct translate_vm *vm;
	struct error err = {0};

	memset(t, 0, sizeof *t);
	t->callbacks.irq_pending = t->callbacks.irq_ack = no_irq;
	config.callbacks = &t->callbacks;
	t->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->ram == MAP_FAILED ||
		cpuid_policy_init(&t->policy, CPUID_TRANSLATE, 1, kind->cpu, &err) ||
		engine_translate.vm_create(&config, &t->vm, &err) ||
		engine_translate.vm_map(t->vm,
			&(struct memory_region){.gpa = 0,
				.size = RAM_SIZE,
				.host = t->ram,
				.fd = -1},
			&err) ||
		engine_translate.vcpu_create(t->vm, 0, &t->vcpu, &err))
		return -1;
	vm = (struct translate_vm *)t->vm; /* as the engine does itself */
	vm->host.vectors &= kind->vectors;
	vm->host.has_xsaveopt &= kind->xsaveopt;
	vm->has_fsgsbase &= kind->fsgsbase;
	t->components = vm->host.vectors;
	/* the first GiB, one to one */
	*(uint64_t *)(t->ram + 0x1000) = 0x2003;
	*(uint64_t *)(t->ram + 0x2000) = 0x83;
	engine_translate.vcpu_get_state(t->vcpu, &t->state);
	t->state.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	t->state.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	t->state.efer = EFER_LME | EFER_LMA;
	t->state.cr3 = 0x1000;
	t->state.xcr0 = t->components;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		t->state.seg[i] = (struct segment){.selector = 0x10, .attr = 0xc093, .limit = ~0u};
	t->state.seg[SEG_CS] = (struct segment){.selector = 8, .attr = 0xa09b, .limit = ~0u};
	*state = t;
	return 0;
}

static int stop(void **state)
{
	struct two_programs *t = *state;

	engine_translate.vcpu_destroy(t->vcpu);
	engine_translate.vm_destroy(t->vm);
	munmap(t->ram, RAM_SIZE);
	free(t);
	return 0;
}

/* Every byte of the components in bv is value, and all else as a processor starts with. */
static void image(uint8_t *xsave, const struct xsave_layout *area, uint64_t bv, uint8_t value)
{
	memset(xsave, 0, CPU_XSAVE_SIZE);
	memset(xsave + XSAVE_XMM, value, XSAVE_XMM_END - XSAVE_XMM);
	for (unsigned k = 0; k < 8; k++)
		memset(xsave + XSAVE_ST + 16 * k, value, 10);
	for (unsigned c = 2; c < COMP_COUNT; c++)
		memset(xsave + area->offset[c], value, area->size[c]);
	*xsave_bv(xsave) = bv;
	xsave_settle(xsave, area);
	*(uint16_t *)(xsave + XSAVE_FCW) = FCW_INITIAL;
	*(uint32_t *)(xsave + XSAVE_MXCSR) = MXCSR_INITIAL;
}

static void run_programs(struct two_programs *t, uint64_t bv, const uint8_t operation[4])
{
	const struct xsave_layout *area = &t->policy.area;
	struct error err = {0};

	memcpy(t->ram + CODE, guest, (size_t)(guest_end - guest));
	memcpy(t->ram + CODE + (guest_operation - guest), operation, 4);
	engine_translate.vm_written(t->vm, CODE, 4096);
	image(t->ram + SECRET, area, t->components, OLD);
	image(t->ram + OTHER, area, bv, NEW);
	memset(t->ram + OUT, 0x77, 4096);
	memset(t->ram + OUT + XSAVE_BV, 0, 64);
	t->state.rip = CODE;
	t->state.gpr[RDI] = t->components;
	t->state.gpr[RSI] = SECRET;
	t->state.gpr[R8] = OTHER;
	t->state.gpr[R9] = OUT;
	assert_int_equal(engine_translate.vcpu_set_state(t->vcpu, &t->state, &err), 0);
	assert_int_equal(engine_translate.vcpu_run(t->vcpu, &err), ENGINE_EXIT_HALT);
}

/* The second program's registers are its own. */
static void check_registers(struct two_programs *t, uint64_t bv)
{
	static uint8_t expected[CPU_XSAVE_SIZE] __attribute__((aligned(64)));
	const struct xsave_layout *area = &t->policy.area;

	image(expected, area, bv, NEW);
	assert_memory_equal(t->ram + OUT + XSAVE_ST, expected + XSAVE_ST, XSAVE_XMM_END - XSAVE_ST);
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (t->components >> c & 1)
			assert_memory_equal(t->ram + OUT + area->offset[c],
				expected + area->offset[c], area->size[c]);
	/* see vectors.c: what the host's kernel is not to find */
	assert_true(!(*xsave_bv(t->ram + OUT) >> COMP_ZMM_HI & 1) ||
		*xsave_bv(t->ram + OUT) >> COMP_AVX & 1);
}

static void one_after_the_other(void **state)
{
	/* none of them changes a register's value */
	static const uint8_t operation[][4] = {
		{0x90, 0x90, 0x90, 0x90}, {0x0f, 0x56, 0xd2, 0x90}, /* orps xmm2, xmm2 */
		{0x0f, 0x54, 0xdb, 0x90},                           /* andps xmm3, xmm3 */
		{0x0f, 0x28, 0xc0, 0x90},                           /* movaps xmm0, xmm0 */
		{0x66, 0x0f, 0xeb, 0xc9},                           /* por xmm1, xmm1 */
		{0x66, 0x0f, 0x14, 0xc0},                           /* unpcklpd xmm0, xmm0 */
		{0xc5, 0xf8, 0x28, 0xc0},                           /* vmovaps xmm0, xmm0 */
		{0xc5, 0xfc, 0x28, 0xc0},                           /* vmovaps ymm0, ymm0 */
	};
	struct two_programs *t = *state;
	struct cpu_state *after = aligned_alloc(64, sizeof *after);
	unsigned tried = 0;

	for (uint64_t bv = 0; bv <= t->components; bv++) {
		if (bv & ~t->components)
			continue;
		for (unsigned k = 0; k < sizeof operation / sizeof *operation; k++) {
			/* VEX clears what lies above */
			if (operation[k][0] == 0xc5 && (bv & 0x44 || !(t->components & 4)))
				continue;
			run_programs(t, bv, operation[k]);
			check_registers(t, bv);
			engine_translate.vcpu_get_state(t->vcpu, after);
			assert_null(memchr(after->xsave, OLD, sizeof after->xsave));
			tried++;
		}
	}
	assert_in_range(tried, 4 * 6, 64 * 9);
	free(after);
}

/* #DE, of which the host tells by a signal; its handler saves. */
static void after_a_signal(void **state)
{
	static const uint8_t divide[4] = {0x31, 0xc9, 0xf7, 0xf1}; /* xor ecx, ecx; div ecx */
	struct two_programs *t = *state;
	uint64_t handler = CODE + (uint64_t)(guest_save - guest);
	uint64_t bv = t->components & ~(1ull << COMP_AVX);
	struct error err = {0};

	if (!(t->components >> COMP_ZMM_HI & 1))
		skip();
	/* cmocka has put its own handlers in their place */
	assert_int_equal(signal_setup(&err), 0);
	*(uint64_t *)(t->ram + GDT + 8) = 0x00af9b000000ffff;
	*(uint64_t *)(t->ram + IDT) =
		(handler & 0xffff) | 8u << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;
	t->state.gdtr = (struct table_register){GDT, 15};
	t->state.idtr = (struct table_register){IDT, 15};
	t->state.gpr[RSP] = CODE;
	run_programs(t, bv, divide);
	/* once more, with all of it translated: nothing is saved between the signal and the handler */
	*xsave_bv(t->ram + OUT) = 0;
	assert_int_equal(engine_translate.vcpu_set_state(t->vcpu, &t->state, &err), 0);
	assert_int_equal(engine_translate.vcpu_run(t->vcpu, &err), ENGINE_EXIT_HALT);
	check_registers(t, bv);
	t->state.idtr.limit = 0;
}

/* What a program has cleared is cleared in the vCPU's state too. */
static void cleared(void **state)
{
	static const uint8_t vzeroall[4] = {0xc5, 0xfc, 0x77, 0x90};
	static uint8_t settled[CPU_XSAVE_SIZE] __attribute__((aligned(64)));
	struct two_programs *t = *state;
	struct cpu_state *s;

	if (!(t->components >> COMP_AVX & 1))
		skip();
	s = aligned_alloc(64, sizeof *s);
	run_programs(t, t->components, vzeroall);
	engine_translate.vcpu_get_state(t->vcpu, s);
	memcpy(settled, s->xsave, sizeof settled);
	xsave_settle(settled, &t->policy.area);
	assert_memory_equal(s->xsave, settled, sizeof settled);
	free(s);
}

/* What lies behind a clear bit does not get in. */
static void from_outside(void **state)
{
	struct two_programs *t = *state;
	struct cpu_state *s = aligned_alloc(64, sizeof *s);
	struct error err = {0};

	for (uint64_t bv = 0; bv <= t->components; bv++) {
		if (bv & ~t->components)
			continue;
		*s = t->state;
		memset(s->xsave, OLD, sizeof s->xsave);
		image(s->xsave, &t->policy.area, t->components, OLD);
		*xsave_bv(s->xsave) = bv;
		assert_int_equal(engine_translate.vcpu_set_state(t->vcpu, s, &err), 0);
		engine_translate.vcpu_get_state(t->vcpu, s);
		assert_int_equal(*xsave_bv(s->xsave), bv);
		xsave_initial(s->xsave, &t->policy.area, bv);
		assert_null(memchr(s->xsave, OLD, sizeof s->xsave));
	}
	free(s);
}

/* An operand of an SSE instruction in two pages, which only MXCSR.MM lets be. */
static void misaligned(void **state)
{
	static const uint8_t code[] = {0x0f, 0xae, 0x17, /* ldmxcsr [rdi] */
		0x0f, 0x58, 0x06,                        /* addps xmm0, [rsi] */
		0xf4};
	struct two_programs *t = *state;
	struct error err = {0};

	if (!(native_mxcsr_mask() & MXCSR_MM))
		skip();
	for (unsigned mm = 0; mm < 2; mm++) {
		memcpy(t->ram + CODE, code, sizeof code);
		engine_translate.vm_written(t->vm, CODE, 4096);
		*(uint32_t *)(t->ram + OUT) = MXCSR_INITIAL | (mm ? MXCSR_MM : 0);
		t->state.rip = CODE;
		t->state.gpr[RDI] = OUT;
		t->state.gpr[RSI] = SECRET + 4096 - 5;
		assert_int_equal(engine_translate.vcpu_set_state(t->vcpu, &t->state, &err), 0);
		assert_int_equal(engine_translate.vcpu_run(t->vcpu, &err),
			mm ? ENGINE_EXIT_HALT : ENGINE_EXIT_SHUTDOWN);
	}
}

/* What the host's XRSTOR would fault at is refused, and the vCPU is as before. */
static void refused(void **state)
{
	struct two_programs *t = *state;
	struct cpu_state *s = aligned_alloc(64, sizeof *s);
	uint8_t reg[REGISTER_MAX];
	unsigned n = 0;

	memset(reg, 0xff, sizeof reg);
	do { /* the debugger's mxcsr */
		assert_true(n < registers_count());
		*s = t->state;
		registers_write(s, n++, reg);
	} while (*(uint32_t *)(s->xsave + XSAVE_MXCSR) != ~0u);
	for (unsigned k = 0; k < 5; k++) {
		struct error err = {0};

		if (k) {
			*s = t->state;
			s->xsave[XSAVE_BV + (const unsigned[]){1, 8, 15, 63}[k - 1]] = 0x80;
		}
		assert_true(engine_translate.vcpu_set_state(t->vcpu, s, &err) < 0);
		assert_string_not_equal(err.text, "");
		run_programs(t, t->components, (const uint8_t[4]){0x90, 0x90, 0x90, 0x90});
		check_registers(t, t->components);
	}
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(after_a_signal),
		cmocka_unit_test(cleared),
		cmocka_unit_test(from_outside),
		cmocka_unit_test(refused),
		cmocka_unit_test(misaligned),
	};

	int failed = 0;

	for (kind = kinds; kind < kinds + sizeof kinds / sizeof *kinds; kind++)
		failed += cmocka_run_group_tests_name(kind->name, tests, start, stop);
	return failed;
}
