/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"

#define PATIENCE_NS 20000000u /* how long the guest waits for a reader that is behind */
#define LAST_MS 1000          /* for all readers together at the end */
#define BACK_MAX (CONSOLE_HISTORY / 2)

struct reader {
	struct console *console;
	struct loop_fd watch;
	struct reader *next;
	uint8_t in[256]; /* read, not yet taken by the guest */
	size_t start, end;
	uint64_t at GUARDED_BY(console->lock); /* next byte to send, since the guest's start */
	bool stuck GUARDED_BY(console->lock);  /* nobody waits for it any more */
};

struct console {
	struct loop *loop;
	struct loop_fd door;
	struct loop_work show, more;
	size_t (*send)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;
	unsigned readers; /* the loop's thread */

	struct mutex lock;
	pthread_cond_t progress;
	struct reader *reader GUARDED_BY(lock); /* changed by the loop's thread only */
	uint64_t total GUARDED_BY(lock);        /* bytes that the guest ever said */
	uint8_t history[CONSOLE_HISTORY] GUARDED_BY(lock);
};

/* Out */

/* The next bytes for the reader, up to room; jumps over what has gone. */
static size_t next_bytes(struct reader *reader, uint8_t *buf, size_t room)
{
	struct console *console = reader->console;
	size_t len;

	mutex_lock(&console->lock);
	if (console->total - reader->at > CONSOLE_HISTORY)
		reader->at = console->total - CONSOLE_HISTORY;
	len = console->total - reader->at < room ? console->total - reader->at : room;
	for (size_t i = 0; i < len; i++)
		buf[i] = console->history[(reader->at + i) % CONSOLE_HISTORY];
	mutex_unlock(&console->lock);
	return len;
}

static void sent(struct reader *reader, size_t len)
{
	struct console *console = reader->console;

	mutex_lock(&console->lock);
	reader->at += len;
	if (console->total - reader->at < BACK_MAX / 2)
		reader->stuck = false;
	pthread_cond_broadcast(&console->progress);
	mutex_unlock(&console->lock);
}

static void watch(struct reader *reader, bool behind)
{
	reader->watch.events = (reader->start == reader->end ? POLLIN : 0) | (behind ? POLLOUT : 0);
}

static void reader_leave(struct reader *reader)
{
	struct console *console = reader->console;
	struct reader **at = &console->reader;

	loop_fd_remove(console->loop, &reader->watch);
	mutex_lock(&console->lock);
	while (*at != reader)
		at = &(*at)->next;
	*at = reader->next;
	pthread_cond_broadcast(&console->progress);
	mutex_unlock(&console->lock);
	console->readers--;
	close(reader->watch.fd);
	free(reader);
}

/* false: the reader has gone. */
static bool show(struct reader *reader)
{
	uint8_t buf[8192];
	size_t len;

	while ((len = next_bytes(reader, buf, sizeof buf))) {
		ssize_t n = write(reader->watch.fd, buf, len);

		if (n > 0) {
			sent(reader, n);
		} else if (n < 0 && errno == EAGAIN) {
			watch(reader, true);
			return true;
		} else if (n == 0 || errno != EINTR) {
			reader_leave(reader);
			return false;
		}
	}
	watch(reader, false);
	return true;
}

static void show_all(void *ctx)
{
	struct console *console = ctx;

	for (struct reader *reader = console->reader, *next; reader; reader = next) {
		next = reader->next;
		show(reader);
	}
}

/* Somebody for whom the guest waits is far behind. */
static bool far_behind(struct console *console) REQUIRES(console->lock)
{
	for (struct reader *reader = console->reader; reader; reader = reader->next)
		if (!reader->stuck && console->total - reader->at > BACK_MAX)
			return true;
	return false;
}

static void wait_for_readers(struct console *console) REQUIRES(console->lock)
{
	const uint64_t until = clock_now() + PATIENCE_NS;
	int r = 0;

	while (!r && far_behind(console))
		r = mutex_wait_until(&console->lock, &console->progress, until);
	for (struct reader *reader = console->reader; r && reader; reader = reader->next)
		if (console->total - reader->at > BACK_MAX)
			reader->stuck = true;
}

