/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "protocol/peer.h"

#define NOT_FOUND 404
/* xl's ERROR_INVAL, which scripts look for. */
#define XL_INVALID (-6)

int call_connect(struct cli *cli)
{
	struct error err = {""};

	if (cli->client || !client_open(&cli->client, &err))
		return 0;
	cli->client = NULL;
	return cli_fail(cli, &err);
}

static int print(const json_t *value, size_t indent)
{
	json_dumpf(value, stdout, JSON_INDENT(indent) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	putchar('\n');
	return 0;
}

int call_print(const json_t *value)
{
	return print(value, 2);
}

int call_print_xl(const json_t *value)
{
	return print(value, 4);
}

static int pretend(const char *method, const char *path, json_t *body)
{
	json_t *line = json_pack("{s:s, s:s, s:o*}", "method", method, "path", path, "body", body);

	if (!line)
		return CLI_FAILURE;
	json_dumpf(line, stdout, JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(line);
	return 0;
}

/* The error stays the caller's to tell: some have a sentence of their own. */
static int ask(struct cli *cli, const char *method, const char *path, json_t *body, json_t **answer,
	struct error *err)
{
	int r = client_call(cli->client, method, path, body, answer, err);

	if (cli->verbose)
		fprintf(stderr, "%s %s: %d\n", method, path, client_status(cli->client));
	json_decref(body);
	if (r && answer)
		*answer = NULL;
	return r;
}

int call_api(struct cli *cli, const char *method, const char *path, json_t *body, json_t **answer)
{
	struct error err = {""};

	if (answer)
		*answer = NULL;
	if (cli->dry && strcmp(method, "GET"))
		return pretend(method, path, body);
	if (call_connect(cli)) {
		json_decref(body);
		return CLI_FAILURE;
	}
	return ask(cli, method, path, body, answer, &err) ? cli_fail(cli, &err) : 0;
}

/* 0 or a negative errno: -ENOENT is that there is no such guest, and that the daemon was asked. */
static int ask_guest(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, json_t **answer, struct error *err)
{
	char path[1024];
	int r;

	if (answer)
		*answer = NULL;
	if (!client_guest_path(path, sizeof path, ref, suffix)) {
		json_decref(body);
		return -ENOENT; /* no name is that long */
	}
	if (cli->dry && strcmp(method, "GET"))
		return pretend(method, path, body) ? error_nomem(err) : 0;
	r = cli->client ? 0 : client_open(&cli->client, err);
	if (r) {
		cli->client = NULL;
		json_decref(body);
		return -ECONNREFUSED;
	}
	r = ask(cli, method, path, body, answer, err);
	if (r && client_status(cli->client) == NOT_FOUND)
		return -ENOENT;
	return r == -ENOENT ? -EIO : r;
}

/* What it says of r, but for a guest that is not there. */
static int tell(struct cli *cli, int r, const struct error *err)
{
	if (r == -ENOENT)
		return CALL_NOT_FOUND;
	return r ? cli_fail(cli, err) : 0;
}

int call_guest(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, json_t **answer)
{
	struct error err = {""};
	int status = tell(cli, ask_guest(cli, method, ref, suffix, body, answer, &err), &err);

	if (status != CALL_NOT_FOUND)
		return status;
	fprintf(stderr, "%s is an invalid domain identifier (rc=%d)\n", ref, XL_INVALID);
	return CLI_FAILURE;
}

int call_find(struct cli *cli, const char *ref, json_t **guest)
{
	struct error err = {""};

	return tell(cli, ask_guest(cli, "GET", ref, "", NULL, guest, &err), &err);
}

bool call_knows_host(struct cli *cli, const char *name)
{
	char path[sizeof "/v1/hosts/" + PEER_NAME_MAX];
	struct error err = {""};

	if (peer_name_check(name, &err) || call_connect(cli))
		return false;
	snprintf(path, sizeof path, "/v1/hosts/%s", name);
	return !client_call(cli->client, "GET", path, NULL, NULL, &err);
}

int call_guests(struct cli *cli, json_t **list)
{
	int status = call_api(cli, "GET", "/v1/guests", NULL, list);

	if (status ||
		(json_is_array(json_object_get(*list, "guests")) &&
			json_is_object(json_object_get(*list, "domain0"))))
		return status;
	json_decref(*list);
	*list = NULL;
	return cli_say(cli, "the daemon gave no list of guests; is it of another version?");
}

static bool is_of(const char *sentence, const char *const *fields)
{
	bool found = !fields;

	for (; fields && *fields && !found; fields++)
		found = !strncmp(sentence, *fields, strlen(*fields)) &&
			strchr(":[", sentence[strlen(*fields)]);
	return found;
}

void call_warn(const json_t *guest, const char *const *fields)
{
	json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(guest, "warnings"), i, warning)
	{
		const char *sentence = json_string_value(warning);

		if (sentence && is_of(sentence, fields))
			fprintf(stderr, "WARNING: %s\n", sentence);
	}
}

int call_act(struct cli *cli, const char *method, const char *ref, const char *suffix, json_t *body)
{
	static const char *const none[] = {NULL};

	return call_act_warn(cli, method, ref, suffix, body, none);
}

int call_act_warn(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, const char *const *fields)
{
	json_t *answer = NULL;
	int status = call_guest(cli, method, ref, suffix, body, &answer);

	call_warn(answer, fields);
	if (!status && cli->json && answer)
		call_print(answer);
	json_decref(answer);
	return status;
}

int call_post_all(struct cli *cli, json_t *targets, const char *suffix, json_t *body)
{
	int status = 0;
	size_t i = 0;

	while (i < json_array_size(targets)) {
		const char *uuid = json_get_text(json_array_get(targets, i), "uuid");
		struct error err = {""};
		json_t *answer;
		int r = ask_guest(cli, "POST", uuid, suffix, json_incref(body), &answer, &err);

		if (r && r != -ENOENT && r != -ESRCH)
			status = cli_fail(cli, &err);
		else if (!r && cli->json && answer)
			call_print(answer);
		json_decref(answer);
		if (r == -ENOENT || r == -ESRCH)
			json_array_remove(targets, i);
		else
			i++;
	}
	return status;
}
