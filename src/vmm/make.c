/* SPDX-License-Identifier: Apache-2.0 */
/* The guest put together: engine, processor, machine, devices, and what it says on its consoles. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "block/block.h"
#include "machine/pci/bus.h"
#include "net/resolver.h"
#include "vmm/allowance.h"
#include "vmm/internal.h"

_Static_assert(LIMIT_VCPUS <= MACHINE_VCPUS_MAX, "no machine has so many");

#define UEFI_ADDRESS_BITS 40 /* OVMF maps all that more would be by pages of 2 MiB */

/* What the machine calls */

static void serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, false, __ATOMIC_RELAXED);
	watch_read(&vmm->watch, WATCH_SERIAL, data, len);
	monitor_output(vmm->monitor, data, len);
}

static void virtio_output(void *ctx, const uint8_t *data, size_t len)
{
	struct vmm *vmm = ctx;

	__atomic_store_n(&vmm->virtio_console, true, __ATOMIC_RELAXED);
	watch_read(&vmm->watch, WATCH_VIRTIO, data, len);
	monitor_output(vmm->monitor, data, len);
}

static const char *reset_is_crash(void *ctx)
{
	struct vmm *vmm = ctx;

	return watch_reset(&vmm->watch);
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

/* The guest has ended as config.keep wants to look at: it stays until somebody destroys it. */
static void guest_held(void *ctx, enum machine_result result)
{
	struct vmm *vmm = ctx;

	monitor_keep(vmm->monitor, vmm_end_of(vmm, result));
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
	/* What stands on another's memory has its engine, the only one that can: nothing is tried. */
	const char *name = vmm->config.layers ? engine_translate.name : vmm->config.machine.engine;
	enum cpuid_engine kind;
	char why[256] = "";
	int r;

	vmm->engine = engine_find(name, why, sizeof why, err);
	if (!vmm->engine)
		return -EINVAL;
	if (why[0] && !vmm->config.quiet && (!vmm->config.command || vmm->config.verbose))
		fprintf(stderr, "dach: this guest is translated: %s\n", why);
	kind = vmm->engine->kind;
	vmm->needs.kvm = kind == CPUID_KVM;
	/* A guest that is restored has its processor; here, all that there is is on offer. */
	r = cpuid_policy_make(&vmm->cpuid, kind, vmm->config.vcpus,
		vmm->move.state ? "host" : vmm->config.machine.cpu_model, vmm->config.tsc_khz, err);
	if (!r && vmm->config.firmware == FIRMWARE_UEFI && !vmm->move.state)
		cpuid_policy_limit_addresses(&vmm->cpuid, UEFI_ADDRESS_BITS);
	/* Where KVM would have to be asked for each page, all of them are read at first. */
	vmm->needs.lazy =
		vmm->move.state && vmm->config.lazy && !vmm->needs.kvm && !vmm->config.arriving;
	vmm->needs.state = vmm->restore;
	vmm->needs.given = vmm->config.given;
	vmm->needs.clones = vmm->config.given && !vmm->needs.kvm;
	vmm->move.file.pages.later = vmm->needs.lazy;
	if (!r && vmm->move.state)
		r = move_accept(&vmm->move, kind, &vmm->cpuid, err);
	if (!r && vmm->config.test_vendor)
		cpuid_policy_vendor(&vmm->cpuid, vmm->config.test_vendor);
	return r;
}

/* By lines, since others write there, too. */
static void firmware_text(void *ctx, char byte)
{
	struct vmm *vmm = ctx;
	struct firmware_line *line = &vmm->firmware_line;

	if (byte != '\n' && byte != '\r' && line->used < sizeof line->text - 1) {
		line->text[line->used++] = byte >= ' ' && byte <= '~' ? byte : '?';
		return;
	}
	line->text[line->used] = 0;
	if (line->used)
		fprintf(stderr, "firmware: %s\r\n", line->text);
	line->used = 0;
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
		.firmware = config->firmware ? vmm->kernel : (struct machine_file){.fd = -1},
		.variables = vmm->variables,
		.boot = config->boot,
		.restore = config->restore_from != NULL,
		.adopts = config->adopts,
		.memory_fd = config->ram_fd,
		.layered = config->layers,
		.test_devices = config->test_devices,
		.keyboard = vmm->screen || config->firmware != FIRMWARE_NONE,
		.screen = vmm->screen,
		.reset_ends = config->no_reboot,
		.hold = held_results(config->keep),
		.owner = {.ctx = vmm,
			.ejected = plug_ejected,
			.serial_output = serial_output,
			.serial_room = input_room,
			.firmware_text = config->verbose && !config->command ? firmware_text : NULL,
			.spawn = spawn_vcpus,
			.load = kernel_load,
			.reset_is_crash = reset_is_crash,
			.held = guest_held,
			.debug_stop = debug_stop},
		.code_cache = config->code_cache,
		.profile = &vmm->profile.engine,
		.no_windows = config->no_windows,
		.native_always = config->machine.native == NATIVE_ALWAYS,
	};

	return machine_create(&machine, &vmm->machine, err);
}

