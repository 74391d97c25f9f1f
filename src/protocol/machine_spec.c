/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/machine_spec.h"

#include "protocol/limits.h"

static const char *const natives[] =
	{[NATIVE_AUTO] = "auto", [NATIVE_NEVER] = "never", [NATIVE_ALWAYS] = "always", NULL};

const struct field machine_spec_fields[] = {
	FIELD_ROW(STRING, machine_spec, engine, .min = 1, .max = LIMIT_NAME, .text = "auto",
		.option = "engine", .value = "NAME|list",
		.help = "who runs the guest: auto, translate, kvm (auto)"),
	FIELD_ROW(STRING, machine_spec, cpu_model, .min = 1, .max = LIMIT_STRING, .option = "cpu",
		.value = "MODEL[,+F,-F]|list",
		.help = "the processor it sees: host, or one that moves between hosts (host)"),
	FIELD_ROW(ENUM, machine_spec, native, .names = natives, .option = "native", .value = "WHEN",
		.help = "programs as they are: auto, never or always (auto)"),
	FIELD_ROW(BOOL, machine_spec, agent),
	FIELD_ROW(BOOL, machine_spec, qemu_agent),
	FIELD_ROW(BOOL, machine_spec, vnc),
	FIELD_ROW(STRING, machine_spec, vnc_listen, .min = 1, .max = LIMIT_NAME),
	FIELD_ROW(STRING, machine_spec, vnc_password, .min = 1, .max = LIMIT_VNC_PASSWORD),
	FIELD_ROW(STRING, machine_spec, ssh_key, .min = 1, .max = LIMIT_STRING),
	{.key = NULL},
};
