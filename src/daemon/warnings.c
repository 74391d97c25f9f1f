/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "daemon/script.h"
#include "host/cgroup.h"
#include "links/link.h"

static void add(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(json_t *list, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	json_array_append_new(list, json_string(text));
}

static void add_shares(const struct guest *guest, json_t *list)
{
	const struct domain_config *config = &guest->config;
	const struct cgroup *cgroup = guest->daemon->cgroup;
	unsigned there = cgroup ? cgroup_controllers(cgroup) : 0;
	const struct {
		const char *name;
		bool wanted;
		enum cgroup_controller by;
	} shares[] = {
		{"cap", config->cap, CGROUP_CPU},
		{"cpu_weight", config->cpu_weight != DOMAIN_WEIGHT_DEFAULT, CGROUP_CPU},
		{"io_weight", config->io_weight, CGROUP_IO},
	};

	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
		if (!shares[i].wanted || there & 1u << shares[i].by)
			continue;
		add(list,
			"%s: nothing holds the guest to it, since this daemon has no control group "
			"for %s",
			shares[i].name, cgroup_controller_name(shares[i].by));
	}
}

static void add_processors(const struct guest *guest, json_t *list)
{
	const struct domain_config *config = &guest->config;

	for (unsigned i = 0; i < config->vcpus && i < config->cpus_count; i++) {
		struct error why = {""};
		cpu_set_t set;

		if (!*config->cpus[i] ||
			!cpuset_parse(config->cpus[i], &guest->daemon->cpus, &set, &why))
			continue;
		add(list, "cpus[%u]: %s; that vCPU runs anywhere", i, why.text);
	}
}

static void add_networks(const struct guest *guest, json_t *list)
{
	for (unsigned i = 0; i < guest->config.vifs; i++) {
		const char *bridge = guest->config.vif[i].bridge;

		if (!bridge)
			continue;
		if (script_kind(&guest->config.vif[i]) == SCRIPT_OWN)
			continue;
		if (links_bridge(guest, i)) {
			char where[32];
			struct error why = {""};
			struct link link;

			snprintf(where, sizeof where, "vifs[%u]: ", i);
			if (link_find_bridge(where, bridge, &link, &why))
				add(list, "%s", why.text);
			continue;
		}
		if (guest->config.vif[i].forwards)
			add(list,
				"vifs[%u]: bridge %s is not used, since ports are forwarded to it: it is a network "
				"of its own behind this host's addresses",
				i, bridge);
	}
}

json_t *warnings_describe(const struct guest *guest)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	if (guest->config.container.privileged)
		add(list, "privileged: who is root in this container can become root of this host");
	if (guest_is_container(guest) && !guest->daemon->cgroup)
		add(list,
			"memory, vcpus, pids: nothing holds the container to them, and it cannot be paused, since this daemon has "
			"no control groups");
	add_shares(guest, list);
	add_processors(guest, list);
	add_networks(guest, list);
	return list;
}
