/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{"run", cli_run, "start a guest in the foreground, its console on this terminal"},
	{"image", cli_image, "create, list and delete images to start guests from"},
};

#define VERBS (sizeof verbs / sizeof *verbs)

static void help(void)
{
	printf("usage: dach VERB [OPTION]...\n\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
	printf("\n'dach VERB --help' tells more about one. 'dach --version' prints the version.\n");
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || !strcmp(verb, "help")) {
		help();
		return 0;
	}
	if (!strcmp(verb, "--version")) {
		printf("dach %s\n", DACH_VERSION);
		return 0;
	}
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	if (!*verb)
		fprintf(stderr, "dach: what to do? (see dach --help)\n");
	else if (*verb == '-')
		fprintf(stderr, "dach: unknown option '%s' (see dach --help)\n", verb);
	else
		fprintf(stderr, "dach: unknown verb '%s' (see dach --help)\n", verb);
	return CLI_FAILURE;
}