/* The disk that tells a guest of its first start, in memory. */
static int add_seed(struct vmm *vmm, struct error *err)
{
	struct vmm_config *config = &vmm->config;
	int fd, r;

	if (!config->seed.instance)
		return 0;
	if (config->disks == LIMIT_DISKS)
		return error_set(err, EINVAL,
			"%u disks are the most, and the one for cloud-init is a further one",
			LIMIT_DISKS);
	if (config->seed.ssh_keys) {
		r = seed_check_keys("ssh_key", config->seed.ssh_keys, err);
		if (r)
			return r;
	}
	r = seed_make(&config->seed, &fd, err);
	if (r)
		return r;
	r = disk_spec_of_file("the disk for cloud-init", true, &vmm->seed, err);
	if (r) {
		close(fd);
		return r;
	}
	vmm->seed.file[0].fd = fd;
	config->disk[config->disks++] = vmm->seed;
	return 0;
}

/*
 * No file of a daemon's guest grows beyond what it can have to hold: its disks, which stay as long as they
 * are, a core or a saved state (its memory, and what is told of it).
 */
static int limit_files(const struct vmm *vmm, struct error *err)
{
	struct rlimit limit;
	rlim_t most = vmm->config.memory + vmm->config.memory / 8 + (64u << 20);

	if (!vmm->config.given)
		return 0;
	for (unsigned i = 0; i < vmm->config.disks; i++) {
		const struct disk_spec *spec = &vmm->config.disk[i];
		const uint64_t size = block_size(vmm->devices.disk[i]);

		if (!spec->readonly && spec->file[0].format != DISK_RAW)
			return 0; /* such a file grows as its guest writes */
		if (!spec->readonly && size > most)
			most = size;
	}
	if (getrlimit(RLIMIT_FSIZE, &limit))
		limit.rlim_max = RLIM_INFINITY;
	/* Until there is more to hold: vmm_allow_file(). */
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	return setrlimit(RLIMIT_FSIZE, &limit)
		? error_set(err, errno, "no limit for the size of files: %s", strerror(errno))
		: 0;
}

