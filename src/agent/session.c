/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and their streams. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"

#define PORT_FULL (1u << 20) /* so much is to be sent: nothing more is read from commands */

struct stream {
	int fd;        /* ours; -1: closed */
	uint32_t room; /* output: bytes that the monitor takes */
	bool told;     /* output: that it has ended */
};

#define HANG_UP_S 10 /* after that, what is still there is killed */

struct agent_session {
	bool used;
	unsigned id; /* the monitor's; 0: none knows of it any more */
	pid_t pid;   /* 0: has ended, with status */
	int status;
	bool terminal, closed;
	time_t kill_at; /* CLOCK_MONOTONIC; 0: not */
	struct stream stream[AGENT_STREAMS];
	/* Input that the command has not taken yet, and that it ends then. */
	char *input;
	size_t start, end;
	bool input_ends;
};

static struct agent_session sessions[SESSIONS_MAX];

static struct agent_session *find(unsigned id)
{
	for (unsigned i = 0; id && i < SESSIONS_MAX; i++)
		if (sessions[i].used && sessions[i].id == id)
			return &sessions[i];
	return NULL;
}

static void close_stream(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

static void forget(struct agent_session *session)
{
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		close_stream(&session->stream[i]);
	free(session->input);
	*session = (struct agent_session){.used = false};
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

__attribute__((format(printf, 3, 4))) static void fail(unsigned id, uint32_t status,
	const char *fmt, ...)
{
	struct {
		uint32_t status;
		char text[512];
	} payload = {status, ""};
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(payload.text, sizeof payload.text, fmt, args);
	va_end(args);
	if (n >= (int)sizeof payload.text)
		n = sizeof payload.text - 1;
	port_send(id, AGENT_FAILED, 0, &payload, sizeof payload.status + n);
}

/* Beginning one */

/* Which ends are whose: [stream][0] the command's, [1] ours. */
struct ends {
	int fd[AGENT_STREAMS][2];
};

static void close_ends(struct ends *ends, unsigned side)
{
	for (unsigned i = 0; i < AGENT_STREAMS; i++) {
		int *fd = &ends->fd[i][side];

		for (unsigned k = i + 1; k < AGENT_STREAMS; k++) /* a terminal is all of them */
			if (ends->fd[k][side] == *fd)
				ends->fd[k][side] = -1;
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}

static int open_pipes(struct ends *ends)
{
	for (unsigned i = 0; i < AGENT_STREAMS; i++) {
		int fd[2];
		const unsigned ours = i == AGENT_STDIN; /* its writing end */

		if (pipe2(fd, O_CLOEXEC))
			return -1;
		ends->fd[i][0] = fd[!ours];
		ends->fd[i][1] = fd[ours];
		fcntl(fd[ours], F_SETPIPE_SZ, AGENT_WINDOW);
	}
	return 0;
}

static void set_size(int fd, unsigned columns, unsigned rows)
{
	const struct winsize size = {.ws_col = columns, .ws_row = rows};

	ioctl(fd, TIOCSWINSZ, &size);
}

static int open_terminal(struct ends *ends, const struct agent_open *open_)
{
	int ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), theirs = -1, zero = 0;
	unsigned number;
	char name[32];

	if (ours < 0)
		return -1;
	if (!ioctl(ours, TIOCSPTLCK, &zero) && !ioctl(ours, TIOCGPTN, &number)) {
		snprintf(name, sizeof name, "/dev/pts/%u", number);
		theirs = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	set_size(ours, open_->columns, open_->rows);
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		ends->fd[i][0] = theirs;
	ends->fd[AGENT_STDIN][1] = ends->fd[AGENT_STDOUT][1] = ours;
	return theirs < 0 ? -1 : 0;
}

/* As login(1) starts it: its name begins with a '-'. */
static _Noreturn void become_shell(const char *shell)
{
	char name[300];

	snprintf(name, sizeof name, "-%s", strrchr(shell, '/') ? strrchr(shell, '/') + 1 : shell);
	execl(shell, name, (char *)NULL);
	user_cannot_run(shell);
}

/* In the child. What fails is told by status: 126 or 127, and a line on its standard error. */
static _Noreturn void become(const struct agent_open *open_, const struct user *user,
	const struct ends *ends)
{
	sigset_t none;

	setsid();
	system_spare(false);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < 32; number++)
		signal(number, SIG_DFL);
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		dup2(ends->fd[i][0], i);
	if (open_->terminal)
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	clearenv();
	setenv("PATH", USER_PATH, 1);
	setenv("HOME", user->home, 1);
	setenv("USER", *user->name ? user->name : "root", 1);
	setenv("LOGNAME", *user->name ? user->name : "root", 1);
	setenv("SHELL", *user->shell ? user->shell : "/bin/sh", 1);
	if (open_->terminal)
		setenv("TERM", "linux", 1);
	for (const char *const *word = open_->env; *word; word++)
		putenv((char *)*word);
	user_become(user, open_->folder);
	if (open_->what == AGENT_PACK || open_->what == AGENT_UNPACK)
		_exit(files_serve(open_));
	if (open_->what == AGENT_SHELL)
		become_shell(getenv("SHELL"));
	execvp(open_->argv[0], (char *const *)open_->argv);
	user_cannot_run(open_->argv[0]);
}

static void started(struct agent_session *session, unsigned id, const struct agent_open *open_,
	struct ends *ends, pid_t pid)
{
	*session = (struct agent_session){.used = true,
		.id = id,
		.pid = pid,
		.terminal = open_->terminal};
	for (unsigned i = 0; i < AGENT_STREAMS; i++) {
		session->stream[i] =
			(struct stream){ends->fd[i][1], AGENT_WINDOW, ends->fd[i][1] < 0};
		if (ends->fd[i][1] >= 0)
			fcntl(ends->fd[i][1], F_SETFL, O_NONBLOCK);
	}
	/* One descriptor of the terminal is for both, so each gets its own. */
	if (open_->terminal)
		session->stream[AGENT_STDIN].fd =
			fcntl(ends->fd[AGENT_STDOUT][1], F_DUPFD_CLOEXEC, 3);
}

static void start(unsigned id, const struct agent_open *open_)
{
	struct ends ends = {{{-1, -1}, {-1, -1}, {-1, -1}}};
	struct agent_session *session = NULL;
	struct user user;
	pid_t pid = -1;

	for (unsigned i = 0; !session && i < SESSIONS_MAX; i++)
		if (!sessions[i].used)
			session = &sessions[i];
	if (!session) {
		fail(id, AGENT_STATUS_NOT_RUN, "%u commands run already", SESSIONS_MAX);
		return;
	}
	if (!user_find(open_->user, &user)) {
		fail(id, AGENT_STATUS_NOT_RUN, "the guest has no user '%s'", open_->user);
		return;
	}
	if (!(open_->terminal ? open_terminal(&ends, open_) : open_pipes(&ends)))
		pid = fork();
	if (!pid)
		become(open_, &user, &ends);
	if (pid < 0) {
		fail(id, AGENT_STATUS_NOT_RUN, "no process for the command: %s", strerror(errno));
		close_ends(&ends, 1);
	} else {
		started(session, id, open_, &ends, pid);
	}
	close_ends(&ends, 0);
}

static void begin(unsigned id, const char *payload, size_t size)
{
	struct agent_open open_;
	const char **words;

	if (!agent_open_read(payload, size, &open_, &words)) {
		fail(id, AGENT_STATUS_NOT_RUN, "the command was not understood");
		return;
	}
	start(id, &open_);
	free(words);
}

/* Its streams */

static void end_input(struct agent_session *session)
{
	struct stream *in = &session->stream[AGENT_STDIN];
	char end_of_file = 4; /* VEOF, as a terminal has it */

	if (session->terminal && in->fd >= 0 && write(in->fd, &end_of_file, 1) < 0)
		return;
	close_stream(in);
}

static void write_input(struct agent_session *session)
{
	struct stream *in = &session->stream[AGENT_STDIN];

	while (in->fd >= 0 && session->start < session->end) {
		ssize_t n = write(in->fd, session->input + session->start,
			session->end - session->start);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR) {
			close_stream(in); /* the command reads no more */
			break;
		}
		session->start += n > 0 ? n : 0;
	}
	/* Of a stream that is closed, too: who sends it is not to wait. */
	if (session->end)
		port_send_number(session->id, AGENT_CREDIT, AGENT_STDIN, session->end);
	session->start = session->end = 0;
	if (session->input_ends)
		end_input(session);
}

static void take_input(struct agent_session *session, const char *bytes, size_t size)
{
	if (!session->input)
		session->input = malloc(AGENT_WINDOW);
	if (!session->input || size > AGENT_WINDOW - session->end)
		return; /* more than there was room for */
	memcpy(session->input + session->end, bytes, size);
	session->end += size;
	write_input(session);
}

/* false: there is no more for now. */
static bool read_output(struct agent_session *session, unsigned number)
{
	struct stream *out = &session->stream[number];
	char bytes[AGENT_DATA_MAX];
	size_t len = out->room < sizeof bytes ? out->room : sizeof bytes;
	ssize_t n;

	if (out->fd < 0 || !len || port_waiting() > PORT_FULL)
		return false;
	n = read(out->fd, bytes, len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) { /* of a terminal: EIO when nobody has it open any more */
		close_stream(out);
		return false;
	}
	out->room -= n;
	if (!session->closed)
		port_send(session->id, AGENT_DATA, number, bytes, n);
	return true;
}

/* The command has ended. What it said is sent first, as far as it is there; children that live on keep nothing open. */
static void finish(struct agent_session *session)
{
	uint32_t status = WIFSIGNALED(session->status) ? 128 + WTERMSIG(session->status)
						       : WEXITSTATUS(session->status);

	for (unsigned i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		struct stream *out = &session->stream[i];

		while (read_output(session, i))
			;
		if (out->fd >= 0 && (!out->room || port_waiting() > PORT_FULL))
			return; /* it comes again, when there is room */
		if (!out->told && !session->closed)
			port_send(session->id, AGENT_EOF, i, NULL, 0);
		out->told = true;
	}
	if (session->id)
		port_send_number(session->id, AGENT_EXIT, 0, status);
	forget(session);
}

unsigned session_poll(struct pollfd *fds)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		struct agent_session *session = &sessions[i];

		if (!session->used)
			continue;
		if (session->start < session->end)
			fds[count++] = (struct pollfd){session->stream[AGENT_STDIN].fd, POLLOUT, 0};
		for (unsigned k = AGENT_STDOUT; k < AGENT_STREAMS; k++)
			if (session->stream[k].fd >= 0 && session->stream[k].room &&
				port_waiting() <= PORT_FULL)
				fds[count++] = (struct pollfd){session->stream[k].fd, POLLIN, 0};
	}
	return count;
}

