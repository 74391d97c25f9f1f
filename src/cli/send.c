/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that are nothing but a request: their words become its body. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "protocol/fields.h"
#include "protocol/request.h"

/* In the verb's own sentence, where it has one. */
static int tell_wrong(struct cli *cli, const char *sentence)
{
	if (!cli->verb->wrong)
		return cli_say(cli, "%s", sentence);
	fprintf(stderr, cli->verb->wrong, cli->words[1]);
	return CLI_FAILURE;
}

static json_t *field_value(const struct field *field, const char *word, struct error *err)
{
	uint64_t number;

	if (field->kind != FIELD_COUNT && field->kind != FIELD_NUMBER)
		return json_string(word);
	if (option_number(field->key, word, field->min, field->max, &number, err))
		return NULL;
	return json_integer((json_int_t)number);
}

/* The words behind the guest's name as the arguments of a monitor's verb, in the order of its table. */
static int monitor_body(struct cli *cli, enum request_verb verb, json_t **body)
{
	const struct field *field = request_arguments(verb);
	struct monitor_request request;
	struct error err = {""};
	int r = 0;

	if (!field->key)
		return 0;
	*body = json_object();
	for (unsigned i = 1; !r && i < cli->words_count && field->key; i++, field++)
		r = json_object_set_new(*body, field->key, field_value(field, cli->words[i], &err));
	if (r)
		return cli_fail(cli, &err);
	/* By the table that the daemon and the monitor read it with. */
	return request_read_arguments(verb, *body, &request, &err) ? tell_wrong(cli, err.text) : 0;
}

static int words_body(struct cli *cli, json_t **body)
{
	const struct cli_argument *argument = cli->verb->arguments;

	if (!argument)
		return 0;
	*body = json_object();
	for (unsigned i = 1; i < cli->words_count && argument->key; i++, argument++) {
		const char *word = cli->words[i];
		json_t *value = argument->read ? argument->read(word) : json_string(word);

		if (json_object_set_new(*body, argument->key, value))
			return tell_wrong(cli, "that word makes no sense there");
	}
	return 0;
}

int cli_send(struct cli *cli)
{
	const struct cli_verb *verb = cli->verb;
	const char *method = verb->asks ? "POST" : verb->method;
	json_t *body = NULL;
	unsigned guests;
	char path[64];
	int status;

	if (!cli_words(cli))
		return cli->status;
	snprintf(path, sizeof path, "%s%s", verb->asks ? "/" : verb->path,
		verb->asks ? verb->asks : "");
	status = verb->asks ? monitor_body(cli, request_find(verb->asks), &body)
			    : words_body(cli, &body);
	guests = status ? 0 : body ? 1 : cli->words_count;
	for (unsigned i = 0; i < guests; i++)
		if (call_act(cli, method, cli->words[i], path, json_incref(body)))
			status = CLI_FAILURE;
	json_decref(body);
	return status;
}
