/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/raw.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "monitor/terminal.h"

void raw_signals(struct raw_terminal *raw, int more)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	if (more)
		sigaddset(&set, more);
	sigprocmask(SIG_BLOCK, &set, &raw->before);
	signal(SIGPIPE, SIG_IGN);
	raw->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	raw->guard = terminal_guard();
}

int raw_begin(struct raw_terminal *raw)
{
	struct termios mode;

	if (tcgetattr(STDIN_FILENO, &raw->saved))
		return 0; /* no terminal: bytes are bytes */
	mode = raw->saved;
	cfmakeraw(&mode);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &mode))
		return -errno;
	raw->on = true;
	return 0;
}

void raw_end(struct raw_terminal *raw, bool line)
{
	if (raw->on) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw->saved);
		if (line && isatty(STDOUT_FILENO))
			while (write(STDOUT_FILENO, "\n", 1) < 0 && errno == EINTR)
				;
	}
	raw->on = false;
	terminal_release(raw->guard);
	raw->guard = -1;
	if (raw->signals >= 0)
		close(raw->signals);
	raw->signals = -1;
	sigprocmask(SIG_SETMASK, &raw->before, NULL);
}
