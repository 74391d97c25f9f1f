/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that move to another host. The two monitors speak with each other (doc/migration.md). Between hosts that know each
 * other (dach host) the daemons carry their bytes, and have to be asked only. Otherwise this carries them,
 * from the daemon here to a program on the other host (migrate-receive, mostly by ssh), which carries them to its daemon. Before
 * that, each says one line of JSON:
 *
 *   {"dach-migrate": 1, "guest": {...}}      what POST /v1/receive takes
 *   {"ready": true} or {"error": "sentence"}
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/create.h"
#include "cli/watch.h"
#include "client/client.h"
#include "protocol/request.h"

#define VERSION 1
#define LINE_MAX_BYTES (1u << 20)
#define PIECE (256u << 10)

enum { SHELL = 1, CONFIG, PAUSED, RATE, PAUSE, STORAGE, LIVE, IGNORED };

static const struct option_spec migrate_options[] = {
	{"s", SHELL, "COMMAND",
		"run this with HOST as its first word, not ssh; empty: HOST is the command"},
	{"C", CONFIG, "FILE", "the guest has this configuration there"},
	{"p", PAUSED, NULL, "leave it paused there"},
	{"pause", PAUSE, "MS", "how long it may stand still (30)"},
	{"rate", RATE, "MIB", "send no more than so many MiB a second while it runs"},
	{"storage", STORAGE, NULL,
		"take what is in its disks along: files of their names are made there"},
	{"live", LIVE, NULL, "it runs until the last moment (it does anyhow)"},
	{"e", IGNORED, NULL, NULL},
	{"debug", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec receive_options[] = {
	{"e", IGNORED, NULL, NULL},
	{"d", IGNORED, NULL, NULL},
	{"p", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

/* Lines and bytes */

/* Nothing of what follows the line is read. */
static json_t *read_line(int fd, char **line)
{
	size_t len = 0;
	char *text = malloc(LINE_MAX_BYTES);
	json_t *json;

	*line = text;
	while (text && len < LINE_MAX_BYTES - 1 && io_read_all(fd, text + len, 1) == 1 &&
		text[len] != '\n')
		len++;
	if (!text)
		return NULL;
	text[len] = 0;
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 127)
			text[i] = '?';
	return json;
}

static int write_line(int fd, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int r = text ? io_write_all(fd, text, strlen(text)) : -ENOMEM;

	if (!r)
		r = io_write_all(fd, "\n", 1);
	free(text);
	json_decref(json);
	return r;
}

/* All that comes is passed on before its end is. */
static void carry(int from, int to)
{
	char *piece = malloc(PIECE);

	while (piece) {
		ssize_t n = read(from, piece, PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || io_write_all(to, piece, (size_t)n))
			break;
	}
	free(piece);
	shutdown(to, SHUT_WR);
}

/* Somebody else carries; -1. Who reads our output is to see its end. */
static pid_t carrier(int from, int to)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	signal(SIGINT, SIG_IGN);
	close(STDOUT_FILENO);
	carry(from, to);
	_exit(0);
}

/* From here */

struct migration {
	struct cli *cli;
	const char *shell; /* NULL: ssh */
	json_t *guest;     /* what the other side is told */
	json_t *body;      /* what the daemon here is */
	int far, near;     /* the program there; the daemon here */
	pid_t program, carrier[2];
};

static int start_program(struct migration *migration, const char *host)
{
	char *command;
	int ends[2];
	int n = !migration->shell   ? asprintf(&command, "exec ssh %s %s migrate-receive", host,
					      migration->cli->program)
		: *migration->shell ? asprintf(&command, "exec %s %s %s migrate-receive",
					      migration->shell, host, migration->cli->program)
				    : asprintf(&command, "exec %s", host);

	if (n < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	migration->program = fork();
	if (!migration->program) {
		signal(SIGINT, SIG_IGN);
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	free(command);
	close(ends[1]);
	migration->far = ends[0];
	return migration->program < 0 ? -EAGAIN : 0;
}

/* Whether the other side can have it. */
static int ask(struct migration *migration, const char *host)
{
	struct cli *cli = migration->cli;
	char *line = NULL;
	json_t *answer;
	int status = 0, r = start_program(migration, host);

	if (!r)
		r = write_line(migration->far,
			json_pack("{s:i, s:O}", "dach-migrate", VERSION, "guest",
				migration->guest));
	if (r && r != -EPIPE)
		return cli_say(cli, "%s: %s", host, strerror(-r));
	answer = read_line(migration->far, &line);
	if (json_string_value(json_object_get(answer, "error")))
		status = cli_say(cli, "%s: %s", host,
			json_string_value(json_object_get(answer, "error")));
	else if (!json_is_true(json_object_get(answer, "ready")))
		status = cli_say(cli, "%s: no answer of 'dach migrate-receive', but '%.200s'", host,
			line ? line : "");
	json_decref(answer);
	free(line);
	return status;
}

static int go(struct migration *migration)
{
	struct cli *cli = migration->cli;
	struct error err = {""};
	int status;

	if (client_migration(cli->client, cli->words[0], &migration->near, &err))
		return cli_fail(cli, &err);
	migration->carrier[0] = carrier(migration->near, migration->far);
	migration->carrier[1] = carrier(migration->far, migration->near);
	/* They are the carriers' alone, whose ends are seen then. */
	close(migration->near);
	close(migration->far);
	migration->near = migration->far = -1;
	status = watch_act(cli, "Migrating", cli->words[0], "/migrate", migration->body);
	migration->body = NULL;
	return status;
}

/* After a failure nobody has anything more to say. */
static void finish(struct migration *migration, bool failed)
{
	const pid_t pids[] = {migration->carrier[0], migration->carrier[1], migration->program};

	if (migration->near >= 0)
		close(migration->near);
	if (migration->far >= 0)
		close(migration->far);
	for (unsigned i = 0; i < sizeof pids / sizeof *pids; i++) {
		if (pids[i] <= 0)
			continue;
		if (failed)
			kill(pids[i], SIGTERM);
		waitpid(pids[i], NULL, 0);
	}
	json_decref(migration->guest);
	json_decref(migration->body);
}

/* Disks that go along: their sizes. */
static json_t *disk_sizes(const json_t *guest)
{
	json_t *sizes = json_object(), *disk;
	size_t i;

	json_array_foreach(json_object_get(guest, "disks"), i,
		disk) if (*json_get_text(disk, "path") &&
		!strcmp(json_get_text(disk, "access"), "w"))
		json_object_set(sizes, json_get_text(disk, "vdev"), json_object_get(disk, "size"));
	return sizes;
}

/* They are not touched: who has seen that the guest is well there may remove them. */
static void tell_files(const json_t *guest)
{
	const char *before = "The disks' files stay here as the guest left them:";
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(guest, "disks"), i,
		disk) if (*json_get_text(disk, "path") &&
		!strcmp(json_get_text(disk, "access"), "w"))
	{
		fprintf(stderr, "%s %s", before, json_get_text(disk, "path"));
		before = "";
	}
	if (!*before)
		fputs("\n", stderr);
}

/* What the guest is to be there. */
static json_t *make_guest(struct cli *cli, const json_t *guest, const char *config_file,
	bool paused, bool storage)
{
	json_t *config = json_object_get(guest, "config");

	if (config_file) {
		json_t *own = create_load(cli, config_file);

		if (!own)
			return NULL;
		json_object_set(own, "uuid", json_object_get(config, "uuid"));
		config = own;
	} else {
		json_incref(config);
	}
	return json_pack("{s:o, s:b, s:b, s:b, s:o*}", "config", config, "paused",
		paused || !strcmp(json_get_text(guest, "state"), "paused"), "managed",
		json_get_true(guest, "managed"), "autostart", json_get_true(guest, "autostart"),
		"disk_sizes", storage ? disk_sizes(guest) : NULL);
}

static int take_option(struct cli *cli, struct migration *migration, int id,
	const char **config_file, bool *paused)
{
	struct error err = {""};
	uint64_t number = 0;
	int r = 0;

	if (id == SHELL)
		migration->shell = cli->value;
	if (id == CONFIG)
		*config_file = cli->value;
	*paused |= id == PAUSED;
	if (id == STORAGE)
		json_object_set_new(migration->body, "storage", json_true());
	if (id == PAUSE) {
		r = option_number("--pause", cli->value, 1, MIGRATE_PAUSE_MAX, &number, &err);
		json_object_set_new(migration->body, "pause", json_integer((json_int_t)number));
	} else if (id == RATE) {
		r = option_number("--rate", cli->value, 1, 1u << 20, &number, &err);
		json_object_set_new(migration->body, "rate",
			json_integer((json_int_t)number << 20));
	}
	return r ? cli_fail(cli, &err) : 0;
}

static int move_to_known(struct migration *migration, const char *config_file, bool paused)
{
	struct cli *cli = migration->cli;
	json_t *own = config_file ? create_load(cli, config_file) : NULL, *body = migration->body;

	if (config_file && !own)
		return CLI_FAILURE;
	json_object_set_new(body, "host", json_string(cli->words[1]));
	if (own)
		json_object_set_new(body, "config", own);
	if (paused)
		json_object_set_new(body, "paused", json_true());
	migration->body = NULL;
	return watch_act(cli, "Migrating", cli->words[0], "/migrate", body);
}

static int move_by_carrying(struct migration *migration, const json_t *guest,
	const char *config_file, bool paused, bool storage)
{
	int status;

	json_object_set(migration->body, "told", json_object_get(guest, "config"));
	migration->guest = make_guest(migration->cli, guest, config_file, paused, storage);
	if (!migration->guest)
		return CLI_FAILURE;
	status = ask(migration, migration->cli->words[1]);
	return status ? status : go(migration);
}

static int migrate(struct cli *cli)
{
	struct migration migration = {.cli = cli, .body = json_object(), .far = -1, .near = -1};
	const char *config_file = NULL;
	json_t *guest = NULL;
	bool paused = false, storage = false;
	int id, status = 0;

	while (!status && (id = cli_option(cli)) > 0)
		status = take_option(cli, &migration, id, &config_file, &paused);
	if (status || id == CLI_END) {
		json_decref(migration.body);
		return status ? status : cli->status;
	}
	if (cli->dry)
		return watch_act(cli, "Migrating", cli->words[0], "/migrate", migration.body);
	signal(SIGPIPE, SIG_IGN);
	status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
	storage = json_get_true(migration.body, "storage");
	/* To a host that the daemon does not know somebody else carries. */
	if (!status && !migration.shell && call_knows_host(cli, cli->words[1]))
		status = move_to_known(&migration, config_file, paused);
	else if (!status)
		status = move_by_carrying(&migration, guest, config_file, paused, storage);
	finish(&migration, status);
	if (!status && !cli->json)
		fputs("Migration successful.\n", stderr);
	if (!status && !cli->json && storage)
		tell_files(guest);
	json_decref(guest);
	return status;
}

/* To here */

static int refuse(const struct error *err)
{
	write_line(STDOUT_FILENO, json_pack("{s:s}", "error", err->text));
	return CLI_FAILURE;
}

static int take(struct cli *cli, int *fd, struct error *err)
{
	char *line = NULL;
	json_t *told = read_line(STDIN_FILENO, &line), *guest = json_object_get(told, "guest");
	int r = 0;

	free(line);
	if (json_integer_value(json_object_get(told, "dach-migrate")) != VERSION || !guest)
		r = error_set(err, EPROTO,
			"what comes is not a guest that 'dach migrate' of this version sends");
	if (!r)
		r = client_open(&cli->client, err);
	if (!r)
		r = client_receive(cli->client, guest, fd, err);
	json_decref(told);
	return r;
}

static int receive(struct cli *cli)
{
	struct error err = {""};
	int id, fd = -1;
	pid_t pid;

	while ((id = cli_option(cli)) > 0)
		;
	if (id == CLI_END)
		return cli->status;
	signal(SIGPIPE, SIG_IGN);
	if (take(cli, &fd, &err))
		return refuse(&err);
	write_line(STDOUT_FILENO, json_pack("{s:b}", "ready", true));
	pid = carrier(STDIN_FILENO, fd);
	close(STDIN_FILENO);
	carry(fd, STDOUT_FILENO);
	close(fd);
	close(STDOUT_FILENO);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return 0;
}

static const char migrate_more[] =
	"Both hosts have the guest's disks under the same names, or --storage takes along what is in those that it may\n"
	"write to; and networks of the same names. It runs here until the other host has all of it, and goes on there\n"
	"after a short pause; whatever fails before that, it goes on here. HOST is one that this host knows (dach host add),\n"
	"and otherwise reached by ssh, and has dach. Ctrl-C cancels.\n";

const struct cli_verb cli_migrate_verbs[] = {
	{"migrate", "GUEST HOST", "Let a running guest go on on another host", 2, 2,
		.options = migrate_options, .run = migrate, .more = migrate_more},
	{"migrate-receive", "", "Take a guest from another host, on standard input and output", 0,
		0, .options = receive_options, .run = receive, .plain = true},
	{.name = NULL},
};
