/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PML4 0x2000u
#define PDPT 0x3000u
#define DIRECTORY 0x4000u /* two pages */
#define GDT 0x6000u
#define IDT 0x7000u
#define CODE 0x10000u
#define HANDLERS 0x11000u
#define TABLES 0x100000u /* of AREA's small pages */
#define OF_CPU(n) (0x20000u + 0x8000u * (n))
#define TSS(n) OF_CPU(n)
#define KERNEL_STACK(n) (OF_CPU(n) + 0x3000u)
#define USER_STACK(n) (OF_CPU(n) + 0x6000u)
#define SCRIPT(n) (0x200000u + 0x10000u * (n))

#define CS0 0x08
#define SS0 0x10
#define SS3 0x1b
#define CS3 0x23
#define TR 0x30
#define TABLE_BITS 7u /* present, writable, user's */

extern const uint8_t program_start[], program_end[], program_again[], program_gp[], program_bad[];

__asm__(".section .rodata\n"
	".globl program_start, program_end, program_again, program_gp, program_bad\n"
	"program_start:\n"
	"	mov %cr3, %rax\n"
	"	mov %rax, %cr3\n"
	"	test %r13d, %r13d\n"
	"	jz program_again\n"
	"	pushq $0x1b\n"
	"	push %r14\n"
	"	pushq $2\n"
	"	pushq $0x23\n"
	"	lea program_again(%rip), %rax\n"
	"	push %rax\n"
	"	iretq\n"
	"program_again:\n"
	"	mov %r12, %rsi\n"
	"0:	mov (%rsi), %eax\n"
	"	mov 8(%rsi), %rdi\n"
	"	mov 16(%rsi), %rbx\n"
	"	add $24, %rsi\n"
	"	dec %eax\n"
	"	js 9f\n"
	"	jz 1f\n"
	"	dec %eax\n"
	"	jz 2f\n"
	"	dec %eax\n"
	"	jz 3f\n"
	"	dec %eax\n"
	"	jz 4f\n"
	"	dec %eax\n"
	"	jz 5f\n"
	"	dec %eax\n"
	"	jz 6f\n"
	"	jmp 7f\n"
	"1:	mov (%rdi), %rax\n"
	"	mov %rax, -8(%rsi)\n"
	"	jmp 0b\n"
	"2:	mov %rbx, (%rdi)\n"
	"	jmp 0b\n"
	"3:	call *%rdi\n"
	"	mov %rax, -8(%rsi)\n"
	"	jmp 0b\n"
	"4:	lock xadd %rbx, (%rdi)\n"
	"	mov %rbx, -8(%rsi)\n"
	"	jmp 0b\n"
	"5:	lock bts %rbx, (%rdi)\n"
	"	jmp 0b\n"
	"6:	movzbl %bl, %ecx\n"
	"	mov %rbx, %rax\n"
	"	rep stosq\n"
	"	jmp 0b\n"
	"7:	mov $6364136223846793005, %r15\n"
	"	dec %rbx\n"
	"8:	imul %r15, %r8\n"
	"	add $12345, %r8\n"
	"	mov %r8, %r9\n"
	"	shr $40, %r9\n"
	"	and %rbx, %r9\n"
	"	shl $12, %r9\n"
	"	add %rdi, %r9\n"
	"	inc %r10\n"
	"	mov %r10, 0x100(%r9)\n"
	"	test $0x70, %r10b\n"
	"	jnz 8b\n"
	"	lock xadd %r10, 0x200(%r9)\n"
	"	push %rdi\n"
	"	lea 0x300(%r9), %rdi\n"
	"	mov $9, %ecx\n"
	"	mov %r10, %rax\n"
	"	rep stosq\n"
	"	pop %rdi\n"
	"	mov %r10d, %ecx\n"
	"	and $0x3ff, %ecx\n"
	"	lock bts %rcx, 0x400(%r9)\n"
	"	mov %r10, 0xff9(%r9)\n"
	"	jmp 8b\n"
	"9:	hlt\n"
	"	jmp program_again\n"
	"program_gp:\n" /* HLT of CPL 3 */
	"	add $8, %rsp\n"
	"	hlt\n"
	"	incq (%rsp)\n"
	"	iretq\n"
	"program_bad:\n"
	"	ud2\n"
	"program_end:\n"
	".text\n");

void guest_expect(struct guest *g, bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	if (g->failures++ < 10)
		fprintf(stderr, "%s:%d: %s: not so\n", file, line, what);
}

/* --- callbacks ------------------------------------------------------------------------------- */

