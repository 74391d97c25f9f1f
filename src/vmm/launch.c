/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/launch.h"

void vmm_config_of_launch(const struct launch_spec *spec, struct vmm_config *config)
{
	*config = (struct vmm_config){
		.machine = spec->machine,
		.kernel = spec->kernel.fd >= 0 ? spec->kernel.name : NULL,
		.initrd = spec->initrd.fd >= 0 ? spec->initrd.name : NULL,
		.given = true,
		.kernel_fd = spec->kernel.fd,
		.initrd_fd = spec->initrd.fd,
		.overlay_fd = spec->overlay,
		.agent_fd = spec->agent,
		.adopts = spec->arriving && spec->ram >= 0,
		.ram_fd = spec->ram,
		.screen_fd = spec->machine.vnc ? spec->screen : -1,
		.cmdline = spec->cmdline,
		.firmware = spec->firmware,
		.boot = spec->boot,
		.nvram = spec->nvram.fd >= 0 ? spec->nvram.name : NULL,
		.nvram_fd = spec->nvram.fd,
		.restore_from = spec->state.fd >= 0 ? spec->state.name : NULL,
		.restore_fd = spec->state.fd,
		.lazy = spec->lazy,
		.arriving = spec->arriving,
		.renew = spec->renew,
		.layers = spec->layers,
		.memory = spec->maxmem << 10,
		.target = spec->memory << 10,
		.vcpus = spec->vcpus,
		.tsc_khz = spec->tsc_khz,
		.disks = spec->disks,
		.drives = spec->drives,
		.nets = spec->networks,
		.keep = spec->keep,
		/* The next start has a monitor of its own. */
		.no_reboot = true,
		.trims = true,
	};
	/* On an address only behind a password. */
	if (config->screen_fd >= 0 && spec->machine.vnc_password) {
		config->vnc = spec->machine.vnc_listen ? spec->machine.vnc_listen : "127.0.0.1";
		config->vnc_password = spec->machine.vnc_password;
	}
	for (unsigned i = 0; i < spec->layers; i++)
		config->layer[i] = spec->layer[i].fd;
	for (unsigned i = 0; i < spec->disks; i++)
		config->disk[i] = spec->disk[i];
	for (unsigned i = 0; i < spec->drives; i++)
		config->drive[i] = spec->drive[i];
	for (unsigned i = 0; i < spec->networks; i++)
		config->net[i] = spec->network[i];
	config->shares = spec->shares;
	for (unsigned i = 0; i < spec->shares; i++)
		config->share[i] = spec->share[i];
	config->owner = (struct sandbox_user){.uid = spec->owner.uid,
		.gid = spec->owner.gid,
		.groups = spec->owner.groups};
	for (unsigned i = 0; i < spec->owner.groups; i++)
		config->owner.group[i] = spec->owner.group[i].id;
	if (!spec->machine.ssh_key)
		return;
	config->seed = (struct seed){.instance = spec->uuid,
		.hostname = seed_check_hostname(spec->name, NULL) ? NULL : spec->name,
		.ssh_keys = spec->machine.ssh_key};
}
