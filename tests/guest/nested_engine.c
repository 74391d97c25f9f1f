/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine without a machine around it: a few snippets of guest code, and
 * callbacks that write down what they are asked. Ends with status 0 when all of
 * it went as a processor would.
 *
 *   nested_engine [kvm|translate] [apics|memory]
 *
 * With "apics" the engine holds the local APICs, and what goes with that is tried. With "memory" guest
 * memory comes, goes, is written and comes late (tests/unit/memory_guest.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "memory_guest.h"

#define MEMORY (8u << 20)
#define MMIO 0xd0000000u
#define LONG_CODE 0x10000u
#define HANDLERS 0x11000u
#define IDT 0x7000u
#define GDT 0x6000u
#define VECTOR 0x40

struct test {
	const struct engine *engine;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	struct cpuid_policy policy;
	uint8_t *memory;
	uint64_t port_out, mmio_value, deadline, tpr;
	unsigned mmio_size;
	_Atomic int pending; /* vector, or -1 */
	_Atomic unsigned acks;
	unsigned failures;
};

#define CHECK(test, condition) check(test, condition, #condition, __LINE__)

static void check(struct test *t, bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d: %s: not so\n", line, what);
	t->failures++;
}

extern const uint8_t real_start[], real_end[], long_start[], long_end[], handler_start[],
	handler_irq[], handler_end[], long_spin[], long_step[], long_crash[], long_halt[];

__asm__(".section .rodata\n"
	".globl real_start, real_end, long_start, long_end, handler_start, handler_irq, handler_end\n"
	".globl long_spin, long_step, long_crash, long_halt\n"
	".code16\n"
	"real_start:\n"
	"	mov $0x1234, %ax\n"
	"	out %ax, $0x80\n"
	"	in $0x81, %al\n"
	"	mov %al, 0x5000\n"
	"	mov $2, %cx\n"
	"	mov $0x5000, %si\n"
	"	mov $0x82, %dx\n"
	"	cld\n"
	"	rep outsb\n"
	"	hlt\n"
	"real_end:\n"
	".code64\n"
	"long_start:\n"
	"	mov $0xd0000000, %ebx\n"
	"	movl $0xabcd1234, 0x10(%rbx)\n"
	"	mov 0x10(%rbx), %r8\n"
	"	mov $0x1b, %ecx\n"
	"	rdmsr\n"
	"	mov %eax, %r9d\n"
	"	mov $0x6e0, %ecx\n"
	"	mov $0x11223344, %eax\n"
	"	mov $0x5, %edx\n"
	"	wrmsr\n"
	"	xor %r10d, %r10d\n"
	"	mov $0x12345678, %ecx\n"
	"	rdmsr\n" /* #GP: the handler skips it and sets r10 */
	"	mov $0x40000000, %eax\n"
	"	xor %ecx, %ecx\n"
	"	push %rbx\n"
	"	cpuid\n"
	"	mov %ebx, %r11d\n"
	"	pop %rbx\n"
	"	mov $7, %eax\n"
	"	mov %rax, %cr8\n"
	"	mov %cr8, %r12\n"
	"	xor %r13d, %r13d\n"
	"	mov %r13, %cr8\n"
	"	sti\n"
	"long_halt:\n"
	"	hlt\n"
	"	nop\n"
	"long_spin:\n"
	"	mov $2, %r14d\n"
	"1:	cmp %r14d, %r13d\n" /* until two interrupts came */
	"	jne 1b\n"
	"2:	jmp 2b\n"
	"long_step:\n"
	"	mov $1, %eax\n"
	"	add $2, %eax\n"
	"	lea 5(%rax), %rdx\n"
	"	hlt\n"
	"long_crash:\n"
	"	push $0\n"
	"	push $0\n"
	"	lidt (%rsp)\n"
	"	ud2\n"
	"long_end:\n"
	"handler_start:\n"
	"	add $8, %rsp\n" /* #GP: error code */
	"	addq $2, (%rsp)\n"
	"	mov $1, %r10d\n"
	"	iretq\n"
	"handler_irq:\n"
	"	inc %r13d\n" /* the interrupt */
	"	iretq\n"
	"handler_end:\n"
	".text\n");

static uint64_t io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	return port == 0x81 && size == 1 ? 0x5a : ~0ull;
}

static void io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
	struct test *t = ctx;

	t->port_out = t->port_out << 16 ^ ((uint64_t)port << 8 | size << 4) ^ value;
}

