/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void log_init(struct log *log, int fd)
{
	*log = (struct log){.fd = fd};
}

void log_clear(struct log *log)
{
	for (unsigned i = 0; i < LOG_LINES; i++) {
		free(log->line[i].text);
		log->line[i].text = NULL;
	}
	log->first = log->count = 0;
}

void log_free(struct log *log)
{
	log_clear(log);
}

void log_add(struct log *log, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	struct log_line *line = &log->line[(log->first + log->count) % LOG_LINES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > 126)
			*c = '?';
	if (log->fd >= 0)
		dprintf(log->fd, "dachd: %s\n", text);
	if (log->count == LOG_LINES)
		log->first = (log->first + 1) % LOG_LINES;
	else
		log->count++;
	free(line->text);
	*line = (struct log_line){time(NULL), strdup(text)};
}

json_t *log_json(const struct log *log)
{
	json_t *lines = json_array();

	for (unsigned i = 0; i < log->count; i++) {
		const struct log_line *line = &log->line[(log->first + i) % LOG_LINES];

		if (json_array_append_new(lines,
			    json_pack("{s:I, s:s}", "time", (json_int_t)line->time, "text",
				    line->text ? line->text : ""))) {
			json_decref(lines);
			return NULL;
		}
	}
	return lines;
}
