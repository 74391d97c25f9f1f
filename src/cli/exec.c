/* SPDX-License-Identifier: Apache-2.0 */
/* Commands in a guest that the daemon keeps: exec, and enter for a shell. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/command.h"
#include "cli/session.h"

enum { ENV = 1, WORKDIR, USER, TIMEOUT, TTY };

static const struct option_spec exec_options[] = {
	{"env", ENV, "NAME[=VALUE]", "for the command; again for more"},
	{"e", ENV, "NAME[=VALUE]", NULL},
	{"workdir", WORKDIR, "DIR", "where the command runs (its user's home)"},
	{"w", WORKDIR, "DIR", NULL},
	{"user", USER, "NAME[:GROUP]", "who runs it (root)"},
	{"u", USER, "NAME[:GROUP]", NULL},
	{"timeout", TIMEOUT, "SECONDS", "end it after so long, with status 124"},
	{"tty", TTY, NULL, "on a terminal of its own (as when ours are one)"},
	{"t", TTY, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec enter_options[] = {
	{"env", ENV, "NAME[=VALUE]", "for the shell; again for more"},
	{"e", ENV, "NAME[=VALUE]", NULL},
	{"user", USER, "NAME[:GROUP]", "whose shell (root's)"},
	{"u", USER, "NAME[:GROUP]", NULL},
	{NULL, 0, NULL, NULL},
};

struct exec_order {
	struct command_words words;
	struct session_spec spec;
};

static int take_option(struct exec_order *order, int id, const char *value, struct error *err)
{
	struct agent_open *open_ = &order->spec.open;
	uint64_t number;
	int r;

	switch (id) {
	case ENV:
		return command_env(&order->words, value, err);
	case WORKDIR:
		open_->folder = value;
		return 0;
	case USER:
		open_->user = value;
		return 0;
	case TTY:
		open_->terminal = true;
		return 0;
	case TIMEOUT:
		r = option_number("--timeout", value, 1, 30 * 86400, &number, err);
		order->spec.timeout = r ? 0 : number * 1000000000ull;
		return r;
	}
	return 0;
}

static int perform(struct cli *cli, struct exec_order *order)
{
	struct agent_open *open_ = &order->spec.open;
	struct error err = {""};
	int id, r = 0;

	while (!r && (id = cli_option(cli)) > 0)
		r = take_option(order, id, cli->value, &err);
	if (!r && id == CLI_END)
		return cli->status ? SESSION_FAILED : 0;
	if (!r &&
		(!open_->argv || (open_->what == AGENT_COMMAND && !open_->argv[0]) ||
			cli->words_count > 1))
		r = error_set(&err, EINVAL,
			"the guest, -- and a command are needed: %s exec GUEST -- ls /",
			cli->program);
	open_->terminal |= isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!r && open_->terminal && getenv("TERM"))
		r = command_env(&order->words, "TERM", &err);
	if (r) {
		cli_fail(cli, &err);
		return SESSION_FAILED;
	}
	open_->env = order->words.env;
	return session_run(cli, cli->words[0], &order->spec);
}

static int run(struct cli *cli, enum agent_what what)
{
	static const char *const none[] = {NULL};
	struct exec_order order = {
		.spec = {.open = {.what = what, .user = "", .folder = "", .argv = none},
			.fd = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}}};
	int status;

	if (what == AGENT_COMMAND) {
		command_take(&order.words, cli);
		order.spec.open.argv = order.words.command.argv;
	}
	status = perform(cli, &order);
	command_free(&order.words);
	return status;
}

static int exec(struct cli *cli)
{
	return run(cli, AGENT_COMMAND);
}

static int enter(struct cli *cli)
{
	return run(cli, AGENT_SHELL);
}

static const char exec_more[] =
	"The guest needs agent = 1 in its configuration, or qemu_agent = 1. The command's streams and\n"
	"signals are ours, and its status is the exit status: 127 it is not there, 126 it cannot be\n"
	"run, 128 and the number of the signal that ended it, 124 it took too long, 125 a failure of\n"
	"ours. When this program is killed, or dachd ends, the command is hung up on.\n";
static const char enter_more[] =
	"The guest needs agent = 1 in its configuration, or qemu_agent = 1. The exit status is the\n"
	"shell's; 125 is a failure of ours.\n";

const struct cli_verb cli_exec_verbs[] = {
	{"exec", "GUEST -- COMMAND...", "Run a command in a guest", 1, CLI_WORDS_MAX,
		.options = exec_options, .run = exec, .more = exec_more, .plain = true,
		.usage = SESSION_FAILED},
	{"enter", "GUEST", "A shell in a guest", 1, 1, .options = enter_options, .run = enter,
		.more = enter_more, .plain = true, .usage = SESSION_FAILED},
	{.name = NULL},
};
