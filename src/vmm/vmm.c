/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/internal.h"
#include "monitor/sandbox.h"
#include "vmm/calls.h"

_Static_assert(LIMIT_VCPUS <= MACHINE_VCPUS_MAX, "no machine has so many");

/* Two consoles on one terminal or socket: what is typed goes where the guest has last spoken. */
static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	if (__atomic_load_n(&vmm->virtio_console, __ATOMIC_RELAXED))
		return virtio_console_input(vmm->devices.console, data, len);
	return machine_serial_input(vmm->machine, data, len);
}

static void output(struct vmm *vmm, const uint8_t *data, size_t len)
{
	if (vmm->console)
		console_output(vmm->console, data, len);
	else
		terminal_output(&vmm->terminal, data, len);
}

static void serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, false, __ATOMIC_RELAXED);
	output(vmm, data, len);
}

static void virtio_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, true, __ATOMIC_RELAXED);
	output(vmm, data, len);
}

static void input_room(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->console)
		console_room(vmm->console);
	else
		terminal_room(&vmm->terminal);
}

static void power_button(void *ctx)
{
	power_ask(ctx);
}

static void end_guest(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_stop(vmm->machine);
}

static void terminal_gone(void *ctx)
{
	struct vmm *vmm = ctx;

	signals_hang_up(&vmm->signals);
}

static void balloon_changed(void *ctx)
{
	struct vmm *vmm = ctx;

	loop_post(vmm->loop, &vmm->balloon_work);
}

static void debug_stop(void *ctx, unsigned vcpu)
{
	struct vmm *vmm = ctx;

	if (vmm->gdb)
		gdb_stopped(vmm->gdb, vcpu);
}

