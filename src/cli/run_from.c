/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_from.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/console.h"
#include "cli/session.h"
#include "client/client.h"
#include "protocol/end.h"

#define END_MS 3000 /* for the daemon to see the end that its console had */

struct snapshot_run {
	struct cli *cli;
	json_t *guest;
	struct client_events *events; /* since before it began */
};

/* Whoever wants us to end does so once there is somebody who throws the machine away. */
static void hold_signals(void)
{
	static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
		sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int begin(struct snapshot_run *machine, const char *snapshot)
{
	struct cli *cli = machine->cli;
	json_t *answer = NULL, *body = json_pack("{s:s, s:i}", "from", snapshot, "count", 1);
	struct error err = {""};
	int status = call_connect(cli);

	if (status) {
		json_decref(body);
		return status;
	}
	if (!cli->dry && client_events_open(cli->client, &machine->events, &err)) {
		json_decref(body);
		return cli_fail(cli, &err);
	}
	status = call_guest(cli, "POST", cli->words[0], "/clone", body, &answer);
	machine->guest = json_incref(json_array_get(json_object_get(answer, "clones"), 0));
	json_decref(answer);
	return status;
}

/* What the daemon says of its end. END_NONE: it has not ended. */
static enum end_reason find_end(const struct snapshot_run *machine)
{
	const char *uuid = json_get_text(machine->guest, "uuid");
	enum end_reason reason = END_NONE;
	struct error err = {""};
	json_t *event;

	while (reason == END_NONE && !client_events_next(machine->events, END_MS, &event, &err)) {
		if (!strcmp(json_get_text(event, "event"), "ended") &&
			!strcmp(json_get_text(event, "uuid"), uuid))
			reason = end_find(json_get_text(event, "reason"));
		json_decref(event);
	}
	return reason;
}

static int sit_down(const struct snapshot_run *machine)
{
	enum end_reason reason;
	bool left = false;
	int status = console_attach(machine->cli, machine->guest, false, &left);

	if (status)
		return status;
	if (left)
		return end_info(END_KILLED)->status;
	reason = find_end(machine);
	if (reason == END_CRASH || reason == END_ERROR)
		cli_say(machine->cli, "the machine %s", reason == END_CRASH ? "crashed" : "failed");
	return reason == END_NONE ? CLI_FAILURE : end_info(reason)->status;
}

/* It may have gone by itself. */
static void throw_away(const struct snapshot_run *machine)
{
	const char *uuid = json_get_text(machine->guest, "uuid");
	struct client *client = machine->cli->client;
	struct error err = {""};
	char path[128];

	if (client_guest_path(path, sizeof path, uuid, "/destroy") &&
		client_call(client, "POST", path, NULL, NULL, &err) && client_status(client) != 404)
		cli_say(machine->cli, "the machine is still there: %s (dach destroy %s)", err.text,
			json_get_text(machine->guest, "name"));
}

static int check(const struct cli *cli, const struct run_from *from, struct error *err)
{
	if (from->own)
		return error_set(err, EINVAL,
			"beside --from there are --env, --workdir, --user and --timeout, for a command: all "
			"else is the snapshot's");
	if (!cli->words[0])
		return error_set(err, EINVAL, "--from needs a guest, whose snapshot it is");
	if (from->timeout && !from->words->command.argv)
		return error_set(err, EINVAL, "--timeout needs a command beside --from");
	return 0;
}

static int make_command(struct command_words *words, uint64_t timeout, struct session_spec *spec,
	struct error *err)
{
	const struct vmm_command *command = &words->command;

	*spec = (struct session_spec){
		.open = {.what = AGENT_COMMAND,
			.user = command->user ? command->user : "",
			.folder = command->folder ? command->folder : "",
			.argv = command->argv,
			.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)},
		.fd = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
		.timeout = timeout,
	};
	if (spec->open.terminal && getenv("TERM") && command_env(words, "TERM", err))
		return -EINVAL;
	spec->open.env = words->env;
	return 0;
}

int run_from(struct cli *cli, const struct run_from *from, struct error *err)
{
	const bool commands = from->words->command.argv;
	int status = commands ? SESSION_FAILED : CLI_FAILURE;
	struct snapshot_run machine = {.cli = cli};
	struct session_spec spec;

	if (check(cli, from, err) ||
		(commands && make_command(from->words, from->timeout, &spec, err)))
		return status;
	hold_signals();
	if (!begin(&machine, from->snapshot) && machine.guest) {
		status = commands ? session_run(cli, json_get_text(machine.guest, "uuid"), &spec)
				  : sit_down(&machine);
		throw_away(&machine);
	}
	json_decref(machine.guest);
	client_events_close(machine.events);
	return status;
}
