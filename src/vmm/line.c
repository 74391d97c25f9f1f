/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/line.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "monitor/job.h"

#define MS 1000000ull
#define LOOK_MS 100
#define PIECE_MS 20 /* how long at most what is sent may be ahead of the rate */

void line_sleep_until(uint64_t when)
{
	uint64_t now = clock_now();
	struct timespec wait = {(time_t)((when - now) / 1000000000),
		(long)((when - now) % 1000000000)};

	if (when > now)
		nanosleep(&wait, NULL);
}

/* Not faster than is allowed; what has not stood for long is not caught up with. */
static void keep_to_rate(const struct line *line)
{
	const uint64_t due =
		line->begun + (uint64_t)((unsigned __int128)line->sent * 1000000000u / line->rate);

	while (due > clock_now() + PIECE_MS * MS && !job_check(line->job, NULL)) {
		uint64_t next = clock_now() + LOOK_MS * MS;

		line_sleep_until(due < next ? due : next);
	}
}

void line_wait_at_most(struct line *line, unsigned ms)
{
	line->until = clock_now() + ms * MS;
}

/* Once it may run there nothing but its answer counts. */
static int wait_for(const struct line *line, short events)
{
	struct pollfd wait = {line->fd, events, 0};

	if (!line->decided && job_check(line->job, NULL))
		return -ECANCELED;
	if (clock_now() >= line->until)
		return -ETIMEDOUT;
	poll(&wait, 1, LOOK_MS);
	return 0;
}

/* While the guest stands. */
static int put_in_time(const struct line *line, const uint8_t *data, size_t len)
{
	int r = 0;

	while (len && !r) {
		ssize_t n = write(line->fd, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			return n ? -errno : -EPIPE;
		}
		if (len)
			r = wait_for(line, POLLOUT);
	}
	return r;
}

int line_put(void *ctx, const void *data, size_t len)
{
	struct line *line = ctx;
	int r;

	line->sent += len;
	if (line->rate && !line->stands)
		keep_to_rate(line);
	r = line->stands ? put_in_time(line, data, len)
			 : job_write(line->job, line->fd, "the connection", data, len, -1, NULL);
	if (r)
		line->broken = r;
	return r;
}

long line_get(void *ctx, void *data, size_t len)
{
	const struct line *line = ctx;
	int r;

	do {
		ssize_t n = read(line->fd, data, len);

		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n >= 0 ? n : -errno;
		r = wait_for(line, POLLIN);
	} while (!r);
	return r;
}
