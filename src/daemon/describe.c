/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "daemon/affinity.h"
#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "daemon/monitor.h"
#include "daemon/resources.h"
#include "daemon/warnings.h"
#include "domain/vdev.h"
#include "links/link.h"
#include "protocol/disk.h"
#include "protocol/fields.h"

/* What a monitor says is believed as a number or not at all. */
static json_int_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value < 0 ? 0 : value;
}

static const char *state(const struct guest *guest)
{
	if (guest->retrying)
		return "starting";
	switch (guest->state) {
	case RECORD_OFF:
		return guest->suspended ? "suspended" : "off";
	case RECORD_SHUTDOWN:
		return "shutdown";
	case RECORD_STARTING:
		return "starting";
	case RECORD_RUNNING:
		break;
	}
	if (guest->destroying || (!guest->monitor && guest->up))
		return "dying";
	return guest->held ? "shutdown" : guest->paused ? "paused" : "running";
}

/* Negative where its monitor says none that is known. */
static int vcpu_state(const json_t *vcpu)
{
	return field_find_name(vcpu_states, json_string_value(json_object_get(vcpu, "state")));
}

static bool any_running(const struct guest *guest)
{
	json_t *vcpu;
	size_t i;

	json_array_foreach(json_object_get(guest->info, "vcpus"), i, vcpu)
	{
		if (vcpu_state(vcpu) == VCPU_RUNNING)
			return true;
	}
	return false;
}

static void flags(const struct guest *guest, char text[7])
{
	const char *name = state(guest);

	strcpy(text, "------");
	if (!strcmp(name, "shutdown")) {
		text[3] = 's';
		text[4] = end_info(guest->reason)->letter;
	} else if (!strcmp(name, "paused")) {
		text[2] = 'p';
	} else if (!strcmp(name, "dying")) {
		text[5] = 'd';
	} else if (!strcmp(name, "running")) {
		bool runs = guest_is_container(guest) || any_running(guest);

		text[runs ? 0 : 1] = runs ? 'r' : 'b';
	}
}

static json_t *vcpus(const struct guest *guest, json_int_t *time)
{
	const struct domain_config *config = &guest->config;
	const json_t *infos = json_object_get(guest->info, "vcpus");
	json_t *list = json_array();

	*time = 0;
	for (unsigned i = 0; i < config->maxvcpus; i++) {
		const json_t *info = json_array_get(infos, i);
		int now = vcpu_state(info);
		json_int_t used = number(info, "time");
		bool online = i < config->vcpus;
		char hard[CPUSET_TEXT_MAX], soft[CPUSET_TEXT_MAX];

		*time += used;
		json_array_append_new(list,
			json_pack("{s:i, s:b, s:b, s:b, s:o, s:I, s:s, s:s}", "id", (int)i,
				"online", online, "running", now == VCPU_RUNNING, "blocked",
				now == VCPU_HALTED || now == VCPU_WAITING, "cpu",
				info && online ? json_integer(number(info, "cpu")) : json_null(),
				"cpu_time", used, "affinity",
				affinity_text(guest, false, i, hard, sizeof hard), "affinity_soft",
				affinity_text(guest, true, i, soft, sizeof soft)));
	}
	return list;
}

struct traffic {
	json_int_t rx_bytes, rx_packets, tx_bytes, tx_packets;
};

/* What a machine's monitor says, or what a container's link has counted: there the guest's other end is seen. */
static struct traffic traffic_of(const struct guest *guest, const char *name, const json_t *info)
{
	struct link link;

	if (!guest_is_container(guest))
		return (struct traffic){number(info, "rx_bytes"), number(info, "rx_frames"),
			number(info, "tx_bytes"), number(info, "tx_frames")};
	if (!guest->domid || link_find(name, &link, NULL))
		return (struct traffic){0};
	return (struct traffic){(json_int_t)link.tx_bytes, (json_int_t)link.tx_packets,
		(json_int_t)link.rx_bytes, (json_int_t)link.rx_packets};
}

static json_t *networks(const struct guest *guest)
{
	const json_t *infos = json_object_get(guest->info, "networks");
	json_t *list = json_array();

	for (unsigned i = 0; i < guest->config.vifs; i++) {
		const struct domain_vif *vif = &guest->config.vif[i];
		const json_t *info = json_array_get(infos, i);
		const char *bridge = guest->domid ? links_bridge(guest, i) : NULL;
		char link[NET_LINK_TEXT + 1];
		struct traffic traffic;

		links_name(guest, i, link);
		traffic = traffic_of(guest, link, info);
		json_array_append_new(list,
			json_pack(
				"{s:i, s:s, s:i, s:i, s:s?, s:s?, s:s?, s:s?, s:I, s:I, s:I, s:I}",
				"index", (int)domain_vif_devid(&guest->config, i), "mac", vif->mac,
				"backend", 0, "state", guest->monitor ? 4 : 6, "model", vif->model,
				"bridge", bridge ? bridge : vif->bridge, "link",
				guest->domid && links_has(guest, i) ? link : NULL, "ip", vif->ip,
				"rx_bytes", traffic.rx_bytes, "rx_packets", traffic.rx_packets,
				"tx_bytes", traffic.tx_bytes, "tx_packets", traffic.tx_packets));
	}
	return list;
}

/* What the monitor says of the disk, by its name or, where it gives no names, by its place n. */
static const json_t *disk_info(const json_t *infos, const char *vdev, unsigned n)
{
	const json_t *nth = json_array_get(infos, n);
	json_t *info;
	size_t i;

	if (!json_object_get(nth, "vdev"))
		return nth;
	json_array_foreach(infos, i, info)
	{
		if (!strcmp(json_get_text(info, "vdev"), vdev))
			return info;
	}
	return NULL;
}

