/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the command line. Most of them ask dachd for what they do (client/client.h). A verb is one
 * row, in its file's table, beside the function that performs it and its options; what only sends its
 * words in a request needs no function. verbs.c knows the tables.
 */
#ifndef DACH_CLI_CLI_H
#define DACH_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"

struct client;
struct field;

/* Exit status: what everything but a guest's own end gives when it fails. */
#define CLI_FAILURE 1
/* The words make no sense: xl's habit. */
#define CLI_USAGE 2

#define CLI_WORDS_MAX 256

struct cli;

/* A word of a verb's becomes a value of a request's body. */
struct cli_argument {
	const char *key; /* NULL ends a list */
	json_t *(*read)(
		const char *word); /* NULL: a string as it is. NULL from it: the word is wrong */
};

struct cli_verb {
	const char *name;
	const char *words; /* what is no option, as the help calls it; completion goes by it, too */
	const char *help;  /* one line */
	unsigned min, max; /* words that are no options */
	const struct option_spec *options; /* beside --json and --help; NULL: none */
	const struct field *
		fields; /* whose options it has, too: of the nth cli_option() gives CLI_FIELD + n */
	int (*run)(struct cli *cli); /* the exit status */
	/*
	 * Instead of run: it sends a request about the guest of its first word. asks: a verb of
	 * protocol/request.h, whose arguments the other words are; or method, path ("/rename") and what the
	 * other words are. Without arguments each word is a guest.
	 */
	const char *asks;
	const char *method, *path;
	const struct cli_argument *arguments;
	const char
		*wrong; /* a format for what is said of the second word where it is wrong; NULL */
	/* Instead of both: it has verbs of its own, "image list". Ends with a NULL name. */
	const struct cli_verb *verbs;
	const char *more; /* behind the options in its help; NULL */
	bool plain;       /* it has no answer as JSON */
	int usage;        /* exit status where the words make no sense; 0: CLI_USAGE */
};

struct cli {
	const char *program; /* "dach"; "xl" or "xm" if called by that name */
	const struct cli_verb *verb;
	bool dry;          /* -N: say what would be asked of the daemon, and do not ask it */
	bool verbose;      /* -v: say what is asked */
	bool json;         /* --json: answers for programs */
	const char *value; /* of the option that cli_option() gave last */
	const char *words[CLI_WORDS_MAX + 1]; /* ends with NULL */
	unsigned words_count;
	int status; /* after cli_option() gave CLI_END */
	struct option_scan scan;
	struct client *client; /* NULL until it is needed */
};

/* The tables, by families; each ends with a NULL name, the list with NULL. */
extern const struct cli_verb *const cli_verbs[];
/* Also one of a verb's own verbs, by both words ("image list"). */
const struct cli_verb *cli_verb_find(const char *name);
/* Verbs that xl has and we do not have yet: a sentence, or NULL. */
const char *cli_verb_missing(const char *name);

/*
 * Says that there is no such verb, and which may be meant; of those of a verb that has verbs of its own,
 * or of all (NULL). Returns CLI_FAILURE.
 */
int cli_unknown_verb(const char *program, const char *name, const struct cli_verb *within);

/* Runs a verb with its words, argv[0] being the verb. */
int cli_verb_run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv);
void cli_verb_usage(const struct cli *cli, const struct cli_verb *verb);

/*
 * The verb's next option's id. CLI_WORDS: there are no more, and the words are complete. CLI_END:
 * help was printed or something is wrong and said; the verb returns cli->status.
 */
#define CLI_WORDS (-1)
#define CLI_FIELD 500
#define CLI_END (-2)
int cli_option(struct cli *cli);
/* For verbs without options of their own: true if the verb shall go on. */
bool cli_words(struct cli *cli);

/* A file's name for the daemon, which is elsewhere; the caller's to free(). NULL: out of memory. */
char *cli_absolute(const char *word);

/* Prints "dach VERB: sentence" on standard error and returns CLI_FAILURE. */
int cli_fail(const struct cli *cli, const struct error *err);
int cli_say(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What each file has for verbs.c. */
extern const struct cli_verb cli_beancounter_verbs[], cli_clone_verbs[], cli_console_verbs[],
	cli_convert_verbs[], cli_cp_verbs[], cli_create_verbs[], cli_device_verbs[],
	cli_doctor_verbs[], cli_evacuate_verbs[], cli_exec_verbs[], cli_host_verbs[],
	cli_image_verbs[], cli_info_verbs[], cli_life_verbs[], cli_list_verbs[],
	cli_managed_verbs[], cli_migrate_verbs[], cli_network_verbs[], cli_peer_verbs[],
	cli_resource_verbs[], cli_run_verbs[], cli_save_verbs[], cli_shutdown_verbs[],
	cli_top_verbs[], cli_plug_verbs[], cli_snapshot_verbs[], cli_screen_verbs[];

/* send.c: performs a verb that has no function of its own. */
int cli_send(struct cli *cli);
/* offers.c: what --engine list and --cpu list of run print. */
void cli_engines(void);
void cli_cpus(void);

#endif
