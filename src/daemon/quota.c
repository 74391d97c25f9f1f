/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/quota.h"

#include <errno.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/policy.h"
#include "protocol/network.h"

#define IO_WEIGHT_EVEN 100 /* everybody's */

/* A user's ports of the host are such as he could have himself, and seen by the host alone. */
static int check_forward(const struct caller *caller, const char *forward, struct error *err)
{
	struct net_forward parsed;
	int r = net_forward_parse(forward, &parsed, err);

	if (r)
		return r;
	if (!net_forward_loopback(&parsed) && !caller_allows(caller, "addresses"))
		return error_set(err, EACCES,
			"forward: '%s': the host's policy gives you the host's loopback addresses only",
			forward);
	if (parsed.host_port < 1024 && !caller_allows(caller, "low_ports"))
		return error_set(err, EACCES,
			"forward: '%s': the host's policy gives you ports from 1024 on only",
			forward);
	return 0;
}

static int check_forwards(const struct caller *caller, const struct domain_config *config,
	struct error *err)
{
	for (unsigned i = 0; i < config->vifs; i++)
		for (unsigned k = 0; k < config->vif[i].forwards; k++) {
			int r = check_forward(caller, config->vif[i].forward[k], err);

			if (r)
				return r;
		}
	return 0;
}

static int check_weight(const struct caller *caller, const char *key, unsigned wanted,
	unsigned even, struct error *err)
{
	int64_t most = caller_limit(caller, key);

	if (!most)
		most = even;
	if (wanted <= most)
		return 0;
	return error_set(err, EACCES, "%s: the host's policy gives your guests %lld at most", key,
		(long long)most);
}

static bool names_processors(char *const *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i] && *list[i] && strcmp(list[i], "all"))
			return true;
	return false;
}

int quota_check_shares(const struct caller *caller, const struct domain_config *config,
	struct error *err)
{
	int r;

	if (caller->manager)
		return 0;
	r = check_weight(caller, "cpu_weight", config->cpu_weight, DOMAIN_WEIGHT_DEFAULT, err);
	if (!r)
		r = check_weight(caller, "io_weight", config->io_weight, IO_WEIGHT_EVEN, err);
	if (!r && !caller_allows(caller, "affinity") &&
		(names_processors(config->cpus, config->cpus_count) ||
			names_processors(config->cpus_soft, config->cpus_soft_count)))
		r = error_set(err, EACCES,
			"cpus: the host's policy does not let you choose processors");
	return r;
}

int quota_check(struct daemon *daemon, const struct caller *caller,
	const struct domain_config *config, const struct guest *instead, struct error *err)
{
	int64_t guests = 1, memory = config->maxmem, vcpus = config->maxvcpus;
	int r;

	if (caller->manager)
		return 0;
	for (const struct guest *at = daemon->guests; at; at = at->next) {
		if (at->owner != caller->uid || at == instead)
			continue;
		guests++;
		memory += at->config.maxmem;
		vcpus += at->config.maxvcpus;
	}
	if (guests > caller_limit(caller, "guests"))
		return error_set(err, EDQUOT, "the host's policy gives you %lld guests",
			(long long)caller_limit(caller, "guests"));
	if (memory > caller_limit(caller, "memory") * 1024)
		return error_set(err, EDQUOT,
			"the host's policy gives all your guests together %lld MiB of memory",
			(long long)caller_limit(caller, "memory"));
	if (vcpus > caller_limit(caller, "vcpus"))
		return error_set(err, EDQUOT,
			"the host's policy gives all your guests together %lld processors",
			(long long)caller_limit(caller, "vcpus"));
	r = quota_check_shares(caller, config, err);
	return r ? r : check_forwards(caller, config, err);
}

int quota_check_owner(const struct guest *guest, const struct domain_config *config,
	struct error *err)
{
	struct caller owner;
	int r;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = quota_check(guest->daemon, &owner, config, NULL, err);
	caller_free(&owner);
	return r;
}
