/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/base64.h>

#include "base/json.h"

#define VALUES_MAX 256 /* in an answer, which has a few */

/* A session of its own, so that a signal reaches all that the command begins; what cannot be run is 126 and 127. */
#define SCRIPT \
	"cd -- \"$1\" || exit 126; shift; command -v setsid >/dev/null && exec setsid \"$@\"; exec \"$@\""

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

static void add(json_t *list, const char *word)
{
	json_array_append_new(list, json_string(word));
}

/* "user" or "user:group". */
static int add_user(json_t *list, const char *user, struct error *err)
{
	const char *colon = strchr(user, ':');
	char name[256];

	if (snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - user) : (int)strlen(user),
		    user) >= (int)sizeof name)
		return error_set(err, EINVAL, "no user has such a long name");
	add(list, "runuser");
	add(list, "-u");
	add(list, name);
	if (colon) {
		add(list, "-g");
		add(list, colon + 1);
	}
	add(list, "--");
	return 0;
}

int qemu_words_exec(const struct agent_open *open, json_t **arguments, struct error *err)
{
	static const char *const begin[] = {"-c", SCRIPT, "sh"};
	json_t *list = json_array();
	size_t words = sizeof begin / sizeof *begin + 1;
	int r = 0;

	for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
		add(list, begin[i]);
	add(list, *open->folder ? open->folder : "/");
	if (*open->user) {
		words += strchr(open->user, ':') ? 6 : 4;
		r = add_user(list, open->user, err);
	}
	if (open->env[0]) {
		words++;
		add(list, "env");
	}
	for (unsigned i = 0; open->env[i]; i++, words++)
		add(list, open->env[i]);
	for (unsigned i = 0; open->argv[i]; i++, words++)
		add(list, open->argv[i]);
	if (!r && json_array_size(list) != words)
		r = error_set(err, EINVAL,
			"qemu-guest-agent takes words in UTF-8 alone, and one of the command's is none");
	*arguments =
		json_pack("{s:s, s:o, s:b}", "path", "/bin/sh", "arg", list, "capture-output", 1);
	if (!r && !*arguments)
		r = error_nomem(err);
	if (r) {
		json_decref(*arguments);
		*arguments = NULL;
	}
	return r;
}

/* Text, the caller's to free(). */
static char *to_base64(const uint8_t *bytes, size_t size)
{
	char *text = malloc(BASE64_ENCODE_RAW_LENGTH(size) + 1);

	if (!text)
		return NULL;
	base64_encode_raw(text, size, bytes);
	text[BASE64_ENCODE_RAW_LENGTH(size)] = 0;
	return text;
}

/* -EINVAL: it is none; -ENOMEM. */
static int from_base64(const char *text, size_t len, uint8_t **bytes, size_t *size)
{
	struct base64_decode_ctx context;

	*size = BASE64_DECODE_LENGTH(len);
	*bytes = malloc(*size + 1);
	if (!*bytes)
		return -ENOMEM;
	base64_decode_init(&context);
	if (base64_decode_update(&context, size, *bytes, len, text) &&
		base64_decode_final(&context))
		return 0;
	free(*bytes);
	*bytes = NULL;
	return -EINVAL;
}

int qemu_words_input(json_t *arguments, const struct bytes *input)
{
	char *text;
	int r;

	if (!bytes_size(input))
		return 0;
	text = to_base64(input->at + input->start, bytes_size(input));
	r = !text || json_object_set_new(arguments, "input-data", json_string(text)) ? -ENOMEM : 0;
	free(text);
	return r;
}

json_t *qemu_words_kill(int64_t pid, unsigned signal)
{
	char text[128];

	snprintf(text, sizeof text, "kill -%u -%lld 2>/dev/null || kill -%u %lld", signal,
		(long long)pid, signal, (long long)pid);
	return json_pack("{s:s, s:[s, s]}", "path", "/bin/sh", "arg", "-c", text);
}

/* A terminal's lines. */
static void end_lines(struct bytes *out)
{
	struct bytes ended = {NULL, 0, 0, 0};

	for (size_t i = out->start; i < out->end; i++)
		if ((out->at[i] == '\n' && !bytes_add(&ended, "\r", 1, SIZE_MAX / 2)) ||
			!bytes_add(&ended, &out->at[i], 1, SIZE_MAX / 2))
			break;
	bytes_free(out);
	*out = ended;
}

static int take_output(const json_t *answer, const char *key, bool terminal, struct bytes *to)
{
	const json_t *data = json_object_get(answer, key);
	uint8_t *bytes;
	size_t size;
	int r;

	if (!data)
		return 0;
	if (!json_is_string(data))
		return -EINVAL;
	r = from_base64(json_string_value(data), json_string_length(data), &bytes, &size);
	if (!r && size)
		*to = (struct bytes){bytes, 0, size, size};
	else
		free(bytes);
	if (terminal)
		end_lines(to);
	return r;
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

int qemu_words_status(const json_t *answer, bool terminal, struct qemu_status *status)
{
	const json_t *ended = json_object_get(answer, "exited");
	const long long signal = json_get_number(answer, "signal");
	int r;

	*status = (struct qemu_status){.ended = json_is_true(ended)};
	if (!json_is_boolean(ended))
		return -EINVAL;
	if (!status->ended)
		return 0;
	status->status =
		(signal > 0 && signal < 128 ? 128 + signal : json_get_number(answer, "exitcode")) &
		255;
	status->truncated =
		json_get_true(answer, "out-truncated") || json_get_true(answer, "err-truncated");
	r = take_output(answer, "out-data", terminal, &status->out[AGENT_STDOUT]);
	if (!r)
		r = take_output(answer, "err-data", terminal, &status->out[AGENT_STDERR]);
	if (r)
		bytes_free(&status->out[AGENT_STDOUT]);
	return r;
}
