/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "cli/cli.h"
#include "client/client.h"

enum { HELP = 1, VERSION, DRY, VERBOSE, JSON, IGNORED };

/* Before the verb. f, t and T are xl's: past its lock, and two ways to write its progress. */
static const struct option_spec options[] = {
	{"dry-run", DRY, NULL, "say what would be done, and do not do it"},
	{"N", DRY, NULL, NULL},
	{"verbose", VERBOSE, NULL, "say what is asked of the daemon"},
	{"v", VERBOSE, NULL, NULL},
	{"json", JSON, NULL, "answers as JSON, for programs"},
	{"version", VERSION, NULL, "the version"},
	{"help", HELP, NULL, "this text"},
	{"h", HELP, NULL, NULL},
	{"f", IGNORED, NULL, NULL},
	{"t", IGNORED, NULL, NULL},
	{"T", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int help(const struct cli *cli)
{
	printf("usage: %s [OPTION]... VERB [OPTION]... [WORD]...\n\n", cli->program);
	for (const struct cli_verb *const *table = cli_verbs; *table; table++)
		for (const struct cli_verb *verb = *table; verb->name; verb++)
			printf("  %-14s %s\n", verb->name, verb->help);
	printf("\n");
	option_help(options);
	printf("\n'%s VERB --help' tells more about one.\n", cli->program);
	return 0;
}

/* Called by its name, the program answers as xl or xm would. */
static const char *called(const char *path)
{
	const char *name = path ? strrchr(path, '/') : NULL;

	name = name ? name + 1 : path ? path : "";
	if (!strcmp(name, "xl"))
		return "xl";
	return !strcmp(name, "xm") ? "xm" : "dach";
}

static int version(void)
{
	printf("dach %s\n", DACH_VERSION);
	return 0;
}

/* help, help VERB, help image VERB */
static int help_verb(const struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *verb = NULL;
	char both[64];

	if (argc > 2 && snprintf(both, sizeof both, "%s %s", argv[1], argv[2]) < sizeof both)
		verb = cli_verb_find(both);
	if (!verb && argc > 1)
		verb = cli_verb_find(argv[1]);
	if (!verb)
		return help(cli);
	cli_verb_usage(cli, verb);
	return 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *name = argv[0];
	const struct cli_verb *verb = cli_verb_find(name);
	const char *missing = cli_verb_missing(name);

	if (verb)
		return cli_verb_run(cli, verb, argc, argv);
	if (!strcmp(name, "version"))
		return version();
	if (!strcmp(name, "help"))
		return help_verb(cli, argc, argv);
	if (missing)
		fprintf(stderr, "%s: '%s' %s\n", cli->program, name, missing);
	else
		cli_unknown_verb(cli->program, name, NULL);
	return CLI_FAILURE;
}

int main(int argc, char **argv)
{
	static struct cli cli; /* the words make it large */
	struct option_scan scan = {.argc = argc, .argv = argv, .next = 1};
	struct error err = {""};
	int id, status;

	io_hold_streams();
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not our end */
	cli.program = called(argc ? argv[0] : NULL);
	while ((id = option_next(&scan, options, &err)) != OPTION_WORD) {
		switch (id) {
		case HELP:
			return help(&cli);
		case VERSION:
			return version();
		case DRY:
			cli.dry = true;
			break;
		case VERBOSE:
			cli.verbose = true;
			break;
		case JSON:
			cli.json = true;
			break;
		case IGNORED:
			break;
		case OPTION_END:
			fprintf(stderr, "%s: no verb given (see %s --help)\n", cli.program,
				cli.program);
			return CLI_FAILURE;
		default:
			fprintf(stderr, "%s: %s (see %s --help)\n", cli.program, err.text,
				cli.program);
			return CLI_FAILURE;
		}
	}
	status = run(&cli, argc - scan.next + 1, argv + scan.next - 1);
	client_close(cli.client);
	if (fflush(stdout) || ferror(stdout))
		status = status ? status : CLI_FAILURE;
	return status;
}
