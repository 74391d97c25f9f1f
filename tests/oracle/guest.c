/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest: memory, page tables, descriptor tables, and one vCPU of the
 * translating engine that runs a batch of sequences from one HLT to the next.
 * Every slot has an address space, code and data pages of its own.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "cpu/engine.h"
#include "cpu/translate/native/mirror.h"
#include "cpu/translate/vm.h"
#include "oracle.h"

#define RAM_SIZE (16u << 20)
#define DEVICE 0x40000000ull
#define APART 0x50000000ull /* the same memory once more */
#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)

#define KERNEL_CS 0x8
#define KERNEL_SS 0x10
/* as Linux has them: what runs natively finds the host's */
#define USER_SS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x50
#define KERNEL_CS32 0x40
#define USER_CS32 0x4b

extern const uint8_t guest_code[], guest_code_end[];
extern const uint64_t guest_vectors;

enum {
	TABLES = 7,
	SLOT_CODE = TABLES,
	SLOT_DATA = SLOT_CODE + CODE_PAGES,
	SLOT_PAGES = SLOT_DATA + DATA_STORED
};

struct guest {
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	struct engine_callbacks callbacks;
	int fd; /* guest memory: */
	uint8_t *ram, *apart;
	struct cpu_state state;
	struct guest_options options;
	unsigned runs;
};

/* --- callbacks ---------------------------------------------------------- */

static uint64_t no_io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	return ~0ull;
}

static void no_io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
}

/* The one device: the data pages, at DEVICE beyond where they are as memory. */
static uint64_t mmio_read(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	struct guest *g = ctx;
	uint64_t value = 0;

	if (gpa - DEVICE > RAM_SIZE - size)
		return ~0ull;
	memcpy(&value, g->ram + (gpa - DEVICE), size);
	return value;
}

static void mmio_write(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
	struct guest *g = ctx;

	if (gpa - DEVICE <= RAM_SIZE - size)
		memcpy(g->ram + (gpa - DEVICE), &value, size);
}

static bool no_msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	return false;
}

static bool no_msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	return false;
}

static int no_irq(void *ctx, unsigned index)
{
	return -1;
}

static uint64_t no_tpr_read(void *ctx, unsigned index)
{
	return 0;
}

static void no_tpr_write(void *ctx, unsigned index, uint64_t value)
{
}

/* --- tables --------------------------------------------------------------------------------------- */

static uint64_t *table(struct guest *g, uint64_t phys)
{
	return (uint64_t *)(g->ram + phys);
}

static uint64_t slot_phys(unsigned slot, unsigned page)
{
	return PHYS_SLOTS + ((uint64_t)slot * SLOT_PAGES + page) * PAGE;
}

static unsigned level(uint64_t address, unsigned n)
{
	return address >> (12 + 9 * n) & 511;
}

static void super_tables(struct guest *g)
{
	table(g, PHYS_PML4)[level(SUPER, 3)] = PHYS_SUPER_PDPT | PTE_P | PTE_W;
	table(g, PHYS_SUPER_PDPT)[level(SUPER, 2)] = PHYS_SUPER_PD | PTE_P | PTE_W;
	for (unsigned i = 0; i < RAM_SIZE >> 21; i++)
		table(g, PHYS_SUPER_PD)[i] = (uint64_t)i << 21 | PTE_P | PTE_W | PTE_PS | PTE_G;
}

/* The tables of one half of a slot's space: PDPT, PD, PT from page `first` of the slot on. */
static uint64_t *chain(struct guest *g, unsigned slot, unsigned first, uint64_t address)
{
	uint64_t bits = PTE_P | PTE_W | PTE_U;

	table(g, slot_phys(slot, 0))[level(address, 3)] = slot_phys(slot, first) | bits;
	table(g, slot_phys(slot, first))[level(address, 2)] = slot_phys(slot, first + 1) | bits;
	table(g, slot_phys(slot, first + 1))[level(address, 1)] = slot_phys(slot, first + 2) | bits;
	return table(g, slot_phys(slot, first + 2));
}