void session_serve(const struct pollfd *fds, unsigned count)
{
	for (unsigned n = 0; n < SESSIONS_MAX; n++) {
		struct agent_session *session = &sessions[n];

		if (!session->used)
			continue;
		for (unsigned i = 0; i < count; i++) {
			if (!fds[i].revents)
				continue;
			if (fds[i].fd == session->stream[AGENT_STDIN].fd)
				write_input(session);
			for (unsigned k = AGENT_STDOUT; k < AGENT_STREAMS; k++)
				if (fds[i].fd == session->stream[k].fd)
					read_output(session, k);
		}
		if (session->pid && session->kill_at && now() >= session->kill_at) {
			session->kill_at = 0;
			kill(-session->pid, SIGKILL);
		}
		if (!session->pid)
			finish(session);
	}
}

int session_timeout(void)
{
	int timeout = -1;

	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		const struct agent_session *session = &sessions[i];
		time_t left = session->kill_at - now();

		if (!session->used || !session->pid || !session->kill_at)
			continue;
		left = left > 0 ? left * 1000 : 0;
		timeout = timeout < 0 || left < timeout ? (int)left : timeout;
	}
	return timeout;
}

void session_child(pid_t pid, int status)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		if (!sessions[i].used || sessions[i].pid != pid)
			continue;
		sessions[i].pid = 0;
		sessions[i].status = status;
		finish(&sessions[i]);
	}
}

