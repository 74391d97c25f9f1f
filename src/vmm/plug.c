/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest gives a device up, whatever its kind. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"
#include "vmm/internal.h"
#include "vmm/plug_internal.h"

#define NAP 100000000ull /* ns between two looks whether a job is cancelled */

/* Files that nobody has used yet are for disks by their old numbers. */
bool plug_stands_still(struct vmm *vmm)
{
	if (machine_frozen(vmm->machine) || vmm->layering)
		return false;
	layers_close(&vmm->layers);
	return true;
}

int plug_call(struct nest *nest, int (*run)(void *ctx), void *ctx)
{
	return nest ? nest_call(nest, run, ctx) : run(ctx);
}

void plug_tell_places(struct vmm *vmm)
{
	uint8_t more[SCREEN_SLOTS];

	devices_tell_places(&vmm->devices, more, screen_slots(vmm->screen, more), vmm->machine);
}

/* A device goes */

struct detaching {
	struct vmm *vmm;
	struct plugged device;
	unsigned slot, seconds;
	bool force, taken;
	int r;
	struct error *err;
	struct mutex lock;
	pthread_cond_t changed;
	bool let_go GUARDED_BY(lock);
};

static int keep_lost(struct plugging *plugging, const struct plugged *device, struct error *err)
{
	for (unsigned i = 0; i < PLUG_LOST_MAX; i++) {
		if (!plugging->lost[i].device) {
			plugging->lost[i] = *device;
			return 0;
		}
	}
	return error_set(err, ENOSPC,
		"the guest has not let go of %u devices that were taken by force", PLUG_LOST_MAX);
}

static void unplug(struct vmm *vmm, const struct plugged *device)
{
	bool paused = machine_paused(vmm->machine);

	machine_pause(vmm->machine);
	device->kind->unplug(device->device);
	if (!paused)
		machine_resume(vmm->machine);
}

/* On the loop's thread. -EAGAIN: not now. */
static void take(void *ctx)
{
	struct detaching *detaching = ctx;
	struct vmm *vmm = detaching->vmm;
	bool let_go;

	detaching->r = plug_stands_still(vmm) ? 0 : -EAGAIN;
	if (detaching->r)
		return;
	mutex_lock(&detaching->lock);
	let_go = detaching->let_go;
	mutex_unlock(&detaching->lock);
	if (let_go)
		unplug(vmm, &detaching->device);
	else
		detaching->r = keep_lost(&vmm->plugging, &detaching->device, detaching->err);
	if (detaching->r)
		return;
	detaching->device.kind->forget(vmm, &detaching->device);
	plug_tell_places(vmm);
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
		detaching->device.kind->close(detaching->vmm, &detaching->device);
	else
		detaching->device.kind->lose(detaching->vmm, &detaching->device);
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

static int may_go(struct vmm *vmm, const struct monitor_request *request,
	const struct plugged *device, struct error *err)
{
	if (monitor_stands(vmm->monitor) && !request->force)
		return error_set(err, EBUSY,
			"the guest is paused, and cannot let go of a %s (--force takes it)",
			device->kind->name);
	if (vmm->plugging.detaching)
		return error_set(err, EBUSY, "another device is being taken from the guest");
	return 0;
}

int plug_detach(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, const struct plugged *device, struct error *err)
{
	struct job_spec spec = {.word = request_word(request->verb),
		.begin = ask,
		.run = detach,
		.done = detached};
	struct detaching *detaching;
	int r = may_go(vmm, request, device, err);

	if (r)
		return r;
	detaching = calloc(1, sizeof *detaching);
	if (!detaching)
		return error_nomem(err);
	detaching->vmm = vmm;
	detaching->device = *device;
	detaching->slot = device->kind->slot(device->device);
	detaching->seconds = request->seconds;
	detaching->force = request->force;
	mutex_init(&detaching->lock);
	pthread_cond_init(&detaching->changed, NULL);
	spec.ctx = detaching;
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

bool plug_takes(const struct vmm *vmm, const void *back)
{
	return vmm->plugging.detaching && vmm->plugging.detaching->device.back == back;
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
		const struct plugged lost = plugging->lost[i];

		/* While its last requests are waited for, it is the job's. */
		if (!lost.device || lost.kind->slot(lost.device) != slot ||
			(detaching && detaching->device.device == lost.device))
			continue;
		plugging->lost[i].device = NULL;
		unplug(vmm, &lost);
		lost.kind->free(vmm, &lost);
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
	int r;

	vmm->plugging.work = (struct loop_work){.run = serve, .ctx = vmm};
	plug_tell_places(vmm);
	r = monitor_nest(vmm->monitor, CALLS_DISK, &vmm->plugging.disk_nest, err);
	if (!r && vmm->config.given)
		r = monitor_nest(vmm->monitor, CALLS_NET, &vmm->plugging.net_nest, err);
	return r;
}

void plug_end(struct vmm *vmm)
{
	for (unsigned i = 0; i < PLUG_LOST_MAX; i++)
		if (vmm->plugging.lost[i].device)
			vmm->plugging.lost[i].kind->free(vmm, &vmm->plugging.lost[i]);
	plug_close_files(&vmm->plugging.next);
	for (unsigned i = 0; i < vmm->devices.disks; i++)
		if (vmm->devices.came_later[i])
			disk_spec_free(&vmm->config.disk[i]);
	nest_destroy(vmm->plugging.disk_nest);
	nest_destroy(vmm->plugging.net_nest);
}