static void data_entries(const struct guest *g, uint64_t *pt, unsigned slot, uint64_t address,
	uint64_t user)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DATA_PAGES; i++)
		if (data_present[i])
			pt[level(address, 0) + i] = slot_phys(slot, SLOT_DATA + n++) |
				(g->options.device && data_device[i] ? DEVICE
						: data_apart[i]      ? APART
								     : 0) |
				PTE_P | user | PTE_NX | (data_writable[i] ? PTE_W : 0);
}

void guest_ready(struct guest *g, unsigned slot, bool supervisor, bool narrow)
{
	uint64_t user = supervisor ? 0 : PTE_U, *pt;
	struct job *job = guest_job(g, slot);

	memset(table(g, slot_phys(slot, 0)), 0, TABLES * PAGE);
	table(g, slot_phys(slot, 0))[level(SUPER, 3)] = PHYS_SUPER_PDPT | PTE_P | PTE_W;
	pt = chain(g, slot, 1, CODE_BASE);
	for (unsigned i = 0; i < CODE_PAGES; i++)
		pt[level(CODE_BASE, 0) + i] = slot_phys(slot, SLOT_CODE + i) | PTE_P | PTE_W | user;
	data_entries(g, pt, slot, DATA_BASE, user);
	data_entries(g, chain(g, slot, 4, DATA_ALIAS), slot, DATA_ALIAS, user);
	engine_translate.vm_written(g->vm, slot_phys(slot, 0), SLOT_PAGES * PAGE);
	job->cr3 = slot_phys(slot, 0) | (slot + 1); /* a PCID each */
	job->cs = supervisor ? KERNEL_CS : USER_CS;
	if (narrow)
		job->cs = supervisor ? KERNEL_CS32 : USER_CS32;
	job->ss = supervisor ? KERNEL_SS : USER_SS;
	job->components = g->state.xcr0;
	memset(&job->out, 0, sizeof job->out);
}

static void descriptors(struct guest *g)
{
	uint64_t *gdt = table(g, PHYS_GDT), *idt = table(g, PHYS_IDT);
	uint64_t tss = SUPER + PHYS_TSS, stack = SUPER + PHYS_STACK;

	gdt[KERNEL_CS / 8] = 0x00af9b000000ffff;
	gdt[KERNEL_SS / 8] = 0x00cf93000000ffff;
	gdt[USER_SS / 8] = 0x00cff3000000ffff;
	gdt[USER_CS / 8] = 0x00affb000000ffff;
	gdt[KERNEL_CS32 / 8] = 0x00cf9b000000ffff;
	gdt[USER_CS32 / 8] = 0x00cffb000000ffff;
	memcpy(g->ram + PHYS_TSS + 4, &stack, 8);    /* RSP0 */
	memcpy(g->ram + PHYS_TSS + 0x24, &stack, 8); /* IST1 */
	g->ram[PHYS_TSS + 0x66] = 0x68;              /* no I/O bitmap */
	for (unsigned v = 0; v < 256; v++) {
		uint64_t at = SUPER + PHYS_CODE + guest_vectors + v * 16;
		unsigned dpl = v == EXC_BP ? 3 : 0;

		idt[2 * v] = (at & 0xffff) | KERNEL_CS << 16 | 1ull << 32 | 0x8eull << 40 |
			(uint64_t)dpl << 45 | (at >> 16 & 0xffff) << 48;
		idt[2 * v + 1] = at >> 32;
	}
	g->state.gdtr = (struct table_register){SUPER + PHYS_GDT, 0xfff};
	g->state.idtr = (struct table_register){SUPER + PHYS_IDT, 0xfff};
	g->state.tr = (struct segment){.selector = TSS_SELECTOR,
		.attr = 0x8b,
		.limit = 0x67,
		.base = tss};
}

