/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/io.h"
#include "base/loop.h"
#include "base/thread.h"

#define LAST_MS 1000
#define PIECE 4096u /* so that a reader is seen to go on */

struct output_queue {
	int fd;
	uint64_t patience; /* ns */
	int done;          /* an eventfd: the thread has written all, or nobody reads */
	pthread_t thread;
	void (*written)(void *ctx, size_t len, bool gone); /* or NULL */
	void *ctx;
	bool started;

	struct mutex lock;
	pthread_cond_t changed;
	/* Bytes since the start: that came in, were written; the piece being written counts as buffered. */
	uint64_t in GUARDED_BY(lock), out GUARDED_BY(lock);
	uint64_t lost GUARDED_BY(lock);
	bool stuck GUARDED_BY(lock);  /* nobody waits for the reader */
	bool gone GUARDED_BY(lock);   /* there is none */
	bool failed GUARDED_BY(lock); /* and not for a reason of its own */
	bool ends GUARDED_BY(lock);   /* no more comes */
	bool left GUARDED_BY(lock);   /* to its thread, which frees it */
	uint8_t buffer[OUTPUT_BUFFER];
};

/* The thread */

/* Waits for something to write. The piece's size; 0: nothing will come any more. */
static size_t next_piece(struct output_queue *output, const uint8_t **piece)
{
	size_t at, len = 0;

	mutex_lock(&output->lock);
	while (output->in == output->out && !output->ends)
		mutex_wait(&output->lock, &output->changed);
	at = output->out % OUTPUT_BUFFER;
	len = output->in - output->out;
	mutex_unlock(&output->lock);
	*piece = output->buffer + at;
	if (len > PIECE)
		len = PIECE;
	return len < OUTPUT_BUFFER - at ? len : OUTPUT_BUFFER - at;
}

static void append(struct output_queue *output, const uint8_t *data, size_t len)
	REQUIRES(output->lock)
{
	while (len) {
		size_t at = output->in % OUTPUT_BUFFER, n = OUTPUT_BUFFER - at;

		if (n > len)
			n = len;
		memcpy(output->buffer + at, data, n);
		output->in += n;
		data += n;
		len -= n;
	}
}

/* The reader goes on: from here on nothing is lost, and the gap has its line. */
static void close_gap(struct output_queue *output) REQUIRES(output->lock)
{
	char line[100];
	int len = snprintf(line, sizeof line,
		"\r\n[dach: %llu bytes of output were not read in time and are lost]\r\n",
		(unsigned long long)output->lost);

	if (output->lost)
		append(output, (const uint8_t *)line, len);
	output->lost = 0;
	output->stuck = false;
}

static void has_written(struct output_queue *output, size_t len, int r)
{
	mutex_lock(&output->lock);
	output->out += len;
	if (r) {
		output->gone = true;
		output->out = output->in;
	}
	/* A reader that has gone has its reason; a disk that is full is news. */
	if (r && r != -EPIPE && r != -EIO) {
		output->failed = true;
		dprintf(STDERR_FILENO, "dach: the guest's output is lost from here on: %s\r\n",
			strerror(-r));
	}
	if (output->stuck && output->in - output->out < OUTPUT_BUFFER / 2)
		close_gap(output);
	pthread_cond_broadcast(&output->changed);
	mutex_unlock(&output->lock);
	if (output->written)
		output->written(output->ctx, len, r != 0);
}

static void destroy(struct output_queue *output)
{
	close(output->done);
	pthread_cond_destroy(&output->changed);
	mutex_destroy(&output->lock);
	free(output);
}

static void *write_all(void *ctx)
{
	struct output_queue *output = ctx;
	const uint8_t *piece;
	size_t len;
	bool left;

	while ((len = next_piece(output, &piece)))
		has_written(output, len, io_write_all(output->fd, piece, len));
	mutex_lock(&output->lock);
	eventfd_write(output->done, 1);
	left = output->left;
	mutex_unlock(&output->lock);
	if (left)
		destroy(output);
	return NULL;
}

