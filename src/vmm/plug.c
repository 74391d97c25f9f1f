/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/plug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "block/block.h"
#include "virtio/blk.h"
#include "vmm/internal.h"

#define NAP 100000000ull /* ns between two looks whether a job is cancelled */

/* The files of a disk that is to come */

static void close_files(struct disk_spec *spec)
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
		close_files(next);
	if (fd < 0)
		return error_set(err, EBADF, "disk-open: no file came with the request");
	r = take_file(next, request, fd, err);
	if (r) {
		close(fd);
		close_files(next);
	}
	return r;
}

/* Whether disks may get other numbers now. Files that nobody has used yet are for disks by their old ones. */
static bool stands_still(struct vmm *vmm)
{
	if (machine_frozen(vmm->machine) || vmm->layering)
		return false;
	layers_close(&vmm->layers);
	return true;
}

static int call_walled(struct nest *nest, int (*run)(void *ctx), void *ctx)
{
	return nest ? nest_call(nest, run, ctx) : run(ctx);
}

/* A disk comes */

struct attaching {
	struct vmm *vmm;
	struct disk_spec spec;
	unsigned at;
	struct block_device *disk;
	struct virtio_blk *blk;
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

	if (!stands_still(vmm))
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
	return 0;
}

static void enter(struct vmm *vmm, struct attaching *attaching)
{
	if (!attaching->spec.readonly)
		vmm_allow_file(vmm, attaching->spec.file[0].format, block_size(attaching->disk));
	devices_insert_disk(&vmm->devices, &vmm->config, attaching->at, &attaching->spec,
		attaching->disk, attaching->blk);
	attaching->disk = NULL;
	devices_tell_places(&vmm->devices, vmm->machine);
	machine_device_came(vmm->machine, virtio_blk_slot(attaching->blk));
}

