/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine answers on the control socket: what it tells of itself, and the verbs of its own. */
#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "block/block.h"
#include "machine/memory_base.h"
#include "virtio/balloon.h"
#include "net/nic.h"
#include "vmm/core.h"
#include "vmm/internal.h"

static enum vcpu_state vcpu_state(const struct vmm *vmm, const struct machine_vcpu_info *info)
{
	if (info->wait_sipi)
		return VCPU_WAITING;
	if (monitor_stands(vmm->monitor))
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

	for (unsigned i = 0; i < vmm->config.disks; i++) {
		struct block_device *disk = vmm->devices.disk[i];
		struct block_counters count;

		block_counters(disk, &count);
		json_array_append_new(list,
			json_pack("{s:s?, s:s?, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "name",
				block_name(disk), "vdev", vmm->config.disk[i].vdev, "readonly",
				block_read_only(disk), "size", (json_int_t)block_size(disk),
				"reads", (json_int_t)count.reads, "read_bytes",
				(json_int_t)count.read_bytes, "writes", (json_int_t)count.writes,
				"written_bytes", (json_int_t)count.written_bytes, "checkpoints",
				checkpoints_describe(disk)));
	}
	return list;
}

static json_t *describe_networks(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < vmm->config.nets; i++) {
		struct nic_counters count = {0};

		if (vmm->devices.nic[i])
			nic_counters(vmm->devices.nic[i], &count);
		json_array_append_new(list,
			json_pack("{s:s, s:I, s:I, s:I, s:I}", "mac", vmm->config.net[i].mac,
				"rx_frames", (json_int_t)count.rx_frames, "rx_bytes",
				(json_int_t)count.rx_bytes, "tx_frames",
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
	const json_int_t max = vmm->config.memory >> 10, page = VIRTIO_BALLOON_PAGE >> 10;
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

	monitor_event(vmm->monitor,
		&(struct monitor_event){.kind = EVENT_MEMORY, .memory = memory});
	json_decref(memory);
}

static int set_memory(struct vmm *vmm, uint64_t kib, json_t **fields, struct error *err)
{
	const uint64_t max = vmm->config.memory >> 10;

	if (kib > max)
		return error_set(err, EINVAL,
			"the guest was made with %llu MiB and cannot have more",
			(unsigned long long)(max >> 10));
	virtio_balloon_set(vmm->devices.balloon, (max - kib) / (VIRTIO_BALLOON_PAGE >> 10));
	*fields = json_pack("{s:o}", "memory", describe_memory(vmm));
	return 0;
}

void verbs_describe(void *ctx, json_t *info)
{
	struct vmm *vmm = ctx;

	arrive_told(vmm);
	json_object_set_new(info, "engine", json_string(vmm->engine->name));
	json_object_set_new(info, "memory", describe_memory(vmm));
	json_object_set_new(info, "layers",
		json_integer(memory_base_layers(machine_memory(vmm->machine))));
	json_object_set_new(info, "vcpus", describe_vcpus(vmm));
	json_object_set_new(info, "disks", describe_disks(vmm));
	json_object_set_new(info, "networks", describe_networks(vmm));
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
		watch_reset(&vmm->watch);
		machine_reset(vmm->machine);
		return 0;
	case TRIGGER_POWER:
		return monitor_ask(vmm->monitor, false, err);
	}
	return -EINVAL;
}

/* fd is taken. The job answers. */
static int dump_core(struct vmm *vmm, const struct control_asker *asker, bool live, int fd,
	struct error *err)
{
	struct job_spec spec = {.word = "dump-core",
		.pauses = !live,
		.begin = core_begin,
		.run = core_write,
		.done = core_done};
	int r;

	if (fd < 0)
		return error_set(err, EBADF, "dump-core: no file came with the request");
	r = core_create(vmm->machine, fd, (struct core **)&spec.ctx, err);
	if (!r)
		r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

/* fd is taken. */
static int take_command(struct vmm *vmm, int fd, struct error *err)
{
	if (!monitor_stands(vmm->monitor))
		return exec_take(vmm->exec, fd, err);
	if (fd >= 0)
		close(fd);
	return error_set(err, EBUSY, "the guest stands still, and runs no command: it is paused");
}

static int perform(struct vmm *vmm, const struct monitor_request *request, json_t **fields,
	struct error *err)
{
	switch (request->verb) {
	case REQUEST_TRIGGER:
		return trigger(vmm, request, err);
	case REQUEST_SYSRQ:
		return machine_sysrq(vmm->machine, request->key[0], err);
	case REQUEST_MEMORY_SET:
		return set_memory(vmm, request->memory, fields, err);
	case REQUEST_NET_FORWARD:
		return plug_net_forward_request(vmm, request, err);
	default:
		return error_set(err, ENOSYS, "control: not there yet");
	}
}

/* What the other side would know nothing of. */
static bool would_be_lost(enum request_verb verb)
{
	return verb != REQUEST_TRIGGER && verb != REQUEST_SYSRQ && verb != REQUEST_MEMORY_SET &&
		verb != REQUEST_EXEC;
}

/* A reset of one that stands, and may run on the other host, would be another life here. */
static bool comes_too_late(const struct vmm *vmm, enum request_verb verb)
{
	return would_be_lost(verb) || (verb == REQUEST_TRIGGER && machine_frozen(vmm->machine));
}

/* What a guest has open in a shared folder is its server's to know: in no state. fd is taken where it fails. */
static int check_shares(const struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err)
{
	if (!vmm->shares ||
		(request->verb != REQUEST_CLONE && request->verb != REQUEST_SNAPSHOT &&
			request->verb != REQUEST_SAVE && request->verb != REQUEST_MIGRATE))
		return 0;
	if (fd >= 0)
		close(fd);
	return error_set(err, ENOTSUP,
		"a guest that has shared folders (share) is not saved, cloned, migrated or kept in a snapshot "
		"while it runs: shut it down, or start it without them");
}

int verbs_request(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd, json_t **fields, struct error *err)
{
	struct vmm *vmm = ctx;
	const int r = check_shares(vmm, request, fd, err);

	if (r)
		return r;
	if (vmm->departing && comes_too_late(vmm, request->verb)) {
		if (fd >= 0)
			close(fd);
		return error_set(err, EBUSY, "the guest is being migrated");
	}
	if (request->verb == REQUEST_DUMP_CORE)
		return dump_core(vmm, asker, request->live, fd, err);
	if (request->verb == REQUEST_CLONE)
		return clone_request(vmm, asker, request->disks, fd, err);
	if (request->verb == REQUEST_SNAPSHOT)
		return snapshot_request(vmm, asker, request->disks, fd, err);
	if (request->verb == REQUEST_OFFER)
		return offer_request(vmm, fd, fields, err);
	if (request->verb == REQUEST_MIGRATE)
		return depart_request(vmm, asker, request, fd, err);
	if (request->verb == REQUEST_SAVE)
		return save_request(vmm, asker, request->then, fd, err);
	if (request->verb == REQUEST_EXEC)
		return take_command(vmm, fd, err);
	if (request->verb == REQUEST_DISK_FILE)
		return layers_take(&vmm->layers, &vmm->devices, request, fd, err);
	if (request->verb == REQUEST_DISK_COPY)
		return copies_request(vmm, asker, request, fd, err);
	if (request->verb == REQUEST_DISK_EXPORT)
		return export_request(vmm, asker, request, fd, err);
	if (request->verb == REQUEST_DISK_OPEN)
		return plug_open_request(vmm, request, fd, err);
	if (request->verb == REQUEST_NET_ATTACH)
		return plug_net_attach_request(vmm, request, fd, err);
	if (fd >= 0)
		close(fd);
	if (request->verb == REQUEST_DISK_RESIZE)
		return resize_request(vmm, asker, request, err);
	if (request->verb == REQUEST_DISK_PIVOT)
		return pivot_request(vmm, asker, request, err);
	if (request->verb == REQUEST_DISK_CHECKPOINT)
		return checkpoint_request(vmm, asker, request, err);
	if (request->verb == REQUEST_DISK_LAYER)
		return layers_request(vmm, asker, request->disks, err);
	if (request->verb == REQUEST_DISK_ATTACH)
		return plug_attach_request(vmm, asker, request, err);
	if (request->verb == REQUEST_DISK_DETACH)
		return plug_detach_request(vmm, asker, request, err);
	if (request->verb == REQUEST_NET_DETACH)
		return plug_net_detach_request(vmm, asker, request, err);
	return perform(vmm, request, fields, err);
}
