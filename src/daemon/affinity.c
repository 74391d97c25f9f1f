/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/affinity.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/process.h"

static const char *entry(const struct guest *guest, bool soft, unsigned vcpu)
{
	const struct domain_config *config = &guest->config;
	char *const *list = soft ? config->cpus_soft : config->cpus;
	unsigned count = soft ? config->cpus_soft_count : config->cpus_count;

	return vcpu < count && list[vcpu] && *list[vcpu] ? list[vcpu] : "all";
}

/* A monitor names its threads. */
static bool own_thread(const struct guest *guest, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/task/%d", guest->pid, tid);
	return tid > 0 && process_runs(guest) && !access(path, F_OK);
}

/*
 * Only of a thread of the monitor's own. One that ends between the question and the call may leave its
 * number to somebody else, who then gets back what he had.
 */
static int pin(const struct guest *guest, pid_t tid, const cpu_set_t *set)
{
	cpu_set_t old;

	if (!own_thread(guest, tid))
		return 0;
	if (sched_getaffinity(tid, sizeof old, &old) || sched_setaffinity(tid, sizeof *set, set))
		return -1;
	if (!own_thread(guest, tid))
		sched_setaffinity(tid, sizeof old, &old);
	return 0;
}

void affinity_apply(const struct guest *guest)
{
	const json_t *vcpus = json_object_get(guest->info, "vcpus");

	for (unsigned i = 0; i < guest->config.vcpus; i++) {
		const pid_t tid =
			json_integer_value(json_object_get(json_array_get(vcpus, i), "tid"));
		struct error err = {0};
		cpu_set_t set;

		if (cpuset_parse(entry(guest, false, i), &guest->daemon->cpus, &set, &err) ||
			pin(guest, tid, &set))
			log_add(&guest->daemon->log, GUEST_LABEL " (%u): cpu %u runs anywhere: %s",
				guest->config.name, guest->domid, i,
				*err.text ? err.text : strerror(errno));
	}
}

void affinity_drop(struct affinity_list *old)
{
	for (unsigned i = 0; i < old->count; i++)
		free(old->text[i]);
	free(old->text);
	*old = (struct affinity_list){NULL, 0};
}

static void exchange(struct guest *guest, bool soft, struct affinity_list *list)
{
	char ***text = soft ? &guest->config.cpus_soft : &guest->config.cpus;
	unsigned *count = soft ? &guest->config.cpus_soft_count : &guest->config.cpus_count;
	struct affinity_list was = {*text, *count};

	*text = list->text;
	*count = list->count;
	*list = was;
}

void affinity_put_back(struct guest *guest, bool soft, struct affinity_list *old)
{
	exchange(guest, soft, old);
	affinity_drop(old);
}

int affinity_set(struct guest *guest, bool soft, int vcpu, const char *text,
	struct affinity_list *old, struct error *err)
{
	unsigned count = guest->config.maxvcpus;
	cpu_set_t set;
	int r;

	*old = (struct affinity_list){NULL, 0};
	if (vcpu >= 0 && vcpu >= count)
		return error_set(err, EINVAL, "the guest has no processor %d", vcpu);
	r = cpuset_parse(text, &guest->daemon->cpus, &set, err);
	if (r)
		return r;
	old->text = calloc(count, sizeof *old->text);
	if (!old->text)
		return error_nomem(err);
	for (old->count = 0; old->count < count; old->count++) {
		bool this = vcpu < 0 || vcpu == old->count;

		old->text[old->count] = strdup(this ? text : entry(guest, soft, old->count));
		if (!old->text[old->count]) {
			affinity_drop(old);
			return error_nomem(err);
		}
	}
	exchange(guest, soft, old);
	return 0;
}

const char *affinity_text(const struct guest *guest, bool soft, unsigned vcpu, char *buf,
	size_t size)
{
	const char *text = entry(guest, soft, vcpu);
	cpu_set_t set;

	if (cpuset_parse(text, &guest->daemon->cpus, &set, NULL))
		snprintf(buf, size, "%s", text);
	else
		cpuset_format(&set, &guest->daemon->cpus, buf, size);
	return buf;
}
