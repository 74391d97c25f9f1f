/* SPDX-License-Identifier: Apache-2.0 */
/* CDs come into the drives of old controllers, and go: the drive stays, and the guest may have locked it. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "ata/drive.h"
#include "base/thread.h"
#include "block/block.h"
#include "vmm/drives.h"
#include "vmm/internal.h"
#include "vmm/plug_internal.h"

#define NAP 100000000ull /* ns between two looks at what the guest does */

int plug_cd_may_come(const struct vmm *vmm, const struct bay *bay, const struct disk_spec *spec,
	struct error *err)
{
	if (drives_is_filled(&vmm->devices, bay))
		return error_set(err, EEXIST, "there is a CD in %s", bay->vdev);
	return spec->readonly ? 0 : error_set(err, EINVAL, "%s: a CD is only read", bay->vdev);
}

void plug_cd_insert(struct vmm *vmm, const struct bay *bay, unsigned n, struct disk_spec *spec,
	struct block_device *image)
{
	spec->bus = bay->bus;
	spec->cdrom = true;
	devices_insert_disk(&vmm->devices, &vmm->config, n, spec, image, NULL);
	vmm->devices.in_bay[n] = bay - vmm->devices.bay;
	drive_insert(bay->drive, image);
}

/* A CD goes */

struct ejecting {
	struct vmm *vmm;
	const struct bay *bay;
	struct block_device *image;
	unsigned seconds;
	bool force, taken;
	int r;
	struct error *err;
};

/* Whether the guest has let go of it in time. */
static int wait_for_guest(const struct ejecting *ejecting, struct guest_job *job, struct error *err)
{
	struct ata_drive *drive = ejecting->bay->drive;
	const uint64_t until = clock_now() + ejecting->seconds * 1000000000ull;
	int r = 0;

	if (drive_lets_go(drive))
		return 0;
	drive_press_button(drive);
	while (!r && !drive_lets_go(drive) && clock_now() < until) {
		nanosleep(&(struct timespec){.tv_nsec = NAP}, NULL);
		r = job_check(job, err);
	}
	if (!r && !drive_lets_go(drive) && !ejecting->force)
		r = error_set(err, ETIMEDOUT,
			"the guest has locked %s, and has not let go of the CD within %u seconds: is it mounted? "
			"(--force takes it all the same)",
			ejecting->bay->vdev, ejecting->seconds);
	return r;
}

/* On the loop's thread. -EAGAIN: not now. */
static void take(void *ctx)
{
	struct ejecting *ejecting = ctx;
	struct vmm *vmm = ejecting->vmm;
	struct devices *devices = &vmm->devices;
	unsigned n = 0;

	while (n < devices->disks && devices->disk[n] != ejecting->image)
		n++;
	ejecting->r = n == devices->disks
		? error_set(ejecting->err, ENODEV, "the CD in %s is another now",
			  ejecting->bay->vdev)
		: devices->busy[n]        ? error_set(ejecting->err, EBUSY,
						    "%s is being copied or changed", ejecting->bay->vdev)
		: !plug_stands_still(vmm) ? -EAGAIN
					  : drive_remove(ejecting->bay->drive);
	if (ejecting->r)
		return;
	devices_remove_disk(devices, &vmm->config, n);
	ejecting->taken = true;
}

static int eject(void *ctx, struct guest_job *job, struct error *err)
{
	struct ejecting *ejecting = ctx;
	int r = wait_for_guest(ejecting, job, err);

	if (r)
		return r;
	/* So that a guest that never stops reading does not keep it. */
	drive_withdraw(ejecting->bay->drive, true);
	ejecting->err = err;
	while (!r && !ejecting->taken) {
		r = job_call(job, take, ejecting, err);
		if (!r && ejecting->r == -EAGAIN)
			nanosleep(&(struct timespec){.tv_nsec = NAP}, NULL);
		else if (!r)
			r = ejecting->r;
	}
	/* One that was cancelled too late has gone all the same. */
	if (!ejecting->taken) {
		drive_withdraw(ejecting->bay->drive, false);
		return r;
	}
	block_close(ejecting->image);
	return 0;
}

static json_t *ejected(void *ctx, int r, const struct error *err)
{
	free(ctx);
	return NULL;
}

int plug_cd_eject(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, const struct bay *bay, struct error *err)
{
	struct ejecting *ejecting;
	struct job_spec spec = {.word = request_word(request->verb), .run = eject, .done = ejected};
	int r;

	if (monitor_stands(vmm->monitor) && !request->force && !drive_lets_go(bay->drive))
		return error_set(err, EBUSY,
			"the guest is paused, and has locked %s (--force takes the CD)", bay->vdev);
	ejecting = calloc(1, sizeof *ejecting);
	if (!ejecting)
		return error_nomem(err);
	*ejecting = (struct ejecting){.vmm = vmm,
		.bay = bay,
		.image = vmm->devices.disk[request->disk],
		.seconds = request->seconds,
		.force = request->force};
	spec.ctx = ejecting;
	r = monitor_job(vmm->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}
