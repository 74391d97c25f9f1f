/* SPDX-License-Identifier: Apache-2.0 */
/* Other hosts that this one knows. */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "monitor/terminal.h"
#include "protocol/peer.h"

#define HOSTS "/v1/hosts"

enum { FINGERPRINT = 1 };

static const struct option_spec add_options[] = {
	{"fingerprint", FINGERPRINT, "HEX", "of its certificate, where there is no token"},
	{NULL, 0, NULL, NULL},
};

/* body is taken. */
static int ask(struct cli *cli, const char *method, json_t *body, json_t **host)
{
	char path[sizeof HOSTS + PEER_NAME_MAX + 1];
	struct error err = {""};

	if (peer_name_check(cli->words[0], &err)) {
		json_decref(body);
		return cli_fail(cli, &err);
	}
	snprintf(path, sizeof path, HOSTS "/%s", cli->words[0]);
	return call_api(cli, method, path, body, host);
}

/* A line of standard input, which nobody else of this host sees; a terminal shows none of it. */
static int read_token(struct cli *cli, json_t *body)
{
	struct termios saved, silent;
	const int guard = terminal_guard();
	const bool asks = !tcgetattr(STDIN_FILENO, &saved);
	char line[PEER_TOKEN_LEN + 64] = "";

	if (asks) {
		fprintf(stderr, "The token that 'dach host token' printed on %s: ", cli->words[0]);
		silent = saved;
		silent.c_lflag = (silent.c_lflag & ~(tcflag_t)ECHO) | ECHONL;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	if (!fgets(line, sizeof line, stdin))
		*line = 0;
	if (asks)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	terminal_release(guard);
	line[strcspn(line, " \t\r\n")] = 0;
	if (!*line)
		return cli_say(cli, "%s: no token came on standard input", cli->words[0]);
	json_object_set_new(body, "token", json_string(line));
	return 0;
}

/* Without a token it is the new address of one that is known, or it is asked for. */
static int take_token(struct cli *cli, json_t *body)
{
	const char *token = cli->words_count > 2 ? cli->words[2] : NULL;

	if (token && strcmp(token, "-"))
		return json_object_set_new(body, "token", json_string(token));
	if (!token &&
		(cli->dry || json_object_get(body, "fingerprint") ||
			call_knows_host(cli, cli->words[0])))
		return 0;
	return read_token(cli, body);
}

static int host_add(struct cli *cli)
{
	json_t *body = json_object(), *host = NULL;
	int id, status;

	while ((id = cli_option(cli)) > 0)
		json_object_set_new(body, "fingerprint", json_string(cli->value));
	if (id == CLI_END) {
		json_decref(body);
		return cli->status;
	}
	json_object_set_new(body, "name", json_string(cli->words[0]));
	json_object_set_new(body, "address", json_string(cli->words[1]));
	status = take_token(cli, body);
	if (status) {
		json_decref(body);
		return status;
	}
	status = call_api(cli, "POST", HOSTS, body, &host);
	if (!status && host && cli->json)
		call_print(host);
	json_decref(host);
	return status;
}

static int host_list(struct cli *cli)
{
	json_t *all = NULL, *host;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = call_api(cli, "GET", HOSTS, NULL, &all);
	if (!status && cli->json)
		call_print(json_object_get(all, "hosts"));
	if (!status && !cli->json)
		printf("%-20s %-30s %s\n", "Name", "Address", "Evacuated");
	json_array_foreach(json_object_get(all, "hosts"), i, host)
	{
		const char *address = json_get_text(host, "address");

		if (!status && !cli->json)
			printf("%-20s %-30s %zu\n", json_get_text(host, "name"),
				*address ? address : "-",
				json_array_size(json_object_get(host, "away")));
	}
	json_decref(all);
	return status;
}

static void print(const json_t *host, const char *where, const char *nowhere)
{
	const char *address = json_get_text(host, where);
	json_t *guest;
	size_t i;

	printf("name: %s\n%s: %s\nfingerprint: %s\n", json_get_text(host, "name"), where,
		*address ? address : nowhere, json_get_text(host, "fingerprint"));
	json_array_foreach(json_object_get(host, "away"), i, guest) printf("evacuated: %s %s\n",
		json_get_text(guest, "uuid"), json_get_text(guest, "name"));
}

/* One, or, of no name, this one. */
static int host_show(struct cli *cli)
{
	json_t *answer = NULL, *host;
	bool own;
	int status;

	if (!cli_words(cli))
		return cli->status;
	own = !cli->words_count;
	status = own ? call_api(cli, "GET", HOSTS, NULL, &answer) : ask(cli, "GET", NULL, &answer);
	host = own ? json_object_get(answer, "self") : answer;
	if (!status && cli->json)
		call_print(host);
	else if (!status)
		print(host, own ? "listen" : "address", own ? "no" : "-");
	json_decref(answer);
	return status;
}

static int host_remove(struct cli *cli)
{
	json_t *host = NULL;
	int status;

	if (!cli_words(cli))
		return cli->status;
	status = ask(cli, "DELETE", NULL, &host);
	if (!status && host && cli->json)
		call_print(host);
	json_decref(host);
	return status;
}

static int host_token(struct cli *cli)
{
	json_t *token = NULL;
	const json_t *self;
	int status;

	if (!cli_words(cli))
		return cli->status;
	status = call_api(cli, "POST", "/v1/host/token", json_pack("{s:s}", "name", cli->words[0]),
		&token);
	if (status || !token)
		return status;
	self = json_object_get(token, "self");
	if (cli->json) {
		call_print(token);
	} else {
		fprintf(stderr,
			"Within %lld minutes, on %s (this host listens at %s; say the address at which that one reaches it):\n"
			"  dach host add %s ADDRESS\n"
			"which asks for this token:\n",
			json_get_number(token, "seconds") / 60, cli->words[0],
			json_get_text(self, "listen"), json_get_text(self, "name"));
		puts(json_get_text(token, "token"));
	}
	json_decref(token);
	return 0;
}

static const char add_more[] =
	"TOKEN is what 'dach host token' printed there: both hosts know each other then. Without it, or as '-', it is read\n"
	"from standard input: other users of this host see its command lines. With --fingerprint ('dach host show' there\n"
	"tells it) only this one knows that one. Of a host that is known, ADDRESS alone is its new address.\n";

static const struct cli_verb verbs[] = {
	{"host add", "HOST ADDRESS [TOKEN]", "know another host, to which guests may move", 2, 3,
		.options = add_options, .run = host_add, .more = add_more},
	{"host token", "HOST", "print a token, by which that host gets to know this one", 1, 1,
		.run = host_token},
	{"host list", "", "list the hosts that are known", 0, 0, .run = host_list},
	{"host show", "[HOST]", "show one; or this host, as others know it", 0, 1,
		.run = host_show},
	{"host remove", "HOST", "forget one: it may not call this host any more", 1, 1,
		.run = host_remove},
	{.name = NULL},
};

const struct cli_verb cli_peer_verbs[] = {
	{"host", .words = "VERB",
		.help = "Other hosts, to which guests move and from which they come",
		.verbs = verbs},
	{.name = NULL},
};