/* On the loop's thread: from here on the guest has it. */
static void put(void *ctx)
{
	struct attaching *attaching = ctx;
	struct vmm *vmm = attaching->vmm;
	bool paused = machine_paused(vmm->machine);
	int r = may_come(vmm, attaching, attaching->err);

	if (!r)
		r = give_serial(&vmm->config, &attaching->spec, attaching->err);
	if (!r) {
		machine_pause(vmm->machine);
		r = call_walled(vmm->plugging.nest, make_device, attaching);
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
	r = call_walled(attaching->vmm->plugging.nest, open_it, attaching);
	if (!r)
		r = job_call(job, put, attaching, err);
	/* One that was cancelled too late has it all the same. */
	if (!attaching->disk && attaching->blk)
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
		close_files(&attaching->spec);
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
		close_files(&vmm->plugging.next);
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

struct detaching {
	struct vmm *vmm;
	struct block_device *disk;
	struct virtio_blk *blk;
	unsigned slot, seconds;
	bool force, taken;
	int r;
	struct error *err;
	struct mutex lock;
	pthread_cond_t changed;
	bool let_go GUARDED_BY(lock);
};

static unsigned number_of(const struct vmm *vmm, const struct block_device *disk)
{
	unsigned n = 0;

	while (vmm->devices.disk[n] != disk)
		n++;
	return n;
}

static int keep_lost(struct plugging *plugging, struct virtio_blk *blk, struct error *err)
{
	for (unsigned i = 0; i < PLUG_LOST_MAX; i++) {
		if (!plugging->lost[i]) {
			plugging->lost[i] = blk;
			return 0;
		}
	}
	return error_set(err, ENOSPC,
		"the guest has not let go of %u disks that were taken by force", PLUG_LOST_MAX);
}

static void unplug(struct vmm *vmm, struct virtio_blk *blk)
{
	bool paused = machine_paused(vmm->machine);

	machine_pause(vmm->machine);
	virtio_blk_unplug(blk);
	if (!paused)
		machine_resume(vmm->machine);
}

/* On the loop's thread. -EAGAIN: not now. */
static void take(void *ctx)
{
	struct detaching *detaching = ctx;
	struct vmm *vmm = detaching->vmm;
	bool let_go;

	detaching->r = stands_still(vmm) ? 0 : -EAGAIN;
	if (detaching->r)
		return;
	mutex_lock(&detaching->lock);
	let_go = detaching->let_go;
	mutex_unlock(&detaching->lock);
	if (let_go)
		unplug(vmm, detaching->blk);
	else
		detaching->r = keep_lost(&vmm->plugging, detaching->blk, detaching->err);
	if (detaching->r)
		return;
	devices_remove_disk(&vmm->devices, &vmm->config, number_of(vmm, detaching->disk));
	devices_tell_places(&vmm->devices, vmm->machine);
	detaching->taken = true;
}

/* Whether the guest has let go of it in time. */
static int wait_for_guest(struct detaching *detaching, struct guest_job *job, struct error *err)
{
	const uint64_t until = clock_now() + detaching->seconds * 1000000000ull;
	int r = 0;

	mutex_lock(&detaching->lock);
	while (!r && !detaching->let_go && clock_now() < until) {
		uint64_t look = clock_now() + NAP;

		mutex_wait_until(&detaching->lock, &detaching->changed,
			look < until ? look : until);
		r = job_check(job, err);
	}
	if (!r && !detaching->let_go && !detaching->force)
		r = error_set(err, ETIMEDOUT,
			"the guest has not let go of it within %u seconds: is its system up, and does it "
			"know of PCI hot-plug? (--force takes it all the same)",
			detaching->seconds);
	mutex_unlock(&detaching->lock);
	return r;
}

static int detach(void *ctx, struct guest_job *job, struct error *err)
{
	struct detaching *detaching = ctx;
	int r = wait_for_guest(detaching, job, err);

	detaching->err = err;
	while (!r && !detaching->taken) {
		r = job_call(job, take, detaching, err);
		if (!r && detaching->r == -EAGAIN)
			nanosleep(&(struct timespec){.tv_nsec = NAP}, NULL);
		else if (!r)
			r = detaching->r;
	}
	if (!detaching->taken)
		return r;
	if (detaching->let_go)
		virtio_blk_destroy(detaching->blk);
	else
		virtio_blk_lose(detaching->blk);
	block_close(detaching->disk);
	return 0;
}

static void release(struct detaching *detaching)
{
	pthread_cond_destroy(&detaching->changed);
	mutex_destroy(&detaching->lock);
	free(detaching);
}

static json_t *detached(void *ctx, int r, const struct error *err)
{
	struct detaching *detaching = ctx;
	struct vmm *vmm = detaching->vmm;

	vmm->plugging.detaching = NULL;
	if (!detaching->taken)
		machine_device_stays(vmm->machine, detaching->slot);
	release(detaching);
	return NULL;
}

static int ask(void *ctx, struct error *err)
{
	struct detaching *detaching = ctx;

	detaching->vmm->plugging.detaching = detaching;
	machine_device_leaves(detaching->vmm->machine, detaching->slot);
	return 0;
}

static int may_go(struct vmm *vmm, const struct monitor_request *request, struct error *err)
{
	const unsigned n = request->disk;

	if (n >= vmm->config.disks || strcmp(vmm->config.disk[n].vdev, request->vdev))
		return error_set(err, ENODEV, "the guest's disk %u is not '%s'", n, request->vdev);
	if (vmm->devices.busy[n])
		return error_set(err, EBUSY, "%s is being copied or changed", request->vdev);
	if (monitor_stands(vmm->monitor) && !request->force)
		return error_set(err, EBUSY,
			"the guest is paused, and cannot let go of a disk (--force takes it)");
	if (vmm->plugging.detaching)
		return error_set(err, EBUSY, "another disk is being taken from the guest");
	return 0;
}

int plug_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err)
{
	struct job_spec spec = {.word = "disk-detach",
		.begin = ask,
		.run = detach,
		.done = detached};
	struct detaching *detaching;
	int r = may_go(vmm, request, err);

	if (r)
		return r;
	detaching = calloc(1, sizeof *detaching);
	if (!detaching)
		return error_nomem(err);
	detaching->vmm = vmm;
	detaching->disk = vmm->devices.disk[request->disk];
	detaching->blk = vmm->devices.blk[request->disk];
	detaching->slot = virtio_blk_slot(detaching->blk);
	detaching->seconds = request->seconds;
	detaching->force = request->force;
	mutex_init(&detaching->lock);
	pthread_cond_init(&detaching->changed, NULL);
	spec.ctx = detaching;
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

bool plug_takes(const struct vmm *vmm, const struct block_device *disk)
{
	return vmm->plugging.detaching && vmm->plugging.detaching->disk == disk;
}

/* What the guest lets go of */

static void let_go(struct vmm *vmm, unsigned slot)
{
	struct plugging *plugging = &vmm->plugging;
	struct detaching *detaching = plugging->detaching;

	if (detaching && detaching->slot == slot && !detaching->taken) {
		mutex_lock(&detaching->lock);
		detaching->let_go = true;
		pthread_cond_broadcast(&detaching->changed);
		mutex_unlock(&detaching->lock);
		return;
	}
	for (unsigned i = 0; i < PLUG_LOST_MAX; i++) {
		struct virtio_blk *blk = plugging->lost[i];

		/* While its last requests are waited for, it is the job's. */
		if (!blk || virtio_blk_slot(blk) != slot || (detaching && detaching->blk == blk))
			continue;
		plugging->lost[i] = NULL;
		unplug(vmm, blk);
		virtio_blk_destroy(blk);
	}
}

static void serve(void *ctx)
{
	struct vmm *vmm = ctx;
	uint32_t slots = __atomic_exchange_n(&vmm->plugging.ejected, 0, __ATOMIC_ACQ_REL);

	for (unsigned slot = 0; slot < 32; slot++)
		if (slots >> slot & 1)
			let_go(vmm, slot);
}

void plug_ejected(void *ctx, uint32_t slots)
{
	struct vmm *vmm = ctx;

	__atomic_fetch_or(&vmm->plugging.ejected, slots, __ATOMIC_ACQ_REL);
	loop_post(monitor_loop(vmm->monitor), &vmm->plugging.work);
}

int plug_begin(struct vmm *vmm, struct error *err)
{
	vmm->plugging.work = (struct loop_work){.run = serve, .ctx = vmm};
	devices_tell_places(&vmm->devices, vmm->machine);
	return monitor_nest(vmm->monitor, CALLS_DISK, &vmm->plugging.nest, err);
}

void plug_end(struct vmm *vmm)
{
	for (unsigned i = 0; i < PLUG_LOST_MAX; i++)
		virtio_blk_destroy(vmm->plugging.lost[i]);
	close_files(&vmm->plugging.next);
	for (unsigned i = 0; i < vmm->devices.disks; i++)
		if (vmm->devices.came_later[i])
			disk_spec_free(&vmm->config.disk[i]);
	nest_destroy(vmm->plugging.nest);
}
