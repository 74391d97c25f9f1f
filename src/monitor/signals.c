/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/signals.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void ask_to_end(struct signals *signals)
{
	signals->ask(signals->ctx);
	loop_timer_arm(&signals->last, clock_now() + signals->grace);
}

void signals_hang_up(struct signals *signals)
{
	if (!signals->nohup && !signals->count++) {
		signals->first = SIGHUP;
		ask_to_end(signals);
	}
}

/*
 * timeout(1) sends its signal to the program and at once again to the program's group: whoever wants to force
 * it takes longer than that for his second.
 */
static bool same_again(struct signals *signals, const struct signalfd_siginfo *info)
{
	const uint64_t now = clock_now();
	const bool same = signals->count && info->ssi_signo == signals->last_signal &&
		info->ssi_pid == signals->last_sender && now - signals->last_time < SIGNALS_SAME;

	signals->last_signal = info->ssi_signo;
	signals->last_sender = info->ssi_pid;
	signals->last_time = now;
	return same;
}

static void ready(void *ctx, short revents)
{
	struct signals *signals = ctx;
	struct signalfd_siginfo info;

	if (read(signals->watch.fd, &info, sizeof info) != sizeof info)
		return;
	__atomic_add_fetch(&signals->taken, 1, __ATOMIC_RELAXED);
	if (info.ssi_signo == SIGUSR2) {
		signals->save(signals->ctx);
	} else if (info.ssi_signo == SIGWINCH) {
		signals->resized(signals->ctx);
	} else if (info.ssi_signo == SIGHUP) {
		signals_hang_up(signals);
	} else if (same_again(signals, &info)) {
		return;
	} else if (signals->count++) {
		signals->force(signals->ctx);
	} else {
		signals->first = info.ssi_signo;
		ask_to_end(signals);
	}
}

int signals_start(struct signals *signals, struct loop *loop, void (*ask)(void *ctx),
	void (*force)(void *ctx), void *ctx, struct error *err)
{
	struct sigaction hup;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signals->nohup = !sigaction(SIGHUP, NULL, &hup) && hup.sa_handler == SIG_IGN;
	if (!signals->nohup)
		sigaddset(&set, SIGHUP);
	if (signals->save)
		sigaddset(&set, SIGUSR2);
	if (signals->resized)
		sigaddset(&set, SIGWINCH);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_set(err, errno, "no signalfd: %s", strerror(errno));
	*signals = (struct signals){
		.loop = loop,
		.watch = {.fd = fd, .events = POLLIN, .ready = ready, .ctx = signals},
		.ask = ask,
		.force = force,
		.save = signals->save,
		.resized = signals->resized,
		.nohup = signals->nohup,
		.grace = signals->grace ? signals->grace : SIGNALS_GRACE,
		.ctx = ctx,
	};
	loop_timer_init(&signals->last, loop, force, ctx);
	/* Both come as errors of the call that met them, too. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, &signals->old);
	loop_fd_add(loop, &signals->watch);
	return 0;
}

void signals_stop(struct signals *signals)
{
	struct signalfd_siginfo info;

	while (read(signals->watch.fd, &info, sizeof info) == sizeof info)
		;
	loop_fd_remove(signals->loop, &signals->watch);
	loop_timer_cancel(&signals->last);
	close(signals->watch.fd);
	pthread_sigmask(SIG_SETMASK, &signals->old, NULL);
}
