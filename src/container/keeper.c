/* SPDX-License-Identifier: Apache-2.0 */
#include "container/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/internal.h"
#include "container/own_ids.h"
#include "container/root.h"
#include "protocol/agent.h"

#define LOOK_MS 3

/* With children. */
struct shared {
	int init_end; /* as liblxc has it */
	int r;        /* what a child was to do, and what kept it */
	struct error err;
};

/* What the monitor wants of a container that runs, and the folder that came along; -1: none. */
struct change {
	struct keeper_message message;
	int fd;
};

struct keeper {
	const struct launch_spec *spec;
	int socket, signals, log;
	struct lxc_container *container;
	int agent;     /* the program that enters the container */
	bool starting; /* and the monitor is still to be told that it runs */
	pid_t starter; /* 0: not started */
	struct shared *shared;
	pid_t lines; /* who serves the networks; 0: nobody */
	unsigned execs;
	pid_t changer; /* who makes a change, 0: nobody; and which */
	struct keeper_message changing;
	struct change next; /* for when that one has ended */
	bool waits;         /* there is such a one */
	bool monitor_gone;
};

/* The kernel, out of memory, is to end others first; what runs in the container is not to be spared so. A user has no say in that. */
static void spare(const struct keeper *keeper, bool yes)
{
	int fd = users_own(keeper->spec) ? -1
					 : open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && dprintf(fd, "%d", yes ? -900 : 0) < 0)
		fprintf(stderr, "the keeper's OOM score stays as it is\n");
	if (fd >= 0)
		close(fd);
}

/* Messages */

int keeper_send(int socket, const struct keeper_message *message, int fd)
{
	struct iovec part = {(void *)(uintptr_t)message, sizeof *message};
	char control[CMSG_SPACE(sizeof fd)] = {0};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *header;
	ssize_t n;

	if (fd >= 0) {
		packet.msg_control = control;
		packet.msg_controllen = sizeof control;
		header = CMSG_FIRSTHDR(&packet);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
	}
	do
		n = sendmsg(socket, &packet, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int keeper_receive(int socket, struct keeper_message *message, int *fd)
{
	struct iovec part = {message, sizeof *message};
	char control[CMSG_SPACE(sizeof *fd)];
	struct msghdr packet = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *header;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&packet);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(header), sizeof *fd);
	message->text[sizeof message->text - 1] = 0;
	if (n == sizeof *message)
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EPIPE;
}

static void answer(struct keeper *keeper, uint32_t number, int r, const struct error *err)
{
	struct keeper_message message = {.word = KEEPER_DONE, .number = number, .status = r};

	memcpy(message.text, err->text, sizeof message.text);
	keeper_send(keeper->socket, &message, -1);
}

/* Who waits for a file system that does not answer ends when that does. */
static void give_up_change(const struct keeper *keeper)
{
	if (keeper->changer)
		kill(keeper->changer, SIGKILL);
}

static _Noreturn void tell_end(struct keeper *keeper, const struct end_report *end)
{
	struct keeper_message message = {.word = KEEPER_ENDED,
		.status = end->status,
		.reason = end->reason};

	memcpy(message.text, end->error.text, sizeof message.text);
	give_up_change(keeper);
	keeper_send(keeper->socket, &message, -1);
	_exit(0);
}

static _Noreturn void fail(struct keeper *keeper, const struct error *err)
{
	tell_end(keeper, &(struct end_report){END_ERROR, END_STATUS_SETUP, *err});
}

/* The container's life */

