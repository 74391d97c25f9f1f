/* SPDX-License-Identifier: Apache-2.0 */
/* The machine over an engine that is a few lines of C: each vCPU "runs" a function that stands for its guest. */
#ifndef DACH_TESTS_MACHINE_RIG_H
#define DACH_TESTS_MACHINE_RIG_H

#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/chipset/pm.h"
#include "machine/interrupt/lapic.h"
#include "machine/machine.h"

#define MIB 0x100000ull
#define CPUS 2
#define RIG_SIGNATURE 0xb00f21 /* CPUID leaf 1, EAX */

struct engine_vcpu {
	struct engine_vm *vm;
	unsigned index, step, boots;
	struct cpu_state state;
	atomic_bool forced, kicked, nmi, running;
	bool interruptible;
};

struct engine_vm {
	struct engine_vm_config config;
	struct engine_vcpu vcpu[CPUS];
	atomic_uint written;
};

#define NOTIFY_FDS 8

typedef enum engine_exit program(struct engine_vcpu *vcpu, struct error *err);

static struct {
	program *program[CPUS];
	struct engine_vm *vm;
	struct machine *machine;
	struct loop *loop;
	struct loop_timer timer;
	unsigned stops, rounds, pauses, waited;
	bool endless;
	char out[64];
	atomic_uint outs;
	/* What writes to an address signal: by the loop's thread; fd read by vCPUs (atomic), 0: free. */
	struct {
		uint64_t gpa;
		int fd;
	} notify[NOTIFY_FDS];
	unsigned notified;
} test;

/* The engine */

static int fake_create(const struct engine_vm_config *config, struct engine_vm **out,
	struct error *err)
{
	*out = calloc(1, sizeof **out);
	(*out)->config = *config;
	test.vm = *out;
	return 0;
}

static void fake_destroy(struct engine_vm *vm)
{
	free(vm);
}

static int fake_map(struct engine_vm *vm, const struct memory_region *region, struct error *err)
{
	return 0;
}

static void fake_written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	vm->written++;
}

static int fake_vcpu_create(struct engine_vm *vm, unsigned index, struct engine_vcpu **out,
	struct error *err)
{
	*out = &vm->vcpu[index];
	(*out)->vm = vm;
	(*out)->index = index;
	(*out)->interruptible = true;
	return 0;
}

static void fake_vcpu_destroy(struct engine_vcpu *vcpu)
{
}

static enum engine_exit fake_run(struct engine_vcpu *vcpu, struct error *err)
{
	enum engine_exit exit;

	vcpu->running = true;
	exit = test.program[vcpu->index](vcpu, err);
	vcpu->running = false;
	return exit;
}

static void fake_kick(struct engine_vcpu *vcpu, bool force)
{
	vcpu->kicked = true;
	if (force)
		vcpu->forced = true;
}

static void fake_nmi(struct engine_vcpu *vcpu)
{
	vcpu->nmi = true;
}

static void fake_get(struct engine_vcpu *vcpu, struct cpu_state *state)
{
	assert_false(vcpu->running);
	*state = vcpu->state;
}

static int fake_set(struct engine_vcpu *vcpu, const struct cpu_state *state, struct error *err)
{
	assert_false(vcpu->running);
	vcpu->state = *state;
	vcpu->boots++;
	return 0;
}

static bool fake_interruptible(struct engine_vcpu *vcpu)
{
	return vcpu->interruptible;
}

static pthread_mutex_t notify_lock = PTHREAD_MUTEX_INITIALIZER;

static int fake_notify_fd(struct engine_vm *vm, uint64_t gpa, int fd, bool on)
{
	int want = on ? 0 : fd, r = -ENOSPC;

	pthread_mutex_lock(&notify_lock);
	for (unsigned i = 0; i < NOTIFY_FDS && r; i++) {
		if (test.notify[i].fd != want || (!on && test.notify[i].gpa != gpa))
			continue;
		test.notify[i].gpa = gpa;
		__atomic_store_n(&test.notify[i].fd, on ? fd : 0, __ATOMIC_SEQ_CST);
		test.notified += on;
		r = 0;
	}
	pthread_mutex_unlock(&notify_lock);
	return r;
}

