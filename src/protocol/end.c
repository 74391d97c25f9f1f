/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/end.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fields.h"

#define WORD(name, word, status, letter, code, event) word,
const char *const end_words[] = {"", END_TABLE(WORD) NULL};

#define INFO(name, word, status, letter, code, event) {word, status, letter, code, END_ON_##event},
static const struct end_info infos[END_REASONS] = {{"", 0, '-', -1, END_ON_NOTHING},
	END_TABLE(INFO)};

const struct end_info *end_info(enum end_reason reason)
{
	return &infos[reason];
}

const char *end_word(enum end_reason reason)
{
	return infos[reason].word;
}

enum end_reason end_find(const char *word)
{
	int n = field_find_name(end_words, word);

	return n < 0 ? END_NONE : n;
}

char *end_report_write(const struct end_report *report)
{
	json_t *json = json_pack("{s:s, s:i}", "reason", end_word(report->reason), "status",
		report->status);
	char *text, *line = NULL;

	/* A sentence may quote a name that is no UTF-8: then it goes without. */
	if (report->error.text[0])
		json_object_set_new(json, "error", json_string(report->error.text));
	text = json_dumps(json, JSON_ENSURE_ASCII);
	json_decref(json);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

int end_report_read(const char *text, size_t len, struct end_report *report)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *sentence = json_string_value(json_object_get(json, "error"));

	*report = (struct end_report){
		.reason = end_find(json_string_value(json_object_get(json, "reason")))};
	report->status = json_integer_value(json_object_get(json, "status"));
	if (sentence)
		error_set(&report->error, 0, "%s", sentence);
	json_decref(json);
	return report->reason == END_NONE ? -EINVAL : 0;
}