void vmm_allow_file(const struct vmm *vmm, enum disk_format format, uint64_t bytes)
{
	const rlim_t most = format == DISK_RAW ? bytes : RLIM_INFINITY;
	struct rlimit limit;

	if (!vmm->config.given || getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur >= most)
		return;
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* Not where it is asked where the time goes: that is seen of translated code only. */
static bool wants_native(const struct vmm_config *config)
{
	return config->machine.native == NATIVE_ALWAYS ||
		(config->machine.native == NATIVE_AUTO && !config->profile && !config->perf_map);
}

/* The devices, and the walls around them and around the vCPUs to come. */
static int make_devices(struct vmm *vmm, struct error *err)
{
	const struct virtio_console_owner console = {.ctx = vmm,
		.output = virtio_output,
		.room = input_room,
		.sized = vmm->sized,
		.last = &vmm->virtio_console};
	const struct exec_config exec = {.qemu = vmm->config.machine.qemu_agent,
		.program = vmm->config.agent_fd,
		.share = vmm->config.share,
		.shares = vmm->config.shares};
	int r = devices_open(&vmm->devices, &vmm->config, err);
	struct error lacks;

	vmm->needs.user = vmm->devices.user;
	/* To a daemon's guest one may come while it runs. */
	vmm->needs.tap = vmm->devices.tap || vmm->config.given;
	vmm->needs.remote = vmm->devices.remote;
	vmm->needs.gdb = vmm->gdb != NULL;
	vmm->needs.profile = vmm->config.profile != NULL;
	vmm->needs.reader = kernel_reader_pid(vmm->reader);
	shares_needs(vmm->shares, &vmm->needs);
	screen_needs(vmm->screen, &vmm->needs);
	if (!r && vmm->devices.user && !vmm->config.quiet && resolver_host_ipv6_only())
		fputs("dach: this host's name servers have IPv6 addresses: the guest finds names by fec0::3, "
		      "which it hears of by IPv6 alone, not by 10.0.2.3\n",
			stderr);
	if (!r)
		r = monitor_restrict(vmm->monitor, vmm->devices.user,
			vmm->needs.reader > 0 || vmm->needs.shares || vmm->needs.screen > 0, err);
	if (!r && wants_native(&vmm->config))
		vmm->needs.native = !machine_processes(vmm->machine, &lacks);
	if (!r && vmm->move.state)
		pci_bus_places(machine_pci(vmm->machine), vmm->move.head.place, MACHINE_PLACES);
	if (!r)
		r = devices_create(&vmm->devices, &vmm->config, vmm->machine, &console,
			balloon_changed, vmm->monitor, err);
	if (!r && vmm->config.firmware)
		r = boot_order_tell(vmm, err);
	if (!r)
		r = screen_create(vmm->screen, vmm->machine, err);
	if (!r)
		r = shares_create(vmm->shares, vmm->machine, err);
	if (!r)
		r = plug_begin(vmm, err);
	if (!r && vmm->config.command)
		r = command_create(vmm->config.command, vmm->monitor, vmm->machine, &vmm->command,
			err);
	if (!r && (vmm->config.machine.agent || vmm->config.machine.qemu_agent))
		r = exec_create(machine_pci(vmm->machine), machine_memory(vmm->machine),
			monitor_loop(vmm->monitor), &exec, &vmm->exec, err);
	if (!r)
		r = limit_files(vmm, err);
	if (!r)
		r = monitor_nest(vmm->monitor, CALLS_VCPU, &vmm->vcpu_nest, err);
	return r;
}

/* Who keeps guests gives them groups of their own, with room for this. */
static void tell_allowance(const struct vmm_config *config, bool translates)
{
	const uint64_t mib = 1 << 20, code = config->code_cache ? config->code_cache : 256 * mib,
		       needed = config->memory + (translates ? code : 0),
		       allowed = allowance_memory("/proc/self/cgroup", "/sys/fs/cgroup");

	if (config->given || config->quiet || allowed >= needed)
		return;
	fprintf(stderr,
		"dach: %llu MiB of memory are all that this control group or container may use; the "
		"guest's %llu MiB%s can come to more, and Linux would kill it then\n",
		(unsigned long long)(allowed / mib), (unsigned long long)(config->memory / mib),
		translates ? " and its translated code (--code-cache)" : "");
}

int vmm_make(void *ctx, struct guest_monitor *monitor, struct error *err)
{
	struct vmm *vmm = ctx;
	int r;

	vmm->monitor = monitor;
	r = save_open(vmm, err);
	if (!r)
		r = add_seed(vmm, err);
	if (!r)
		r = shares_open(&vmm->config, monitor, &vmm->shares, err);
	if (!r)
		r = screen_open(&vmm->config, monitor, &vmm->screen, err);
	if (!r)
		r = kernel_open(vmm, err);
	if (!r)
		r = choose_engine(vmm, err);
	if (!r)
		tell_allowance(&vmm->config, !vmm->needs.kvm);
	if (!r)
		r = profile_open(&vmm->profile, &vmm->config, vmm->engine, err);
	if (!r)
		r = make_machine(vmm, err);
	if (!r && vmm->config.gdb)
		r = gdb_create(vmm->machine, vmm->config.gdb, &vmm->gdb, err);
	if (!r)
		r = make_devices(vmm, err);
	if (r)
		arrive_fail(vmm, err);
	return r;
}
