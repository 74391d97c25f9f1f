/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket's requests do. */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "virtio/balloon.h"
#include "virtio/net.h"
#include "vmm/internal.h"

static enum vcpu_state vcpu_state(const struct vmm *vmm, const struct machine_vcpu_info *info)
{
	if (info->wait_sipi)
		return VCPU_WAITING;
	if (vmm->paused || vmm->held)
		return VCPU_PAUSED;
	return info->halted ? VCPU_HALTED : VCPU_RUNNING;
}

static json_t *describe_vcpus(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < machine_vcpus(vmm->machine); i++) {
		struct machine_vcpu_info info;

		machine_vcpu_info(vmm->machine, i, &info);
		json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:I}", "state",
				vcpu_states[vcpu_state(vmm, &info)], "tid", info.tid, "cpu",
				info.cpu, "time", (json_int_t)info.time));
	}
	return list;
}

static json_t *describe_disks(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < vmm->config->disks; i++) {
		const struct block_device *disk = vmm->devices.disk[i];
		struct block_counters count;

		block_counters(disk, &count);
		json_array_append_new(list,
			json_pack("{s:s?, s:b, s:I, s:I, s:I, s:I, s:I}", "name", block_name(disk),
				"readonly", block_read_only(disk), "size",
				(json_int_t)block_size(disk), "reads", (json_int_t)count.reads,
				"read_bytes", (json_int_t)count.read_bytes, "writes",
				(json_int_t)count.writes, "written_bytes",
				(json_int_t)count.written_bytes));
	}
	return list;
}

static json_t *describe_networks(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < vmm->config->nets; i++) {
		struct virtio_net_counters count = {0};

		if (vmm->devices.nic[i])
			virtio_net_counters(vmm->devices.nic[i], &count);
		json_array_append_new(list,
			json_pack("{s:I, s:I, s:I, s:I}", "rx_frames", (json_int_t)count.rx_frames,
				"rx_bytes", (json_int_t)count.rx_bytes, "tx_frames",
				(json_int_t)count.tx_frames, "tx_bytes",
				(json_int_t)count.tx_bytes));
	}
	return list;
}

/* KiB. What the guest's own statistics say is left out where it does not say it. */
static json_t *describe_memory(struct vmm *vmm)
{
	static const char *const name[BALLOON_STATS] = {[BALLOON_FREE] = "free",
		[BALLOON_TOTAL] = "total",
		[BALLOON_AVAILABLE] = "available",
		[BALLOON_CACHES] = "caches"};
	const json_int_t max = vmm->config->memory >> 10, page = VIRTIO_BALLOON_PAGE >> 10;
	struct virtio_balloon_info info;
	json_t *memory;

	virtio_balloon_info(vmm->devices.balloon, &info);
	memory = json_pack("{s:I, s:I, s:I, s:b}", "actual", max - (json_int_t)info.pages * page,
		"target", max - (json_int_t)info.target * page, "max", max, "driver", info.driver);
	for (unsigned i = 0; i < BALLOON_STATS; i++)
		if (name[i] && (info.known & 1u << i))
			json_object_set_new(memory, name[i],
				json_integer((json_int_t)(info.stat[i] >> 10)));
	return memory;
}

void verbs_tell_memory(void *ctx)
{
	struct vmm *vmm = ctx;

	json_t *memory = describe_memory(vmm);

	control_event(vmm->control,
		&(struct monitor_event){.kind = EVENT_MEMORY, .memory = memory});
	json_decref(memory);
}

static int set_memory(struct vmm *vmm, uint64_t kib, json_t **fields, struct error *err)
{
	const uint64_t max = vmm->config->memory >> 10;

	if (kib > max)
		return error_set(err, EINVAL,
			"the guest was made with %llu MiB and cannot have more",
			(unsigned long long)(max >> 10));
	virtio_balloon_set(vmm->devices.balloon, (max - kib) / (VIRTIO_BALLOON_PAGE >> 10));
	*fields = json_pack("{s:o}", "memory", describe_memory(vmm));
	return 0;
}

static json_t *describe(struct vmm *vmm)
{
	const struct launch_spec *launch = vmm->config->launch;
	const enum guest_state state = vmm->held ? GUEST_ENDED
		: vmm->paused                    ? GUEST_PAUSED
						 : GUEST_RUNNING;
	json_t *json = json_pack("{s:s?, s:s?, s:I, s:i, s:s, s:s, s:I, s:o, s:o, s:o, s:o}",
		"name", launch->name, "uuid", launch->uuid, "domid", (json_int_t)launch->domid,
		"pid", (int)getpid(), "engine", vmm->engine->name, "state", guest_states[state],
		"uptime", (json_int_t)(clock_now() - vmm->started), "memory", describe_memory(vmm),
		"vcpus", describe_vcpus(vmm), "disks", describe_disks(vmm), "networks",
		describe_networks(vmm));

	if (vmm->held)
		json_object_set_new(json, "reason", json_string(end_word(vmm->end)));
	return json;
}

