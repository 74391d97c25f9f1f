/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/thread.h"
#include "machine/acpi/acpi.h"
#include "machine/boot/boot.h"
#include "machine/chipset/pm.h"
#include "machine/chipset/serial.h"
#include "machine/chipset/testdev.h"
#include "machine/firmware/fw_cfg.h"
#include "machine/internal.h"
#include "machine/memory_lazy.h"
#include "machine/pci/root.h"

#define POLL_MAX 50000u /* ns */
#define STOP_SECONDS 5  /* a vCPU that has not left the engine by then never will */

void machine_debug_stop(struct machine *machine, unsigned vcpu)
{
	if (!machine->config.owner.debug_stop)
		return;
	mutex_lock(&machine->lock);
	machine->paused = true;
	machine->only = ALL;
	machine->debug_vcpu = vcpu;
	machine_update(machine);
	mutex_unlock(&machine->lock);
	loop_post(machine->config.loop, &machine->debug_work);
}

static void tell_debugger(void *ctx)
{
	struct machine *machine = ctx;

	machine_pause(machine);
	machine->config.owner.debug_stop(machine->config.owner.ctx, machine->debug_vcpu);
}

/* The end */

/* Stays at this result, if that is wanted. */
static bool hold(struct machine *machine, enum machine_result result) REQUIRES(machine->lock)
{
	if (atomic_load(&machine->over) || !(machine->config.hold & 1u << result))
		return false;
	if (!machine->held) {
		machine->held = machine->paused = true;
		machine->result = result;
		machine_update(machine);
		loop_post(machine->config.loop, &machine->held_work);
	}
	return true;
}

static void tell_held(void *ctx)
{
	struct machine *machine = ctx;

	machine_pause(machine);
	machine->config.owner.held(machine->config.owner.ctx, machine->result);
}

void machine_end(struct machine *machine, enum machine_result result, const struct error *err)
{
	mutex_lock(&machine->lock);
	if (hold(machine, result)) {
		mutex_unlock(&machine->lock);
		return;
	}
	if (!atomic_load(&machine->over)) {
		if (!machine->held)
			machine->result = result;
		if (err)
			machine->failure = *err;
		atomic_store(&machine->over, true);
		for (unsigned i = 0; i < machine->made; i++)
			vcpu_look_soon(&machine->vcpu[i]);
		pthread_cond_broadcast(&machine->changed);
	}
	mutex_unlock(&machine->lock);
	loop_stop(machine->config.loop);
}

void machine_stop(struct machine *machine)
{
	machine_end(machine, MACHINE_STOPPED, NULL);
}

void machine_power_button(struct machine *machine)
{
	pm_power_button(board_find(&machine->board, &pm_device));
}

size_t machine_serial_input(struct machine *machine, const uint8_t *data, size_t len)
{
	return serial_input(board_find(&machine->board, &serial_com1_device), data, len);
}

/* Boot and reset */

static int new_generation(struct machine *machine)
{
	uint8_t id[ACPI_GENERATION_SIZE];
	uint64_t at = ACPI_GENERATION;

	if (machine_has_firmware(machine))
		at = fw_cfg_generation(board_find(&machine->board, &fw_cfg_device));
	if (getrandom(id, sizeof id, 0) != sizeof id)
		return -EIO;
	return at ? memory_write(&machine->mem, at, id, sizeof id) : -ENOENT;
}

void machine_renew(struct machine *machine)
{
	if (new_generation(machine))
		return;
	ioapic_set(machine_ioapic(machine), ACPI_GENERATION_IRQ, true);
	ioapic_set(machine_ioapic(machine), ACPI_GENERATION_IRQ, false);
}

int machine_set_boot_order(struct machine *machine, const char *paths, struct error *err)
{
	return machine_has_firmware(machine)
		? fw_cfg_set_boot_order(board_find(&machine->board, &fw_cfg_device), paths, err)
		: 0;
}

static int load_acpi(struct machine *machine, struct error *err)
{
	const struct acpi_config acpi = {.vcpus = machine->config.vcpus,
		.keyboard = machine->config.keyboard,
		.screen = machine->config.screen};
	uint8_t *tables = calloc(1, ACPI_SIZE);
	int used;

	if (!tables)
		return error_set(err, ENOMEM, "no memory for the ACPI tables");
	used = acpi_build(tables, ACPI_SIZE, &acpi, err);
	if (used > 0 && memory_write(&machine->mem, ACPI_BASE, tables, used) < 0)
		used = error_set(err, ENOMEM, "the guest has too little memory to start");
	free(tables);
	if (used > 0 && new_generation(machine))
		used = error_set(err, EIO, "no random number for the guest");
	return used < 0 ? used : 0;
}

static int find_kernel(struct machine *machine, struct error *err)
{
	struct machine_config *config = &machine->config;

	if (machine_has_firmware(machine))
		return 0;
	return config->owner.load ? config->owner.load(config->owner.ctx, &config->kernel,
					    &config->initrd, &config->cmdline, err)
				  : 0;
}

