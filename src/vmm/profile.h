/* SPDX-License-Identifier: Apache-2.0 */
/* The files that tell where a guest spends its time: opened before the sandbox closes. */
#ifndef DACH_VMM_PROFILE_H
#define DACH_VMM_PROFILE_H

#include "base/symbols.h"
#include "cpu/engine.h"
#include "vmm/config.h"

struct profile_files {
	struct engine_profile engine;
	struct symbols *symbols;
};

/* All zero before. Opens what the configuration asks for; profile_close() also after a failure. */
int profile_open(struct profile_files *profile, const struct vmm_config *config,
	const struct engine *engine, struct error *err);
void profile_close(struct profile_files *profile);

#endif
