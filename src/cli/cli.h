/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the command line. Most of them ask dachd for what they do (client/client.h); each is
 * a function over struct cli, an entry in the table (verbs.c) and, in its file, its options.
 */
#ifndef DACH_CLI_CLI_H
#define DACH_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"

struct client;

/* Exit status: what everything but a guest's own end gives when it fails. */
#define CLI_FAILURE 1
/* The words make no sense: xl's habit. */
#define CLI_USAGE 2

#define CLI_WORDS_MAX 256

struct cli;

struct cli_verb {
	const char *name;
	int (*run)(struct cli *cli);             /* the exit status */
	int (*run_words)(int argc, char **argv); /* instead: it reads all its words itself */
	const struct option_spec *options;       /* beside --json and --help; NULL: none */
	unsigned min, max;                       /* words that are no options */
	const char *words;                       /* what they are called in the help */
	const char *help;                        /* one line */
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

/* The table, by families; ends with a NULL name. */
extern const struct cli_verb cli_verbs[];
const struct cli_verb *cli_verb_find(const char *name);
/* Verbs that xl has and we do not have yet: a sentence, or NULL. */
const char *cli_verb_missing(const char *name);

/* Runs a verb with its words, argv[0] being the verb. */
int cli_verb_run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv);
void cli_verb_usage(const struct cli *cli, const struct cli_verb *verb);

/*
 * The verb's next option's id. CLI_WORDS: there are no more, and the words are complete. CLI_END:
 * help was printed or something is wrong and said; the verb returns cli->status.
 */
#define CLI_WORDS (-1)
#define CLI_END (-2)
int cli_option(struct cli *cli);
/* For verbs without options of their own: true if the verb shall go on. */
bool cli_words(struct cli *cli);

/* Prints "dach VERB: sentence" on standard error and returns CLI_FAILURE. */
int cli_fail(const struct cli *cli, const struct error *err);
int cli_say(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* verbs.c: entries of the table that are older than the daemon. */
int cli_run(int argc, char **argv);
int cli_image(int argc, char **argv);

/* create.c */
int cli_create(struct cli *cli);
int cli_new(struct cli *cli);
extern const struct option_spec cli_create_options[], cli_new_options[];
/* managed.c */
int cli_start(struct cli *cli);
int cli_delete(struct cli *cli);
int cli_autostart(struct cli *cli);
extern const struct option_spec cli_start_options[];
/* list.c */
int cli_list(struct cli *cli);
int cli_vm_list(struct cli *cli);
int cli_domid(struct cli *cli);
int cli_domname(struct cli *cli);
int cli_domstate(struct cli *cli);
int cli_uptime(struct cli *cli);
extern const struct option_spec cli_list_options[], cli_uptime_options[];
/* info.c */
int cli_info(struct cli *cli);
int cli_dmesg(struct cli *cli);
int cli_events(struct cli *cli);
extern const struct option_spec cli_info_options[], cli_dmesg_options[];
/* life.c */
int cli_pause(struct cli *cli);
int cli_unpause(struct cli *cli);
int cli_destroy(struct cli *cli);
int cli_rename(struct cli *cli);
int cli_trigger(struct cli *cli);
int cli_sysrq(struct cli *cli);
int cli_dump_core(struct cli *cli);
extern const struct option_spec cli_destroy_options[], cli_dump_core_options[];
/* shutdown.c */
int cli_shutdown(struct cli *cli);
int cli_reboot(struct cli *cli);
extern const struct option_spec cli_shutdown_options[], cli_reboot_options[];
/* resource.c */
int cli_mem_set(struct cli *cli);
int cli_mem_max(struct cli *cli);
int cli_vcpu_list(struct cli *cli);
int cli_vcpu_pin(struct cli *cli);
int cli_sched_credit(struct cli *cli);
extern const struct option_spec cli_vcpu_pin_options[], cli_sched_credit_options[];
/* device.c */
int cli_block_list(struct cli *cli);
int cli_network_list(struct cli *cli);
/* console.c */
int cli_console(struct cli *cli);
extern const struct option_spec cli_console_options[];
/* top.c */
int cli_top(struct cli *cli);
extern const struct option_spec cli_top_options[];
/* offers.c: what --engine list and --cpu list of run print. */
void cli_engines(void);
void cli_cpus(void);

#endif
