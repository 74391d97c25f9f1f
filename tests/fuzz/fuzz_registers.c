/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a debugger writes into registers, in a vCPU of the translator: it is refused, or taken; what was taken
 * reads back so, and the vCPU runs on from it, on memory full of HLT.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "debug/registers.h"

#define RAM (2u << 20)
#define HLT 0xf4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct engine_vm *vm;
static struct engine_vcpu *vcpu;
static struct cpu_state fresh, state, back;
static uint8_t *ram;

static int no_irq(void *ctx, unsigned index)
{
	return -1;
}

static uint64_t read_nothing(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	return ~0ull;
}

static void write_nothing(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
}

static uint64_t in_nothing(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	return ~0ull;
}

static void out_nothing(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
}

static bool no_msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	return false;
}

static bool no_msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	return false;
}

static uint64_t no_priority(void *ctx, unsigned index)
{
	return 0;
}

static void ignore_priority(void *ctx, unsigned index, uint64_t value)
{
}

/* There are loops in memory that a guest has written to: a run ends soon whatever it does. */
static void *kick_often(void *ctx)
{
	for (;;) {
		usleep(5000);
		engine_translate.vcpu_kick(ctx, true);
	}
	return NULL;
}

static void set_up(void)
{
	pthread_t kicker;

	static struct cpuid_policy policy;
	static struct engine_callbacks callbacks = {.irq_pending = no_irq,
		.irq_ack = no_irq,
		.mmio_read = read_nothing,
		.mmio_write = write_nothing,
		.io_read = in_nothing,
		.io_write = out_nothing,
		.msr_read = no_msr_read,
		.msr_write = no_msr_write,
		.tpr_read = no_priority,
		.tpr_write = ignore_priority};
	struct engine_vm_config config = {.vcpus = 1, .cpuid = &policy, .callbacks = &callbacks};
	struct error err = {""};

	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED || cpuid_policy_init(&policy, CPUID_TRANSLATE, 1, "host", &err) ||
		engine_translate.vm_create(&config, &vm, &err) ||
		engine_translate.vm_map(vm,
			&(struct memory_region){.gpa = 0, .size = RAM, .host = ram, .fd = -1},
			&err) ||
		engine_translate.vcpu_create(vm, 0, &vcpu, &err))
		abort();
	if (pthread_create(&kicker, NULL, kick_often, vcpu))
		abort();
	engine_translate.vcpu_get_state(vcpu, &fresh);
	fresh.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	fresh.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	fresh.efer = EFER_LME | EFER_LMA;
	fresh.cr3 = 0x1000;
	fresh.rip = 0x10000;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		fresh.seg[i] = (struct segment){.selector = 0x10, .attr = 0xc093, .limit = ~0u};
	fresh.seg[SEG_CS] = (struct segment){.selector = 8, .attr = 0xa09b, .limit = ~0u};
	memset(ram, HLT, RAM);
	/* the first GiB, one to one */
	memset(ram + 0x1000, 0, 0x2000);
	ram[0x1000] = 0x03;
	ram[0x1001] = 0x20;
	ram[0x2000] = 0x83;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buf[REGISTER_MAX];
	struct error err = {""};

	if (!vm)
		set_up();
	state = fresh;
	for (; size > REGISTER_MAX; data += 1 + REGISTER_MAX, size -= 1 + REGISTER_MAX) {
		memcpy(buf, data + 1, sizeof buf);
		registers_write(&state, data[0] % (registers_count()), buf);
	}
	if (engine_translate.vcpu_set_state(vcpu, &state, &err))
		return 0;
	engine_translate.vcpu_get_state(vcpu, &back);
	if (memcmp(back.gpr, state.gpr, sizeof back.gpr) || back.rip != state.rip)
		abort();
	if (engine_translate.vcpu_run(vcpu, &err) == ENGINE_EXIT_ERROR)
		fprintf(stderr, "%s\n", err.text);
	return 0;
}
