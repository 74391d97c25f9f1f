/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine/memory_base.h"
#include "vmm/internal.h"
#include "vmm/launch.h"

/* Two consoles on one terminal or socket: what is typed goes where the guest has last spoken. */
static size_t input(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	if (vmm->command)
		return command_input(vmm->command, data, len);
	if (__atomic_load_n(&vmm->virtio_console, __ATOMIC_RELAXED))
		return virtio_console_input(vmm->devices.console, data, len);
	return machine_serial_input(vmm->machine, data, len);
}

enum end_reason vmm_end_of(const struct vmm *vmm, enum machine_result result)
{
	switch (result) {
	case MACHINE_POWEROFF:
		return END_POWEROFF;
	case MACHINE_REBOOT:
		return END_REBOOT;
	case MACHINE_STOPPED:
		return vmm->migrated ? END_MIGRATED : vmm->saved ? END_SAVED : END_KILLED;
	case MACHINE_CRASH:
		return END_CRASH;
	case MACHINE_TEST_END:
	case MACHINE_NOT_STARTED:
	case MACHINE_ENGINE_FAILED:
		break;
	}
	return END_ERROR;
}

static int load(void *ctx, struct error *err)
{
	struct vmm *vmm = ctx;
	const struct vmm_config *config = &vmm->config;
	int r = machine_boot(vmm->machine, err);

	/* A guest that is not started twice needs neither its kernel again nor who reads its disk. */
	if (config->no_reboot)
		kernel_close(vmm);
	if (!r && config->layers)
		r = memory_stand_on(machine_memory(vmm->machine), config->layer, config->layers,
			err);
	if (!r && vmm->arrival)
		r = arrive_accept(vmm, err);
	if (!r && vmm->move.state)
		r = move_load(&vmm->move, vmm->machine);
	if (!r && vmm->arrival)
		r = arrive_finish(vmm, err);
	/* What its devices have still to do is done to disks that are its own. */
	if (!r && vmm->move.state)
		r = machine_load_end(vmm->machine, err);
	if (r)
		arrive_fail(vmm, err);
	if (!r && (config->layers || config->renew))
		renew(&vmm->renewal, vmm->machine, &vmm->devices);
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
	if (!vmm->config.gdb && !vmm->config.restore_from && !vmm->config.command)
		monitor_expect(vmm->monitor, "Does its command line have console=ttyS0?");
	/* A debugger's guest stands still as often as not, and so do the tests' own. */
	if (!vmm->config.gdb && !vmm->config.test_devices)
		watch_start(&vmm->watch, vmm->machine);
	vmm->result = machine_run(vmm->machine, &end->error);
	watch_stop(&vmm->watch);
	idle_stop(&vmm->idle);
	end->reason = vmm_end_of(vmm, vmm->result);
	end->status = end_info(end->reason)->status;
	if (end->reason == END_CRASH)
		error_set(&end->error, EIO, "the guest crashed");
	if (vmm->result == MACHINE_NOT_STARTED)
		end->status = END_STATUS_SETUP;
	if (vmm->result == MACHINE_ENGINE_FAILED)
		error_set(&end->error, EIO, "the engine failed");
	if (vmm->result == MACHINE_TEST_END)
		end->status = END_STATUS_TEST + (machine_test_status(vmm->machine) & 127);
	if (vmm->command)
		command_result(vmm->command, end);
}

static void ended(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->result == MACHINE_ENGINE_FAILED)
		machine_dump(vmm->machine, stderr);
	if (vmm->config.stats)
		machine_stats(vmm->machine, stderr);
	machine_write_profile(vmm->machine);
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

	if (vmm->command)
		command_ask(vmm->command);
	else if (vmm->asked++ % 2 || exec_shutdown(vmm->exec)) /* one of both will listen */
		machine_power_button(vmm->machine);
}

static void end_guest(void *ctx)
{
	struct vmm *vmm = ctx;

	machine_stop(vmm->machine);
}

static void resize(void *ctx, unsigned columns, unsigned rows)
{
	struct vmm *vmm = ctx;

	if (vmm->command)
		command_resize(vmm->command, columns, rows);
	else
		virtio_console_resize(vmm->devices.console, columns, rows);
}

static void input_over(void *ctx)
{
	struct vmm *vmm = ctx;

	command_input_over(vmm->command);
}

static void written(void *ctx, unsigned stream, size_t len, bool gone)
{
	struct vmm *vmm = ctx;

	command_written(vmm->command, stream, len, gone);
}

static void describe(void *ctx, json_t *info)
{
	struct vmm *vmm = ctx;

	mutex_lock(&vmm->disks_lock);
	verbs_describe(vmm, info);
	mutex_unlock(&vmm->disks_lock);
}

static void add_calls(void *ctx, struct calls *calls, unsigned roles)
{
	struct vmm *vmm = ctx;

	vmm_calls(&vmm->needs, calls, roles);
}

static void destroy(void *ctx)
{
	struct vmm *vmm = ctx;

	watch_stop(&vmm->watch);
	idle_stop(&vmm->idle);
	nest_destroy(vmm->vcpu_nest);
	layers_close(&vmm->layers);
	command_destroy(vmm->command);
	exec_destroy(vmm->exec);
	renew_stop(&vmm->renewal);
	plug_end(vmm);
	mirror_end(vmm);
	shares_destroy(vmm->shares);
	/* Their requests under way may still go to video memory, which is the screen's. */
	devices_destroy(&vmm->devices);
	screen_destroy(vmm->screen);
	gdb_destroy(vmm->gdb);
	machine_destroy(vmm->machine);
	profile_close(&vmm->profile);
	arrive_close(vmm);
	save_close(vmm);
	kernel_close(vmm);
	kernel_close_variables(vmm);
	disk_spec_free(&vmm->seed);
	mutex_destroy(&vmm->disks_lock);
	free(vmm);
}

static const struct guest_ops vmm_ops = {
	.create = vmm_make,
	.load = load,
	.run = run,
	.ended = ended,
	.destroy = destroy,
	.pause = pause_machine,
	.resume = resume_machine,
	.ask = press_button,
	.end = end_guest,
	.input = input,
	.input_over = input_over,
	.written = written,
	.resize = resize,
	.describe = describe,
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
	mutex_init(&vmm->disks_lock);
	vmm->kernel.fd = vmm->initrd.fd = vmm->variables.fd = vmm->save = vmm->restore = -1;
	vmm->balloon_work = (struct loop_work){.run = verbs_tell_memory, .ctx = vmm};
	return vmm;
}

void vmm_run(const struct vmm_config *config, struct end_report *end)
{
	const struct foreground foreground = {
		.grace = config->grace,
		.timeout = config->timeout,
		.console = config->console,
		.quiet = config->quiet,
		.verbose = config->verbose,
		.command = config->command != NULL,
		.terminal = config->command && config->command->terminal,
		.save = config->save_to ? save_guest : NULL,
	};
	struct vmm *vmm = vmm_create(end);

	if (!vmm)
		return;
	vmm->config = *config;
	/* A guest that is saved goes on where there may be no terminal, and with the same devices. */
	vmm->sized = !config->save_to && !config->restore_from;
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