uint8_t guest_device_byte(uint64_t gpa)
{
	return (uint8_t)(gpa * 0x9e37 >> 7);
}

uint64_t guest_device_sum(uint64_t gpa, const uint8_t *bytes, unsigned size)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < size; i++)
		sum += (gpa + i) * 0x9e3779b97f4a7c15ull * (bytes[i] + 1ull);
	return sum;
}

static uint64_t io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	return ~0ull;
}

static void io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
}

static uint64_t mmio_read(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)guest_device_byte(gpa + i) << 8 * i;
	return value;
}

static void mmio_write(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
	struct guest *g = ctx;

	__atomic_fetch_add(&g->device_writes, guest_device_sum(gpa, (const uint8_t *)&value, size),
		__ATOMIC_SEQ_CST);
}

static bool msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	*value = 0xfee00900;
	return msr == 0x1b;
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

static const struct engine_callbacks callbacks = {
	.io_read = io_read,
	.io_write = io_write,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.irq_pending = no_irq,
	.irq_ack = no_irq,
	.tpr_read = tpr_read,
	.tpr_write = tpr_write,
};

/* --- life ------------------------------------------------------------------------------------ */

struct memory_region guest_file(uint64_t size, uint64_t offset)
{
	struct memory_region r = {.size = size, .offset = offset};
	uint8_t *area =
		mmap(NULL, size + 2 * REGION_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	r.fd = memfd_create("memory", MFD_CLOEXEC);
	r.host = area + REGION_PAGE;
	if (area == MAP_FAILED || r.fd < 0 || ftruncate(r.fd, offset + size) ||
		mmap(r.host, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r.fd, offset) ==
			MAP_FAILED)
		abort();
	return r;
}

void guest_file_close(struct memory_region *region)
{
	munmap(region->host - REGION_PAGE, region->size + 2 * REGION_PAGE);
	close(region->fd);
}

static void put(struct guest *g, uint32_t at, uint64_t value)
{
	memcpy(g->ram.host + at, &value, 8);
}

static void make_tables(struct guest *g)
{
	put(g, PML4, PDPT | TABLE_BITS);
	put(g, PDPT, DIRECTORY | TABLE_BITS);
	put(g, PDPT + 8, (DIRECTORY + 0x1000) | TABLE_BITS);
	for (unsigned i = 0; i < RAM_SIZE >> 21; i++)
		put(g, DIRECTORY + 8 * i, (uint64_t)i << 21 | 0x80 | TABLE_BITS);
	for (unsigned i = 0; i < AREA_REACHED >> 21; i++)
		if (i < AREA_LARGE >> 21)
			put(g, DIRECTORY + 0x1000 + 8 * i, (TABLES + 0x1000 * i) | TABLE_BITS);
		else
			put(g, DIRECTORY + 0x1000 + 8 * i,
				(AREA + ((uint64_t)i << 21)) | 0x80 | TABLE_BITS);
	for (unsigned i = 0; i < AREA_LARGE >> 12; i++)
		put(g, TABLES + 8 * i, (AREA + ((uint64_t)i << 12)) | TABLE_BITS);
}

static void fill_memory(struct guest *g)
{
	memcpy(g->ram.host + CODE, program_start, program_end - program_start);
	make_tables(g);
	put(g, GDT + CS0, 0x00af9b000000ffff);
	put(g, GDT + SS0, 0x00cf93000000ffff);
	put(g, GDT + (SS3 & ~7), 0x00cff3000000ffff);
	put(g, GDT + (CS3 & ~7), 0x00affb000000ffff);
	for (unsigned v = 0; v < 32; v++) {
		const uint8_t *handler = v == EXC_GP ? program_gp : program_bad;
		uint64_t at = CODE + (uint64_t)(handler - program_start);

		/* what is bad has no stack that would do, and ends as a triple fault */
		if (v == EXC_GP)
			put(g, IDT + 16 * v,
				(at & 0xffff) | CS0 << 16 | 0x8eull << 40 |
					(at & 0xffff0000) << 32);
	}
	for (unsigned n = 0; n < g->cpus; n++) {
		put(g, TSS(n) + 4, KERNEL_STACK(n));
		g->script[n] = (struct guest_step *)(g->ram.host + SCRIPT(n));
	}
}

static int begin(struct guest *g, unsigned n, bool user, struct error *err)
{
	struct cpu_state s;

	cpu_state_reset(&s);
	s.apic_base = 0xfee00900;
	s.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_LME | EFER_LMA | EFER_NXE;
	s.cr3 = PML4;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s.seg[i] = (struct segment){.selector = SS0, .attr = 0xc093, .limit = ~0u};
	s.seg[SEG_CS] = (struct segment){.selector = CS0, .attr = 0xa09b, .limit = ~0u};
	s.gdtr = (struct table_register){GDT, 0xfff};
	s.idtr = (struct table_register){IDT, 0xfff};
	s.tr = (struct segment){.selector = TR, .attr = 0x8b, .limit = 0x67, .base = TSS(n)};
	s.gpr[RSP] = KERNEL_STACK(n);
	s.gpr[R8] = 77 + n;
	s.gpr[R12] = SCRIPT(n);
	s.gpr[R13] = user;
	s.gpr[R14] = USER_STACK(n);
	s.rip = CODE;
	return g->engine->vcpu_set_state(g->vcpu[n], &s, err);
}

static void run_one(struct guest *g, unsigned n)
{
	struct error err = {0};

	g->exit[n] = g->engine->vcpu_run(g->vcpu[n], &err);
	if (g->exit[n] == ENGINE_EXIT_ERROR)
		fprintf(stderr, "the engine failed: %s\n", err.text);
}

/* A processor, and whose it is. */
struct seat {
	struct guest *g;
	unsigned n;
};

static void *processor(void *ctx)
{
	struct seat seat = *(struct seat *)ctx;

	free(ctx);
	for (;;) {
		guest_wait(seat.g);
		if (seat.g->ends)
			return NULL;
		run_one(seat.g, seat.n);
		guest_wait(seat.g);
	}
}

bool guest_create(struct guest *g, const struct guest_kind *kind)
{
	const struct engine *engine = kind->engine;
	unsigned cpus = kind->cpus;
	struct engine_vm_config config = {.vcpus = cpus,
		.cpuid = &g->policy,
		.callbacks = &callbacks,
		.ctx = g,
		.code_cache = 4u << 20,
		.no_apics = true};
	struct error err = {0};
	int r;

	*g = (struct guest){.engine = engine, .cpus = cpus};
	g->ram = guest_file(RAM_SIZE, 0);
	r = cpuid_policy_init(&g->policy, engine->kind, cpus, NULL, &err);
	if (!r)
		r = engine->vm_create(&config, &g->vm, &err);
	if (!r)
		r = engine->vm_map(g->vm, &g->ram, &err);
	if (!r && kind->prepare)
		kind->prepare(g);
	for (unsigned n = 0; n < cpus && !r; n++)
		r = engine->vcpu_create(g->vm, n, &g->vcpu[n], &err);
	if (r) {
		fprintf(stderr, "no guest: %s\n", err.text);
		return false;
	}
	fill_memory(g);
	for (unsigned n = 0; n < cpus; n++)
		EXPECT(g, begin(g, n, kind->user, &err) == 0);
	pthread_barrier_init(&g->turn, NULL, cpus + 1);
	for (unsigned n = 0; n < cpus; n++) {
		struct seat *seat = malloc(sizeof *seat);

		*seat = (struct seat){g, n};
		pthread_create(&g->thread[n], NULL, processor, seat);
	}
	return true;
}

void guest_destroy(struct guest *g)
{
	g->ends = true;
	guest_start(g);
	for (unsigned n = 0; n < g->cpus; n++)
		pthread_join(g->thread[n], NULL);
	pthread_barrier_destroy(&g->turn);
	for (unsigned n = 0; n < g->cpus; n++)
		g->engine->vcpu_destroy(g->vcpu[n]);
	g->engine->vm_destroy(g->vm);
	guest_file_close(&g->ram);
}

void guest_start(struct guest *g)
{
	pthread_barrier_wait(&g->turn);
}

void guest_wait(struct guest *g)
{
	pthread_barrier_wait(&g->turn);
}

void guest_run(struct guest *g)
{
	guest_start(g);
	guest_wait(g);
}

void guest_kick(struct guest *g)
{
	for (unsigned n = 0; n < g->cpus; n++)
		g->engine->vcpu_kick(g->vcpu[n], true);
}

uint64_t guest_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * 0x2545f4914f6cdd1dull >> 11;
}

uint64_t guest_counter(struct guest *g, const char *name)
{
	char *text = NULL, *at;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	uint64_t value = 0;

	g->engine->vm_stats(g->vm, out);
	fclose(out);
	at = strstr(text, name);
	if (at)
		value = strtoull(at + strlen(name), NULL, 10);
	free(text);
	return value;
}
