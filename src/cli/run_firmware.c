/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_firmware.h"

#include <errno.h>

bool run_firmware_has(int id)
{
	return id >= RUN_FIRMWARE_FIRST && id <= NVRAM;
}

int run_firmware_take(struct vmm_config *config, int id, const char *value, struct error *err)
{
	if (id == FIRMWARE)
		return firmware_parse(value, &config->firmware, err);
	if (id == NVRAM) {
		config->nvram = value;
		return 0;
	}
	config->boot = value;
	return firmware_check_boot(value, err);
}

int run_firmware_complete(struct vmm_config *config, bool command, struct error *err)
{
	struct firmware_files files;
	int r;

	if (!config->firmware)
		return config->boot || config->nvram
			? error_set(err, EINVAL, "--%s needs a --firmware beside it",
				  config->boot ? "boot" : "nvram")
			: 0;
	if (config->kernel || config->initrd || command)
		return error_set(err, EINVAL, "--firmware excludes %s",
			config->kernel           ? "--kernel"
				: config->initrd ? "--initrd"
						 : "a command, which a kernel of ours starts");
	r = firmware_find(config->firmware, &files, err);
	if (r)
		return r;
	config->kernel = files.code;
	config->variables = files.variables;
	return config->nvram && !files.variables
		? error_set(err, EINVAL, "--nvram needs --firmware uefi: a BIOS has none")
		: 0;
}
