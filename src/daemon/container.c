/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/container_files.h"
#include "daemon/container_start.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "daemon/network.h"
#include "daemon/resources.h"
#include "daemon/spec.h"

bool guest_is_container(const struct guest *guest)
{
	return guest->config.kind == DOMAIN_CONTAINER;
}

/* A machine's network is a program's, which can do more than a link of the host's. A user's is a program's, too. */
static int check_vifs(const struct daemon *daemon, const struct domain_config *config,
	struct error *err)
{
	for (unsigned i = 0; i < config->vifs; i++) {
		const struct domain_vif *vif = &config->vif[i];

		if (vif->forwards && !daemon->root)
			return error_set(err, ENOTSUP,
				"vifs[%u]: forward: no port is forwarded to a container", i);
		if (vif->allows)
			return error_set(err, ENOTSUP,
				"vifs[%u]: allow: a container's network has no such list; one that the daemon keeps has (dach "
				"network create --allow)",
				i);
		if (daemon->root && (vif->forwards || (vif->mode && !strcmp(vif->mode, "user"))))
			return error_set(err, ENOTSUP,
				"vifs[%u]: a container has no network in user mode; bridge=NAME names a bridge "
				"or a network (dach network create)",
				i);
		if (vif->rate)
			return error_set(err, ENOTSUP,
				"vifs[%u]: rate: nothing holds a container to it", i);
	}
	return 0;
}

int container_check(const struct daemon *daemon, const struct caller *caller,
	const struct domain_config *config, struct error *err)
{
	if (!daemon->root && config->container.privileged)
		return error_set(err, EPERM,
			"privileged: a user's own containers cannot be (as root: dach create ...)");
	if (daemon->root && !daemon->cgroup)
		return error_set(err, ENOTSUP,
			"containers need control groups, of which this host gives the daemon none "
			"(/sys/fs/cgroup)");
	/* What a container writes belongs on the disk to whom it says, also to the host's root. */
	if (!caller->manager)
		return error_set(err, EACCES, "containers are for who manages this host");
	return check_vifs(daemon, config, err);
}

int container_program(char *to, struct error *err)
{
	if (!folder_program("dach-ct", "../libexec/dach/dach-ct", to, PATH_MAX))
		return 0;
	return error_set(err, ENOENT,
		"dach-ct is neither beside this program nor in ../libexec/dach");
}

/* A number of its own among those that run: the next life has another, and one that is only kept has none to be taken. */
static int choose_ids(const struct guest *guest, unsigned *ids, struct error *err)
{
	const unsigned range = guest->domid % CONTAINER_IDS_RANGES;

	for (const struct guest *at = guest->domid ? guest->daemon->guests : NULL; at;
		at = at->next)
		if (at != guest && guest_is_container(at) && at->domid &&
			at->domid % CONTAINER_IDS_RANGES == range)
			return error_set(err, EAGAIN,
				"the container's user IDs are still those of '" GUEST_LABEL
				"': start it again",
				at->config.name);
	*ids = CONTAINER_IDS_FIRST + range * CONTAINER_IDS;
	return 0;
}

static int put(char **to, const char *text, struct error *err)
{
	free(*to);
	*to = strdup(text);
	return *to ? 0 : error_nomem(err);
}

static int open_root(const struct guest *guest, struct launch_file *root, struct error *err)
{
	const char *path = guest->config.root ? guest->config.root : guest->config.template;
	struct caller owner;
	int r = put(&root->name, path, err);

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	if (!r)
		r = caller_open(&owner, path, O_RDONLY | O_DIRECTORY, 0, &root->fd, err);
	caller_free(&owner);
	/* For as long as anything of the container has it open: who writes to it is alone. */
	if (!r && flock(root->fd, (guest->config.root ? LOCK_EX : LOCK_SH) | LOCK_NB))
		r = error_set(err, EBUSY, "%s: another container has it as its %s", path,
			guest->config.root ? "root or template" : "root, and writes to it");
	return r;
}

/* As the network that the daemon keeps has it. */
static int put_address(const struct guest *guest, unsigned i, struct launch_link *link,
	struct error *err)
{
	const struct domain_vif *vif = &guest->config.vif[i];
	const struct network *network =
		vif->bridge ? network_find(guest->daemon, vif->bridge) : NULL;
	char text[NET_ADDRESS_TEXT + 4], host[NET_ADDRESS_TEXT + 1];
	struct network_subnet subnet;
	const char *address;
	int r;

	if (!network || !network_leased(network, vif->mac, &address, &subnet))
		return 0;
	snprintf(text, sizeof text, "%s/%u", address, subnet.bits);
	network_subnet_text(&subnet, true, host);
	r = put(&link->address, text, err);
	return r ? r : put(&link->gateway, host, err);
}

static int open_links(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	int r = launch_make_links(spec, guest->config.vifs) ? error_nomem(err) : 0;

	for (unsigned i = 0; !r && i < guest->config.vifs; i++) {
		struct net_spec net = {.fd = -1};
		char peer[NET_LINK_TEXT + 1];

		snprintf(net.mac, sizeof net.mac, "%s", guest->config.vif[i].mac);
		links_peer(guest, i, peer);
		spec->link[i].number = domain_vif_devid(&guest->config, i);
		r = put(&spec->link[i].name, peer, err);
		if (r)
			break;
		r = links_has(guest, i)
			? links_open(guest, i, 1, &net, err)
			: error_set(err, ENOENT,
				  "vifs[%u]: bridge: a container needs one (bridge=NAME), and this host has no xenbr0",
				  i);
		if (!r)
			r = put_address(guest, i, &spec->link[i], err);
	}
	return r;
}

/* Each time: who may no longer have containers does not start those that he has. */
static int check_owner(const struct guest *guest, struct error *err)
{
	struct caller owner;
	int r;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = container_check(guest->daemon, &owner, &guest->config, err);
	caller_free(&owner);
	return r;
}

static int open_shares(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	struct caller owner;
	int r;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = spec_open_shares(&guest->config, &owner, spec, err);
	caller_free(&owner);
	return r;
}

int container_open(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	int r = check_owner(guest, err);

	if (!r)
		r = open_root(guest, &spec->root, err);
	if (!r && config->template)
		r = container_files_open(guest, spec, err);
	if (!r)
		r = open_shares(guest, spec, err);
	if (!r)
		r = spec_open_agent(&spec->agent, err);
	if (!r && guest->daemon->root && !config->container.privileged)
		r = choose_ids(guest, &spec->ids, err);
	if (!r)
		r = fields_copy(container_spec_fields, &config->container, &spec->container, err);
	if (!r)
		r = container_take_start(guest, &spec->root, &spec->container, err);
	if (!r && guest->daemon->cgroup &&
		asprintf(&spec->group, RESOURCES_GROUP "/%s", config->uuid) < 0) {
		spec->group = NULL;
		r = error_nomem(err);
	}
	return r || !guest->daemon->root ? r : open_links(guest, spec, err);
}
