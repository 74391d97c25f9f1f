/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
	if (log->path && log->fd >= 0)
		close(log->fd);
	free(log->path);
	log->path = NULL;
	log->fd = -1;
}

/* The file as it is, or a new one where that has grown. */
static void open_file(struct log *log)
{
	char old[PATH_MAX];
	struct stat st;

	if (!stat(log->path, &st) && st.st_size >= LOG_FILE_MAX &&
		snprintf(old, sizeof old, "%s.1", log->path) < sizeof old)
		rename(log->path, old);
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	log->size = log->fd < 0 || fstat(log->fd, &st) ? 0 : st.st_size;
}

int log_to_file(struct log *log, const char *path)
{
	log->fd = -1;
	log->path = strdup(path);
	if (!log->path)
		return -ENOMEM;
	open_file(log);
	return log->fd < 0 ? -errno : 0;
}

static void write_line(struct log *log, const char *text)
{
	int len = dprintf(log->fd, "dachd: %s\n", text);

	log->size += len > 0 ? len : 0;
	if (!log->path || log->size < LOG_FILE_MAX)
		return;
	close(log->fd);
	open_file(log);
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
		write_line(log, text);
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
