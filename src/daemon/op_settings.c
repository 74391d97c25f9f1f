/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of guests: memory, shares of processors, where they run, whether they start by themselves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/affinity.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/resources.h"

/* Commits what was changed; on failure the operation is refused, and the caller puts it back. */
static int keep(struct operation *op, struct guest *guest)
{
	struct error err = {0};
	int r = guest_save(guest, &err);

	if (r)
		op_refuse_error(op, r, &err);
	else
		events_tell(&op->daemon->events, "changed", guest, NULL);
	return r;
}

/* Memory */

static const struct field memory_arguments[] = {
	{.key = "memory",
		.kind = FIELD_NUMBER,
		FIELD_AT(operation_arguments, memory),
		.needed = true,
		.min = LIMIT_MEMORY_MIN,
		.max = LIMIT_MEMORY_MAX},
	{.key = NULL},
};

/* In KiB, whole MiB. */
static uint64_t wanted_memory(const struct operation *op)
{
	return (op->arguments.memory + 1023) / 1024 * 1024;
}

/* Kept once it is so: a guest that refuses goes on with what it had, also the next time it starts. */
static void keep_memory(struct operation *op, struct guest *guest)
{
	uint64_t old = guest->config.memory;

	guest->config.memory = wanted_memory(op);
	if (!keep(op, guest))
		op_finish_guest(op, guest);
	else
		guest->config.memory = old;
}

static void memory_set(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest_after(op, r, text);

	if (guest)
		keep_memory(op, guest);
}

/* A container has no balloon: its limit is another, and the kernel takes back what it can of what is too much. */
static void container_memory(struct operation *op, struct guest *guest)
{
	const uint64_t old = guest->config.memory;
	struct error err = {0};
	int r;

	guest->config.memory = wanted_memory(op);
	r = resources_change(guest, &err);
	if (r) {
		op_refuse_error(op, r, &err);
	} else if (!keep(op, guest)) {
		op_finish_guest(op, guest);
		return;
	}
	guest->config.memory = old;
	resources_change(guest, NULL);
}

static void memory(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};

	if (!guest)
		return;
	if (wanted_memory(op) > guest->config.maxmem)
		op_refuse(op,
			error_set(&err, EINVAL, "memory: more than the guest's maximum, %llu KiB",
				(unsigned long long)guest->config.maxmem),
			err.text);
	else if (guest_is_container(guest))
		container_memory(op, guest);
	else if (guest_answers(guest))
		monitor_call(guest->monitor,
			&(struct monitor_request){.verb = REQUEST_MEMORY_SET,
				.memory = wanted_memory(op)},
			-1, OP_VERB_TIMEOUT_MS, memory_set, op);
	else
		keep_memory(op, guest);
}

const struct operation_kind operation_memory = {"guest_memory", "Guest", .guest = true,
	.arguments = memory_arguments, .run = memory};

static int check_maximum(const struct operation *op, const struct guest *guest, struct error *err)
{
	const uint64_t wanted = wanted_memory(op);
	const json_t *info = json_object_get(guest->info, "memory");
	const uint64_t made = json_integer_value(json_object_get(info, "max"));

	if (guest->monitor && made && wanted > made)
		return error_set(err, EINVAL,
			"memory: more than the guest was started with; set it while it is off");
	/* What is accounted of a guest is what it was started with, until it has ended. */
	if (!op->manager && guest->state != RECORD_OFF && wanted < guest->config.maxmem)
		return error_set(err, EBUSY, "memory: lower it while the guest is off");
	if (guest->monitor && wanted < guest->config.memory)
		return error_set(err, EINVAL, "memory: less than the guest has; mem-set first");
	if (!op->manager && wanted > guest->config.maxmem)
		return error_set(err, EACCES, "only who manages the host may raise it");
	return 0;
}