static uint64_t mmio_read(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	return gpa == MMIO + 0x10 && size == 8 ? 0x1122334455667788 : 0x11223344;
}

static void mmio_write(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
	struct test *t = ctx;

	if (gpa == MMIO + 0x10) {
		t->mmio_value = value;
		t->mmio_size = size;
	}
}

static bool msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	*value = 0xfee00900;
	return msr == 0x1b;
}

static bool msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	struct test *t = ctx;

	if (msr == 0x6e0)
		t->deadline = value;
	return msr == 0x6e0;
}

static int irq_pending(void *ctx, unsigned index)
{
	return atomic_load(&((struct test *)ctx)->pending);
}

static int irq_ack(void *ctx, unsigned index)
{
	struct test *t = ctx;

	atomic_fetch_add(&t->acks, 1);
	return atomic_exchange(&t->pending, -1);
}

static uint64_t tpr_read(void *ctx, unsigned index)
{
	return ((struct test *)ctx)->tpr;
}

static void tpr_write(void *ctx, unsigned index, uint64_t value)
{
	((struct test *)ctx)->tpr = value;
}

static const struct engine_callbacks callbacks = {
	.io_read = io_read,
	.io_write = io_write,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.irq_pending = irq_pending,
	.irq_ack = irq_ack,
	.tpr_read = tpr_read,
	.tpr_write = tpr_write,
};

static enum engine_exit run(struct test *t)
{
	struct error err = {0};
	enum engine_exit exit = t->engine->vcpu_run(t->vcpu, &err);

	if (exit == ENGINE_EXIT_ERROR)
		fprintf(stderr, "the engine failed: %s\n", err.text);
	return exit;
}

static void set_state(struct test *t, const struct cpu_state *state)
{
	struct error err = {0};

	if (t->engine->vcpu_set_state(t->vcpu, state, &err)) {
		fprintf(stderr, "the engine refuses a state: %s\n", err.text);
		t->failures++;
	}
}

static void base_state(struct cpu_state *s)
{
	struct segment data = {.attr = 0x93, .limit = 0xffff};

	memset(s, 0, sizeof *s);
	for (int i = 0; i < SEG_COUNT; i++)
		s->seg[i] = data;
	s->seg[SEG_CS].attr = 0x9b;
	s->tr = (struct segment){.attr = 0x8b, .limit = 0xffff};
	s->ldtr = (struct segment){.attr = 0x82, .limit = 0xffff};
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->rflags = 2;
	s->cr0 = CR0_ET;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->xcr0 = 1;
	s->pat = 0x0007040600070406;
	s->apic_base = 0xfee00900;
	s->xsave[0] = 0x7f; /* FCW 0x37f, MXCSR 0x1f80 */
	s->xsave[1] = 3;
	s->xsave[24] = 0x80;
	s->xsave[25] = 0x1f;
}

static void long_state(struct cpu_state *s)
{
	base_state(s);
	for (int i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct segment){.selector = 16, .attr = 0xc093, .limit = ~0u};
	s->seg[SEG_CS] = (struct segment){.selector = 8, .attr = 0xa09b, .limit = ~0u};
	s->gdtr = (struct table_register){GDT, 23};
	s->idtr = (struct table_register){IDT, 16 * 256 - 1};
	s->cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
	s->cr3 = 0x2000;
	s->cr4 = CR4_PAE | CR4_OSFXSR;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE;
	s->gpr[RSP] = 0x20000;
	s->rip = LONG_CODE;
}

static void put64(struct test *t, uint32_t at, uint64_t value)
{
	memcpy(t->memory + at, &value, 8);
}

static void gate(struct test *t, int vector, uint32_t to)
{
	put64(t, IDT + 16 * vector, (uint64_t)(to >> 16) << 48 | 0x8e0000080000ull | (to & 0xffff));
	put64(t, IDT + 16 * vector + 8, 0);
}

static void fill_memory(struct test *t)
{
	memcpy(t->memory + 0x1000, real_start, real_end - real_start);
	memcpy(t->memory + LONG_CODE, long_start, long_end - long_start);
	memcpy(t->memory + HANDLERS, handler_start, handler_end - handler_start);
	put64(t, 0x2000, 0x3003);
	for (int i = 0; i < 4; i++)
		put64(t, 0x3000 + 8 * i, (uint64_t)i << 30 | 0x83);
	put64(t, GDT + 8, 0x00af9b000000ffff);
	put64(t, GDT + 16, 0x00cf93000000ffff);
	gate(t, EXC_GP, HANDLERS);
	gate(t, VECTOR, HANDLERS + (handler_irq - handler_start));
}