static void initial_state(struct guest *g, const struct cpuid_policy *policy)
{
	struct cpu_state *s = &g->state;

	engine_translate.vcpu_get_state(g->vcpu, s);
	s->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE |
		CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_UMIP;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	s->cr3 = PHYS_PML4;
	s->xcr0 = policy->xcr0;
	s->rflags = 2;
	s->cpl = 0;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct segment){.selector = USER_SS, .attr = 0xc0f3, .limit = ~0u};
	s->seg[SEG_SS] = (struct segment){.selector = KERNEL_SS, .attr = 0xc093, .limit = ~0u};
	s->seg[SEG_CS] = (struct segment){.selector = KERNEL_CS, .attr = 0xa09b, .limit = ~0u};
	s->rip = SUPER + PHYS_CODE;
	s->gpr[RSP] = SUPER + PHYS_STACK;
	descriptors(g);
}

/* --- life --------------------------------------------------------------------------------------------- */

struct guest *guest_create(const struct cpuid_policy *policy, const struct guest_options *options)
{
	struct guest *g = calloc(1, sizeof *g);
	struct engine_vm_config config = {.vcpus = 1,
		.cpuid = policy,
		.ctx = g,
		.code_cache = options->small_cache};
	struct error err = {0};

	if (!g)
		return NULL;
	g->callbacks = (struct engine_callbacks){.io_read = no_io_read,
		.io_write = no_io_write,
		.mmio_read = mmio_read,
		.mmio_write = mmio_write,
		.msr_read = no_msr_read,
		.msr_write = no_msr_write,
		.irq_pending = no_irq,
		.irq_ack = no_irq,
		.tpr_read = no_tpr_read,
		.tpr_write = no_tpr_write};
	config.callbacks = &g->callbacks;
	g->fd = memfd_create("oracle-ram", MFD_CLOEXEC);
	g->ram = g->apart = MAP_FAILED;
	if (g->fd >= 0 && ftruncate(g->fd, RAM_SIZE) == 0) {
		g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
		g->apart = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	}
	if (g->ram == MAP_FAILED || g->apart == MAP_FAILED ||
		engine_translate.vm_create(&config, &g->vm, &err) ||
		engine_translate.vm_map(g->vm,
			&(struct memory_region){.gpa = 0,
				.size = RAM_SIZE,
				.host = g->ram,
				.fd = g->fd},
			&err) ||
		engine_translate.vm_map(g->vm,
			&(struct memory_region){.gpa = APART,
				.size = RAM_SIZE,
				.host = g->apart,
				.fd = g->fd},
			&err)) {
		fprintf(stderr, "oracle: no guest: %s\n", err.text);
		return NULL;
	}
	guest_vm(g)->pool.policy =
		options->windows || options->native ? HOSTMAP_ALWAYS : HOSTMAP_NEVER;
	guest_vm(g)->native.always = options->native;
	if ((options->native && engine_translate.vm_processes(g->vm, &err)) ||
		engine_translate.vcpu_create(g->vm, 0, &g->vcpu, &err)) {
		fprintf(stderr, "oracle: no guest: %s\n", err.text);
		return NULL;
	}
	g->options = *options;
	if (options->no_adx)
		guest_vm(g)->cache.adx = false;
	memcpy(g->ram + PHYS_CODE, guest_code, (size_t)(guest_code_end - guest_code));
	super_tables(g);
	initial_state(g, policy);
	if (options->step) {
		/* a breakpoint where nothing runs */
		struct engine_debug debug = {.breakpoints = 1, .breakpoint = {SUPER}};

		engine_translate.vcpu_debug(g->vcpu, &debug);
	}
	if (engine_translate.vcpu_set_state(g->vcpu, &g->state, &err)) {
		fprintf(stderr, "oracle: no guest: %s\n", err.text);
		return NULL;
	}
	return g;
}

void guest_destroy(struct guest *g)
{
	engine_translate.vcpu_destroy(g->vcpu);
	engine_translate.vm_destroy(g->vm);
	munmap(g->ram, RAM_SIZE);
	munmap(g->apart, RAM_SIZE);
	close(g->fd);
	free(g);
}