static int open_file(const char *path, struct machine_file *file, struct error *err)
{
	file->name = path;
	file->fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (path && file->fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

static enum end_reason end_of(const struct vmm *vmm, enum machine_result result)
{
	switch (result) {
	case MACHINE_POWEROFF:
		return vmm->reboot ? END_REBOOT : END_POWEROFF;
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

	vmm->held = true;
	vmm->end = end_of(vmm, result);
	control_event(vmm->control,
		&(struct monitor_event){.kind = EVENT_KEPT, .reason = vmm->end});
}

static int spawn_vcpus(void *ctx, int (*start)(void *start_ctx), void *start_ctx)
{
	struct vmm *vmm = ctx;
	struct nest *nest = vmm->vcpu_nest;

	vmm->vcpu_nest = NULL;
	return nest_run(nest, start, start_ctx);
}

static unsigned held_results(const struct launch_spec *launch)
{
	unsigned keep = launch ? launch->keep : 0, results = 0;

	/* A power-off that was asked for as a reboot is kept as both are. */
	if (keep & (1u << END_POWEROFF | 1u << END_REBOOT))
		results |= 1u << MACHINE_POWEROFF;
	if (keep & 1u << END_REBOOT)
		results |= 1u << MACHINE_REBOOT;
	if (keep & 1u << END_CRASH)
		results |= 1u << MACHINE_CRASH;
	return results;
}

static int choose_engine(struct vmm *vmm, struct error *err)
{
	enum cpuid_engine kind;
	char why[256] = "";
	int r;

	vmm->engine = engine_find(vmm->config->machine.engine, why, sizeof why, err);
	if (!vmm->engine)
		return -EINVAL;
	if (why[0])
		fprintf(stderr, "dach: this guest is translated: %s\n", why);
	kind = vmm->engine->kind;
	/* A guest that is restored has its processor; here, all that there is is on offer. */
	r = cpuid_policy_init(&vmm->cpuid, kind, vmm->config->vcpus,
		vmm->move.state ? "host" : vmm->config->machine.cpu_model, err);
	if (!r && vmm->move.state)
		r = move_accept(&vmm->move, kind, &vmm->cpuid, err);
	if (!r && vmm->config->test_vendor)
		cpuid_policy_vendor(&vmm->cpuid, vmm->config->test_vendor);
	return r;
}

static void drop_kernel(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->reader)
		kernel_reader_drop(vmm->reader);
}

/* As soon as there is the disk. A guest that goes on where it was does not start its kernel. */
static void write_saved(struct vmm *vmm)
{
	if (!vmm->devices.disk[0])
		return;
	if (vmm->boot_saved.size && !vmm->config->restore_from)
		devices_write(&vmm->devices, vmm->boot_saved.offset, vmm->boot_saved.bytes,
			vmm->boot_saved.size);
	vmm->boot_saved.size = 0;
}

/* What the guest starts from, each time that it does. */
static int reload(void *ctx, struct machine_file *kernel, struct machine_file *initrd,
	const char **cmdline, struct error *err)
{
	struct vmm *vmm = ctx;
	const struct vmm_config *config = vmm->config;
	struct error why = {""};
	int r = vmm->reader ? kernel_reader_read(vmm->reader, kernel, initrd, cmdline, &why)
			    : -ENOENT;

	if (!r) {
		vmm->boot_saved = *kernel_reader_saved(vmm->reader);
		write_saved(vmm);
		/* once it has been loaded */
		loop_post(vmm->loop, &vmm->reader_work);
		return 0;
	}
	if (!config->kernel)
		return error_set(err, -r, "%s", why.text);
	if (vmm->reader)
		fprintf(stderr, "dach run: %s; starting %s\n", why.text, config->kernel);
	*kernel = vmm->kernel;
	*initrd = vmm->initrd;
	*cmdline = config->cmdline;
	return 0;
}

static int make_machine(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = vmm->config;
	struct machine_config machine = {
		.engine = vmm->engine,
		.cpuid = &vmm->cpuid,
		.vcpus = config->vcpus,
		.memory = config->memory,
		.loop = vmm->loop,
		.restore = config->restore_from != NULL,
		.reload = vmm->reader && !config->launch ? reload : NULL,
		.reload_ctx = vmm,
		.test_devices = config->test_devices,
		.serial_output = serial_output,
		.serial_room = input_room,
		.serial_ctx = vmm,
		.debug_stop = debug_stop,
		.debug_ctx = vmm,
		.spawn = config->launch ? spawn_vcpus : NULL,
		.spawn_ctx = vmm,
		.reset_ends = config->launch || config->no_reboot,
		.hold = held_results(config->launch),
		.held = guest_held,
		.held_ctx = vmm,
		.code_cache = config->code_cache,
		.sight = &vmm->sight.engine,
		.no_windows = config->no_windows,
	};
	int r = reload(vmm, &machine.kernel, &machine.initrd, &machine.cmdline, err);

	if (!r)
		r = machine_create(&machine, &vmm->machine, err);
	/* A daemon's guest is not started twice by one monitor: the next one reads the disk anew. */
	if (config->launch) {
		kernel_reader_destroy(vmm->reader, true);
		vmm->reader = NULL;
	}
	return r;
}

/* The files that dach run opens by name while the devices are made. */
static void restrict_to_disks(struct vmm *vmm)
{
	const char *disk[LIMIT_DISKS + 1] = {NULL};

	for (unsigned i = 0; i < vmm->config->disks; i++)
		disk[i] = vmm->config->disk[i].file[0].name;
	vmm->landlocked = sandbox_files(disk);
}

/* See sandbox.h: before the first thread, which devices_create() starts. */
static int restrict_early(struct vmm *vmm, struct error *err)
{
	const struct launch_spec *launch = vmm->config->launch;

	if (launch)
		return sandbox_lone(launch->uid, launch->gid, launch->domid, vmm->devices.user,
			&vmm->landlocked, err);
	restrict_to_disks(vmm);
	return 0;
}

/* Kernel and initrd, ours to close if they were opened by name; and who reads the disk's own. */
static int open_files(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = vmm->config;
	int r = 0;

	if (config->launch && config->kernel) {
		vmm->kernel = (struct machine_file){config->launch->kernel.fd, config->kernel};
		vmm->initrd = (struct machine_file){config->launch->initrd.fd, config->initrd};
	} else if (config->kernel) {
		r = open_file(config->kernel, &vmm->kernel, err);
		if (!r)
			r = open_file(config->initrd, &vmm->initrd, err);
	}
	vmm->reader_work = (struct loop_work){.run = drop_kernel, .ctx = vmm};
	if (!r && (!config->kernel || config->own_kernel))
		r = kernel_reader_create(config, &vmm->reader, err);
	return r;
}

static void dont_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* The daemon's way in, or the terminal's. */
static int open_doors(struct vmm *vmm, struct error *err)
{
	const struct launch_spec *launch = vmm->config->launch;
	const struct control_handler handler = {vmm, verbs_handle};
	int r;

	if (!launch)
		return 0;
	if (launch->console >= 0)
		dont_block(launch->console);
	r = console_create(vmm->loop, launch->console, send_input, vmm, &vmm->console, err);
	if (r || launch->control < 0)
		return r;
	dont_block(launch->control);
	return control_create(vmm->loop, launch->control, &handler, &vmm->control, err);
}

/* The devices, and the walls around them, around the vCPUs to come, and around us. */
static int make_devices(struct vmm *vmm, struct error *err)
{
	const struct virtio_console_backend console = {vmm, virtio_output, input_room};
	const bool lone = vmm->config->launch;
	struct vmm_needs needs;
	struct sandbox walls;
	int r = devices_open(&vmm->devices, vmm->config, err);

	if (!r)
		r = restrict_early(vmm, err);
	needs = (struct vmm_needs){
		.kvm = vmm->engine->kind == CPUID_KVM,
		.user = vmm->devices.user,
		.gdb = vmm->gdb != NULL,
		.profile = vmm->config->profile != NULL,
	};
	walls = (struct sandbox){
		.doors = lone,
		.landlocked = vmm->landlocked,
		.calls = vmm_calls,
		.ctx = &needs,
	};
	if (!r)
		r = devices_create(&vmm->devices, vmm->config, vmm->machine, &console,
			balloon_changed, lone ? &walls : NULL, err);
	if (!r && lone)
		r = nest_create(CALLS_VCPU, &walls, &vmm->vcpu_nest, err);
	return r ? r : sandbox_calls(lone ? CALLS_LOOP : CALLS_ALL, &walls, err);
}

static int set_up(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = vmm->config;
	int guard = config->launch ? -1 : terminal_guard();
	int r = loop_create(&vmm->loop, err);

	terminal_init(&vmm->terminal, guard, vmm->loop, send_input, end_guest, terminal_gone, vmm);
	vmm->signals.save = config->save_to ? save_guest : NULL;
	vmm->signals.grace = config->grace;
	if (!r)
		power_init(vmm);
	if (!r)
		r = signals_start(&vmm->signals, vmm->loop, power_button, end_guest, vmm, err);
	vmm->signals_started = !r && vmm->loop;
	if (!r)
		r = save_open(vmm, err);
	config = vmm->config;
	if (!r)
		r = open_files(vmm, err);
	if (!r)
		r = choose_engine(vmm, err);
	if (!r)
		r = sight_open(&vmm->sight, config, vmm->engine, err);
	if (!r)
		r = open_doors(vmm, err);
	if (!r)
		r = make_machine(vmm, err);
	if (!r && config->gdb)
		r = gdb_create(vmm->machine, config->gdb, &vmm->gdb, err);
	if (!r)
		r = make_devices(vmm, err);
	if (!r)
		write_saved(vmm);
	/* In there, since it comes from outside. */
	if (!r && vmm->move.state)
		r = move_load(&vmm->move, vmm->machine);
	move_close(&vmm->move);
	if (!r && config->launch && config->launch->paused) {
		vmm->paused = true;
		machine_pause(vmm->machine);
	}
	return r;
}

static struct vmm_end run(struct vmm *vmm, struct error *err)
{
	enum machine_result result;
	struct vmm_end end;

	vmm->started = clock_now();
	if (vmm->config->launch)
		idle_start(&vmm->idle, vmm->machine);
	if (!vmm->console)
		terminal_start(&vmm->terminal);
	/* One that waits for a debugger, or goes on, owes nobody a word. */
	if (!vmm->console && !vmm->config->gdb && !vmm->config->restore_from)
		terminal_expect(&vmm->terminal);
	result = machine_run(vmm->machine, err);
	end.reason = end_of(vmm, result);
	end.status = end_info(end.reason)->status;
	terminal_stop(&vmm->terminal);
	if (end.reason == END_CRASH)
		error_set(err, EIO, "the guest crashed");
	if (result == MACHINE_ENGINE_FAILED) {
		machine_dump(vmm->machine, stderr);
		error_set(err, EIO, "the engine failed");
	}
	if (result == MACHINE_TEST_END)
		end.status = END_STATUS_TEST + (machine_test_status(vmm->machine) & 127);
	return end;
}

/* Everything once, in the reverse order; what was never made is skipped. */
static void tear_down(struct vmm *vmm)
{
	terminal_stop(&vmm->terminal);
	power_stop(vmm);
	idle_stop(&vmm->idle);
	nest_destroy(vmm->vcpu_nest);
	verbs_end(vmm);
	control_destroy(vmm->control);
	devices_destroy(&vmm->devices);
	gdb_destroy(vmm->gdb);
	machine_destroy(vmm->machine);
	console_destroy(vmm->console);
	sight_close(&vmm->sight);
	if (vmm->signals_started)
		signals_stop(&vmm->signals);
	if (vmm->loop)
		loop_destroy(vmm->loop);
	save_close(vmm);
	kernel_reader_destroy(vmm->reader, false);
	if (vmm->config->kernel && !vmm->config->launch) {
		if (vmm->kernel.fd >= 0)
			close(vmm->kernel.fd);
		if (vmm->initrd.fd >= 0)
			close(vmm->initrd.fd);
	}
}

struct vmm_end vmm_run(const struct vmm_config *config, struct error *err)
{
	struct vmm *vmm = calloc(1, sizeof *vmm);
	struct vmm_end end = {END_ERROR, END_STATUS_SETUP};

	if (!vmm) {
		error_set(err, ENOMEM, "out of memory");
		return end;
	}
	vmm->config = config;
	vmm->kernel.fd = vmm->initrd.fd = vmm->save = vmm->restore = -1;
	vmm->balloon_work = (struct loop_work){.run = verbs_tell_memory, .ctx = vmm};
	if (!set_up(vmm, err)) {
		end = run(vmm, err);
		control_event(vmm->control,
			&(struct monitor_event){.kind = EVENT_ENDED, .reason = end.reason});
		if (config->stats)
			machine_stats(vmm->machine, stderr);
		machine_sight(vmm->machine);
	}
	tear_down(vmm);
	free(vmm);
	return end;
}
