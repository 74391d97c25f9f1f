/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/base64.h>

#include "base/json.h"
#include "protocol/agent.h"

#define VALUES_MAX 256 /* in an answer, which has a few */
#define WHY_MAX 65536u /* base64 of it that is looked at */

/*
 * /run is often mounted without leave to run programs, as /tmp may be: the first folder in which one runs. What runs
 * needs its file no more.
 */
#define SCRIPT                                                                                  \
	"umask 077\n"                                                                           \
	"place=\n"                                                                              \
	"trap 'rm -rf \"$place\"' EXIT\n"                                                       \
	"for folder in /run /dev/shm /tmp /var/tmp /var/lib /root; do\n"                        \
	"	place=$(mktemp -d \"$folder/dach-XXXXXX\" 2>/dev/null) || continue\n"                 \
	"	printf '#!/bin/sh\\n' >\"$place/try\" && chmod 700 \"$place/try\" &&\n"               \
	"		\"$place/try\" 2>/dev/null && break\n"                                               \
	"	rm -rf \"$place\"\n"                                                                  \
	"	place=\n"                                                                             \
	"done\n"                                                                                \
	"[ \"$place\" ] || { echo 'there is no folder where programs may run' >&2; exit 1; }\n" \
	"cat >\"$place" AGENT_SENT "\" && chmod 700 \"$place" AGENT_SENT                        \
	"\" && \"$place" AGENT_SENT "\"\n"

char *qemu_words_line(const char *command, json_t *arguments)
{
	json_t *whole = arguments
		? json_pack("{s:s, s:o}", "execute", command, "arguments", arguments)
		: NULL;
	char *text = json_dumps(whole, JSON_COMPACT),
	     *line = text ? realloc(text, strlen(text) + 2) : NULL;

	if (line)
		strcat(line, "\n");
	else
		free(text);
	json_decref(whole);
	return line;
}

json_t *qemu_words_bring(const uint8_t *program, size_t size)
{
	char *text = malloc(BASE64_ENCODE_RAW_LENGTH(size) + 1);
	json_t *arguments;

	if (!text)
		return NULL;
	base64_encode_raw(text, size, program);
	text[BASE64_ENCODE_RAW_LENGTH(size)] = 0;
	arguments = json_pack("{s:s, s:[s, s], s:s, s:b}", "path", "/bin/sh", "arg", "-c", SCRIPT,
		"input-data", text, "capture-output", 1);
	free(text);
	return arguments;
}

/* A value of two bytes takes more than a hundred once it is read, and a line may be long: so they are counted before. */
static bool has_few_values(const char *line, size_t size)
{
	unsigned values = 0;
	bool text = false;

	for (size_t i = 0; i < size && values <= VALUES_MAX; i++)
		switch (line[i]) {
		case '"':
			text = !text;
			break;
		case '\\':
			i++;
			break;
		case '{':
		case '[':
		case ',':
			values += !text;
			break;
		}
	return values <= VALUES_MAX;
}

json_t *qemu_words_answer(const char *line, size_t size)
{
	return has_few_values(line, size) ? json_parse(line, size, "answer", NULL) : NULL;
}

/* -EINVAL: it is no base64. */
static int take_why(const json_t *data, char *why, size_t size)
{
	struct base64_decode_ctx context;
	size_t len = json_string_length(data), bytes;
	uint8_t *text;
	int r = 0;

	if (!data)
		return 0;
	if (!json_is_string(data) || len > WHY_MAX)
		return -EINVAL;
	text = malloc(BASE64_DECODE_LENGTH(len) + 1);
	if (!text)
		return -ENOMEM;
	base64_decode_init(&context);
	if (base64_decode_update(&context, &bytes, text, len, json_string_value(data)) &&
		base64_decode_final(&context)) {
		text[bytes] = 0;
		snprintf(why, size, "%.*s", (int)strcspn((char *)text, "\n"), (char *)text);
	} else {
		r = -EINVAL;
	}
	free(text);
	return r;
}

int qemu_words_status(const json_t *answer, struct qemu_status *status)
{
	const json_t *ended = json_object_get(answer, "exited");
	const long long signal = json_get_number(answer, "signal");

	*status = (struct qemu_status){.ended = json_is_true(ended), .why = ""};
	if (!json_is_boolean(ended))
		return -EINVAL;
	if (!status->ended)
		return 0;
	status->status =
		(signal > 0 && signal < 128 ? 128 + signal : json_get_number(answer, "exitcode")) &
		255;
	return take_why(json_object_get(answer, "err-data"), status->why, sizeof status->why);
}
