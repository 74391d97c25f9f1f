/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that are nothing but a request: their words become its body. */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "protocol/fields.h"
#include "protocol/request.h"

/* In the verb's own sentence, where it has one for that word. */
static int tell_wrong(struct cli *cli, unsigned word, const char *sentence)
{
	if (!cli->verb->wrong || word != 1)
		return cli_say(cli, "%s", sentence);
	fprintf(stderr, cli->verb->wrong, cli->words[1]);
	return CLI_FAILURE;
}

/*
 * The words behind the guest's name as the arguments of a monitor's verb, in the order of its table, by
 * which the daemon and the monitor read them, too.
 */
static int monitor_body(struct cli *cli, enum request_verb verb, json_t **body)
{
	const struct field *arguments = request_arguments(verb), *field = arguments;
	struct monitor_request request = {.verb = verb};
	struct error err = {""};

	if (!field->key)
		return 0;
	for (unsigned i = 1; i < cli->words_count && field->key; i++, field++)
		if (field_read_word(field, cli->words[i], &request, "", &err))
			return tell_wrong(cli, i, err.text);
	if (fields_check(arguments, &request, "", &err))
		return cli_fail(cli, &err);
	*body = fields_write(arguments, &request);
	return *body ? 0 : cli_say(cli, "out of memory");
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
			return tell_wrong(cli, i, "that word makes no sense there");
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