/* Whoever wants it paused decides. */
static void run_or_not(struct vmm *vmm)
{
	if (vmm->paused || (vmm->core && vmm->core_pauses))
		machine_pause(vmm->machine);
	else
		machine_resume(vmm->machine);
}

static int pause_guest(struct vmm *vmm)
{
	if (!vmm->held && !vmm->paused) {
		vmm->paused = true;
		run_or_not(vmm);
		control_event(vmm->control, &(struct monitor_event){.kind = EVENT_PAUSED});
	}
	return 0;
}

static int unpause_guest(struct vmm *vmm, struct error *err)
{
	if (vmm->held)
		return error_set(err, EINVAL, "the guest has ended (%s) and is only kept",
			end_word(vmm->end));
	if (vmm->paused) {
		vmm->paused = false;
		run_or_not(vmm);
		control_event(vmm->control, &(struct monitor_event){.kind = EVENT_UNPAUSED});
	}
	return 0;
}

static int press_power(struct vmm *vmm, bool reboot, struct error *err)
{
	if (vmm->held)
		return error_set(err, EINVAL, "the guest has ended (%s) and is only kept",
			end_word(vmm->end));
	vmm->reboot = reboot;
	power_ask(vmm);
	return 0;
}

static int trigger(struct vmm *vmm, const struct monitor_request *request, struct error *err)
{
	switch (request->trigger) {
	case TRIGGER_NMI:
		if (request->vcpu >= machine_vcpus(vmm->machine))
			return error_set(err, EINVAL, "the guest has no processor %u",
				request->vcpu);
		machine_nmi(vmm->machine, request->vcpu);
		return 0;
	case TRIGGER_RESET:
		machine_reset(vmm->machine);
		return 0;
	case TRIGGER_POWER:
		return press_power(vmm, false, err);
	}
	return -EINVAL;
}

static void core_answer(struct vmm *vmm)
{
	struct error err = {""};
	uint64_t bytes = 0;
	int r = core_end(vmm->core, &bytes, &err);

	vmm->core = NULL;
	if (r)
		control_refuse(vmm->control, &vmm->core_asker, r, &err);
	else
		control_answer(vmm->control, &vmm->core_asker,
			json_pack("{s:I}", "bytes", (json_int_t)bytes));
}

static void core_done(void *ctx)
{
	struct vmm *vmm = ctx;

	core_answer(vmm);
	run_or_not(vmm);
}

void verbs_end(struct vmm *vmm)
{
	if (vmm->core)
		core_answer(vmm);
}

/* fd is taken. The answer comes with core_done(). */
static int dump_core(struct vmm *vmm, const struct control_asker *asker, bool live, int fd,
	struct error *err)
{
	int r;

	if (fd < 0)
		return error_set(err, EBADF, "dump-core: no file came with the request");
	if (vmm->core) {
		close(fd);
		return error_set(err, EBUSY, "dump-core: one is being written already");
	}
	machine_pause(vmm->machine);
	vmm->core_asker = *asker;
	vmm->core_pauses = !live;
	r = core_start(vmm->machine, fd, core_done, vmm, &vmm->core, err);
	run_or_not(vmm);
	return r;
}

static int perform(struct vmm *vmm, const struct monitor_request *request, json_t **fields,
	struct error *err)
{
	switch (request->verb) {
	case REQUEST_INFO:
		*fields = describe(vmm);
		return *fields ? 0 : error_set(err, ENOMEM, "out of memory");
	case REQUEST_PAUSE:
		return pause_guest(vmm);
	case REQUEST_UNPAUSE:
		return unpause_guest(vmm, err);
	case REQUEST_SHUTDOWN:
	case REQUEST_REBOOT:
		return press_power(vmm, request->verb == REQUEST_REBOOT, err);
	case REQUEST_DESTROY:
		machine_stop(vmm->machine);
		return 0;
	case REQUEST_TRIGGER:
		return trigger(vmm, request, err);
	case REQUEST_SYSRQ:
		return machine_sysrq(vmm->machine, request->key[0], err);
	case REQUEST_MEMORY_SET:
		return set_memory(vmm, request->memory, fields, err);
	case REQUEST_DUMP_CORE:
	case REQUEST_VERBS:
		break;
	}
	return error_set(err, ENOSYS, "control: not there yet");
}

void verbs_handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd)
{
	struct vmm *vmm = ctx;
	struct error err = {""};
	json_t *fields = NULL;
	int r;

	if (request->verb == REQUEST_DUMP_CORE) {
		r = dump_core(vmm, asker, request->live, fd, &err);
		if (r)
			control_refuse(vmm->control, asker, r, &err);
		return;
	}
	if (fd >= 0)
		close(fd);
	r = perform(vmm, request, &fields, &err);
	if (r)
		control_refuse(vmm->control, asker, r, &err);
	else
		control_answer(vmm->control, asker, fields);
}
