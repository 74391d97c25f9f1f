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
#include "daemon/container_start.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "daemon/network.h"
#include "daemon/resources.h"
#include "daemon/spec.h"
#include "daemon/waste.h"

#define FOLDER "containers"
#define WASTE ".gone" /* of what is on its way out */

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

static int own_path(const struct guest *guest, const char *file, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/" FOLDER "/%s%s", guest->daemon->state,
		       guest->config.uuid, file) < PATH_MAX
		? 0
		: -ENAMETOOLONG;
}

static int make_folder(const struct guest *guest, const char *file, struct error *err)
{
	char path[PATH_MAX];
	int r = own_path(guest, file, path);

	if (!r && mkdir(path, 0700) && errno != EEXIST)
		r = -errno;
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* The root that the container sees is this folder with the template's files in it: so it is as the template is. */
static int make_upper(const struct guest *guest, int template, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;
	int r = own_path(guest, "/upper", path);

	if (!r && mkdir(path, 0700))
		r = errno == EEXIST ? 1 : -errno;
	if (!r &&
		(fstat(template, &st) ||
			(guest->daemon->root && chown(path, st.st_uid, st.st_gid)) ||
			chmod(path, st.st_mode & 07777))) {
		r = -errno;
		rmdir(path);
	}
	return r < 0 ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* What it writes, from its first life on. The folder above is nobody else's to look into: its files may be any user's. */
static int open_own(const struct guest *guest, int template, int *fd, struct error *err)
{
	char path[PATH_MAX];
	int r = 0;

	if (snprintf(path, sizeof path, "%s/" FOLDER, guest->daemon->state) >= (int)sizeof path)
		r = error_set(err, ENAMETOOLONG, "%s: path too long", guest->daemon->state);
	if (!r)
		r = folder_make(path, 0700, err);
	if (!r)
		r = make_folder(guest, "", err);
	if (!r)
		r = make_upper(guest, template, err);
	if (!r)
		r = make_folder(guest, "/work", err);
	if (!r)
		r = own_path(guest, "", path);
	if (r)
		return r;
	/* Its root's way into what is its own: who is not root comes no further than here, since the one above is closed. */
	if (chmod(path, 0755))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
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

int container_open(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	int r = check_owner(guest, err);

	if (!r)
		r = open_root(guest, &spec->root, err);
	if (!r && config->template)
		r = open_own(guest, spec->root.fd, &spec->upper, err);
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

/* Under a name that is not taken: what one before it has left there may still be going. */
static int put_aside(const char *path, char gone[PATH_MAX])
{
	for (unsigned n = 0;; n++) {
		if (snprintf(gone, PATH_MAX, "%s.%u" WASTE, path, n) >= PATH_MAX)
			return -ENAMETOOLONG;
		if (!renameat2(AT_FDCWD, path, AT_FDCWD, gone, RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

void container_forget(const struct guest *guest)
{
	char path[PATH_MAX], gone[PATH_MAX];
	int r;

	if (!guest_is_container(guest) || own_path(guest, "", path))
		return;
	r = put_aside(path, gone);
	if (!r)
		waste_remove(gone);
	else if (r != -ENOENT)
		guest_log(guest, "what it wrote stays", strerror(-r));
}

void container_sweep(struct daemon *daemon)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/" FOLDER, daemon->state) < (int)sizeof path)
		waste_sweep(path, WASTE);
}