void console_output(struct console *console, const uint8_t *data, size_t len)
{
	bool readers;

	mutex_lock(&console->lock);
	while (len) {
		size_t offset = console->total % CONSOLE_HISTORY;
		size_t n = len < CONSOLE_HISTORY / 8 ? len : CONSOLE_HISTORY / 8;

		if (n > CONSOLE_HISTORY - offset)
			n = CONSOLE_HISTORY - offset;
		memcpy(console->history + offset, data, n);
		console->total += n;
		data += n;
		len -= n;
		readers = console->reader != NULL;
		if (readers) {
			mutex_unlock(&console->lock);
			loop_post(console->loop, &console->show);
			mutex_lock(&console->lock);
		}
		if (far_behind(console))
			wait_for_readers(console);
	}
	mutex_unlock(&console->lock);
}

/* In */

/* Gives the guest what it takes; the rest waits for console_room(). */
static void feed(struct reader *reader)
{
	struct console *console = reader->console;

	if (reader->start < reader->end)
		reader->start += console->send(console->ctx, reader->in + reader->start,
			reader->end - reader->start);
	watch(reader, reader->watch.events & POLLOUT);
}

static void feed_all(void *ctx)
{
	struct console *console = ctx;

	for (struct reader *reader = console->reader; reader; reader = reader->next)
		feed(reader);
}

void console_room(struct console *console)
{
	loop_post(console->loop, &console->more);
}

static void reader_ready(void *ctx, short revents)
{
	struct reader *reader = ctx;
	ssize_t n;

	if ((revents & POLLOUT) && !show(reader))
		return;
	if (!(revents & ~POLLOUT))
		return;
	if (reader->start < reader->end) { /* hung up, its last words still with us */
		reader_leave(reader);
		return;
	}
	n = read(reader->watch.fd, reader->in, sizeof reader->in);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		reader_leave(reader);
		return;
	}
	reader->start = 0;
	reader->end = n;
	feed(reader);
}

/* A newcomer */

/* Readers who hung up while the guest does not take their last words keep no place from others. */
static void drop_waiting(struct console *console)
{
	for (struct reader *reader = console->reader, *next; reader; reader = next) {
		struct pollfd state = {reader->watch.fd, 0, 0};

		next = reader->next;
		if (reader->start < reader->end && poll(&state, 1, 0) == 1)
			reader_leave(reader);
	}
}

static void door_ready(void *ctx, short revents)
{
	struct console *console = ctx;
	int fd = accept4(console->door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct reader *reader = NULL;

	if (fd < 0)
		return;
	if (console->readers == CONSOLE_READERS)
		drop_waiting(console);
	if (console->readers < CONSOLE_READERS)
		reader = calloc(1, sizeof *reader);
	if (!reader) {
		close(fd);
		return;
	}
	reader->console = console;
	reader->watch =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = reader_ready, .ctx = reader};
	loop_fd_add(console->loop, &reader->watch);
	console->readers++;
	mutex_lock(&console->lock);
	reader->stuck = true; /* until it has caught up */
	reader->next = console->reader;
	console->reader = reader;
	mutex_unlock(&console->lock);
	show(reader);
}

int console_create(struct loop *loop, int listen_fd,
	size_t (*send)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct console **out,
	struct error *err)
{
	struct console *console = calloc(1, sizeof *console);

	*out = NULL;
	if (!console)
		return error_nomem(err);
	console->loop = loop;
	console->send = send;
	console->ctx = ctx;
	console->show = (struct loop_work){.run = show_all, .ctx = console};
	console->more = (struct loop_work){.run = feed_all, .ctx = console};
	console->door = (struct loop_fd){.fd = listen_fd,
		.events = POLLIN,
		.ready = door_ready,
		.ctx = console};
	mutex_init(&console->lock);
	pthread_cond_init(&console->progress, NULL);
	if (listen_fd >= 0)
		loop_fd_add(loop, &console->door);
	*out = console;
	return 0;
}

void console_destroy(struct console *console)
{
	uint64_t end = clock_now() + LAST_MS * 1000000ull;

	if (!console)
		return;
	while (console->reader) {
		struct reader *reader = console->reader;
		uint64_t now = clock_now();

		if (!show(reader))
			continue;
		if ((reader->watch.events & POLLOUT) && now < end) {
			struct pollfd wait = {reader->watch.fd, POLLOUT, 0};

			poll(&wait, 1, (end - now) / 1000000 + 1);
			continue;
		}
		reader_leave(reader);
	}
	if (console->door.fd >= 0)
		loop_fd_remove(console->loop, &console->door);
	pthread_cond_destroy(&console->progress);
	mutex_destroy(&console->lock);
	free(console);
}