static void test_real(struct test *t)
{
	struct cpu_state s;

	base_state(&s);
	s.rip = 0x1000;
	set_state(t, &s);
	CHECK(t, run(t) == ENGINE_EXIT_HALT);
	CHECK(t, t->memory[0x5000] == 0x5a);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.rip == 0x1000u + (real_end - real_start));
	CHECK(t, s.gpr[RCX] == 0);
	CHECK(t, s.gpr[RSI] == 0x5002);
	CHECK(t, (s.gpr[RAX] & 0xffff) == 0x125a);
	CHECK(t, t->port_out == ((0x8020ull ^ 0x1234) << 32 ^ (0x8210ull ^ 0x5a) << 16 ^ 0x8210));
}

static void *kicker(void *ctx)
{
	struct test *t = ctx;

	usleep(100000);
	atomic_store(&t->pending, VECTOR);
	t->engine->vcpu_kick(t->vcpu, false);
	usleep(200000);
	t->engine->vcpu_kick(t->vcpu, true);
	return NULL;
}

static void test_long(struct test *t)
{
	struct cpu_state s, again;
	pthread_t thread;
	uint32_t spin = LONG_CODE + (long_spin - long_start);

	long_state(&s);
	set_state(t, &s);
	CHECK(t, run(t) == ENGINE_EXIT_HALT);
	CHECK(t, t->mmio_value == 0xabcd1234 && t->mmio_size == 4);
	CHECK(t, t->deadline == 0x511223344);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.rip == LONG_CODE + (long_halt - long_start) + 1);
	CHECK(t, s.rflags & FL_IF);
	CHECK(t, s.gpr[R8] == 0x1122334455667788);
	CHECK(t, s.gpr[R9] == 0xfee00900);
	CHECK(t, s.gpr[R10] == 1);
	CHECK(t, s.gpr[R11] == 0x4b4d564b);
	CHECK(t, s.gpr[R12] == 7 && t->tpr == 0);
	set_state(t, &s);
	t->engine->vcpu_get_state(t->vcpu, &again);
	CHECK(t, !memcmp(&s, &again, offsetof(struct cpu_state, xsave)));

	/* One interrupt wakes from the halt, the other comes while the guest spins. */
	atomic_store(&t->pending, VECTOR);
	pthread_create(&thread, NULL, kicker, t);
	CHECK(t, run(t) == ENGINE_EXIT_INTERRUPTED);
	pthread_join(thread, NULL);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.gpr[R13] == 2 && t->acks == 2);
	CHECK(t, s.rip > spin && s.rip < LONG_CODE + (long_step - long_start));
	CHECK(t, s.gpr[RSP] == 0x20000);
	/* A kick before the run is not lost. */
	t->engine->vcpu_kick(t->vcpu, true);
	CHECK(t, run(t) == ENGINE_EXIT_INTERRUPTED);
}

static void test_debug(struct test *t)
{
	struct engine_debug debug = {.step = true};
	uint64_t step = LONG_CODE + (long_step - long_start), gpa = 0;
	struct cpu_state s;

	long_state(&s);
	s.rip = step;
	set_state(t, &s);
	t->engine->vcpu_debug(t->vcpu, &debug);
	CHECK(t, run(t) == ENGINE_EXIT_DEBUG);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.rip == step + 5 && s.gpr[RAX] == 1);
	CHECK(t, !(s.rflags & FL_TF));
	/*
	 * Few enough for debug registers, and too many. QEMU's software SVM does not load them, so
	 * under KVM only the second.
	 */
	for (unsigned n = strcmp(t->engine->name, "kvm") ? 1 : 6; n <= 6; n += 5) {
		debug = (struct engine_debug){.breakpoints = n};
		for (unsigned i = 0; i < n; i++)
			debug.breakpoint[i] = 0x1000 + i;
		debug.breakpoint[n - 1] = step + 8;
		s.rip = step;
		set_state(t, &s);
		t->engine->vcpu_debug(t->vcpu, &debug);
		CHECK(t, run(t) == ENGINE_EXIT_DEBUG);
		t->engine->vcpu_get_state(t->vcpu, &s);
		CHECK(t, s.rip == step + 8 && s.gpr[RAX] == 3);
	}
	debug = (struct engine_debug){0};
	t->engine->vcpu_debug(t->vcpu, &debug);
	CHECK(t, run(t) == ENGINE_EXIT_HALT);
	CHECK(t, t->engine->vcpu_translate(t->vcpu, 0x40001234, &gpa) == 0 && gpa == 0x40001234);
	CHECK(t, t->engine->vcpu_translate(t->vcpu, 1ull << 40, &gpa) < 0);
}

