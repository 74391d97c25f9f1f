/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that is none: answers on a Unix socket what a table says, and notes what it was asked.
 * And a verb run against it, with what it printed.
 */
#ifndef DACH_TESTS_UNIT_CLI_RIG_H
#define DACH_TESTS_UNIT_CLI_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "client/client.h"

#define RIG_CONNECTIONS 128

struct rig_answer {
	const char *method, *path;
	int status;
	const char *body; /* ' stands for " */
};

struct rig {
	const struct rig_answer *answers; /* ends with a NULL method */
	const char *then;   /* the first of them's body from the second time on, or NULL */
	const char *events; /* lines to tell whoever asks for events; ' as above */
	char folder[64], path[96];
	int listen;
	pthread_t thread, connections[RIG_CONNECTIONS];
	unsigned connections_count;
	bool answered;    /* the first; by lock */
	char asked[4096]; /* "METHOD path body\n" of all but GET; by lock */
	char paths[8192]; /* "METHOD path\n" of all; by lock */
	pthread_mutex_t lock;
	char out[16384], err[4096]; /* what the last verb printed */
};

static inline char *rig_quotes(const char *text)
{
	char *copy = strdup(text);

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	return copy;
}

struct rig_connection {
	struct rig *rig;
	int fd;
};

/* Reads one request; method, path and body are in text, cut apart. False: there is no more. */
static inline bool rig_read(int fd, char *text, size_t size, char **method, char **path,
	char **body)
{
	size_t used = 0, length = 0;
	char *head = NULL, *at;

	while (!head || used < (size_t)(head - text) + length) {
		ssize_t n = read(fd, text + used, size - 1 - used);

		if (n <= 0)
			return false;
		used += n;
		text[used] = 0;
		if (!head && (head = strstr(text, "\r\n\r\n"))) {
			head += 4;
			at = strcasestr(text, "content-length:");
			length = at && at < head ? strtoul(at + 15, NULL, 10) : 0;
		}
	}
	*method = text;
	*path = strchr(text, ' ') + 1;
	(*path)[-1] = 0;
	*strchr(*path, ' ') = 0;
	*body = head;
	return true;
}

static inline void rig_send(int fd, int status, const char *body)
{
	char *text = rig_quotes(body);

	dprintf(fd, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(text), text);
	free(text);
}

static inline void rig_answer(struct rig *rig, int fd, const char *method, const char *path)
{
	for (const struct rig_answer *a = rig->answers; a->method; a++)
		if (!strcmp(a->method, method) && !strcmp(a->path, path)) {
			bool before;

			pthread_mutex_lock(&rig->lock);
			before = rig->answered;
			rig->answered |= a == rig->answers;
			pthread_mutex_unlock(&rig->lock);
			rig_send(fd, a->status,
				rig->then && before && a == rig->answers ? rig->then : a->body);
			return;
		}
	rig_send(fd, 404, "{'error': 'there is no such guest', 'errno': 2}");
}

static inline void *rig_serve(void *arg)
{
	struct rig_connection *connection = arg;
	struct rig *rig = connection->rig;
	char text[8192], *method, *path, *body;
	int fd = connection->fd;

	free(connection);
	while (rig_read(fd, text, sizeof text, &method, &path, &body)) {
		size_t used;

		pthread_mutex_lock(&rig->lock);
		used = strlen(rig->paths);
		snprintf(rig->paths + used, sizeof rig->paths - used, "%s %s\n", method, path);
		pthread_mutex_unlock(&rig->lock);
		if (!strcmp(path, "/v1/events")) {
			char *lines = rig_quotes(rig->events);

			dprintf(fd,
				"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n",
				strlen(lines), lines);
			free(lines);
			continue;
		}
		if (strstr(path, "/console")) {
			dprintf(fd,
				"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n"
				"Upgrade: dach-console\r\n\r\nhistory\r\n");
			while (read(fd, text, 1) == 1 && *text != '.')
				dprintf(fd, "<%02x>", *text & 0xff);
			break;
		}
		if (strcmp(method, "GET")) {
			size_t len;

			pthread_mutex_lock(&rig->lock);
			len = strlen(rig->asked);
			snprintf(rig->asked + len, sizeof rig->asked - len, "%s %s %s\n", method,
				path, body);
			pthread_mutex_unlock(&rig->lock);
		}
		rig_answer(rig, fd, method, path);
	}
	close(fd);
	return NULL;
}

static inline void *rig_listen(void *arg)
{
	struct rig *rig = arg;

	for (;;) {
		struct rig_connection *connection = malloc(sizeof *connection);

		connection->rig = rig;
		connection->fd = accept(rig->listen, NULL, NULL);
		if (connection->fd < 0 || rig->connections_count == RIG_CONNECTIONS) {
			free(connection);
			return NULL;
		}
		pthread_create(&rig->connections[rig->connections_count++], NULL, rig_serve,
			connection);
	}
}

static inline void rig_start(struct rig *rig, const struct rig_answer *answers, const char *events)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(rig, 0, sizeof *rig);
	rig->answers = answers;
	rig->events = events;
	pthread_mutex_init(&rig->lock, NULL);
	strcpy(rig->folder, "/tmp/dach-test-XXXXXX");
	if (!mkdtemp(rig->folder))
		abort();
	snprintf(rig->path, sizeof rig->path, "%s/s", rig->folder);
	strcpy(address.sun_path, rig->path);
	rig->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(rig->listen, (struct sockaddr *)&address, sizeof address) ||
		listen(rig->listen, 8))
		abort();
	pthread_create(&rig->thread, NULL, rig_listen, rig);
}

static inline void rig_stop(struct rig *rig)
{
	shutdown(rig->listen, SHUT_RDWR);
	pthread_join(rig->thread, NULL);
	close(rig->listen);
	for (unsigned i = 0; i < rig->connections_count; i++)
		pthread_join(rig->connections[i], NULL);
	unlink(rig->path);
	rmdir(rig->folder);
}

static inline void rig_slurp(FILE *file, int onto, int saved, char *text, size_t size)
{
	size_t n;

	dup2(saved, onto);
	close(saved);
	rewind(file);
	n = fread(text, 1, size - 1, file);
	text[n] = 0;
	fclose(file);
}

/* Runs a verb with its words ("verb", ...); its status. */
static inline int rig_run(struct rig *rig, struct cli *cli, int argc, char **argv)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int saved_out = dup(1), saved_err = dup(2), status;
	struct error error = {""};

	if (!cli->program)
		cli->program = "dach";
	fflush(stdout);
	dup2(fileno(out), 1);
	dup2(fileno(err), 2);
	rig->asked[0] = rig->paths[0] = 0;
	if (client_open_socket(rig->path, &cli->client, &error))
		abort();
	status = cli_verb_run(cli, cli_verb_find(argv[0]), argc, argv);
	client_close(cli->client);
	cli->client = NULL;
	fflush(stdout);
	rig_slurp(out, 1, saved_out, rig->out, sizeof rig->out);
	rig_slurp(err, 2, saved_err, rig->err, sizeof rig->err);
	return status;
}

/* Words, run against the `rig` of who uses it; its status. */
#define RUN(...)                                                                           \
	({                                                                                 \
		char *run_argv[] = {__VA_ARGS__, NULL};                                    \
		struct cli run_cli = {.dry = false};                                       \
		rig_run(&rig, &run_cli, sizeof run_argv / sizeof *run_argv - 1, run_argv); \
	})

#endif
