/* SPDX-License-Identifier: Apache-2.0 */
/* What this host offers to choose from: engines, processors. */
#include <stdio.h>

#include "cli/cli.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"

/* What a host that runs guests by it lacks for some of its speed. */
static void print_lack(const struct engine *engine)
{
	struct error err = {""};

	if (engine->probe_processes && engine->probe_processes(&err))
		printf("%-10s  %-5s  all programs are translated: %s\n", "", "", err.text);
}

void cli_engines(void)
{
	const struct engine *engine, *first = NULL;

	printf("%-10s  %-5s  %s\n", "ENGINE", "WORKS", "");
	for (unsigned i = 0; (engine = engine_at(i)); i++) {
		struct error err = {""};
		int r = engine->probe(&err);

		if (!r && !first)
			first = engine;
		printf("%-10s  %-5s  %s\n", engine->name, r ? "no" : "yes",
			r                         ? err.text
				: first == engine ? "auto takes this one"
						  : "");
		if (!r)
			print_lack(engine);
	}
}

void cli_cpus(void)
{
	const char *name, *features;

	printf("host       all that this host's processor and the engine have\n");
	for (unsigned i = 0; (name = cpuid_model_name(i, &features)); i++)
		printf("%s  %s%s%s%s\n", name, i ? "those of " : "",
			i ? cpuid_model_name(i - 1, NULL) : "", i ? " and " : "", features);
}