void session_kill_all(void)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (sessions[i].used && sessions[i].pid)
			kill(-sessions[i].pid, SIGKILL);
}

static void hang_up(struct agent_session *session)
{
	session->closed = true;
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		close_stream(&session->stream[i]);
	session->start = session->end = 0;
	if (!session->pid) {
		finish(session);
	} else if (!session->kill_at) {
		kill(-session->pid, SIGHUP);
		kill(-session->pid, SIGCONT);
		session->kill_at = now() + HANG_UP_S;
	}
}

void session_leave_all(void)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		if (!sessions[i].used)
			continue;
		sessions[i].id = 0;
		hang_up(&sessions[i]);
	}
}

bool session_any(void)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (sessions[i].used)
			return true;
	return false;
}

/* What the monitor asks */

static void give_room(struct agent_session *session, unsigned stream, uint32_t more)
{
	struct stream *out = &session->stream[stream];

	out->room = more > AGENT_WINDOW - out->room ? AGENT_WINDOW : out->room + more;
	if (!session->pid)
		finish(session);
}

void session_frame(const struct agent_header *header, const char *payload)
{
	struct agent_session *session = find(header->session);
	uint32_t number = 0;

	if (header->type == AGENT_OPEN && header->session && !session) {
		beside_follow();
		begin(header->session, payload, header->length);
		return;
	}
	if (!session)
		return; /* it has just ended */
	if (header->length == sizeof number)
		memcpy(&number, payload, sizeof number);
	switch (header->type) {
	case AGENT_DATA:
		take_input(session, payload, header->length);
		break;
	case AGENT_EOF:
		session->input_ends = true;
		if (session->start == session->end)
			end_input(session);
		break;
	case AGENT_CREDIT:
		give_room(session, header->stream, number);
		break;
	case AGENT_SIGNAL:
		if (session->pid && number > 0 && number < 65)
			kill(-session->pid, number);
		break;
	case AGENT_RESIZE:
		if (session->terminal)
			set_size(session->stream[AGENT_STDOUT].fd, number & 0xffff, number >> 16);
		break;
	case AGENT_CLOSE:
		hang_up(session);
		break;
	}
}
