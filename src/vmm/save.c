/* SPDX-License-Identifier: Apache-2.0 */
/* The files that dach run's guest is saved to and restored from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/internal.h"

int save_open(struct vmm *vmm, struct error *err)
{
	struct vmm_config *config = &vmm->config;
	int r;

	if (config->save_to) {
		vmm->save = open(config->save_to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (vmm->save < 0)
			return error_set(err, errno, "%s: %s", config->save_to, strerror(errno));
	}
	if (!config->restore_from)
		return 0;
	vmm->restore = open(config->restore_from, O_RDONLY | O_CLOEXEC);
	if (vmm->restore < 0)
		return error_set(err, errno, "%s: %s", config->restore_from, strerror(errno));
	r = move_open(&vmm->move, vmm->restore, config->restore_from, err);
	config->vcpus = vmm->move.head.vcpus;
	config->memory = vmm->move.head.memory;
	return r;
}

/* A guest that cannot be saved goes on. */
void save_guest(void *ctx)
{
	struct vmm *vmm = ctx;
	struct error err = {0};

	lseek(vmm->save, 0, SEEK_SET);
	if (move_save(vmm->machine, vmm->save, vmm->config.save_to, &err)) {
		fprintf(stderr, "dach: the guest goes on: %s\n", err.text);
		if (ftruncate(vmm->save, 0) < 0 && errno != EINVAL)
			fprintf(stderr, "dach: %s: %s\n", vmm->config.save_to, strerror(errno));
		return;
	}
	vmm->saved = true;
	machine_stop(vmm->machine);
}

void save_close(struct vmm *vmm)
{
	if (vmm->save >= 0)
		close(vmm->save);
	if (vmm->restore >= 0)
		close(vmm->restore);
	move_close(&vmm->move);
	vmm->save = vmm->restore = -1;
}