/* Everything as after power-on, the kernel loaded. No vCPU runs. */
static int boot(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	const struct boot_config boot_config = {
		.kernel = config->kernel,
		.initrd = config->initrd,
		.cmdline = config->cmdline ? config->cmdline : "",
		.rsdp = ACPI_BASE,
		.multiboot = config->test_devices,
		.screen = config->screen,
	};
	struct cpu_state state;
	int r = 0;

	cpu_state_reset(&state);
	if (!machine_has_firmware(machine)) {
		r = load_acpi(machine, err);
		if (!r)
			r = boot_load(&machine->mem, &boot_config, &state, err);
	}
	if (r < 0)
		return r;
	atomic_store(&machine->tsc_offset, -(int64_t)__rdtsc());
	for (unsigned i = 0; i < machine->made && !r; i++)
		r = vcpu_boot(&machine->vcpu[i], &state, err);
	if (!r)
		board_power_on(&machine->board);
	return r;
}

void machine_reset(struct machine *machine)
{
	if (machine->config.reset_ends) {
		machine_end(machine, MACHINE_REBOOT, NULL);
		return;
	}
	machine_ask(machine, &machine->resetting, &machine->reset_work);
}

void machine_guest_reset(struct machine *machine)
{
	const struct machine_owner *owner = &machine->config.owner;
	const char *why = owner->reset_is_crash ? owner->reset_is_crash(owner->ctx) : NULL;

	if (why)
		machine_finish(machine, MACHINE_CRASH, why);
	else
		machine_reset(machine);
}

static void reset(void *ctx)
{
	struct machine *machine = ctx;
	struct error err = {0};
	int r;

	if (!machine_stands(machine))
		return;
	board_reset(&machine->board);
	machine_apics_reset(machine);
	memory_clear(&machine->mem);
	r = find_kernel(machine, &err);
	if (!r)
		r = boot(machine, &err);
	if (r < 0)
		machine_end(machine, MACHINE_ENGINE_FAILED, &err);
	else
		machine_done(machine, &machine->resetting);
}

/* Making it */

static int make_engine(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	const struct engine_vm_config vm_config = {
		.vcpus = config->vcpus,
		.cpuid = config->cpuid,
		.callbacks = &machine_callbacks,
		.ctx = machine,
		.code_cache = config->code_cache,
		.profile = config->profile,
		.no_windows = config->no_windows,
		.native_always = config->native_always,
	};
	int r = config->engine->vm_create(&vm_config, &machine->vm, err);

	if (r < 0) {
		machine->vm = NULL;
		return r;
	}
	if (config->engine->apic && config->engine->apic->in_use(machine->vm))
		machine->engine_apic = config->engine->apic;
	for (unsigned i = 0; i < config->vcpus && !r; i++) {
		struct machine_vcpu *vcpu = &machine->vcpu[i];

		vcpu->machine = machine;
		vcpu->index = i;
		vcpu->run_allowed = true;
		atomic_store(&vcpu->request_pending, true);
		r = config->engine->vcpu_create(machine->vm, i, &vcpu->engine, err);
		if (!r)
			machine->made++;
		else
			vcpu->engine = NULL;
	}
	return r;
}

static int set_up(struct machine *machine, struct error *err)
{
	int r = machine_board_init(machine, err);

	return r ? r : make_engine(machine, err);
}

int machine_processes(struct machine *machine, struct error *err)
{
	const struct engine *engine = machine->config.engine;

	if (!engine->vm_processes)
		return error_set(err, ENOTSUP, "the engine needs none");
	return engine->vm_processes(machine->vm, err);
}

static int make_memory(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	const uint64_t room = config->firmware.name ? 0 : BOOT_ROOM_MAX;
	const bool huge = config->engine->makes_huge_pages;

	if (config->adopts)
		return memory_adopt(&machine->mem, config->memory, room, huge, config->memory_fd,
			err);
	return (config->layered ? memory_create_file : memory_create)(&machine->mem, config->memory,
		room, huge, err);
}

int machine_create(const struct machine_config *config, struct machine **out, struct error *err)
{
	struct machine *machine;
	int r;

	*out = NULL;
	if (config->vcpus < 1 || config->vcpus > MACHINE_VCPUS_MAX)
		return error_set(err, EINVAL, "a guest has 1 to %d processors, not %u",
			MACHINE_VCPUS_MAX, config->vcpus);
	machine = calloc(1, sizeof *machine);
	if (!machine)
		return error_set(err, ENOMEM, "no memory for the machine");
	machine->config = *config;
	machine->only = ALL;
	mutex_init(&machine->lock);
	pthread_cond_init(&machine->changed, NULL);
	machine->reset_work = (struct loop_work){.run = reset, .ctx = machine};
	machine->remap_work = (struct loop_work){.run = machine_remap, .ctx = machine};
	machine->debug_work = (struct loop_work){.run = tell_debugger, .ctx = machine};
	machine->held_work = (struct loop_work){.run = tell_held, .ctx = machine};
	machine->memory_work = (struct loop_work){.run = machine_end_lazy, .ctx = machine};
	/* Threads inherit it: a halted vCPU is to wake when its timer says so, not 50 us later. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	/* With fewer processors than vCPUs, polling takes one from those that have work. */
	machine->host_cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	machine->poll_max = POLL_MAX;
	r = make_memory(machine, err);
	if (r < 0) {
		free(machine);
		return r;
	}
	r = set_up(machine, err);
	if (r < 0) {
		machine_destroy(machine);
		return r;
	}
	*out = machine;
	return 0;
}