static void test_crash(struct test *t)
{
	struct cpu_state s;

	long_state(&s);
	s.rip = LONG_CODE + (long_crash - long_start);
	set_state(t, &s);
	CHECK(t, run(t) == ENGINE_EXIT_SHUTDOWN);
}

#define HIGHER 0x50 /* a vector of a higher class than VECTOR: needs no end of that one */
#define ISR(vector) (16 + (vector) / 32)
#define SMI_DATA 0x200u /* a message's delivery mode */

static void *messenger(void *ctx)
{
	struct test *t = ctx;

	usleep(100000);
	t->engine->apic->message(t->vm, 0xfee00000, VECTOR);
	usleep(100000);
	t->engine->apic->message(t->vm, 0xfee00000, HIGHER);
	usleep(200000);
	t->engine->vcpu_kick(t->vcpu, true);
	return NULL;
}

/* The guest halts, is woken by a message, and gets a second one; all without the callbacks. */
static void test_messages(struct test *t)
{
	struct engine_apic apic, again;
	struct error err = {0};
	struct cpu_state s;
	pthread_t thread;

	gate(t, HIGHER, HANDLERS + (handler_irq - handler_start));
	long_state(&s);
	s.rip = LONG_CODE + (long_halt - long_start);
	s.rflags |= FL_IF;
	set_state(t, &s);
	t->engine->apic->get(t->vcpu, &apic);
	CHECK(t, apic.base == 0xfee00900 && apic.activity == ENGINE_RUNS);
	apic.page[0xf] = 0x1ff; /* spurious vector: on */
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
	pthread_create(&thread, NULL, messenger, t);
	CHECK(t, run(t) == ENGINE_EXIT_INTERRUPTED);
	pthread_join(thread, NULL);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.gpr[R13] == 2 && t->acks == 0);
	t->engine->apic->get(t->vcpu, &apic);
	CHECK(t, apic.page[ISR(VECTOR)] >> VECTOR % 32 & 1);
	CHECK(t, apic.page[ISR(HIGHER)] >> HIGHER % 32 & 1);
	/* What comes out goes in again. */
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
	t->engine->apic->get(t->vcpu, &again);
	CHECK(t, !memcmp(&apic, &again, sizeof apic));
	apic.activity = ENGINE_WAITS_SIPI;
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
	t->engine->apic->get(t->vcpu, &again);
	CHECK(t, again.activity == ENGINE_WAITS_SIPI);
	apic.activity = ENGINE_RUNS;
	memset(apic.page + 16, 0, 24 * sizeof apic.page[0]); /* nothing requested or in service */
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
}

static void *stopper(void *ctx)
{
	struct test *t = ctx;

	usleep(300000);
	t->engine->vcpu_kick(t->vcpu, true);
	return NULL;
}

/*
 * There is no system management mode: a guest that sends itself an SMI crashes. Then it can be reset,
 * unless the kernel has given the VM up, which is for good and so comes last.
 */
static void test_smi(struct test *t)
{
	struct engine_apic apic;
	struct error err = {0};
	struct cpu_state s;

	long_state(&s);
	s.rip = LONG_CODE + (long_spin - long_start);
	set_state(t, &s);
	t->engine->apic->message(t->vm, 0xfee00000, SMI_DATA);
	CHECK(t, run(t) == ENGINE_EXIT_SHUTDOWN);
	t->engine->apic->get(t->vcpu, &apic);
	if (t->engine->vcpu_set_state(t->vcpu, &s, &err) == -EIO) {
		CHECK(t, run(t) == ENGINE_EXIT_SHUTDOWN);
		return;
	}
	set_state(t, &s);
	apic.activity = ENGINE_WAITS_SIPI;
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
	apic.activity = ENGINE_RUNS;
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
}