static const struct engine fake = {
	.name = "fake",
	.vm_create = fake_create,
	.vm_destroy = fake_destroy,
	.vm_map = fake_map,
	.vm_written = fake_written,
	.vm_notify_fd = fake_notify_fd,
	.vcpu_create = fake_vcpu_create,
	.vcpu_destroy = fake_vcpu_destroy,
	.vcpu_run = fake_run,
	.vcpu_kick = fake_kick,
	.vcpu_nmi = fake_nmi,
	.vcpu_get_state = fake_get,
	.vcpu_set_state = fake_set,
	.vcpu_interruptible = fake_interruptible,
};

/* What programs do */

static inline void out(struct engine_vcpu *vcpu, uint16_t port, unsigned size, uint64_t value)
{
	vcpu->vm->config.callbacks->io_write(vcpu->vm->config.ctx, vcpu->index, port, size, value);
}

static inline void apic(struct engine_vcpu *vcpu, unsigned reg, uint32_t value)
{
	vcpu->vm->config.callbacks->mmio_write(vcpu->vm->config.ctx, vcpu->index, LAPIC_BASE + reg,
		4, value);
}

static inline int ack(struct engine_vcpu *vcpu)
{
	int vector = vcpu->vm->config.callbacks->irq_ack(vcpu->vm->config.ctx, vcpu->index);

	if (vector >= 0)
		apic(vcpu, 0xb0, 0);
	return vector;
}

static inline void off(struct engine_vcpu *vcpu)
{
	out(vcpu, PM1_CONTROL, 2, 0x2000 | 5 << 10);
}

/* Until somebody asks this vCPU to leave. */
static inline enum engine_exit spin(struct engine_vcpu *vcpu, struct error *err)
{
	while (!atomic_exchange(&vcpu->forced, false))
		usleep(100);
	return ENGINE_EXIT_INTERRUPTED;
}

static inline enum engine_exit unreachable(struct engine_vcpu *vcpu, struct error *err)
{
	error_set(err, EIO, "a vCPU ran that should not");
	return ENGINE_EXIT_ERROR;
}

static inline void serial(void *ctx, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && test.outs < sizeof test.out - 1; i++)
		test.out[test.outs++] = data[i];
}

static inline void debug_stop(void *ctx, unsigned vcpu)
{
	test.stops++;
	assert_true(machine_paused(test.machine));
	machine_resume_one(test.machine, vcpu);
}

/* A kernel that only has an entry. */
static inline int kernel(void)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr seg[1];
		Elf64_Nhdr note;
		char name[4];
		uint32_t entry;
	} e = {
		.head = {.e_machine = EM_X86_64,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1},
		.seg = {{.p_type = PT_NOTE,
			.p_filesz = 20,
			.p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr)}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x100000,
	};
	int fd = memfd_create("kernel", 0);

	memcpy(e.head.e_ident, "\177ELF\2\1\1", 7);
	assert_int_equal(write(fd, &e, sizeof e), sizeof e);
	return fd;
}

static inline enum machine_result run(program *first, program *second, void (*tick)(void *ctx),
	struct error *err)
{
	static const struct cpuid_policy cpuid = {.tsc_khz = 2000000,
		.count = 1,
		.leaf = {{.leaf = 1, .eax = RIG_SIGNATURE}}};
	struct machine_config config = {.engine = &fake,
		.cpuid = &cpuid,
		.vcpus = CPUS,
		.memory = 16 * MIB,
		.initrd = {-1, ""},
		.cmdline = "",
		.owner = {.serial_output = serial, .debug_stop = debug_stop}};
	enum machine_result result;

	memset(&test, 0, sizeof test);
	err->text[0] = 0;
	test.endless = tick;
	test.program[0] = first;
	test.program[1] = second;
	config.kernel = (struct machine_file){kernel(), "kernel"};
	assert_int_equal(loop_create(&test.loop, err), 0);
	config.loop = test.loop;
	assert_int_equal(machine_create(&config, &test.machine, err), 0);
	assert_int_equal(machine_boot(test.machine, err), 0);
	assert_true(test.vm->written > 0);
	if (tick) {
		loop_timer_init(&test.timer, test.loop, tick, NULL);
		loop_timer_arm(&test.timer, clock_now() + 2000000);
	}
	result = machine_run(test.machine, err);
	machine_destroy(test.machine);
	loop_destroy(test.loop);
	close(config.kernel.fd);
	return result;
}

#endif
