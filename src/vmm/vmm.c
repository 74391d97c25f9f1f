/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/internal.h"
#include "vmm/launch.h"

_Static_assert(LIMIT_VCPUS <= MACHINE_VCPUS_MAX, "no machine has so many");

/* Two consoles on one terminal or socket: what is typed goes where the guest has last spoken. */
static size_t input(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	if (__atomic_load_n(&vmm->virtio_console, __ATOMIC_RELAXED))
		return virtio_console_input(vmm->devices.console, data, len);
	return machine_serial_input(vmm->machine, data, len);
}

static void serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, false, __ATOMIC_RELAXED);
	monitor_output(vmm->monitor, data, len);
}

static void virtio_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, true, __ATOMIC_RELAXED);
	monitor_output(vmm->monitor, data, len);
}

static void input_room(void *ctx)
{
	struct vmm *vmm = ctx;

	monitor_room(vmm->monitor);
}

static void balloon_changed(void *ctx)
{
	struct vmm *vmm = ctx;

	loop_post(monitor_loop(vmm->monitor), &vmm->balloon_work);
}

static void debug_stop(void *ctx, unsigned vcpu)
{
	struct vmm *vmm = ctx;

	if (vmm->gdb)
		gdb_stopped(vmm->gdb, vcpu);
}

/* Ends */

static enum end_reason end_of(const struct vmm *vmm, enum machine_result result)
{
	switch (result) {
	case MACHINE_POWEROFF:
		return END_POWEROFF;
	case MACHINE_REBOOT:
		return END_REBOOT;
	case MACHINE_STOPPED:
		return vmm->saved ? END_SAVED : END_KILLED;
	case MACHINE_CRASH:
		return END_CRASH;
	case MACHINE_TEST_END:
	case MACHINE_ENGINE_FAILED:
		break;
	}
	return END_ERROR;
}

/* The guest has ended as config.keep wants to look at: it stays until somebody destroys it. */
static void guest_held(void *ctx, enum machine_result result)
{
	struct vmm *vmm = ctx;

	monitor_keep(vmm->monitor, end_of(vmm, result));
}

static unsigned held_results(unsigned keep)
{
	unsigned results = 0;

	/* A power-off that was asked for as a reboot is kept as both are. */
	if (keep & (1u << END_POWEROFF | 1u << END_REBOOT))
		results |= 1u << MACHINE_POWEROFF;
	if (keep & 1u << END_REBOOT)
		results |= 1u << MACHINE_REBOOT;
	if (keep & 1u << END_CRASH)
		results |= 1u << MACHINE_CRASH;
	return results;
}

/* Making it */

static int spawn_vcpus(void *ctx, int (*start)(void *start_ctx), void *start_ctx)
{
	struct vmm *vmm = ctx;
	struct nest *nest = vmm->vcpu_nest;

	vmm->vcpu_nest = NULL;
	return nest ? nest_run(nest, start, start_ctx) : start(start_ctx);
}

static int choose_engine(struct vmm *vmm, struct error *err)
{
	enum cpuid_engine kind;
	char why[256] = "";
	int r;

	vmm->engine = engine_find(vmm->config.machine.engine, why, sizeof why, err);
	if (!vmm->engine)
		return -EINVAL;
	if (why[0])
		fprintf(stderr, "dach: this guest is translated: %s\n", why);
	kind = vmm->engine->kind;
	vmm->needs.kvm = kind == CPUID_KVM;
	/* A guest that is restored has its processor; here, all that there is is on offer. */
	r = cpuid_policy_init(&vmm->cpuid, kind, vmm->config.vcpus,
		vmm->move.state ? "host" : vmm->config.machine.cpu_model, err);
	if (!r && vmm->move.state)
		r = move_accept(&vmm->move, kind, &vmm->cpuid, err);
	if (!r && vmm->config.test_vendor)
		cpuid_policy_vendor(&vmm->cpuid, vmm->config.test_vendor);
	return r;
}

static int make_machine(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = &vmm->config;
	struct machine_config machine = {
		.engine = vmm->engine,
		.cpuid = &vmm->cpuid,
		.vcpus = config->vcpus,
		.memory = config->memory,
		.loop = monitor_loop(vmm->monitor),
		.restore = config->restore_from != NULL,
		.reload = vmm->reader && !config->no_reboot ? kernel_load : NULL,
		.reload_ctx = vmm,
		.test_devices = config->test_devices,
		.serial_output = serial_output,
		.serial_room = input_room,
		.serial_ctx = vmm,
		.debug_stop = debug_stop,
		.debug_ctx = vmm,
		.spawn = spawn_vcpus,
		.spawn_ctx = vmm,
		.reset_ends = config->no_reboot,
		.hold = held_results(config->keep),
		.held = guest_held,
		.held_ctx = vmm,
		.code_cache = config->code_cache,
		.sight = &vmm->sight.engine,
		.no_windows = config->no_windows,
	};
	int r = kernel_load(vmm, &machine.kernel, &machine.initrd, &machine.cmdline, err);

	if (!r)
		r = machine_create(&machine, &vmm->machine, err);
	/* A guest that is not started twice needs nobody who reads its disk again. */
	if (config->no_reboot) {
		kernel_reader_destroy(vmm->reader, true);
		vmm->reader = NULL;
	}
	return r;
}

