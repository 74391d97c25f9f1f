/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that come and go: plug_internal.h has what both kinds of devices share. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "virtio/blk.h"
#include "vmm/drives.h"
#include "vmm/internal.h"
#include "vmm/plug_internal.h"

/* The files of a disk that is to come */

void plug_close_files(struct disk_spec *spec)
{
	for (unsigned i = 0; i < spec->files; i++)
		if (spec->file[i].fd >= 0)
			close(spec->file[i].fd);
	disk_spec_free(spec);
}

static int take_file(struct disk_spec *spec, const struct monitor_request *request, int fd,
	struct error *err)
{
	struct disk_file *more;
	char *name;

	if (spec->files == LIMIT_CHAIN)
		return error_set(err, E2BIG, "%s: a disk has %u files at most", request->name,
			LIMIT_CHAIN);
	more = reallocarray(spec->file, spec->files + 1, sizeof *more);
	if (!more)
		return error_nomem(err);
	spec->file = more;
	name = strdup(request->name);
	if (!name)
		return error_nomem(err);
	more[spec->files++] = (struct disk_file){.format = request->format, .fd = fd, .name = name};
	return 0;
}

int plug_open_request(struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err)
{
	struct disk_spec *next = &vmm->plugging.next;
	int r;

	if (request->first)
		plug_close_files(next);
	if (fd < 0)
		return error_set(err, EBADF, "disk-open: no file came with the request");
	r = take_file(next, request, fd, err);
	if (r) {
		close(fd);
		plug_close_files(next);
	}
	return r;
}

/* A disk comes */

struct attaching {
	struct vmm *vmm;
	struct disk_spec spec;
	unsigned at;
	struct block_device *disk;
	struct virtio_blk *blk; /* NULL: it is a CD in a drive */
	const struct bay *bay;  /* that one */
	bool entered;
	int r;
	struct error *err;
};

/* On a thread of the disk's kind. */
static int open_it(void *ctx)
{
	struct attaching *attaching = ctx;
	int r = block_open(&attaching->spec, &attaching->disk, attaching->err);

	for (unsigned i = 0; i < attaching->spec.files; i++)
		attaching->spec.file[i].fd = -1; /* they are the image's */
	return r;
}

static int make_device(void *ctx)
{
	struct attaching *attaching = ctx;
	struct machine *machine = attaching->vmm->machine;

	return virtio_blk_create(machine_pci(machine), machine_memory(machine), attaching->disk,
		attaching->spec.serial, &attaching->blk, attaching->err);
}

/* A serial number that no other disk has. */
static int give_serial(const struct vmm_config *config, struct disk_spec *spec, struct error *err)
{
	char serial[LIMIT_SERIAL + 1];
	bool taken = true;

	for (unsigned n = 0; taken; n++) {
		snprintf(serial, sizeof serial, DISK_SERIAL, n);
		taken = false;
		for (unsigned i = 0; i < config->disks; i++)
			taken |= !strcmp(config->disk[i].serial, serial);
	}
	free(spec->serial);
	spec->serial = strdup(serial);
	return spec->serial ? 0 : error_nomem(err);
}

static int may_come(struct vmm *vmm, const struct attaching *attaching, struct error *err)
{
	const struct vmm_config *config = &vmm->config;
	const unsigned seeds = config->seed.instance != NULL;

	if (!plug_stands_still(vmm))
		return error_set(err, EBUSY, "the guest or its disks are being saved or copied");
	if (config->disks == LIMIT_DISKS)
		return error_set(err, ENOSPC, "a guest has %u disks at most%s", LIMIT_DISKS,
			seeds ? ", the one for cloud-init among them" : "");
	if (attaching->at + seeds > config->disks)
		return error_set(err, EINVAL, "the guest has %u disks: %u cannot be the next",
			config->disks - seeds, attaching->at);
	for (unsigned i = 0; i < config->disks; i++)
		if (*attaching->spec.vdev && !strcmp(config->disk[i].vdev, attaching->spec.vdev))
			return error_set(err, EEXIST, "the guest has a disk '%s' already",
				attaching->spec.vdev);
	return attaching->bay ? plug_cd_may_come(vmm, attaching->bay, &attaching->spec, err) : 0;
}

static void enter(struct vmm *vmm, struct attaching *attaching)
{
	struct block_device *disk = attaching->disk;

	attaching->disk = NULL;
	attaching->entered = true;
	if (attaching->bay) {
		plug_cd_insert(vmm, attaching->bay, attaching->at, &attaching->spec, disk);
		return;
	}
	if (!attaching->spec.readonly)
		vmm_allow_file(vmm, attaching->spec.file[0].format, block_size(disk));
	devices_insert_disk(&vmm->devices, &vmm->config, attaching->at, &attaching->spec, disk,
		attaching->blk);
	plug_tell_places(vmm);
	machine_device_came(vmm->machine, virtio_blk_slot(attaching->blk));
}