static void close_all(const int fds[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Children are not to begin with what we have blocked, nor with our descriptors. */
static void become_child(struct keeper *keeper)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(keeper->signals);
	close(keeper->socket);
}

/* The exit statuses of the container's process. */
enum { RAN, NOT_STARTED };

/*
 * How its init has ended, as liblxc has it: the status it left in the second byte, or, with 0x7f in the first, the signal that
 * killed it. SIGINT is a system that was halted, SIGHUP one that was rebooted (pid_namespaces(7)). An init of ours leaves the
 * status of its command.
 */
static void tell_init(const struct keeper *keeper, struct end_report *end)
{
	const int error = keeper->shared->init_end, number = error >> 8 & 0xff;

	if ((error & 0xff) == 0x7f && number != SIGINT && number != SIGHUP && number <= 64) {
		end->reason = END_CRASH;
		error_set(&end->error, EIO, "its init was killed (%s)", strsignal(number));
	} else if ((error & 0xff) != 0x7f && number && keeper->spec->container.commands) {
		end->reason = END_CRASH;
		error_set(&end->error, EIO, "its command ended with status %d%s", number,
			number == AGENT_STATUS_NOT_RUN || number == AGENT_STATUS_NOT_FOUND
				? ", as one that cannot be run does; its console says more"
				: "");
	}
}

/* The first process, of our making, of a container that has a command: found by its descriptor, since no file of the host's is there. */
static char **init_words(const struct launch_spec *spec, int program)
{
	const struct container_spec *container = &spec->container;
	static char path[32];
	char **words = calloc(container->commands + 5, sizeof *words);

	if (!words)
		return NULL;
	snprintf(path, sizeof path, "/proc/self/fd/%d", program);
	words[0] = path;
	words[1] = (char *)AGENT_INIT;
	words[2] = container->user ? container->user : (char *)"";
	words[3] = container->workdir ? container->workdir : (char *)"";
	memcpy(words + 4, container->command, container->commands * sizeof *words);
	return words;
}

static _Noreturn void run_container(struct keeper *keeper)
{
	const struct container_spec *spec = &keeper->spec->container;
	char **argv = NULL;
	bool good;

	become_child(keeper);
	prctl(PR_SET_NAME, "dach-starter");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (spec->commands) {
		argv = init_words(keeper->spec, keeper->agent);
		if (!argv)
			_exit(NOT_STARTED);
	} else if (spec->inits) {
		argv = calloc(spec->inits + 1, sizeof *argv);
		if (!argv)
			_exit(NOT_STARTED);
		memcpy(argv, spec->init, spec->inits * sizeof *argv);
	}
	good = keeper->container->start(keeper->container, 0, argv);
	keeper->shared->init_end = keeper->container->error_num;
	_exit(good ? RAN : NOT_STARTED);
}

static void start(struct keeper *keeper)
{
	struct error err = {""};

	if (keeper->starter)
		return;
	keeper->starter = fork();
	if (!keeper->starter)
		run_container(keeper);
	if (keeper->starter < 0) {
		error_set(&err, errno, "no process for the container: %s", strerror(errno));
		fail(keeper, &err);
	}
	keeper->starting = true;
}

static void look_whether_it_runs(struct keeper *keeper)
{
	const struct keeper_message message = {.word = KEEPER_RUNS};

	if (!keeper->container->is_running(keeper->container))
		return;
	keeper->starting = false;
	keeper_send(keeper->socket, &message, -1);
}

/* The starter has ended, and so has the container: how? */
static _Noreturn void ended(struct keeper *keeper, int status)
{
	struct end_report end = {.reason = END_POWEROFF};
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	if (!access(ROOT_AGAIN, F_OK)) {
		end.reason = END_REBOOT;
	} else if (WIFSIGNALED(status)) {
		end.reason = END_CRASH;
		error_set(&end.error, EIO, "the process that runs the container was killed");
	} else if (code != RAN) {
		end.reason = END_ERROR;
		lxc_say(keeper->log, EIO, "the container cannot be started", &end.error);
	} else {
		tell_init(keeper, &end);
	}
	end.status = end.reason == END_ERROR ? END_STATUS_SETUP : end_info(end.reason)->status;
	tell_end(keeper, &end);
}

static int come(const struct keeper *keeper, const struct keeper_message *message, int fd,
	struct error *err)
{
	switch (message->word) {
	case KEEPER_LINK:
		return come_link(keeper->container, message->text, (unsigned)message->status, err);
	case KEEPER_FOLDER:
		return come_folder(keeper->container, keeper->spec, fd, message->text,
			message->status == 1, err);
	default:
		return go_folder(keeper->container, message->text, err);
	}
}

/* By a child, which is another afterwards. Answered when it has ended. */
static void begin_change(struct keeper *keeper, const struct change *change)
{
	struct shared *shared = keeper->shared;
	struct error err = {""};
	pid_t pid;

	/* How the init ends is the starter's to tell, at any time. */
	shared->err.text[0] = 0;
	shared->r = error_set(&shared->err, EIO, "the process that was to do that was killed");
	pid = fork();
	if (!pid) {
		become_child(keeper);
		prctl(PR_SET_DUMPABLE, 0);
		shared->r = come(keeper, &change->message, change->fd, &err);
		shared->err = err;
		_exit(0);
	}
	if (change->fd >= 0)
		close(change->fd);
	if (pid < 0) {
		shared->err.text[0] = 0;
		shared->r = error_set(&shared->err, errno, "no process: %s", strerror(errno));
		answer(keeper, change->message.number, shared->r, &shared->err);
		return;
	}
	keeper->changer = pid;
	keeper->changing = change->message;
}

static void end_change(struct keeper *keeper)
{
	keeper->changer = 0;
	answer(keeper, keeper->changing.number, keeper->shared->r, &keeper->shared->err);
	if (!keeper->waits)
		return;
	keeper->waits = false;
	begin_change(keeper, &keeper->next);
}

/* Only what the monitor no longer waits for can be under way: a folder that was to come is to go then. fd is taken. */
static void change(struct keeper *keeper, const struct keeper_message *message, int fd)
{
	const struct change change = {*message, fd};
	struct error err = {""};

	if (!keeper->changer) {
		begin_change(keeper, &change);
		return;
	}
	if (message->word == KEEPER_NO_FOLDER && keeper->changing.word == KEEPER_FOLDER)
		give_up_change(keeper);
	if (!keeper->waits) {
		keeper->next = change;
		keeper->waits = true;
		return;
	}
	if (fd >= 0)
		close(fd);
	error_set(&err, EBUSY, "what was asked for before is still being done");
	answer(keeper, message->number, -EBUSY, &err);
}

static void take_children(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(keeper->signals, &info, sizeof info) > 0) {
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == keeper->starter)
			ended(keeper, status);
		if (pid == keeper->changer)
			end_change(keeper);
		else if (pid == keeper->lines)
			fputs("the process that serves the container's networks was killed\n",
				stderr);
		else
			keeper->execs--;
	}
}