int machine_boot(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	int r = find_kernel(machine, err);

	if (r)
		return r;
	if (!machine_has_firmware(machine) && !config->adopts)
		memory_keep_room(&machine->mem, boot_room(&config->kernel, config->memory));
	r = memory_attach(&machine->mem, config->engine, machine->vm, err);
	return r || config->restore ? r : boot(machine, err);
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	/* A thread that did not stop still uses all of it. */
	for (unsigned i = 0; i < machine->made; i++)
		if (machine->vcpu[i].started && !machine->vcpu[i].joined)
			return;
	memory_lazy_end(&machine->mem);
	for (unsigned i = 0; i < machine->made; i++)
		machine->config.engine->vcpu_destroy(machine->vcpu[i].engine);
	if (machine->vm)
		machine->config.engine->vm_destroy(machine->vm);
	machine_apics_destroy(machine);
	board_destroy(&machine->board);
	memory_destroy(&machine->mem);
	pthread_cond_destroy(&machine->changed);
	mutex_destroy(&machine->lock);
	free(machine);
}

/* Running it */

/* vCPU threads take no signals but those that the engine lets through. */
static int start_threads(void *ctx)
{
	struct machine *machine = ctx;
	int r = 0;

	mutex_lock(&machine->lock);
	machine->running = true;
	for (unsigned i = 0; i < machine->made; i++) {
		struct machine_vcpu *vcpu = &machine->vcpu[i];

		vcpu->parked = r != 0;
		if (r)
			continue;
		r = -thread_start(&vcpu->thread, 0, vcpu_thread, vcpu);
		vcpu->started = !r;
		vcpu->parked = r != 0;
	}
	mutex_unlock(&machine->lock);
	return r;
}

/* False, and the sentence in failure, if one does not end: a broken engine is not to hang us. */
static bool join_threads(struct machine *machine)
{
	struct timespec until;
	bool all = true;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_SECONDS;
	for (unsigned i = 0; i < machine->made; i++) {
		struct machine_vcpu *vcpu = &machine->vcpu[i];

		if (!vcpu->started)
			continue;
		vcpu->joined = !pthread_clockjoin_np(vcpu->thread, NULL, CLOCK_MONOTONIC, &until);
		if (vcpu->joined)
			continue;
		all = false;
		error_set(&machine->failure, EIO, "processor %u does not stop", i);
	}
	return all;
}

enum machine_result machine_run(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	int r = config->owner.spawn ? config->owner.spawn(config->owner.ctx, start_threads, machine)
				    : start_threads(machine);

	if (r) {
		struct error failure = {0};

		error_set(&failure, r, "cannot start the processors' threads: %s", thread_error(r));
		machine_end(machine, MACHINE_NOT_STARTED, &failure);
	}
	/* Somebody may stop the loop without ending the guest: that is its end too. */
	loop_run(machine->config.loop);
	machine_end(machine, MACHINE_STOPPED, NULL);
	if (!join_threads(machine))
		machine->result = MACHINE_ENGINE_FAILED;
	machine->running = false;
	if (machine->failure.text[0])
		error_set(err, EIO, "%s", machine->failure.text);
	return machine->result;
}

/* Parts */

struct memory *machine_memory(struct machine *machine)
{
	return &machine->mem;
}

struct pci_bus *machine_pci(struct machine *machine)
{
	return board_find(&machine->board, &pci_root_device);
}

struct bus *machine_io(struct machine *machine)
{
	return &machine->board.io;
}

struct bus *machine_mmio(struct machine *machine)
{
	return &machine->board.mmio;
}

struct loop *machine_loop(struct machine *machine)
{
	return machine->config.loop;
}

const struct engine *machine_engine(struct machine *machine)
{
	return machine->config.engine;
}

struct engine_vm *machine_vm(struct machine *machine)
{
	return machine->vm;
}

unsigned machine_vcpus(struct machine *machine)
{
	return machine->config.vcpus;
}

uint32_t machine_test_status(struct machine *machine)
{
	const struct testdev *testdev = board_find(&machine->board, &testdev_device);

	return testdev ? testdev_status(testdev) : 0;
}

struct engine_vcpu *machine_vcpu(struct machine *machine, unsigned index)
{
	return index < machine->made ? machine->vcpu[index].engine : NULL;
}
