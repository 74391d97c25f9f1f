/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/resources.h"

#include <errno.h>

#include "daemon/container.h"
#include "daemon/daemon.h"

/* Beside the guest's memory: translated code, tables, queues, what the kernel keeps of its files. */
#define OWN_MEMORY (512ull << 20)
/*
 * Four for each disk, one for each network, of jobs and of those who read an export, the processes of native code
 * (cpu/translate/native/), and some more.
 */
#define OWN_TASKS 160
/* Beside a container's own: its monitor, its keeper, liblxc's process, and those that enter it. */
#define CONTAINER_OWN_MEMORY (32ull << 20)
#define CONTAINER_OWN_TASKS 64
/* Groups below its own: more than an init with its services and their containers makes, fewer than hold up who removes them. */
#define CONTAINER_GROUPS 2000
#define CONTAINER_GROUPS_DEPTH 12

void resources_close(struct daemon *daemon)
{
	cgroup_close(daemon->cgroup);
	daemon->cgroup = NULL;
}

void resources_open(struct daemon *daemon)
{
	struct error err = {0};

	if (cgroup_open("/proc", RESOURCES_GROUP, &daemon->cgroup, &err)) {
		daemon->cgroup = NULL;
		log_add(&daemon->log, "guests have no limits: %s", err.text);
	} else if (!cgroup_controllers(daemon->cgroup)) {
		resources_close(daemon);
	}
}

/* Its processors are this host's: as many of them, whichever they are, as it may keep busy. */
static struct cgroup_limits container_limits(const struct domain_config *config)
{
	return (struct cgroup_limits){
		.weight = config->cpu_weight,
		.cap = config->cap && config->cap < config->vcpus * 100 ? config->cap
									: config->vcpus * 100,
		.memory = config->memory * 1024 + CONTAINER_OWN_MEMORY,
		.pids = (config->container.pids ? config->container.pids : CONTAINER_PIDS) +
			CONTAINER_OWN_TASKS,
		.io_weight = config->io_weight,
		.groups = CONTAINER_GROUPS,
		.depth = CONTAINER_GROUPS_DEPTH,
	};
}

static struct cgroup_limits machine_limits(const struct guest *guest)
{
	const struct domain_config *config = &guest->config;
	const unsigned monitors = guest->update ? 2 : 1;
	/* What it changes while a snapshot is made is there twice, and so is what a new monitor does not share. */
	const unsigned copies =
		1 + guest->frozen + (guest->snapshots.busy || guest->update) + guest->writes;

	return (struct cgroup_limits){
		.weight = config->cpu_weight,
		.cap = config->cap,
		.memory = config->maxmem * 1024 * copies + (uint64_t)OWN_MEMORY * monitors,
		.pids = (config->maxvcpus + OWN_TASKS) * monitors,
		.io_weight = config->io_weight,
	};
}

static int set(const struct guest *guest, struct error *err)
{
	struct cgroup *cgroup = guest->daemon->cgroup;
	struct cgroup_limits limits = guest_is_container(guest) ? container_limits(&guest->config)
								: machine_limits(guest);
	struct cgroup_usage usage = {0};

	/* A machine that has more still, of a time when it was given more, would be ended by less. */
	if (!guest_is_container(guest))
		cgroup_read(cgroup, guest->config.uuid, &usage);
	if (limits.memory < usage.memory)
		limits.memory = usage.memory;
	return cgroup_set(cgroup, guest->config.uuid, &limits, NULL, err);
}

void resources_begin(const struct guest *guest)
{
	struct cgroup *cgroup = guest->daemon->cgroup;
	struct error err = {0};
	int r;

	if (!cgroup)
		return;
	r = cgroup_create(cgroup, guest->config.uuid, &err);
	if (!r)
		r = set(guest, &err);
	if (!r)
		r = guest_is_container(guest)
			? cgroup_add_below(cgroup, guest->config.uuid, "monitor", guest->pid, &err)
			: cgroup_add(cgroup, guest->config.uuid, guest->pid, &err);
	if (r)
		log_add(&guest->daemon->log, GUEST_LABEL " (%u): runs without its limits: %s",
			guest->config.name, guest->domid, err.text);
}

int resources_change(const struct guest *guest, struct error *err)
{
	if (!guest->daemon->cgroup || !guest->monitor)
		return 0;
	return set(guest, err);
}

void resources_for_file(struct guest *guest)
{
	struct error err = {0};

	guest->writes = true;
	if (resources_change(guest, &err))
		guest_log(guest, "is written to a file within its limits", err.text);
}

int resources_end(const struct guest *guest)
{
	struct error err = {0};
	int r;

	if (!guest->daemon->cgroup)
		return 0;
	r = cgroup_remove(guest->daemon->cgroup, guest->config.uuid, &err);
	if (!r && guest_is_container(guest))
		cgroup_sweep("/proc", RESOURCES_GROUP, guest->config.uuid);
	if (r && r != -EBUSY)
		guest_log(guest, "its control group stays", err.text);
	return r == -EBUSY ? r : 0;
}

struct cgroup_usage resources_usage(const struct guest *guest)
{
	struct cgroup_usage usage = {0};

	if (guest->daemon->cgroup)
		cgroup_read(guest->daemon->cgroup, guest->config.uuid, &usage);
	return usage;
}

static json_t *describe(const struct cgroup_count *count)
{
	return json_pack("{s:I, s:I, s:o, s:I}", "held", (json_int_t)count->held, "peak",
		(json_int_t)count->peak, "limit",
		count->limit > INT64_MAX ? json_null() : json_integer((json_int_t)count->limit),
		"failures", (json_int_t)count->failures);
}

json_t *resources_count(const struct guest *guest)
{
	struct cgroup_count memory, pids;

	if (!guest->daemon->cgroup || !guest->domid || !guest_is_container(guest))
		return NULL;
	cgroup_count(guest->daemon->cgroup, guest->config.uuid, "guest", &memory, &pids);
	return json_pack("{s:o, s:o}", "memory", describe(&memory), "processes", describe(&pids));
}

bool resources_kill(const struct guest *guest)
{
	return guest->daemon->cgroup && cgroup_kill(guest->daemon->cgroup, guest->config.uuid);
}
