/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/io.h"
#include "chain/chain.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/links.h"
#include "daemon/migration.h"
#include "daemon/nvram.h"
#include "daemon/script.h"
#include "daemon/switches.h"
#include "domain/boot.h"
#include "domain/vdev.h"
#include "protocol/agent.h"

int spec_init(struct spec_files *files, struct error *err)
{
	memset(files, 0, sizeof *files);
	files->null = files->output = files->written = -1;
	return launch_init(&files->spec) ? error_nomem(err) : 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void spec_close(struct spec_files *files)
{
	/* Once numbered they are in the list, and the description has the monitor's numbers. */
	if (!files->count)
		files->count = launch_fds(&files->spec, files->fd);
	for (unsigned i = 0; i < files->count; i++)
		close_one(&files->fd[i]);
	close_one(&files->null);
	close_one(&files->output);
	close_one(&files->written);
	launch_free(&files->spec);
}

static int open_one(const struct caller *owner, const char *path, bool writable, int *fd,
	struct error *err)
{
	struct stat st;
	int r = caller_open(owner, path, writable ? O_RDWR : O_RDONLY, 0, fd, err);

	if (r)
		return r;
	if (fstat(*fd, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return error_set(err, EINVAL, "%s: neither a file nor a block device", path);
	return 0;
}

static int put(char **to, const char *text, struct error *err)
{
	free(*to);
	*to = strdup(text);
	return *to ? 0 : error_nomem(err);
}

/* For whom a disk's files are opened. */
struct disk_user {
	const struct policy *policy;
	const struct caller *owner;
};

static int open_of_disk(void *ctx, const char *path, bool writable, unsigned n, int above, int *fd,
	struct error *err)
{
	const struct disk_user *user = ctx;

	return n ? caller_open_named(user->policy, user->owner, above, path, fd, err)
		 : open_one(user->owner, path, writable, fd, err);
}

static int open_disk(const struct disk_user *user, const struct domain_disk *disk, unsigned n,
	struct disk_spec *to, struct error *err)
{
	const struct chain_opener opener = {open_of_disk, (void *)(uintptr_t)user};
	char serial[LIMIT_SERIAL + 1];
	int r;

	if (disk->format != DOMAIN_RAW && disk->format != DOMAIN_QCOW2)
		return error_set(err, ENOTSUP, "%s: format %s is not there; raw and qcow2 are",
			disk->target, domain_format_name(disk->format));
	if (fields_make_list(disk_spec_fields, "files", to, 1))
		return error_nomem(err);
	to->readonly = !disk->writable;
	to->errors = disk->errors;
	snprintf(serial, sizeof serial, DISK_SERIAL, n);
	to->file[0].format = disk->format == DOMAIN_QCOW2 ? DISK_QCOW2 : DISK_RAW;
	r = put(&to->file[0].name, disk->target, err);
	if (!r)
		r = chain_resolve(to, &opener, true, err);
	if (!r)
		r = put(&to->serial, serial, err);
	return r ? r : put(&to->vdev, disk->vdev, err);
}

int spec_open_disk(const struct guest *guest, const struct domain_disk *disk, struct disk_spec *to,
	struct error *err)
{
	const struct policy *policy = &guest->daemon->policy;
	struct caller owner;
	int r;

	caller_of_user(policy, guest->owner, &owner);
	r = open_disk(&(struct disk_user){policy, &owner}, disk, 0, to, err);
	caller_free(&owner);
	if (r)
		disk_spec_free(to);
	return r;
}

enum disk_bus spec_disk_bus(const struct domain_config *config, const struct domain_disk *disk)
{
	enum firmware firmware;
	struct vdev vdev;

	if (domain_config_firmware(config, &firmware, NULL) || !firmware ||
		vdev_parse(disk->vdev, &vdev))
		return DISK_VIRTIO;
	if (vdev.bus == VDEV_SD)
		return DISK_AHCI;
	if (vdev.bus == VDEV_HD && !disk->cdrom && config->hdtype == DOMAIN_HD_AHCI)
		return DISK_AHCI;
	return vdev.bus == VDEV_HD || disk->cdrom ? DISK_IDE : DISK_VIRTIO;
}

/* One that is not virtio's stays when it is empty. */
static bool is_empty_drive(const struct domain_config *config, const struct domain_disk *disk)
{
	return !domain_disk_has_medium(disk) && spec_disk_bus(config, disk) != DISK_VIRTIO;
}

static int add_drives(const struct domain_config *config, struct launch_spec *spec,
	struct error *err)
{
	unsigned count = 0;
	int r;

	for (unsigned i = 0; i < config->disks; i++)
		count += is_empty_drive(config, &config->disk[i]);
	if (count > LIMIT_DRIVES)
		return error_set(err, E2BIG, "disks: there are %u drives of IDE and AHCI at most",
			LIMIT_DRIVES);
	r = launch_make_drives(spec, count) ? error_nomem(err) : 0;
	count = 0;
	for (unsigned i = 0; !r && i < config->disks; i++) {
		const struct domain_disk *disk = &config->disk[i];

		if (!is_empty_drive(config, disk))
			continue;
		spec->drive[count].bus = spec_disk_bus(config, disk);
		r = put(&spec->drive[count++].vdev, disk->vdev, err);
	}
	return r;
}

/* A virtio drive without a medium: the guest does without the drive, too. */
static int open_disks(const struct disk_user *user, const struct guest *guest,
	struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	unsigned count = 0;
	int r;

	for (unsigned i = 0; i < config->disks; i++)
		count += domain_disk_has_medium(&config->disk[i]);
	r = launch_make_disks(spec, count) ? error_nomem(err) : 0;
	count = 0;
	for (unsigned i = 0; !r && i < config->disks; i++) {
		const struct domain_disk *disk = &config->disk[i];
		struct disk_spec *to = &spec->disk[count];

		if (!domain_disk_has_medium(disk))
			continue;
		r = open_disk(user, disk, count++, to, err);
		to->bus = spec_disk_bus(config, disk);
		to->cdrom = disk->cdrom && to->bus != DISK_VIRTIO;
		to->filled = migration_brings(guest, disk);
	}
	return r ? r : add_drives(config, spec, err);
}

/* The monitor puts it behind the ramdisk, which may be large. */
static int make_overlay(const struct domain_config *config, int *fd, struct error *err)
{
	char *bytes;
	size_t size;
	int r = domain_boot_overlay(config, &bytes, &size, err);

	if (!r && size) {
		*fd = memfd_create("names", MFD_CLOEXEC);
		r = *fd < 0 ? -errno : io_pwrite_all(*fd, bytes, size, 0);
		if (r)
			error_set(err, -r, "initial ramdisk: %s", strerror(-r));
	}
	free(bytes);
	return r;
}

int spec_open_agent(int *fd, struct error *err)
{
	char path[PATH_MAX];

	if (folder_program("dach-agent", "../libexec/dach/dach-agent", path, sizeof path))
		return error_set(err, ENOENT,
			"dach-agent is neither beside this program nor in ../libexec/dach");
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
}

/* The agent, behind what is there already. */
static int add_agent(int *overlay, struct error *err)
{
	int program, archive = -1, r = spec_open_agent(&program, err);

	if (r)
		return r;
	r = domain_boot_program(program, &AGENT_BESIDE[1], &archive, err);
	close(program);
	if (!r)
		r = domain_boot_join(overlay, "names", archive, err);
	if (archive >= 0)
		close(archive);
	return r;
}

/*
 * What is named is the kernel. Otherwise the monitor finds it on the first disk, and what would go
 * beside one that is named follows what it finds there.
 */
static int open_kernel(const struct caller *owner, const struct domain_config *config,
	struct launch_spec *spec, struct error *err)
{
	const char *vdev[DOMAIN_DISKS_MAX];
	unsigned disks = domain_boot_vdevs(config, vdev);
	char *cmdline;
	int r = 0;

	if (config->ramdisk)
		r = open_one(owner, config->ramdisk, false, &spec->initrd.fd, err);
	if (!r && (config->ramdisk || !config->kernel))
		r = make_overlay(config, &spec->overlay, err);
	if (!r && config->machine.agent)
		r = add_agent(&spec->overlay, err);
	if (!r && config->ramdisk)
		r = put(&spec->initrd.name, config->ramdisk, err);
	if (r || !config->kernel)
		return r ? r : put(&spec->cmdline, config->cmdline, err);
	r = open_one(owner, config->kernel, false, &spec->kernel.fd, err);
	if (!r)
		r = put(&spec->kernel.name, config->kernel, err);
	if (!r)
		r = domain_boot_cmdline(config->cmdline, vdev, disks, &cmdline, err);
	if (!r) {
		free(spec->cmdline);
		spec->cmdline = cmdline;
	}
	return r;
}

/* Where it is a kernel's place, nothing; also of a guest that goes on, which may reset itself. */
static int open_firmware(const struct caller *owner, const struct guest *guest,
	struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	struct firmware_files files;
	int r = domain_config_firmware(config, &spec->firmware, err);

	if (r || !spec->firmware)
		return r;
	r = firmware_find(spec->firmware, &files, err);
	if (!r)
		r = open_one(owner, files.code, false, &spec->kernel.fd, err);
	if (!r)
		r = put(&spec->kernel.name, files.code, err);
	if (!r && files.variables && guest->handed)
		r = guest_nvram_pass(guest, guest->handed->variables, &spec->nvram, err);
	else if (!r && files.variables)
		r = guest_nvram_open(guest, files.variables, &spec->nvram, err);
	return r || !config->boot ? r : put(&spec->boot, config->boot, err);
}

static int put_state(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	spec->state.fd = fcntl(guest->state_fd, F_DUPFD_CLOEXEC, LIMIT_FD_MIN);
	if (spec->state.fd < 0)
		return error_set(err, errno, "%s: %s", guest->state_name, strerror(errno));
	spec->arriving = guest->arriving;
	spec->lazy = guest->lazy;
	spec->renew = guest->renews;
	if (guest->handed && guest->handed->ram >= 0) {
		spec->ram = fcntl(guest->handed->ram, F_DUPFD_CLOEXEC, LIMIT_FD_MIN);
		if (spec->ram < 0)
			return error_set(err, errno, "the guest's memory: %s", strerror(errno));
	}
	if (launch_make_layers(spec, guest->layers))
		return error_nomem(err);
	for (unsigned i = 0; i < guest->layers; i++) {
		spec->layer[i].fd = fcntl(guest->layer[i], F_DUPFD_CLOEXEC, LIMIT_FD_MIN);
		if (spec->layer[i].fd < 0)
			return error_set(err, errno, "%s: %s", guest->state_name, strerror(errno));
	}
	return put(&spec->state.name, guest->state_name, err);
}

static int copy_allowed(const struct domain_vif *vif, struct net_spec *to, struct error *err)
{
	to->allow = calloc(vif->allows + 1, sizeof *to->allow);
	if (!to->allow)
		return error_nomem(err);
	for (; to->allows < vif->allows; to->allows++)
		if (!(to->allow[to->allows] = strdup(vif->allow[to->allows])))
			return error_nomem(err);
	return 0;
}

/* As of disks: with firmware the guest has the card that it is said to have, if there is one; a kernel finds virtio's. */
static enum net_model model_of(const struct domain_config *config, const struct domain_vif *vif)
{
	enum firmware firmware;
	int model;

	if (!vif->model || domain_config_firmware(config, &firmware, NULL) || !firmware)
		return NET_VIRTIO;
	model = field_find_name(net_model_words, vif->model);
	return model < 0 ? NET_VIRTIO : (enum net_model)model;
}

/* All but a link of this host's. */
static int describe_network(const struct guest *guest, unsigned i, struct net_spec *to,
	struct error *err)
{
	const struct domain_vif *vif = &guest->config.vif[i];
	int r = 0;

	to->kind = NET_USER;
	to->model = model_of(&guest->config, vif);
	snprintf(to->mac, sizeof to->mac, "%s", vif->mac);
	to->rate = vif->rate;
	to->rate_interval = vif->rate_interval;
	if (guest->handed && guest->handed->net[i] >= 0) {
		to->kind = NET_TAP;
		to->mtu = guest->handed->mtu[i];
		to->fd = fcntl(guest->handed->net[i], F_DUPFD_CLOEXEC, LIMIT_FD_MIN);
		return to->fd < 0 ? error_set(err, errno, "vifs[%u]: %s", i, strerror(errno)) : 0;
	}
	if (guest->handed && links_has(guest, i))
		return error_set(err, EPROTO, "vifs[%u]: its monitor has not offered its link", i);
	if (links_has(guest, i))
		return 0;
	if (script_kind(vif) != SCRIPT_BRIDGE)
		return error_set(err, EOPNOTSUPP,
			"vifs[%u]: script=%s is for links of this host, which a network in user mode and a user's own "
			"daemon have not",
			i, vif->script);
	if (switches_name(guest, i))
		return switches_join(guest, i, to, err);
	if (fields_make_list(net_spec_fields, "forwards", to, vif->forwards))
		return error_nomem(err);
	for (unsigned k = 0; !r && k < vif->forwards; k++)
		r = net_forward_parse(vif->forward[k], &to->forward[k], err);
	return r ? r : copy_allowed(vif, to, err);
}

int spec_open_network(const struct guest *guest, unsigned i, struct net_spec *to, struct error *err)
{
	int r = describe_network(guest, i, to, err);

	return r ? r : links_open(guest, i, 1, to, err);
}

static int put_networks(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	int r = 0;

	if (launch_make_networks(spec, guest->config.vifs))
		return error_nomem(err);
	for (unsigned i = 0; !r && i < guest->config.vifs; i++)
		r = describe_network(guest, i, &spec->network[i], err);
	/* One whose monitor is another from now on keeps its links. */
	return r || guest->handed ? r
				  : links_open(guest, 0, guest->config.vifs, spec->network, err);
}

static int open_folder(void *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* As the guest's owner finds it, whatever else he may have the daemon do. */
int spec_open_share(const struct caller *owner, struct share_spec *to, struct error *err)
{
	struct caller himself = *owner;

	if (!owner->manager)
		return caller_open(owner, to->folder, O_PATH | O_DIRECTORY, 0, &to->fd, err);
	himself.manager = false;
	to->fd = caller_act(&himself, open_folder, to->folder);
	return to->fd < 0 ? error_set(err, -to->fd, "share: %s: %s", to->folder, strerror(-to->fd))
			  : 0;
}

/* What serves them runs as the owner. */
int spec_open_shares(const struct domain_config *config, const struct caller *owner,
	struct launch_spec *spec, struct error *err)
{
	int r = 0;

	if (!config->shares)
		return 0;
	if (spec->state.fd >= 0)
		return error_set(err, ENOTSUP,
			"share: a guest that goes on from a state has no shared folders: leave them out");
	if (launch_make_shares(spec, config->shares) || launch_make_groups(spec, owner->groups))
		return error_nomem(err);
	spec->owner.uid = owner->uid;
	spec->owner.gid = owner->gid;
	for (unsigned i = 0; i < owner->groups; i++)
		spec->owner.group[i].id = owner->group[i];
	for (unsigned i = 0; !r && i < config->shares; i++) {
		r = fields_copy(share_spec_fields, &config->share[i], &spec->share[i], err);
		if (!r)
			r = spec_open_share(owner, &spec->share[i], err);
	}
	return r;
}

static bool preserves(enum domain_action action)
{
	return action == DOMAIN_PRESERVE || action == DOMAIN_COREDUMP_DESTROY ||
		action == DOMAIN_COREDUMP_RESTART;
}

static uint64_t whole_mib(uint64_t kib)
{
	return (kib + 1023) / 1024 * 1024;
}

static int put_values(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	int r = put(&spec->name, config->name, err);

	if (!r)
		r = put(&spec->uuid, config->uuid, err);
	if (!r)
		r = fields_copy(machine_spec_fields, &config->machine, &spec->machine, err);
	spec->domid = guest->domid;
	spec->memory = whole_mib(config->memory);
	spec->maxmem = whole_mib(config->maxmem);
	spec->vcpus = config->vcpus;
	spec->tsc_khz = guest->daemon->clock_rate.khz;
	spec->paused = guest->paused;
	spec->walls = guest->daemon->policy.walls;
	for (enum end_reason reason = END_NONE; reason < END_REASONS; reason++)
		if (END_PRESERVABLE & 1u << reason &&
			preserves(domain_config_after(config, reason)))
			spec->keep |= 1u << reason;
	return r;
}

static int open_machine(const struct guest *guest, struct spec_files *files, struct error *err)
{
	const struct domain_config *config = &guest->config;
	struct launch_spec *spec = &files->spec;
	struct caller owner;
	const bool begins = guest->state_fd < 0;
	int r = begins ? domain_config_check_boot(config, err) : 0;

	if (r)
		return r;
	snprintf(files->program, sizeof files->program, "%s", guest->daemon->vmm);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = open_firmware(&owner, guest, spec, err);
	if (!r && !begins)
		r = put_state(guest, spec, err);
	else if (!r && !spec->firmware)
		r = open_kernel(&owner, config, spec, err);
	if (!r)
		r = open_disks(&(struct disk_user){&guest->daemon->policy, &owner}, guest, spec,
			err);
	if (!r)
		r = spec_open_shares(config, &owner, spec, err);
	if (!r && config->machine.qemu_agent)
		r = spec_open_agent(&spec->agent, err);
	caller_free(&owner);
	return r;
}

int spec_open(const struct guest *guest, struct spec_files *files, struct error *err)
{
	struct launch_spec *spec = &files->spec;
	int r = domain_config_check_limits(&guest->config, err);

	if (!r && guest_is_container(guest)) {
		r = container_program(files->program, err);
		if (!r)
			r = container_open(guest, spec, err);
		if (!r && !guest->daemon->root)
			r = put_networks(guest, spec, err);
	} else if (!r) {
		r = open_machine(guest, files, err);
		if (!r)
			r = put_networks(guest, spec, err);
	}
	if (!r)
		r = put_values(guest, spec, err);
	if (!r) {
		files->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (files->null < 0)
			r = error_set(err, errno, "/dev/null: %s", strerror(errno));
	}
	return r;
}

int spec_write(struct spec_files *files, struct error *err)
{
	char *text;
	int r;

	files->count = launch_number_fds(&files->spec, files->fd);
	r = launch_write(&files->spec, &text, err);
	if (r)
		return r;
	files->written = memfd_create("dach-config", MFD_CLOEXEC);
	if (files->written < 0)
		r = error_set(err, errno, "memfd: %s", strerror(errno));
	else if (write(files->written, text, strlen(text)) != strlen(text) ||
		lseek(files->written, 0, SEEK_SET) < 0)
		r = error_set(err, EIO, "memfd: %s", strerror(errno));
	free(text);
	return r;
}
