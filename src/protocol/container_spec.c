/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/container_spec.h"

#include "protocol/limits.h"

const struct field container_spec_fields[] = {
	FIELD_STRINGS_ROW("init", container_spec, init, inits, LIMIT_STRING, CONTAINER_INIT_MAX),
	FIELD_STRINGS_ROW("command", container_spec, command, commands, LIMIT_STRING,
		CONTAINER_INIT_MAX),
	FIELD_STRINGS_ROW("env", container_spec, env, envs, LIMIT_STRING, CONTAINER_ENV_MAX),
	FIELD_ROW(STRING, container_spec, user, .min = 1, .max = LIMIT_NAME),
	FIELD_ROW(STRING, container_spec, workdir, .min = 1, .max = LIMIT_STRING),
	FIELD_STRINGS_ROW("devices", container_spec, device, devices, CONTAINER_DEVICE_PATH,
		CONTAINER_DEVICES),
	FIELD_ROW(BOOL, container_spec, privileged),
	FIELD_ROW(COUNT, container_spec, pids, .max = 4194304),
	{.key = NULL},
};
