/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files between this host and a guest: its agent packs or unpacks on its side, a process of ours on this one, and a
 * session carries the stream (pack/pack.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/session.h"
#include "pack/pack.h"

enum { ARCHIVE = 1 };

static const struct option_spec cp_options[] = {
	{"archive", ARCHIVE, NULL, "owners too, by their numbers, and set-user-ID bits"},
	{"a", ARCHIVE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

/* "web:/etc/hosts" is in a guest; "./a:b" and "/a:b" are here, as scp has it. */
struct cp_end {
	char guest[256]; /* "": here */
	const char *path;
};

static int read_place(const char *word, struct cp_end *place, struct error *err)
{
	const char *colon = strchr(word, ':'), *slash = strchr(word, '/');

	*place = (struct cp_end){.guest = "", .path = word};
	if (!colon || (slash && slash < colon))
		return 0;
	if (colon == word || colon - word >= (long)sizeof place->guest)
		return error_set(err, EINVAL, "'%s': no guest has such a name", word);
	snprintf(place->guest, sizeof place->guest, "%.*s", (int)(colon - word), word);
	place->path = *(colon + 1) ? colon + 1 : ".";
	return 0;
}

/* What the thing is called that lies there; "" where the path does not say. */
static void name_of(const char *path, char *name, size_t size)
{
	size_t len = strlen(path), start;

	while (len && path[len - 1] == '/')
		len--;
	for (start = len; start && path[start - 1] != '/'; start--)
		;
	snprintf(name, size, "%.*s", (int)(len - start), path + start);
}

struct copy_order {
	struct cp_end from, to;
	bool owners;
	char name[PACK_PATH_MAX + 1];
};

/* Our side, in a process of its own. Signals are the other's business: this one ends with its stream. */
static _Noreturn void serve_here(const struct copy_order *order, int fd)
{
	const bool packs = !*order->from.guest;
	const char *path = packs ? order->from.path : order->to.path;
	static char why[PACK_WHY];
	sigset_t all;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (packs)
		r = strcmp(path, "-") ? pack_write(path, fd, STDERR_FILENO, why)
				      : pack_write_stream(STDIN_FILENO, fd, why);
	else
		r = strcmp(path, "-") ? pack_read(fd, path, order->name, order->owners, why)
				      : pack_read_stream(fd, STDOUT_FILENO, why);
	if (r && *why)
		fprintf(stderr, "dach cp: %s\n", why);
	exit(r ? CLI_FAILURE : 0);
}

static int run_there(struct cli *cli, const struct copy_order *order, int fd)
{
	static const char *const none[] = {NULL};
	const bool packs = *order->from.guest;
	const char *const argv[] = {packs ? order->from.path : order->to.path, order->name,
		order->owners ? "owners" : "", NULL};
	struct session_spec spec = {.open = {.what = packs ? AGENT_PACK : AGENT_UNPACK,
					    .user = "",
					    .folder = "",
					    .argv = argv,
					    .env = none},
		.fd = {-1, -1, STDERR_FILENO},
		.leaves = true,
		.plain = true};

	spec.fd[packs ? AGENT_STDOUT : AGENT_STDIN] = fd;
	return session_run(cli, packs ? order->from.guest : order->to.guest, &spec);
}

static int carry(struct cli *cli, const struct copy_order *order)
{
	const bool packs = !*order->from.guest;
	int ends[2], here, there;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return cli_say(cli, "no pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		close(ends[!packs ? 1 : 0]);
		serve_here(order, ends[packs ? 1 : 0]);
	}
	close(ends[packs ? 1 : 0]);
	if (pid < 0) {
		close(ends[!packs ? 1 : 0]);
		return cli_say(cli, "no process: %s", strerror(errno));
	}
	there = run_there(cli, order, ends[packs ? 0 : 1]);
	close(ends[packs ? 0 : 1]);
	while (waitpid(pid, &here, 0) < 0 && errno == EINTR)
		;
	/* Who writes for nobody has been told so by the other's failure. */
	if (there)
		return there == SESSION_FAILED ? SESSION_FAILED : CLI_FAILURE;
	return WIFEXITED(here) && !WEXITSTATUS(here) ? 0 : CLI_FAILURE;
}

static int cp(struct cli *cli)
{
	static struct copy_order order;
	struct error err = {""};
	int id;

	while ((id = cli_option(cli)) > 0)
		order.owners |= id == ARCHIVE;
	if (id == CLI_END)
		return cli->status;
	if (read_place(cli->words[0], &order.from, &err) ||
		read_place(cli->words[1], &order.to, &err))
		return cli_fail(cli, &err);
	if (!*order.from.guest == !*order.to.guest)
		return cli_say(cli, "%s: one of both is GUEST:PATH",
			*order.to.guest ? "from guest to guest it takes two steps"
					: "nothing of this is in a guest");
	name_of(order.from.path, order.name, sizeof order.name);
	return carry(cli, &order);
}

static const char cp_more[] =
	"SRC or DST is GUEST:PATH, and the other is here; - is a file's bytes on standard input or output.\n"
	"Folders are copied with all that is in them, into DST if that is a folder. Modes, times, holes and\n"
	"links stay as they are; devices, pipes and sockets are left out. A file has its name when all of\n"
	"it is there. The guest needs agent = 1 in its configuration, or qemu_agent = 1. Status 125: a\n"
	"failure of ours.\n";

const struct cli_verb cli_cp_verbs[] = {
	{"cp", "SRC DST", "Copy files to a guest, or from one", 2, 2, .options = cp_options,
		.run = cp, .more = cp_more, .plain = true},
	{.name = NULL},
};