/* The guest */

static size_t room(const struct output_queue *output) REQUIRES(output->lock)
{
	/* Some is kept for the line that tells of a gap. */
	return OUTPUT_BUFFER - 128 - (output->in - output->out);
}

/* As long as the reader reads. */
static void wait_for_room(struct output_queue *output) REQUIRES(output->lock)
{
	while (!room(output) && !output->stuck && !output->gone) {
		uint64_t until = clock_now() + output->patience, before = output->out;
		int r = 0;

		while (!r && !output->gone && output->out == before)
			r = mutex_wait_until(&output->lock, &output->changed, until);
		output->stuck = r != 0;
	}
}

void output_write(struct output_queue *output, const uint8_t *data, size_t len)
{
	bool gone;

	mutex_lock(&output->lock);
	while (len && !output->gone) {
		bool was_empty;
		size_t n;

		wait_for_room(output);
		/* Now: its thread may have written all of it meanwhile, and sleep. */
		was_empty = output->in == output->out;
		n = room(output);
		if (output->gone || output->stuck) {
			output->lost += len;
			break;
		}
		n = n < len ? n : len;
		append(output, data, n);
		data += n;
		len -= n;
		if (was_empty)
			pthread_cond_broadcast(&output->changed);
	}
	gone = output->gone;
	mutex_unlock(&output->lock);
	if (gone && len && output->written)
		output->written(output->ctx, len, true);
}

/* Life */

int output_create(int fd, uint64_t patience, struct output_queue **out, struct error *err)
{
	struct output_queue *output = calloc(1, sizeof *output);

	*out = NULL;
	if (!output)
		return error_nomem(err);
	output->fd = fd;
	output->patience = patience;
	output->done = eventfd(0, EFD_CLOEXEC);
	if (output->done < 0) {
		free(output);
		return error_set(err, errno, "no eventfd: %s", strerror(errno));
	}
	mutex_init(&output->lock);
	pthread_cond_init(&output->changed, NULL);
	*out = output;
	return 0;
}

void output_watch(struct output_queue *output, void (*written)(void *ctx, size_t len, bool gone),
	void *ctx)
{
	output->written = written;
	output->ctx = ctx;
}

int output_start(struct output_queue *output, struct error *err)
{
	int r = thread_start(&output->thread, 0, write_all, output);

	output->started = !r;
	return r ? error_set(err, -r, "cannot start a thread: %s", thread_error(-r)) : 0;
}

/* false: it still waits for the reader. */
static bool join(struct output_queue *output, bool patient, int cancel)
{
	struct pollfd wait[] = {{output->done, POLLIN, 0}, {patient ? cancel : -1, POLLIN, 0}};
	int r;

	mutex_lock(&output->lock);
	output->ends = true;
	if (output->stuck)
		close_gap(output);
	pthread_cond_broadcast(&output->changed);
	mutex_unlock(&output->lock);
	do
		r = poll(wait, 2, patient ? -1 : LAST_MS);
	while (r < 0 && errno == EINTR);
	if (patient && !wait[0].revents)
		poll(wait, 1, LAST_MS);
	mutex_lock(&output->lock);
	poll(wait, 1, 0); /* it may be through by now, and does so with the lock */
	output->left = !wait[0].revents;
	if (output->left)
		pthread_detach(output->thread);
	mutex_unlock(&output->lock);
	if (!wait[0].revents)
		return false;
	pthread_join(output->thread, NULL);
	return true;
}

bool output_finish(struct output_queue *output, bool patient, int cancel)
{
	bool good;

	if (!output || (output->started && !join(output, patient, cancel)))
		return true;
	mutex_lock(&output->lock);
	good = !output->failed;
	mutex_unlock(&output->lock);
	destroy(output);
	return good;
}
