/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/deadline.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"

static bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static _Noreturn void die(struct deadline *deadline)
{
	_exit(deadline->last_words(deadline->ctx));
}

/* True: the event came within the patience. */
static bool wait_for_event(struct deadline *deadline)
{
	struct pollfd wait = {.fd = deadline->event, .events = POLLIN};
	uint64_t count;

	if (poll(&wait, 1, (int)(deadline->patience / 1000000)) == 0)
		return false;
	return read(deadline->event, &count, sizeof count) < 0 || count;
}

/* One that tells it to end. */
static bool signal_waits(void)
{
	sigset_t waiting;

	return !sigpending(&waiting) &&
		(sigismember(&waiting, SIGTERM) > 0 || sigismember(&waiting, SIGINT) > 0 ||
			sigismember(&waiting, SIGHUP) > 0);
}

static void *deadline_thread(void *ctx)
{
	struct deadline *deadline = ctx;
	struct pollfd wait[2] = {{.fd = deadline->event, .events = POLLIN},
		{.fd = deadline->signals->watch.fd, .events = POLLIN}};

	while (!is_set(&deadline->over)) {
		unsigned taken = __atomic_load_n(&deadline->signals->taken, __ATOMIC_RELAXED);

		if (is_set(&deadline->ending)) {
			if (!wait_for_event(deadline) && !is_set(&deadline->over))
				die(deadline);
			continue;
		}
		poll(wait, 2, -1);
		if (wait_for_event(deadline))
			continue;
		if (signal_waits() &&
			taken == __atomic_load_n(&deadline->signals->taken, __ATOMIC_RELAXED))
			die(deadline);
	}
	return NULL;
}

int deadline_open(struct deadline *deadline, struct error *err)
{
	deadline->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return deadline->event < 0 ? error_set(err, errno, "no eventfd: %s", strerror(errno)) : 0;
}

int deadline_start(struct deadline *deadline, struct error *err)
{
	int r = thread_start(&deadline->thread, 0, deadline_thread, deadline);

	deadline->started = !r;
	return r ? error_set(err, -r, "cannot start a thread: %s", thread_error(-r)) : 0;
}

static void set(struct deadline *deadline, bool *flag)
{
	const uint64_t one = 1;

	if (__atomic_exchange_n(flag, true, __ATOMIC_ACQ_REL) || deadline->event < 0)
		return;
	/* It cannot be full. */
	if (write(deadline->event, &one, sizeof one) < 0)
		return;
}

void deadline_begin(struct deadline *deadline)
{
	set(deadline, &deadline->ending);
}

void deadline_stop(struct deadline *deadline)
{
	set(deadline, &deadline->over);
	if (deadline->started)
		pthread_join(deadline->thread, NULL);
	deadline->started = false;
	if (deadline->event >= 0)
		close(deadline->event);
	deadline->event = -1;
}