static void memory_max(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	uint64_t old, old_memory;
	int r;

	if (!guest)
		return;
	r = check_maximum(op, guest, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	old = guest->config.maxmem;
	old_memory = guest->config.memory;
	guest->config.maxmem = wanted_memory(op);
	if (guest->config.memory > guest->config.maxmem)
		guest->config.memory = guest->config.maxmem;
	if (!keep(op, guest)) {
		op_finish_guest(op, guest);
		return;
	}
	guest->config.maxmem = old;
	guest->config.memory = old_memory;
}

const struct operation_kind operation_memory_max = {"guest_memory_max", "Guest", .guest = true,
	.arguments = memory_arguments, .run = memory_max};

/* Shares of the processors */

static const struct field scheduler_arguments[] = {
	{.key = "weight",
		.kind = FIELD_COUNT,
		FIELD_AT(operation_arguments, weight),
		.min = 1,
		.max = 65535,
		.number = OPERATION_AS_IT_IS},
	{.key = "cap",
		.kind = FIELD_COUNT,
		FIELD_AT(operation_arguments, cap),
		.max = 100 * DOMAIN_VCPUS_MAX,
		.number = OPERATION_AS_IT_IS},
	{.key = NULL},
};

static void tell_scheduler(struct operation *op)
{
	struct guest *guest = op_guest(op);

	if (guest)
		op_finish(op,
			json_pack("{s:i, s:i}", "weight", (int)guest->config.cpu_weight, "cap",
				(int)guest->config.cap));
}

const struct operation_kind operation_scheduler_get = {"guest_scheduler_get", "Scheduler",
	.guest = true, .run = tell_scheduler};

static void scheduler(struct operation *op)
{
	const struct operation_arguments *arguments = &op->arguments;
	struct guest *guest = op_guest(op);
	struct error err = {0};
	unsigned weight, cap;
	int r;

	if (!guest)
		return;
	weight = guest->config.cpu_weight;
	cap = guest->config.cap;
	if (arguments->weight != OPERATION_AS_IT_IS)
		guest->config.cpu_weight = arguments->weight;
	if (arguments->cap != OPERATION_AS_IT_IS)
		guest->config.cap = arguments->cap;
	r = quota_check_shares(op->caller, &guest->config, &err);
	if (!r)
		r = resources_change(guest, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		r = keep(op, guest);
	if (!r) {
		op_finish_guest(op, guest);
		return;
	}
	guest->config.cpu_weight = weight;
	guest->config.cap = cap;
	resources_change(guest, NULL);
}

const struct operation_kind operation_scheduler = {"guest_scheduler", "Guest", .guest = true,
	.arguments = scheduler_arguments, .run = scheduler};

/* Whether it starts with the host */

static const struct field autostart_arguments[] = {
	{.key = "autostart",
		.kind = FIELD_BOOL,
		FIELD_AT(operation_arguments, autostart),
		.needed = true,
		.max = 1},
	{.key = NULL},
};

static void autostart(struct operation *op)
{
	struct guest *guest = op_guest(op);
	bool old;

	if (!guest)
		return;
	if (!guest->managed) {
		op_refuse(op, -EINVAL, "only managed guests can start with the host");
		return;
	}
	old = guest->autostart;
	guest->autostart = op->arguments.autostart;
	if (!keep(op, guest))
		op_finish_guest(op, guest);
	else
		guest->autostart = old;
}

const struct operation_kind operation_autostart = {"guest_autostart", "Guest", .guest = true,
	.arguments = autostart_arguments, .run = autostart};

/* Where its processors run */

static const struct field affinity_arguments[] = {
	{.key = "cpus",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, cpus),
		.max = DOMAIN_STRING_MAX},
	{.key = "soft",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, soft),
		.max = DOMAIN_STRING_MAX},
	{.key = NULL},
};

/* The host's threads follow once the monitor has said which they are. */
static void pinned(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest(op);

	if (guest && !r)
		affinity_apply(guest);
	if (guest)
		op_finish(op, op_describe(op, guest));
}

static int read_vcpu(const char *text, int *vcpu, struct error *err)
{
	char *end;
	long number = strtol(text, &end, 10);

	*vcpu = -1;
	if (!strcmp(text, "all"))
		return 0;
	*vcpu = number;
	if (!*end && end != text && number >= 0 && number <= 4095)
		return 0;
	return error_set(err, EINVAL, "%s: neither the number of a processor nor all", text);
}

static int change_affinity(const struct operation *op, struct guest *guest, struct error *err)
{
	const struct operation_arguments *arguments = &op->arguments;
	struct affinity_list old[2] = {{NULL, 0}, {NULL, 0}};
	const char *text[2] = {arguments->cpus, arguments->soft};
	bool set[2] = {false, false};
	int vcpu, r = read_vcpu(arguments->vcpu ? arguments->vcpu : "", &vcpu, err);

	if (!r && !text[0] && !text[1])
		r = error_set(err, EINVAL, "cpus: is missing");
	for (unsigned i = 0; !r && i < 2; i++) {
		if (text[i])
			r = affinity_set(guest, i, vcpu, text[i], &old[i], err);
		set[i] = text[i] && !r;
	}
	if (!r)
		r = domain_config_check(&guest->config, err);
	if (!r)
		r = quota_check_shares(op->caller, &guest->config, err);
	if (!r)
		r = guest_save(guest, err);
	for (unsigned i = 0; i < 2; i++) {
		if (set[i] && r)
			affinity_put_back(guest, i, &old[i]);
		else
			affinity_drop(&old[i]);
	}
	return r;
}

static void affinity(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	int r;

	if (!guest)
		return;
	r = change_affinity(op, guest, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	events_tell(&op->daemon->events, "changed", guest, NULL);
	if (guest_answers(guest))
		life_refresh(guest, OP_VERB_TIMEOUT_MS, pinned, op);
	else
		pinned(op, -ESRCH, "");
}

const struct operation_kind operation_affinity = {"guest_affinity", "Guest", .guest = true,
	.machine = "bound to processors: vcpus and cap say how many it may keep busy",
	.arguments = affinity_arguments, .run = affinity};
