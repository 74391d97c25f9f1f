/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest starts from: files that have names, or the first disk's own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bootdisk/bootdisk.h"
#include "domain/boot.h"
#include "protocol/agent.h"
#include "protocol/nvram.h"
#include "vmm/internal.h"

static int open_file(const char *path, struct machine_file *file, struct error *err)
{
	file->name = path;
	file->fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (path && file->fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

static void drop_kernel(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->reader)
		kernel_reader_drop(vmm->reader);
}

/* It goes on from a state, and its next start has another monitor. */
static bool never_starts(const struct vmm_config *config)
{
	return config->restore_from && config->no_reboot;
}

/* The agent as the archive from which the guest's kernel starts it. */
static int read_agent(const char *path, int *overlay, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = domain_boot_program(fd, &AGENT_ALONE[1], overlay, err);
	close(fd);
	return r;
}

/* What belongs behind the guest's ramdisk is one file with it from here on. */
static int join_initrd(struct vmm *vmm, struct error *err)
{
	struct vmm_config *config = &vmm->config;
	int overlay = config->given ? config->overlay_fd : -1, r = 0;

	if (config->command)
		r = read_agent(config->command->program, &overlay, err);
	if (r || overlay < 0)
		return r;
	if (!vmm->initrd.name)
		vmm->initrd.name = "initial ramdisk";
	r = domain_boot_join(&vmm->initrd.fd, vmm->initrd.name, overlay, err);
	close(overlay);
	config->overlay_fd = -1;
	config->initrd_fd = vmm->initrd.fd;
	return r;
}

/* In front, so that no word for the guest's init is lost, and one of the configuration's own counts. */
static int ask_for_agent(struct vmm *vmm, const char **cmdline, struct error *err)
{
	if (!vmm->config.machine.agent)
		return 0;
	free(vmm->cmdline);
	if (asprintf(&vmm->cmdline, "rdinit=" AGENT_BESIDE " %s", *cmdline ? *cmdline : "") < 0) {
		vmm->cmdline = NULL;
		return error_nomem(err);
	}
	*cmdline = vmm->cmdline;
	return 0;
}

/* What a firmware remembers. */
static int open_variables(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = &vmm->config;
	int r = 0;

	if (config->given && config->nvram)
		vmm->variables.fd = config->nvram_fd;
	else if (config->variables)
		r = nvram_open(config->nvram, config->variables, &vmm->variables.fd, err);
	if (!r && vmm->variables.fd >= 0)
		vmm->variables.name = config->nvram ? config->nvram : config->variables;
	return r;
}

/* Kernel and initrd, ours to close; and who reads the disk's own. */
int kernel_open(struct vmm *vmm, struct error *err)
{
	const struct vmm_config *config = &vmm->config;
	int r = 0;

	if (config->given) {
		if (config->kernel)
			vmm->kernel = (struct machine_file){config->kernel_fd, config->kernel};
		vmm->initrd = (struct machine_file){config->initrd_fd, config->initrd};
	} else if (config->kernel) {
		r = open_file(config->kernel, &vmm->kernel, err);
		if (!r)
			r = open_file(config->initrd, &vmm->initrd, err);
	}
	if (!r)
		r = join_initrd(vmm, err);
	if (!r)
		r = open_variables(vmm, err);
	if (r || never_starts(config))
		return r;
	vmm->reader_work = (struct loop_work){.run = drop_kernel, .ctx = vmm};
	if (!config->kernel || config->own_kernel)
		r = kernel_reader_create(config, vmm->monitor, &vmm->reader, err);
	return r;
}

/*
 * What the disk's boot loader would write is the disk's. A guest that goes on where it was does not start
 * its kernel: nothing then.
 */
static void write_saved(struct vmm *vmm)
{
	const struct bootdisk_saved *saved = kernel_reader_saved(vmm->reader);

	if (saved->size && !vmm->config.restore_from)
		devices_write(&vmm->devices, saved->offset, saved->bytes, saved->size);
}

int kernel_load(void *ctx, struct machine_file *kernel, struct machine_file *initrd,
	const char **cmdline, struct error *err)
{
	struct vmm *vmm = ctx;
	const struct vmm_config *config = &vmm->config;
	struct error why = {""};
	int r;

	if (never_starts(config)) {
		*kernel = vmm->kernel;
		*initrd = vmm->initrd;
		return 0;
	}
	/* The reader sees the file, not what is on its way there. */
	if (vmm->reader)
		devices_settle(&vmm->devices);
	r = vmm->reader ? kernel_reader_read(vmm->reader, kernel, initrd, cmdline, &why) : -ENOENT;
	if (!r) {
		write_saved(vmm);
		/* once it has been loaded */
		loop_post(monitor_loop(vmm->monitor), &vmm->reader_work);
		return ask_for_agent(vmm, cmdline, err);
	}
	if (!config->kernel)
		return error_set(err, -r, "%s", why.text);
	if (vmm->reader)
		fprintf(stderr, "dach run: %s; starting %s\n", why.text, config->kernel);
	*kernel = vmm->kernel;
	*initrd = vmm->initrd;
	*cmdline = config->cmdline;
	return ask_for_agent(vmm, cmdline, err);
}

static void close_file(struct machine_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

void kernel_close(struct vmm *vmm)
{
	kernel_reader_destroy(vmm->reader);
	vmm->reader = NULL;
	close_file(&vmm->kernel);
	close_file(&vmm->initrd);
	free(vmm->cmdline);
	vmm->cmdline = NULL;
}

void kernel_close_variables(struct vmm *vmm)
{
	close_file(&vmm->variables);
}