/* A write that signals instead of calling. */
static void test_notify(struct test *t)
{
	uint64_t count = 0;
	int fd = eventfd(0, EFD_NONBLOCK);
	struct engine_apic apic;
	struct error err = {0};
	struct cpu_state s;
	pthread_t thread;

	t->mmio_value = 0;
	CHECK(t, t->engine->vm_notify_fd(t->vm, MMIO + 0x10, fd, true) == 0);
	long_state(&s);
	set_state(t, &s);
	pthread_create(&thread, NULL, stopper, t);
	CHECK(t, run(t) == ENGINE_EXIT_INTERRUPTED);
	pthread_join(thread, NULL);
	CHECK(t, read(fd, &count, sizeof count) == sizeof count && count == 1);
	CHECK(t, t->mmio_value == 0);
	t->engine->vcpu_get_state(t->vcpu, &s);
	CHECK(t, s.gpr[R8] == 0x1122334455667788); /* reads are as before */
	CHECK(t, s.gpr[R10] == 1 && s.gpr[R12] == 7);
	CHECK(t, t->engine->vm_notify_fd(t->vm, MMIO + 0x10, fd, false) == 0);
	CHECK(t, t->engine->vm_notify_fd(t->vm, MMIO + 0x10, fd, false) < 0);
	close(fd);
	/* It has halted, which goes with the APIC and not with the registers. */
	t->engine->apic->get(t->vcpu, &apic);
	CHECK(t, apic.activity == ENGINE_HALTED);
	apic.activity = ENGINE_RUNS;
	CHECK(t, t->engine->apic->set(t->vcpu, &apic, &err) == 0);
}

/* What tests/unit/test_engine_memory.c does with the translator. */
static int memory(const struct engine *engine)
{
	const struct guest_kind kernel = {.engine = engine, .cpus = 1},
				program = {.engine = engine, .cpus = 1, .user = true},
				two = {.engine = engine, .cpus = 2};
	unsigned failures = check_refused(engine);

	for (uint64_t seed = 1; seed <= 2; seed++)
		failures += check_map_rounds(&kernel, 40, seed) +
			check_map_rounds(&program, 40, seed) + check_map_rounds(&two, 40, seed);
	failures += check_copy(&kernel, 32) + check_copy(&two, 32);
	failures += check_lazy(&kernel, 1) + check_lazy(&two, 16) + check_lost(&kernel);
	printf("%s: %u failures\n", engine->name, failures);
	return failures != 0;
}

int main(int argc, char **argv)
{
	struct test t = {.pending = -1};
	struct error err = {0};
	char why[512];
	struct engine_vm_config config = {.vcpus = 1,
		.cpuid = &t.policy,
		.callbacks = &callbacks,
		.ctx = &t,
		.no_apics = argc < 3};
	int fd = memfd_create("guest", MFD_CLOEXEC);

	t.engine = engine_find(argc > 1 ? argv[1] : "kvm", why, sizeof why, &err);
	if (!t.engine)
		goto fail;
	if (argc > 2 && !strcmp(argv[2], "memory"))
		return memory(t.engine);
	if (cpuid_policy_init(&t.policy,
		    strcmp(t.engine->name, "kvm") ? CPUID_TRANSLATE : CPUID_KVM, 1, NULL, &err))
		goto fail;
	if (ftruncate(fd, MEMORY) < 0)
		return 1;
	t.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t.memory == MAP_FAILED)
		return 1;
	fill_memory(&t);
	if (t.engine->vm_create(&config, &t.vm, &err) ||
		t.engine->vm_map(t.vm,
			&(struct memory_region){.gpa = 0,
				.size = MEMORY,
				.host = t.memory,
				.fd = fd},
			&err) ||
		t.engine->vcpu_create(t.vm, 0, &t.vcpu, &err))
		goto fail;
	if (argc < 3) {
		test_real(&t);
		test_long(&t);
		test_debug(&t);
	} else if (t.engine->apic && t.engine->apic->in_use(t.vm)) {
		test_messages(&t);
		test_notify(&t);
	} else {
		t.failures++;
	}
	test_crash(&t);
	if (argc >= 3)
		test_smi(&t);
	if (t.engine->vm_stats)
		t.engine->vm_stats(t.vm, stdout);
	t.engine->vcpu_destroy(t.vcpu);
	t.engine->vm_destroy(t.vm);
	printf("%s: %u failures\n", t.engine->name, t.failures);
	return t.failures != 0;
fail:
	fprintf(stderr, "%s\n", err.text);
	return 1;
}
