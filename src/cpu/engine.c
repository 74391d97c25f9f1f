/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct engine *const engines[] = {&engine_kvm, &engine_translate};

const struct engine *engine_at(unsigned n)
{
	return n < sizeof engines / sizeof *engines ? engines[n] : NULL;
}

const struct engine *engine_find(const char *name, char *why, size_t why_size, struct error *err)
{
	struct error kvm = {0};

	if (why_size)
		why[0] = '\0';
	if (!strcmp(name, "auto")) {
		if (engine_kvm.probe(&kvm) == 0)
			return &engine_kvm;
		snprintf(why, why_size, "%s", kvm.text);
		return engine_translate.probe(err) == 0 ? &engine_translate : NULL;
	}
	for (unsigned i = 0; i < sizeof engines / sizeof *engines; i++)
		if (!strcmp(name, engines[i]->name))
			return engines[i]->probe(err) == 0 ? engines[i] : NULL;
	error_set(err, EINVAL, "no engine is called \"%s\" (auto, translate, kvm)", name);
	return NULL;
}
