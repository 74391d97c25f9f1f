/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "domain/boot.h"

void document_files_init(struct document_files *files)
{
	memset(files, 0, sizeof *files);
	files->kernel = files->initrd = files->document = -1;
	files->control = files->console = files->lock = files->status = -1;
	files->null = files->output = -1;
	for (unsigned i = 0; i < DOCUMENT_DISKS_MAX; i++)
		files->disk[i] = -1;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void document_files_close(struct document_files *files)
{
	close_one(&files->kernel);
	close_one(&files->initrd);
	close_one(&files->document);
	close_one(&files->control);
	close_one(&files->console);
	close_one(&files->lock);
	close_one(&files->status);
	close_one(&files->null);
	close_one(&files->output);
	for (unsigned i = 0; i < DOCUMENT_DISKS_MAX; i++)
		close_one(&files->disk[i]);
}

static int open_one(const struct peer *owner, const char *path, bool writable, int *fd,
	struct error *err)
{
	struct stat st;
	int r = peer_open(owner, path, writable ? O_RDWR : O_RDONLY, 0, fd, err);

	if (r)
		return r;
	if (fstat(*fd, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return error_set(err, EINVAL, "%s: neither a file nor a block device", path);
	return 0;
}

static int open_disk(const struct peer *owner, const struct domain_disk *disk,
	struct document_files *files, struct error *err)
{
	if (disk->format == DOMAIN_EMPTY || !disk->target)
		return 0; /* a drive without a medium: the guest does without the drive, too */
	if (disk->format != DOMAIN_RAW)
		return error_set(err, ENOTSUP, "%s: format %s is not there yet; raw is",
			disk->target, domain_format_name(disk->format));
	if (files->disks == DOCUMENT_DISKS_MAX)
		return error_set(err, EINVAL, "more than %d disks are not there yet",
			DOCUMENT_DISKS_MAX);
	return open_one(owner, disk->target, disk->writable, &files->disk[files->disks++], err);
}

int document_open(const struct guest *guest, struct document_files *files, struct error *err)
{
	const struct domain_config *config = &guest->config;
	struct peer owner;
	int r = domain_config_check_boot(config, err);

	peer_of_user(&guest->daemon->policy, guest->owner, &owner);
	if (!r && config->kernel)
		r = open_one(&owner, config->kernel, false, &files->kernel, err);
	if (!r && config->ramdisk)
		r = open_one(&owner, config->ramdisk, false, &files->initrd, err);
	if (!r && (config->ramdisk || !config->kernel))
		r = domain_boot_ramdisk(config, &files->initrd, err);
	for (unsigned i = 0; !r && i < config->disks; i++)
		r = open_disk(&owner, &config->disk[i], files, err);
	if (!r) {
		files->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (files->null < 0)
			r = error_set(err, errno, "/dev/null: %s", strerror(errno));
	}
	peer_free(&owner);
	return r;
}

/* The number that a descriptor has in the monitor. */
static json_t *number(struct document_files *files, int fd)
{
	if (!files->count)
		files->count = 1; /* the document's place */
	files->fd[files->count] = fd;
	return json_integer(DOCUMENT_FIRST_FD + files->count++);
}

static json_t *file(struct document_files *files, int fd, const char *name)
{
	return json_pack("{s:o, s:s}", "fd", number(files, fd), "name", name);
}

static json_t *disks(const struct domain_config *config, struct document_files *files)
{
	json_t *list = json_array();
	unsigned n = 0;

	for (unsigned i = 0; i < config->disks; i++) {
		const struct domain_disk *disk = &config->disk[i];

		if (disk->format == DOMAIN_EMPTY || !disk->target)
			continue;
		json_array_append_new(list,
			json_pack("{s:o, s:s, s:s, s:b}", "fd", number(files, files->disk[n++]),
				"name", disk->target, "vdev", disk->vdev, "readonly",
				!disk->writable));
	}
	return list;
}

/* Every interface over this host's sockets; bridges are not there yet. */
static json_t *networks(const struct domain_config *config, struct error *err)
{
	json_t *list = json_array();

	if (config->vifs > DOCUMENT_NETS_MAX) {
		error_set(err, EINVAL, "more than %d networks are not there yet",
			DOCUMENT_NETS_MAX);
		json_decref(list);
		return NULL;
	}
	for (unsigned i = 0; i < config->vifs; i++) {
		const struct domain_vif *vif = &config->vif[i];
		char spec[4096];
		size_t len = snprintf(spec, sizeof spec, "user");

		for (unsigned k = 0; k < vif->forwards && len < sizeof spec; k++)
			len += snprintf(spec + len, sizeof spec - len, ",fwd=%s", vif->forward[k]);
		if (len < sizeof spec && *vif->mac)
			len += snprintf(spec + len, sizeof spec - len, ",mac=%s", vif->mac);
		if (len >= sizeof spec) {
			error_set(err, EINVAL, "vif %u: too many forwarded ports", i);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, json_pack("{s:s}", "spec", spec));
	}
	return list;
}

static bool keeps(enum domain_action action)
{
	return action == DOMAIN_PRESERVE || action == DOMAIN_COREDUMP_DESTROY ||
		action == DOMAIN_COREDUMP_RESTART;
}

static json_t *keep(const struct domain_config *config)
{
	json_t *list = json_array();

	for (enum end_reason reason = END_NONE; reason < END_REASONS; reason++)
		if (END_PRESERVABLE & 1u << reason && keeps(domain_config_after(config, reason)))
			json_array_append_new(list, json_string(end_word(reason)));
	return list;
}

static json_int_t whole_mib(uint64_t kib)
{
	return (kib + 1023) / 1024 * 1024;
}

/*
 * What is named is the kernel. Otherwise the monitor finds it on the first disk, and what would go
 * beside one that is named follows what it finds there.
 */
static int boot(const struct domain_config *config, struct document_files *files, json_t *root,
	struct error *err)
{
	const char *vdev[DOMAIN_DISKS_MAX];
	unsigned disks = domain_boot_vdevs(config, vdev);
	char *cmdline;
	int r;

	if (files->initrd >= 0)
		json_object_set_new(root, "initrd",
			file(files, files->initrd, config->ramdisk ? config->ramdisk : "names"));
	if (!config->kernel) {
		json_object_set_new(root, "cmdline", json_string(config->cmdline));
		return 0;
	}
	json_object_set_new(root, "kernel", file(files, files->kernel, config->kernel));
	r = domain_boot_cmdline(config->cmdline, vdev, disks, &cmdline, err);
	if (r)
		return r;
	json_object_set_new(root, "cmdline", json_string(cmdline));
	free(cmdline);
	return 0;
}

int document_write(const struct guest *guest, struct document_files *files, char **text,
	struct error *err)
{
	const struct domain_config *config = &guest->config;
	json_t *nets = networks(config, err), *root;
	int r;

	*text = NULL;
	if (!nets)
		return -EINVAL;
	root = json_pack("{s:i, s:s, s:i, s:s, s:s, s:I, s:I, s:i, s:o, s:o, s:o, s:o, s:o,"
			 " s:o, s:b, s:o}",
		"version", 1, "name", config->name, "domid", (int)guest->domid, "uuid",
		config->uuid, "engine", config->engine, "memory", whole_mib(config->memory),
		"maxmem", whole_mib(config->maxmem), "vcpus", (int)config->vcpus, "disks",
		disks(config, files), "networks", nets, "control", number(files, files->control),
		"console", number(files, files->console), "lock", number(files, files->lock),
		"status", number(files, files->status), "paused", guest->paused, "keep",
		keep(config));
	r = root ? boot(config, files, root, err) : error_set(err, ENOMEM, "out of memory");
	if (r) {
		json_decref(root);
		return r;
	}
	if (files->user) {
		json_object_set_new(root, "uid", json_integer(files->user));
		json_object_set_new(root, "gid", json_integer(files->user));
	}
	*text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return *text ? 0 : error_set(err, ENOMEM, "out of memory");
}
