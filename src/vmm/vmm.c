/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "debug/gdb.h"
#include "machine/machine.h"
#include "vmm/devices.h"
#include "vmm/sandbox.h"
#include "vmm/signals.h"
#include "vmm/terminal.h"

struct vmm {
	const struct vmm_config *config;
	const struct engine *engine;
	struct cpuid_policy cpuid;
	struct loop *loop;
	struct machine *machine;
	struct devices devices;
	struct terminal terminal;
	struct signals signals;
	struct gdb *gdb;
	int kernel, initrd;
	bool signals_started, landlocked;
	bool console; /* the guest has last spoken on the virtio console; atomic */
};

/* Two consoles on one terminal: what is typed goes where the guest has last spoken. */
static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	if (__atomic_load_n(&vmm->console, __ATOMIC_RELAXED))
		return virtio_console_input(vmm->devices.console, data, len);
	return machine_serial_input(vmm->machine, data, len);
}

static void serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->console, false, __ATOMIC_RELAXED);
	terminal_output(&vmm->terminal, data, len);
}

static void console_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->console, true, __ATOMIC_RELAXED);
	terminal_output(&vmm->terminal, data, len);
}

static void input_room(void *ctx)
{
	struct vmm *vmm = ctx;

	terminal_room(&vmm->terminal);
}

static void power_button(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_power_button(vmm->machine);
}

static void end_guest(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_stop(vmm->machine);
}

static void debug_stop(void *ctx, unsigned vcpu)
{
	struct vmm *vmm = ctx;

	if (vmm->gdb)
		gdb_stopped(vmm->gdb, vcpu);
}

static int open_file(const char *path, int *fd, struct error *err)
{
	*fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (path && *fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int choose_engine(struct vmm *vmm, struct error *err)
{
	char why[256] = "";

	vmm->engine = engine_find(vmm->config->engine, why, sizeof why, err);
	if (!vmm->engine)
		return -EINVAL;
	return cpuid_policy_init(&vmm->cpuid,
		vmm->engine == &engine_kvm ? CPUID_KVM : CPUID_TRANSLATE, vmm->config->vcpus, err);
}

static int make_machine(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = vmm->config;
	const struct machine_config machine = {
		.engine = vmm->engine,
		.cpuid = &vmm->cpuid,
		.vcpus = config->vcpus,
		.memory = config->memory,
		.loop = vmm->loop,
		.kernel = {vmm->kernel, config->kernel},
		.initrd = {vmm->initrd, config->initrd},
		.cmdline = config->cmdline,
		.test_devices = config->test_devices,
		.serial_output = serial_output,
		.serial_room = input_room,
		.serial_ctx = vmm,
		.debug_stop = debug_stop,
		.debug_ctx = vmm,
	};

	return machine_create(&machine, &vmm->machine, err);
}

/* See sandbox.h: files before the first thread, which devices_create() starts. */
static void restrict_files(struct vmm *vmm)
{
	const char *disk[VMM_DISKS_MAX + 1] = {NULL};
	char *copy[VMM_DISKS_MAX];
	unsigned n = 0;

	for (; n < vmm->config->disks; n++) {
		size_t len = strlen(vmm->config->disk[n]);

		if (len > 3 && !strcmp(vmm->config->disk[n] + len - 3, ",ro"))
			len -= 3;
		copy[n] = strndup(vmm->config->disk[n], len);
		disk[n] = copy[n] ? copy[n] : "";
	}
	vmm->landlocked = sandbox_files(disk);
	while (n--)
		free(copy[n]);
}

static int set_up(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = vmm->config;
	const struct virtio_console_backend console = {vmm, console_output, input_room};
	struct sandbox_needs needs;
	int guard = terminal_guard();
	int r = loop_create(&vmm->loop, err);

	terminal_init(&vmm->terminal, guard, vmm->loop, send_input, end_guest, vmm);
	if (!r)
		r = signals_start(&vmm->signals, vmm->loop, power_button, end_guest, vmm, err);
	vmm->signals_started = !r && vmm->loop;
	if (!r)
		r = open_file(config->kernel, &vmm->kernel, err);
	if (!r)
		r = open_file(config->initrd, &vmm->initrd, err);
	if (!r)
		r = choose_engine(vmm, err);
	if (r)
		return r;
	r = make_machine(vmm, err);
	if (!r && config->gdb)
		r = gdb_create(vmm->machine, config->gdb, &vmm->gdb, err);
	if (r)
		return r;
	restrict_files(vmm);
	r = devices_create(&vmm->devices, config, vmm->machine, &console, err);
	if (r)
		return r;
	needs = (struct sandbox_needs){
		.kvm = vmm->engine == &engine_kvm,
		.user = vmm->devices.user,
		.gdb = vmm->gdb != NULL,
		.landlocked = vmm->landlocked,
	};
	return sandbox_calls(&needs, err);
}

static enum vmm_end run(struct vmm *vmm, struct error *err)
{
	enum machine_result result;

	terminal_start(&vmm->terminal);
	result = machine_run(vmm->machine, err);
	terminal_stop(&vmm->terminal);
	switch (result) {
	case MACHINE_POWEROFF:
		return VMM_POWEROFF;
	case MACHINE_STOPPED:
		return VMM_STOPPED;
	case MACHINE_CRASH:
		error_set(err, EIO, "the guest crashed");
		return VMM_CRASH;
	case MACHINE_TEST_END:
		return VMM_TEST + (machine_test_status(vmm->machine) & 127);
	case MACHINE_ENGINE_FAILED:
		break;
	}
	machine_dump(vmm->machine, stderr);
	error_set(err, EIO, "the engine failed");
	return VMM_ENGINE;
}

/* Everything once, in the reverse order; what was never made is skipped. */
static void tear_down(struct vmm *vmm)
{
	terminal_stop(&vmm->terminal);
	devices_destroy(&vmm->devices);
	gdb_destroy(vmm->gdb);
	machine_destroy(vmm->machine);
	if (vmm->signals_started)
		signals_stop(&vmm->signals);
	if (vmm->loop)
		loop_destroy(vmm->loop);
	if (vmm->kernel >= 0)
		close(vmm->kernel);
	if (vmm->initrd >= 0)
		close(vmm->initrd);
}

enum vmm_end vmm_run(const struct vmm_config *config, struct error *err)
{
	struct vmm *vmm = calloc(1, sizeof *vmm);
	enum vmm_end end = VMM_SETUP;

	if (!vmm) {
		error_set(err, ENOMEM, "out of memory");
		return VMM_SETUP;
	}
	vmm->config = config;
	vmm->kernel = vmm->initrd = -1;
	if (!set_up(vmm, err)) {
		end = run(vmm, err);
		if (config->stats)
			machine_stats(vmm->machine, stderr);
	}
	tear_down(vmm);
	free(vmm);
	return end;
}
