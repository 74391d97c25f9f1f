/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon did, a line each: on standard error (systemd's journal, or a file), and the last
 * of them kept for `dach dmesg`. One thread.
 *
 * A file of its own begins anew when it has LOG_FILE_MAX bytes, and the one before it stays as FILE.1.
 */
#ifndef DACH_DAEMON_LOG_H
#define DACH_DAEMON_LOG_H

#include <jansson.h>
#include <stdint.h>

#define LOG_LINES 512
#define LOG_LINE_MAX 600
#define LOG_FILE_MAX (1u << 20)

struct log_line {
	int64_t time; /* Unix seconds */
	char *text;
};

struct log {
	struct log_line line[LOG_LINES]; /* a ring */
	unsigned first, count;
	int fd;     /* where lines go too; -1: nowhere */
	char *path; /* of fd, where it is a file of the log's own; NULL */
	size_t size;
};

/* Lines go to fd, which stays the caller's (-1: nowhere). */
void log_init(struct log *log, int fd);
/* Lines go to the file instead, which is the log's own. 0 or -errno: they go nowhere. */
int log_to_file(struct log *log, const char *path);
void log_free(struct log *log);
/* Bytes that no terminal should get are replaced. */
void log_add(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_clear(struct log *log);
/* An array of {"time", "text"}, oldest first; NULL: out of memory. */
json_t *log_json(const struct log *log);

#endif