/* On the loop's thread: from here on the guest has it. */
static void put(void *ctx)
{
	struct attaching *attaching = ctx;
	struct vmm *vmm = attaching->vmm;
	bool paused = machine_paused(vmm->machine);
	int r;

	attaching->bay = drives_find_cd(&vmm->devices, attaching->spec.vdev);
	r = may_come(vmm, attaching, attaching->err);
	if (!r)
		r = give_serial(&vmm->config, &attaching->spec, attaching->err);
	if (!r && !attaching->bay) {
		machine_pause(vmm->machine);
		r = plug_call(vmm->plugging.disk_nest, make_device, attaching);
		if (!paused)
			machine_resume(vmm->machine);
	}
	if (!r)
		enter(vmm, attaching);
	attaching->r = r;
}

static int attach(void *ctx, struct guest_job *job, struct error *err)
{
	struct attaching *attaching = ctx;
	int r;

	attaching->err = err;
	r = plug_call(attaching->vmm->plugging.disk_nest, open_it, attaching);
	if (!r)
		r = job_call(job, put, attaching, err);
	/* One that was cancelled too late has it all the same. */
	if (attaching->entered)
		r = 0;
	else if (!r)
		r = attaching->r;
	block_close(attaching->disk);
	return r;
}

static json_t *attached(void *ctx, int r, const struct error *err)
{
	struct attaching *attaching = ctx;

	/* The guest has what the specification had. */
	if (r)
		plug_close_files(&attaching->spec);
	free(attaching);
	return NULL;
}

int plug_attach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	struct attaching *attaching = calloc(1, sizeof *attaching);
	const struct job_spec spec = {.word = "disk-attach",
		.run = attach,
		.done = attached,
		.ctx = attaching};
	int r = 0;

	if (!attaching) {
		plug_close_files(&vmm->plugging.next);
		return error_nomem(err);
	}
	attaching->vmm = vmm;
	attaching->at = request->disk;
	attaching->spec = vmm->plugging.next;
	vmm->plugging.next = (struct disk_spec){.files = 0};
	attaching->spec.readonly = request->readonly;
	attaching->spec.vdev = strdup(request->vdev);
	attaching->spec.serial = strdup("");
	if (!attaching->spec.files)
		r = error_set(err, EBADF, "disk-attach: no files were handed over");
	else if (!attaching->spec.vdev || !attaching->spec.serial)
		r = error_nomem(err);
	if (r) {
		attached(attaching, r, err);
		return r;
	}
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

/* A disk goes */

static void unplug_disk(void *device)
{
	virtio_blk_unplug(device);
}

static unsigned disk_slot(void *device)
{
	return virtio_blk_slot(device);
}

static void forget_disk(struct vmm *vmm, const struct plugged *disk)
{
	unsigned n = 0;

	while (vmm->devices.disk[n] != disk->back)
		n++;
	devices_remove_disk(&vmm->devices, &vmm->config, n);
}

static void close_disk(struct vmm *vmm, const struct plugged *disk)
{
	virtio_blk_destroy(disk->device);
	block_close(disk->back);
}

static void lose_disk(struct vmm *vmm, const struct plugged *disk)
{
	virtio_blk_lose(disk->device);
	block_close(disk->back);
}

static void free_disk(struct vmm *vmm, const struct plugged *disk)
{
	virtio_blk_destroy(disk->device);
}

static const struct plugged_kind disk_kind = {"disk", disk_slot, unplug_disk, forget_disk,
	close_disk, lose_disk, free_disk};

int plug_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	const unsigned n = request->disk;
	const struct bay *bay;

	if (n >= vmm->config.disks || strcmp(vmm->config.disk[n].vdev, request->vdev))
		return error_set(err, ENODEV, "the guest's disk %u is not '%s'", n, request->vdev);
	if (vmm->devices.busy[n])
		return error_set(err, EBUSY, "%s is being copied or changed", request->vdev);
	bay = drives_of_disk(&vmm->devices, n);
	if (bay && bay->cdrom)
		return plug_cd_eject(vmm, asker, request, bay, err);
	if (bay)
		return error_set(err, ENOTSUP,
			"%s is a disk of IDE or AHCI, which stays while its guest runs",
			request->vdev);
	return plug_detach(vmm, asker, request,
		&(struct plugged){&disk_kind, vmm->devices.blk[n], vmm->devices.disk[n]}, err);
}
