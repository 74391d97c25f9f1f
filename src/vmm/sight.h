/* SPDX-License-Identifier: Apache-2.0 */
/* The files that tell where a guest spends its time: opened before the sandbox closes. */
#ifndef DACH_VMM_SIGHT_H
#define DACH_VMM_SIGHT_H

#include "base/symbols.h"
#include "cpu/engine.h"
#include "vmm/config.h"

struct sight {
	struct engine_sight engine;
	struct symbols *symbols;
};

/* All zero before. Opens what the configuration asks for; sight_close() also after a failure. */
int sight_open(struct sight *sight, const struct vmm_config *config, const struct engine *engine,
	struct error *err);
void sight_close(struct sight *sight);

#endif