struct translate_vm *guest_vm(struct guest *g)
{
	return (struct translate_vm *)g->vm; /* as the engine does itself */
}

struct job *guest_job(struct guest *g, unsigned slot)
{
	return (struct job *)(g->ram + PHYS_JOBS + slot * JOB_SIZE);
}

uint8_t *guest_slot_code(struct guest *g, unsigned slot)
{
	return g->ram + slot_phys(slot, SLOT_CODE);
}

uint64_t guest_slot_phys(unsigned slot)
{
	return slot_phys(slot, SLOT_CODE);
}

uint8_t *guest_slot_data(struct guest *g, unsigned slot)
{
	return g->ram + slot_phys(slot, SLOT_DATA);
}

void guest_stats(struct guest *g, FILE *out)
{
	engine_translate.vm_stats(g->vm, out);
}

/* --- running ---------------------------------------------------------------------------------------------- */

static struct engine_vcpu *watched;

static void late(int number)
{
	engine_translate.vcpu_kick(watched, number == SIGVTALRM);
}

static void watch(struct guest *g, bool on)
{
	struct sigaction act = {.sa_handler = late, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval tick = {{on, 0}, {on, 0}},
			 kick = {{0, on ? g->options.kick : 0}, {0, on ? g->options.kick : 0}};

	watched = g->vcpu;
	sigfillset(&act.sa_mask);
	sigaction(SIGVTALRM, &act, NULL);
	setitimer(ITIMER_VIRTUAL, &tick, NULL);
	if (g->options.kick) {
		sigaction(SIGALRM, &act, NULL);
		setitimer(ITIMER_REAL, &kick, NULL);
	}
}

/* The vCPU is stuck in a job, or has left the supervisor's code: start over with the next one. */
static void restart(struct guest *g)
{
	struct error err = {0};

	engine_translate.vcpu_set_state(g->vcpu, &g->state, &err);
}

#define KILL_RUNS 8u

/* As a host that is short of memory may. No program is in it: nothing is to be lost. */
static void kill_mirror(struct guest *g)
{
	const struct native_pool *pool = &guest_vm(g)->native;
	unsigned next = g->runs++ / KILL_RUNS;

	if (g->options.kill && g->runs % KILL_RUNS == 0 && next < pool->mirrors)
		kill(pool->mirror[next].pid, SIGKILL);
}

int guest_run(struct guest *g, unsigned count, bool *hung)
{
	uint64_t *vars = table(g, PHYS_VARS), last = 0;
	struct error err = {0};

	kill_mirror(g);
	vars[VARS_JOB / 8] = SUPER + PHYS_JOBS;
	vars[VARS_END / 8] = SUPER + PHYS_JOBS + (uint64_t)count * JOB_SIZE;
	memset(hung, 0, count * sizeof *hung);
	for (;;) {
		enum engine_exit why;
		uint64_t at;

		watch(g, true);
		why = engine_translate.vcpu_run(g->vcpu, &err);
		watch(g, false);
		at = vars[VARS_JOB / 8];
		if (why == ENGINE_EXIT_HALT && at >= vars[VARS_END / 8])
			return 0;
		if (why == ENGINE_EXIT_INTERRUPTED && at != last) {
			last = at; /* long, but moving */
			continue;
		}
		if (why != ENGINE_EXIT_INTERRUPTED && why != ENGINE_EXIT_HALT) {
			struct cpu_state s;

			engine_translate.vcpu_get_state(g->vcpu, &s);
			fprintf(stderr, "oracle: the guest ended (%d) in slot %u at %llx: %s\n",
				why, (unsigned)((at - SUPER - PHYS_JOBS) / JOB_SIZE),
				(unsigned long long)s.rip, err.text);
			err.text[0] = 0;
		}
		if (at >= vars[VARS_END / 8] || at < SUPER + PHYS_JOBS)
			return -1;
		hung[(at - SUPER - PHYS_JOBS) / JOB_SIZE] = true;
		vars[VARS_JOB / 8] = at + JOB_SIZE;
		restart(g);
	}
}