/* The devices, and the walls around them and around the vCPUs to come. */
static int make_devices(struct vmm *vmm, struct error *err)
{
	const struct virtio_console_backend console = {vmm, virtio_output, input_room};
	const char *disk[LIMIT_DISKS + 1] = {NULL};
	int r = devices_open(&vmm->devices, &vmm->config, err);

	/* The files that are opened by name while the devices are made. */
	for (unsigned i = 0; i < vmm->config.disks; i++)
		disk[i] = vmm->config.disk[i].file[0].name;
	vmm->needs.user = vmm->devices.user;
	vmm->needs.gdb = vmm->gdb != NULL;
	vmm->needs.profile = vmm->config.profile != NULL;
	if (!r)
		r = monitor_restrict(vmm->monitor, disk, vmm->devices.user, err);
	if (!r)
		r = devices_create(&vmm->devices, &vmm->config, vmm->machine, &console,
			balloon_changed, vmm->monitor, err);
	if (!r)
		r = monitor_nest(vmm->monitor, CALLS_VCPU, &vmm->vcpu_nest, err);
	if (!r)
		kernel_write_saved(vmm);
	return r;
}

static int create(void *ctx, struct guest_monitor *monitor, struct error *err)
{
	struct vmm *vmm = ctx;
	int r;

	vmm->monitor = monitor;
	r = save_open(vmm, err);
	if (!r)
		r = kernel_open(vmm, err);
	if (!r)
		r = choose_engine(vmm, err);
	if (!r)
		r = sight_open(&vmm->sight, &vmm->config, vmm->engine, err);
	if (!r)
		r = make_machine(vmm, err);
	if (!r && vmm->config.gdb)
		r = gdb_create(vmm->machine, vmm->config.gdb, &vmm->gdb, err);
	if (!r)
		r = make_devices(vmm, err);
	return r;
}

static int load(void *ctx, struct error *err)
{
	struct vmm *vmm = ctx;
	int r = vmm->move.state ? move_load(&vmm->move, vmm->machine) : 0;

	move_close(&vmm->move);
	return r;
}

/* Running */

static void run(void *ctx, struct end_report *end)
{
	struct vmm *vmm = ctx;

	if (vmm->config.trims)
		idle_start(&vmm->idle, vmm->machine);
	/* One that waits for a debugger, or goes on, owes nobody a word. */
	if (!vmm->config.gdb && !vmm->config.restore_from)
		monitor_expect(vmm->monitor, "Does its command line have console=ttyS0?");
	vmm->result = machine_run(vmm->machine, &end->error);
	idle_stop(&vmm->idle);
	end->reason = end_of(vmm, vmm->result);
	end->status = end_info(end->reason)->status;
	if (end->reason == END_CRASH)
		error_set(&end->error, EIO, "the guest crashed");
	if (vmm->result == MACHINE_ENGINE_FAILED)
		error_set(&end->error, EIO, "the engine failed");
	if (vmm->result == MACHINE_TEST_END)
		end->status = END_STATUS_TEST + (machine_test_status(vmm->machine) & 127);
}

static void ended(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->result == MACHINE_ENGINE_FAILED)
		machine_dump(vmm->machine, stderr);
	if (vmm->config.stats)
		machine_stats(vmm->machine, stderr);
	machine_sight(vmm->machine);
}

static void pause_machine(void *ctx)
{
	struct vmm *vmm = ctx;

	/* A debugger may hold it: it is then not ours to let go. */
	vmm->was_paused = machine_paused(vmm->machine);
	machine_pause(vmm->machine);
}

static void resume_machine(void *ctx)
{
	struct vmm *vmm = ctx;

	if (!vmm->was_paused)
		machine_resume(vmm->machine);
}

static void press_button(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_power_button(vmm->machine);
}

static void end_guest(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_stop(vmm->machine);
}

static void add_calls(void *ctx, struct calls *calls, unsigned roles)
{
	struct vmm *vmm = ctx;

	vmm_calls(&vmm->needs, calls, roles);
}

static void destroy(void *ctx)
{
	struct vmm *vmm = ctx;

	idle_stop(&vmm->idle);
	nest_destroy(vmm->vcpu_nest);
	devices_destroy(&vmm->devices);
	gdb_destroy(vmm->gdb);
	machine_destroy(vmm->machine);
	sight_close(&vmm->sight);
	save_close(vmm);
	kernel_close(vmm);
	free(vmm);
}

static const struct guest_ops vmm_ops = {
	.create = create,
	.load = load,
	.run = run,
	.ended = ended,
	.destroy = destroy,
	.pause = pause_machine,
	.resume = resume_machine,
	.ask = press_button,
	.end = end_guest,
	.input = input,
	.describe = verbs_describe,
	.request = verbs_request,
	.calls = add_calls,
};

/* destroy() frees it. NULL: told in *end. */
static struct vmm *vmm_create(struct end_report *end)
{
	struct vmm *vmm = calloc(1, sizeof *vmm);

	*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {""}};
	if (!vmm) {
		error_nomem(&end->error);
		return NULL;
	}
	vmm->kernel.fd = vmm->initrd.fd = vmm->save = vmm->restore = -1;
	vmm->balloon_work = (struct loop_work){.run = verbs_tell_memory, .ctx = vmm};
	return vmm;
}

void vmm_run(const struct vmm_config *config, struct end_report *end)
{
	const struct foreground foreground = {
		.grace = config->grace,
		.save = config->save_to ? save_guest : NULL,
	};
	struct vmm *vmm = vmm_create(end);

	if (!vmm)
		return;
	vmm->config = *config;
	monitor_foreground(&vmm_ops, vmm, &foreground, end);
}

void vmm_run_launched(const struct launch_spec *spec, struct end_report *end)
{
	struct vmm *vmm = vmm_create(end);

	if (!vmm)
		return;
	vmm_config_of_launch(spec, &vmm->config);
	monitor_launched(&vmm_ops, vmm, spec, end);
}
