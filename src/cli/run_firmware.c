/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_firmware.h"

#include <errno.h>

bool run_firmware_has(int id)
{
	return id >= RUN_FIRMWARE_FIRST && id <= BOOT;
}

int run_firmware_take(struct vmm_config *config, int id, const char *value, struct error *err)
{
	if (id == FIRMWARE)
		return firmware_parse(value, &config->firmware, err);
	config->boot = value;
	return firmware_check_boot(value, err);
}

int run_firmware_complete(struct vmm_config *config, bool command, struct error *err)
{
	if (!config->firmware)
		return config->boot ? error_set(err, EINVAL, "--boot needs a --firmware beside it")
				    : 0;
	if (config->kernel || config->initrd || command)
		return error_set(err, EINVAL, "--firmware excludes %s",
			config->kernel           ? "--kernel"
				: config->initrd ? "--initrd"
						 : "a command, which a kernel of ours starts");
	return firmware_file(config->firmware, &config->kernel, err);
}
