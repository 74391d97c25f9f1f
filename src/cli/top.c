/* SPDX-License-Identifier: Apache-2.0 */
/* Guests as they work: a screen that renews itself, or xentop's batch mode. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"

enum { BATCH = 1, DELAY, ITERATIONS, IGNORED };

static const struct option_spec top_options[] = {
	{"batch", BATCH, NULL, "one table after another, for scripts; so it is without a terminal"},
	{"b", BATCH, NULL, NULL},
	{"delay", DELAY, "SECONDS", "between two (3)"},
	{"d", DELAY, "SECONDS", NULL},
	{"iterations", ITERATIONS, "N", "end after so many"},
	{"i", ITERATIONS, "N", NULL},
	{"f", IGNORED, NULL, NULL},
	{"full-name", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

struct top {
	struct cli *cli;
	uint64_t delay, iterations; /* seconds; 0: for ever */
	bool screen;
	json_t *times; /* by UUID, what cpu_time was; of the round before */
	uint64_t when; /* when that was, ns */
	struct termios saved;
};

/* What a guest used since the round before; notes what it has now in times. */
static double percent(struct top *top, const json_t *guest, json_t *times, uint64_t now)
{
	const char *text = json_get_text(guest, "uuid");
	const char *key = *text ? text : "host";
	json_t *old = json_object_get(top->times, key);
	long long used = json_get_number(guest, "cpu_time");
	double most = json_get_number(guest, "vcpus") * 100.0, share;

	json_object_set_new(times, key, json_integer(used));
	if (!old || now <= top->when)
		return 0;
	share = (used - json_integer_value(old)) * 100.0 / (now - top->when);
	/* Its processors are counted a moment before the clock is read, and the host's in whole ticks. */
	return most > 0 && share > most ? most : share;
}

/* Sleeps until the next round; true if the user wants to go. */
static bool leaves(const struct top *top, uint64_t delay)
{
	uint64_t until = clock_now() + delay;

	for (;;) {
		uint64_t now = clock_now();
		struct pollfd in = {top->screen ? STDIN_FILENO : -1, POLLIN, 0};
		char key;

		if (now >= until)
			return false;
		if (poll(&in, 1, (until - now) / 1000000 + 1) > 0) {
			if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' ||
				key == 3)
				return true;
			if (key == ' ')
				return false;
		}
	}
}

/* What all have used until now, so that the first table can say more than 0; *gone: the user has gone meanwhile. */
static int note(struct top *top, bool *gone)
{
	const uint64_t short_while = 300000000;
	json_t *list, *times, *guest;
	size_t i;
	int status = call_guests(top->cli, &list);

	if (status)
		return status;
	times = json_object();
	top->when = clock_now();
	percent(top, json_object_get(list, "domain0"), times, top->when);
	json_array_foreach(json_object_get(list, "guests"), i, guest)
		percent(top, guest, times, top->when);
	top->times = times;
	json_decref(list);
	*gone = leaves(top, short_while);
	return 0;
}

static void summary(const json_t *guests, const json_t *host)
{
	unsigned count[5] = {1, 0, 0, 0, 0}; /* the host runs */
	const time_t now = time(NULL);
	char clock[16];
	json_t *guest;
	struct tm tm;
	size_t i;

	json_array_foreach(guests, i, guest)
	{
		const char *flags = json_get_text(guest, "flags");

		for (unsigned n = 0; strlen(flags) == 6 && n < 4; n++)
			if (flags[n] != '-') {
				count[n]++;
				break;
			}
	}
	localtime_r(&now, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	printf("dach top - %s   dach %s\033[K\n", clock, json_get_text(host, "dach_version"));
	printf("%zu domains: %u running, %u blocked, %u paused, %u shutdown\033[K\n",
		json_array_size(guests) + 1, count[0], count[1], count[2], count[3]);
	printf("Mem: %lldk total, %lldk used, %lldk free    CPUs: %lld @ %.0fMHz\033[K\n",
		json_get_number(host, "total_memory"),
		json_get_number(host, "total_memory") - json_get_number(host, "free_memory"),
		json_get_number(host, "free_memory"), json_get_number(host, "nr_cpus"),
		json_get_float(host, "cpu_mhz"));
}

static int screen_rows(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row ? 24 : size.ws_row;
}

/* now: when the guests were asked for. */
static void table(struct top *top, const json_t *list, const json_t *host, uint64_t now)
{
	int room = top->screen ? screen_rows() - 6 : -1;
	json_t *times = json_object(), *guest;
	const json_t *guests = json_object_get(list, "guests");
	struct format_top_row row = {json_object_get(list, "domain0"), 0,
		json_get_number(host, "total_memory")};
	size_t i;

	row.cpu_percent = percent(top, row.guest, times, now);
	if (top->screen)
		printf("\033[H");
	if (top->screen)
		summary(guests, host);
	if (top->screen)
		printf("\033[7m");
	format_top_head(stdout);
	if (top->screen)
		printf("\033[0m");
	format_top_row(stdout, &row);
	json_array_foreach(guests, i, guest)
	{
		if (!json_is_integer(json_object_get(guest, "domid")))
			continue;
		row.guest = guest;
		row.cpu_percent = percent(top, guest, times, now);
		if (room < 0 || room-- > 0)
			format_top_row(stdout, &row);
	}
	if (top->screen)
		printf("\033[J");
	fflush(stdout);
	json_decref(top->times);
	top->times = times;
	top->when = now;
}

static int round_trip(struct top *top)
{
	json_t *list, *host;
	int status = call_guests(top->cli, &list);
	uint64_t now = clock_now();

	if (status)
		return status;
	status = call_api(top->cli, "GET", "/v1/host", NULL, &host);
	if (!status && top->cli->json)
		call_print(list);
	else if (!status)
		table(top, list, host, now);
	json_decref(host);
	json_decref(list);
	return status;
}

static void enter_screen(struct top *top)
{
	struct termios raw;

	top->screen = !tcgetattr(STDIN_FILENO, &top->saved);
	if (!top->screen)
		return;
	raw = top->saved;
	raw.c_lflag &= ~(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	printf("\033[2J");
}

static int top(struct cli *cli)
{
	struct top top = {.cli = cli, .delay = 3};
	bool batch = cli->json || !isatty(STDOUT_FILENO), gone = false;
	struct error err = {""};
	int id, status = 0, r = 0;

	while (!r && (id = cli_option(cli)) > 0) {
		batch |= id == BATCH;
		if (id == DELAY)
			r = option_number("--delay", cli->value, 1, 86400, &top.delay, &err);
		else if (id == ITERATIONS)
			r = option_number("--iterations", cli->value, 1, UINT32_MAX,
				&top.iterations, &err);
	}
	if (r)
		return cli_fail(cli, &err);
	if (id == CLI_END)
		return cli->status;
	status = call_connect(cli);
	if (status)
		return status;
	if (!batch && !cli->json)
		enter_screen(&top);
	if (!cli->json)
		status = note(&top, &gone);
	for (uint64_t n = 1; !status && !gone && !(status = round_trip(&top)); n++)
		if (n == top.iterations || leaves(&top, top.delay * 1000000000))
			break;
	if (top.screen)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &top.saved);
	json_decref(top.times);
	return status;
}

const struct cli_verb cli_top_verbs[] = {
	{"top", "", "Watch the guests", 0, 0, .options = top_options, .run = top},
	{.name = NULL},
};