/* A monitor's word, so only what they are to have, and no name that does something to a terminal. */
static json_t *checkpoints(const json_t *info)
{
	json_t *list = json_array(), *from;
	size_t i;

	json_array_foreach(json_object_get(info, "checkpoints"), i, from)
	{
		if (!checkpoint_name_valid(json_get_text(from, "name")))
			continue;
		json_array_append_new(list,
			json_pack("{s:s, s:b, s:I, s:I}", "name", json_get_text(from, "name"),
				"lost", json_get_true(from, "lost"), "granularity",
				number(from, "granularity"), "changed", number(from, "changed")));
	}
	return list;
}

static json_t *disks(const struct guest *guest)
{
	const json_t *infos = json_object_get(guest->info, "disks");
	json_t *list = json_array();
	unsigned n = 0;

	for (unsigned i = 0; i < guest->config.disks; i++) {
		const struct domain_disk *disk = &guest->config.disk[i];
		bool empty = !domain_disk_has_medium(disk);
		const json_t *info =
			empty ? NULL : disk_info(infos, disk->vdev ? disk->vdev : "", n++);
		struct vdev vdev;
		unsigned id = disk->vdev && !vdev_parse(disk->vdev, &vdev) ? vdev_number(&vdev) : 0;

		json_array_append_new(list,
			json_pack(
				"{s:s, s:i, s:i, s:i, s:s?, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
				"vdev", disk->vdev ? disk->vdev : "", "number", (int)id, "backend",
				0, "state", guest->monitor ? 4 : 6, "path", disk->target, "format",
				domain_format_name(disk->format), "access",
				disk->writable ? "w" : "r", "size", number(info, "size"), "rd_ops",
				number(info, "reads"), "rd_bytes", number(info, "read_bytes"),
				"wr_ops", number(info, "writes"), "wr_bytes",
				number(info, "written_bytes"), "checkpoints", checkpoints(info)));
	}
	return list;
}

static json_t *last_end(const struct guest *guest)
{
	if (guest->reason == END_NONE)
		return json_null();
	return json_pack("{s:s, s:s, s:I}", "reason", end_word(guest->reason), "text", guest->text,
		"time", (json_int_t)guest->ended);
}

static void add_memory(const struct guest *guest, json_t *json)
{
	const json_t *memory = json_object_get(guest->info, "memory");
	json_int_t now = guest->config.memory;

	json_object_set_new(json, "memory", json_integer(memory ? number(memory, "actual") : now));
	json_object_set_new(json, "memory_target",
		json_integer(memory ? number(memory, "target") : now));
	json_object_set_new(json, "memory_max", json_integer(guest->config.maxmem));
}

static void add_numbers(const struct guest *guest, json_t *json)
{
	bool on = guest->domid && guest->state != RECORD_SHUTDOWN;
	const char *engine = json_string_value(json_object_get(guest->info, "engine"));

	json_object_set_new(json, "vcpus", json_integer(guest->config.vcpus));
	json_object_set_new(json, "vcpus_max", json_integer(guest->config.maxvcpus));
	json_object_set_new(json, "scheduler",
		json_pack("{s:i, s:i}", "weight", (int)guest->config.cpu_weight, "cap",
			(int)guest->config.cap));
	json_object_set_new(json, "warnings", warnings_describe(guest));
	json_object_set_new(json, "engine", engine ? json_string(engine) : json_null());
	json_object_set_new(json, "pid", on && guest->pid ? json_integer(guest->pid) : json_null());
	json_object_set_new(json, "started", on ? json_integer(guest->started) : json_null());
	json_object_set_new(json, "uptime",
		json_integer(on && guest->up ? time(NULL) - guest->started : 0));
}

json_t *guest_describe(const struct guest *guest, bool manager, uid_t uid)
{
	char ref[GUEST_REF_MAX];
	char letters[7];
	json_t *config, *list, *json, *counters;
	json_int_t cpu_time;

	if (domain_config_to_json(&guest->config, &config, NULL))
		return NULL;
	flags(guest, letters);
	list = vcpus(guest, &cpu_time);
	if (guest_is_container(guest))
		cpu_time = guest->domid ? (json_int_t)resources_usage(guest).cpu : 0;
	json = json_pack(
		"{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:b, s:b, s:I, s:I, s:o, s:o, s:o, s:o,"
		" s:o}",
		"uuid", guest->config.uuid, "name", guest->config.name, "ref",
		guest_ref(guest, manager, uid, ref), "domid",
		guest->domid ? json_integer(guest->domid) : json_null(), "kind",
		domain_kind_name(guest->config.kind), "state", state(guest), "flags", letters,
		"shutdown_reason",
		!strcmp(state(guest), "shutdown") ? json_string(end_word(guest->reason))
						  : json_null(),
		"managed", guest->managed, "autostart", guest->autostart, "owner",
		(json_int_t)guest->owner, "cpu_time", cpu_time, "vcpu", list, "networks",
		networks(guest), "disks", disks(guest), "last_end", last_end(guest), "config",
		config);
	if (!json)
		return NULL;
	add_memory(guest, json);
	add_numbers(guest, json);
	if (guest_is_container(guest) && guest->config.template)
		json_object_set_new(json, "files", container_files_describe(guest));
	counters = resources_count(guest);
	if (counters)
		json_object_set_new(json, "counters", counters);
	return json;
}