/* Before it has begun there is nobody to be told. */
static void ask(struct keeper *keeper)
{
	pid_t init = keeper->container->init_pid(keeper->container);
	int number = init > 0 ? stop_signal(init) : 0;

	if (number)
		kill(init, number);
}

/* Its init's end is the end of all in it; one that is still being started goes with who starts it. */
static void end(struct keeper *keeper)
{
	give_up_change(keeper);
	if (!keeper->starter)
		tell_end(keeper, &(struct end_report){.reason = END_KILLED});
	if (!keeper->container->is_running(keeper->container) ||
		!keeper->container->stop(keeper->container))
		kill(keeper->starter, SIGKILL);
}

static void freeze(struct keeper *keeper, uint32_t number, bool stands)
{
	struct lxc_container *container = keeper->container;
	struct error err = {""};
	int r = 0;

	if (!(stands ? container->freeze(container) : container->unfreeze(container)))
		r = lxc_say(keeper->log, EIO,
			stands ? "the container does not stand still"
			       : "the container does not go on",
			&err);
	answer(keeper, number, r, &err);
}

static void exec(struct keeper *keeper, int caller)
{
	pid_t pid = -1;

	if (keeper->execs >= KEEPER_EXECS) {
		attach_refuse(caller, "16 commands run in the container, and that is the most");
	} else {
		pid = fork();
		if (!pid) {
			become_child(keeper);
			/* The host's folders; the keeper has them for as long as anybody may write to them. */
			close_all((const int[]){keeper->spec->root.fd, keeper->spec->upper}, 2);
			/* Its way leads through the container's user namespace, where that one's root would else take it apart. */
			prctl(PR_SET_DUMPABLE, 0);
			spare(keeper, false);
			attach_caller(keeper->container, keeper->agent, caller, keeper->log);
		}
		if (pid < 0)
			attach_refuse(caller, "there is no process for the command");
		else
			keeper->execs++;
	}
	close(caller);
}

