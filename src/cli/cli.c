/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs share: finding one, its options and words, its help, its complaints. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/fields.h"

/* Where the verb's own options do not say otherwise. No id of a verb is that high. */
enum { HELP = 1000, JSON };

static const struct option_spec json[] = {
	{"json", JSON, NULL, "the answer as JSON, for programs"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec help[] = {
	{"help", HELP, NULL, "this text"},
	{"h", HELP, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

#define OPTIONS_MAX 64

static unsigned add_options(struct option_spec *all, unsigned count, const struct option_spec *more)
{
	for (; more && more->name && count < OPTIONS_MAX; more++)
		all[count++] = *more;
	all[count] = (struct option_spec){.name = NULL};
	return count;
}

static unsigned add_fields(struct option_spec *all, const struct field *fields)
{
	unsigned count = 0;

	for (unsigned n = 0; fields && fields[n].key && count < OPTIONS_MAX; n++)
		if (fields[n].option)
			all[count++] = (struct option_spec){fields[n].option, CLI_FIELD + n,
				fields[n].kind == FIELD_BOOL ? NULL : fields[n].value,
				fields[n].help};
	return count;
}

/* The verb's options and the common ones. Ends with a NULL name. */
static void all_options(const struct cli_verb *verb, struct option_spec all[OPTIONS_MAX + 1])
{
	unsigned count = add_options(all, add_fields(all, verb->fields), verb->options);

	if (!verb->plain)
		count = add_options(all, count, json);
	add_options(all, count, help);
}

void cli_verb_usage(const struct cli *cli, const struct cli_verb *verb)
{
	struct option_spec all[OPTIONS_MAX + 1];

	if (verb->verbs) {
		printf("usage: %s %s VERB [OPTION]...\n\n%s.\n\n", cli->program, verb->name,
			verb->help);
		for (const struct cli_verb *own = verb->verbs; own->name; own++)
			printf("  %-8s %s\n", own->name + strlen(verb->name) + 1, own->help);
		return;
	}
	all_options(verb, all);
	printf("usage: %s %s%s%s%s\n\n%s.\n\n", cli->program, verb->name,
		verb->options ? " [OPTION]..." : "", *verb->words ? " " : "", verb->words,
		verb->help);
	option_help(all);
	if (verb->more)
		printf("\n%s", verb->more);
}

int cli_say(const struct cli *cli, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s %s: ", cli->program, cli->verb->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	putc('\n', stderr);
	return CLI_FAILURE;
}

int cli_fail(const struct cli *cli, const struct error *err)
{
	return cli_say(cli, "%s", err->text);
}

static int end(struct cli *cli, int status)
{
	cli->status = status;
	return CLI_END;
}

static int wrong(struct cli *cli, const char *sentence)
{
	cli_say(cli, "%s (see %s %s --help)", sentence, cli->program, cli->verb->name);
	return end(cli, cli->verb->usage ? cli->verb->usage : CLI_USAGE);
}

static int check_words(struct cli *cli)
{
	const struct cli_verb *verb = cli->verb;
	char sentence[128];

	if (cli->words_count < verb->min) {
		snprintf(sentence, sizeof sentence, "%u argument%s needed: %.80s", verb->min,
			verb->min > 1 ? "s are" : " is", verb->words);
		return wrong(cli, sentence);
	}
	if (cli->words_count > verb->max) {
		snprintf(sentence, sizeof sentence, "unexpected argument '%.80s'",
			cli->words[verb->max]);
		return wrong(cli, sentence);
	}
	return CLI_WORDS;
}

int cli_option(struct cli *cli)
{
	struct option_spec all[OPTIONS_MAX + 1];
	struct error err = {""};
	int id;

	all_options(cli->verb, all);
	while ((id = option_next(&cli->scan, all, &err)) != OPTION_END) {
		cli->value = cli->scan.value;
		if (id == HELP) {
			cli_verb_usage(cli, cli->verb);
			return end(cli, 0);
		}
		if (id == JSON) {
			cli->json = true;
		} else if (id == OPTION_WORD) {
			if (cli->words_count == CLI_WORDS_MAX)
				return wrong(cli, "too many words");
			cli->words[cli->words_count++] = cli->value;
			cli->words[cli->words_count] = NULL;
		} else if (id < 0) {
			return wrong(cli, err.text);
		} else {
			return id;
		}
	}
	return check_words(cli);
}

bool cli_words(struct cli *cli)
{
	return cli_option(cli) == CLI_WORDS;
}

char *cli_absolute(const char *word)
{
	char *path, *here = word[0] == '/' ? NULL : getcwd(NULL, 0);

	if (word[0] != '/' && !here)
		return NULL;
	if (asprintf(&path, "%s%s%s", here ? here : "", here ? "/" : "", word) < 0)
		path = NULL;
	free(here);
	return path;
}
