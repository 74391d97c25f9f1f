/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"

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

int call_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	putchar('\n');
	return 0;
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

static int ask_guest(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, json_t **answer)
{
	struct error err = {""};
	char path[1024];

	if (answer)
		*answer = NULL;
	if (!client_guest_path(path, sizeof path, ref, suffix)) {
		json_decref(body);
		return CALL_NOT_FOUND; /* no name is that long */
	}
	if (cli->dry && strcmp(method, "GET"))
		return pretend(method, path, body);
	if (call_connect(cli)) {
		json_decref(body);
		return CLI_FAILURE;
	}
	if (!ask(cli, method, path, body, answer, &err))
		return 0;
	return client_status(cli->client) == NOT_FOUND ? CALL_NOT_FOUND : cli_fail(cli, &err);
}

int call_guest(struct cli *cli, const char *method, const char *ref, const char *suffix,
	json_t *body, json_t **answer)
{
	int status = ask_guest(cli, method, ref, suffix, body, answer);

	if (status != CALL_NOT_FOUND)
		return status;
	fprintf(stderr, "%s is an invalid domain identifier (rc=%d)\n", ref, XL_INVALID);
	return CLI_FAILURE;
}

int call_find(struct cli *cli, const char *ref, json_t **guest)
{
	return ask_guest(cli, "GET", ref, "", NULL, guest);
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

int call_act(struct cli *cli, const char *method, const char *ref, const char *suffix, json_t *body)
{
	json_t *answer = NULL;
	int status = call_guest(cli, method, ref, suffix, body, &answer);

	if (!status && cli->json && answer)
		call_print(answer);
	json_decref(answer);
	return status;
}