/* The monitor's end is the container's. */
static void orphaned(struct keeper *keeper)
{
	keeper->monitor_gone = true;
	end(keeper);
}

static void take_message(struct keeper *keeper)
{
	struct keeper_message message;
	int fd;

	if (keeper_receive(keeper->socket, &message, &fd)) {
		orphaned(keeper);
		return;
	}
	switch (message.word) {
	case KEEPER_START:
		start(keeper);
		break;
	case KEEPER_FREEZE:
	case KEEPER_THAW:
		freeze(keeper, message.number, message.word == KEEPER_FREEZE);
		break;
	case KEEPER_ASK:
		ask(keeper);
		break;
	case KEEPER_END:
		end(keeper);
		break;
	case KEEPER_LINK:
	case KEEPER_FOLDER:
	case KEEPER_NO_FOLDER:
		change(keeper, &message, fd);
		fd = -1;
		break;
	case KEEPER_EXEC:
		if (fd >= 0)
			exec(keeper, fd);
		fd = -1;
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void serve(struct keeper *keeper)
{
	for (;;) {
		struct pollfd fds[] = {{keeper->signals, POLLIN, 0},
			{keeper->monitor_gone ? -1 : keeper->socket, POLLIN, 0}};

		if (poll(fds, 2, keeper->starting ? LOOK_MS : -1) < 0 && errno != EINTR)
			_exit(1);
		if (keeper->starting)
			look_whether_it_runs(keeper);
		if (fds[0].revents)
			take_children(keeper);
		if (fds[1].revents)
			take_message(keeper);
	}
}

/* Of what the monitor has, we keep what the container is made of; what the container starts has none of it. */
static void close_others(const struct launch_spec *spec)
{
	close_all((const int[]){spec->control, spec->console, spec->lock, spec->status}, 4);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
}

_Noreturn void keeper_run(const struct launch_spec *spec, int socket, const char *console)
{
	struct keeper keeper = {.spec = spec, .socket = socket, .log = -1};
	struct error err = {""};
	sigset_t set;
	int r;

	prctl(PR_SET_NAME, "dach-keeper");
	close_others(spec);
	spare(&keeper, true);
	r = users_own(spec) ? own_ids_enter(CLONE_NEWNS | CLONE_NEWNET, &err) : 0;
	/* A user's, whose /proc would be root's then, is out of the container's reach by its user namespace. */
	if (!users_own(spec))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	keeper.shared = mmap(NULL, sizeof *keeper.shared, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (keeper.shared == MAP_FAILED)
		r = error_nomem(&err);
	if (!r)
		r = lines_begin(spec, &keeper.lines, &err);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	keeper.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!r && keeper.signals < 0)
		r = error_set(&err, errno, "signalfd: %s", strerror(errno));
	keeper.agent = spec->ids ? spec->agent : seal_copy(spec->agent);
	if (!r && keeper.agent < 0)
		r = error_set(&err, EIO, "dach-agent: no copy of it in memory");
	if (!r)
		r = root_make(spec, &err);
	for (unsigned i = 0; i < spec->lowers; i++)
		close(spec->lower[i].fd); /* nobody writes to them, and mounts have them */
	if (!r)
		r = lxc_make(spec, console, &keeper.container, &keeper.log, &err);
	if (!r)
		r = root_check_init(spec, &err);
	if (r)
		fail(&keeper, &err);
	answer(&keeper, 0, 0, &err);
	serve(&keeper);
	_exit(0);
}
