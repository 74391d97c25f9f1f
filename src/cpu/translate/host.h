/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the translating engine needs of the processor that it runs on, and what it does without: from the
 * leaves of a source, so that a test can play any host.
 */
#ifndef DACH_CPU_TRANSLATE_HOST_H
#define DACH_CPU_TRANSLATE_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct cpuid_source;

struct translate_host {
	uint64_t vectors; /* state components that are saved and restored (an XSAVE mask) */
	bool has_xsaveopt;
	bool has_adx; /* ADCX: cheaper checks of addresses */
};

/* -ENOTSUP with one sentence that names what is missing. */
int translate_host(struct translate_host *host, const struct cpuid_source *source,
	struct error *err);
/* Whether programs set their FS and GS bases by instruction here: it takes the host's kernel, too (AT_HWCAP2). */
bool translate_host_has_fsgsbase(void);

#endif
