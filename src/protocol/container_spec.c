/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/container_spec.h"

#include "protocol/limits.h"

const struct field container_spec_fields[] = {
	FIELD_STRINGS_ROW("init", container_spec, init, inits, LIMIT_STRING, CONTAINER_INIT_MAX),
	FIELD_ROW(BOOL, container_spec, privileged),
	FIELD_ROW(COUNT, container_spec, pids, .max = 4194304),
	{.key = NULL},
};
