/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "host/cgroup.h"

#define GROUP "dach"
/* Beside the guest's memory: translated code, tables, queues, what the kernel keeps of its files. */
#define OWN_MEMORY (512ull << 20)
#define OWN_TASKS 64

#define MS 1000000ull
#define REST_FIRST_MS 20 /* doubled with each look, while there are */
#define REST_LOOKS 12

/* A group that still had a process in it: the guest's lock is free a moment before that has ended. */
struct resources_rest {
	struct resources_rest *next;
	struct daemon *daemon;
	struct loop_timer timer;
	unsigned looks;
	char uuid[];
};

static void forget(struct resources_rest *rest)
{
	struct resources_rest **at = &rest->daemon->rest;

	while (*at != rest)
		at = &(*at)->next;
	*at = rest->next;
	loop_timer_cancel(&rest->timer);
	free(rest);
}

static void look(void *ctx)
{
	struct resources_rest *rest = ctx;
	struct error err = {0};
	int r = cgroup_remove(rest->daemon->cgroup, rest->uuid, &err);

	if (r == -EBUSY && ++rest->looks < REST_LOOKS) {
		loop_timer_arm(&rest->timer, clock_now() + (REST_FIRST_MS * MS << rest->looks));
		return;
	}
	if (r)
		log_add(&rest->daemon->log, "a guest's control group stays: %s", err.text);
	forget(rest);
}

static struct resources_rest *find(const struct daemon *daemon, const char *uuid)
{
	struct resources_rest *rest = daemon->rest;

	while (rest && strcmp(rest->uuid, uuid))
		rest = rest->next;
	return rest;
}

static void look_later(struct daemon *daemon, const char *uuid)
{
	size_t size = strlen(uuid) + 1;
	struct resources_rest *rest = find(daemon, uuid) ? NULL : calloc(1, sizeof *rest + size);

	if (!rest)
		return;
	rest->daemon = daemon;
	rest->next = daemon->rest;
	daemon->rest = rest;
	memcpy(rest->uuid, uuid, size);
	loop_timer_init(&rest->timer, daemon->loop, look, rest);
	loop_timer_arm(&rest->timer, clock_now() + REST_FIRST_MS * MS);
}

void resources_open(struct daemon *daemon)
{
	struct error err = {0};

	if (cgroup_open("/proc", GROUP, &daemon->cgroup, &err)) {
		daemon->cgroup = NULL;
		log_add(&daemon->log, "guests have no limits: %s", err.text);
	}
}

void resources_close(struct daemon *daemon)
{
	while (daemon->rest)
		forget(daemon->rest);
	cgroup_close(daemon->cgroup);
	daemon->cgroup = NULL;
}

static int set(const struct guest *guest, struct error *err)
{
	const struct domain_config *config = &guest->config;
	const struct cgroup_limits limits = {
		.weight = config->cpu_weight,
		.cap = config->cap,
		.memory = config->maxmem * 1024 + OWN_MEMORY,
		.pids = config->maxvcpus + OWN_TASKS,
		.io_weight = config->io_weight,
	};

	return cgroup_set(guest->daemon->cgroup, config->uuid, &limits, NULL, err);
}

void resources_begin(const struct guest *guest)
{
	struct cgroup *cgroup = guest->daemon->cgroup;
	struct resources_rest *rest = find(guest->daemon, guest->config.uuid);
	struct error err = {0};
	int r;

	if (!cgroup)
		return;
	if (rest)
		forget(rest); /* it is in use again */
	r = cgroup_create(cgroup, guest->config.uuid, &err);
	if (!r)
		r = set(guest, &err);
	if (!r)
		r = cgroup_add(cgroup, guest->config.uuid, guest->pid, &err);
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

void resources_end(const struct guest *guest)
{
	struct daemon *daemon = guest->daemon;

	if (daemon->cgroup && cgroup_remove(daemon->cgroup, guest->config.uuid, NULL) == -EBUSY)
		look_later(daemon, guest->config.uuid);
}
