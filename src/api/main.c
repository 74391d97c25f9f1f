/* SPDX-License-Identifier: Apache-2.0 */
/* dachd's main: words, signals, the background; the daemon and its wires. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/server.h"
#include "base/folder.h"
#include "base/io.h"
#include "daemon/daemon.h"
#include "daemon/peers.h"

#define IDLE_NOT_SAID (~0u)
#define IDLE_SECONDS 60
#define IDLE_LOOKS 4      /* while that long */
#define STATUS_ANOTHER 75 /* EX_TEMPFAIL: another daemon has the folder, or is just leaving it */

static const char usage[] =
	"dachd keeps this host's guests; as root all users', otherwise your own.\n"
	"Usage: dachd [OPTION]...\n"
	"\n"
	"  -b, --background     go into the background once it answers\n"
	"      --idle SECONDS   end after so long without guests and callers; 0: never, which is\n"
	"                       usual but in the background (60)\n"
	"      --policy FILE    who may have guests (/etc/dach/policy)\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"SIGHUP reads the policy again. SIGTERM ends dachd; guests go on and are found again.\n"
	"DACH_RUN and DACH_STATE name its folders: dachd(8).\n";

struct words {
	bool background, done;
	unsigned idle; /* seconds; 0: never; IDLE_NOT_SAID */
	const char *policy;
};

static int parse(int argc, char **argv, struct words *words)
{
	static const struct option options[] = {{"background", no_argument, NULL, 'b'},
		{"policy", required_argument, NULL, 'p'}, {"idle", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int option, end = 0;

	while ((option = getopt_long(argc, argv, "bhV", options, NULL)) != -1) {
		switch (option) {
		case 'b':
			words->background = true;
			break;
		case 'p':
			words->policy = optarg;
			break;
		case 'i':
			if (sscanf(optarg, "%5u%n", &words->idle, &end) != 1 || optarg[end]) {
				fprintf(stderr, "dachd: --idle: '%s' is no number of seconds\n",
					optarg);
				return -EINVAL;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			words->done = true;
			return 0;
		case 'V':
			puts("dachd " DACH_VERSION);
			words->done = true;
			return 0;
		default:
			fputs("dachd: see dachd --help\n", stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "dachd: %s: not understood; see dachd --help\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* Started because somebody asked, it ends when nobody has anything here any more. */
struct last_look {
	struct loop_timer timer;
	struct daemon *daemon;
	struct server *server;
	uint64_t limit, since; /* ns */
};

static void look_around(void *ctx)
{
	struct last_look *idle = ctx;
	const struct daemon *daemon = idle->daemon;
	const uint64_t now = clock_now();

	if (daemon->guests || daemon->operations || peers_are_listening(daemon)) {
		idle->since = now;
	} else if (now - idle->since >= idle->limit && server_retire(idle->server)) {
		log_add(&idle->daemon->log, "ends, since there is no guest and nobody asks");
		loop_stop(daemon->loop);
		return;
	}
	loop_timer_arm(&idle->timer, now + idle->limit / IDLE_LOOKS);
}

static void begin_idle(struct last_look *idle, struct daemon *daemon, struct server *server,
	const struct words *words)
{
	unsigned seconds = words->idle;

	if (seconds == IDLE_NOT_SAID)
		seconds = words->background ? IDLE_SECONDS : 0;
	*idle = (struct last_look){.daemon = daemon,
		.server = server,
		.limit = seconds * 1000000000ull,
		.since = clock_now()};
	loop_timer_init(&idle->timer, daemon->loop, look_around, idle);
	if (seconds)
		loop_timer_arm(&idle->timer, idle->since + idle->limit / IDLE_LOOKS);
}

struct signal_watch {
	struct loop_fd watch;
	struct daemon *daemon;
};

static void signalled(void *ctx, short revents)
{
	struct signal_watch *signals = ctx;
	struct signalfd_siginfo info;

	if (read(signals->watch.fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGHUP) {
		daemon_reload(signals->daemon);
	} else {
		log_add(&signals->daemon->log, "ends; guests go on");
		loop_stop(signals->daemon->loop);
	}
}

static int take_signals(struct signal_watch *signals, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not our end */
	/* Whether a monitor lives is asked of its lock; nobody waits for the process. */
	signal(SIGCHLD, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals->watch = (struct loop_fd){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = POLLIN,
		.ready = signalled,
		.ctx = signals};
	if (signals->watch.fd < 0)
		return error_set(err, errno, "signalfd: %s", strerror(errno));
	return 0;
}

/* In the background the log goes into a file. */
static const char *log_file(char path[PATH_MAX])
{
	size_t len;

	if (folder_state(path, PATH_MAX - 16, NULL) || folder_make(path, 0700, NULL))
		return NULL;
	len = strlen(path);
	snprintf(path + len, PATH_MAX - len, "/dachd.log");
	return path;
}

/*
 * The daemon itself is the child; the parent stays until it answers or has said why not. ready: what
 * the child writes a byte to. Returns only in the child.
 */
static int go_background(int *ready)
{
	int fds[2];
	pid_t pid;
	char byte;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) == 1 ? byte : 1);
	}
	close(fds[0]);
	setsid();
	*ready = fds[1];
	return 0;
}

static void leave_terminal(int ready)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (chdir("/"))
		return;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	if (write(ready, "", 1) == 1)
		close(ready);
}

/* systemd's word for "it answers" (sd_notify(3)): a datagram, without their library. */
static void tell_ready(void)
{
	static const char word[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof at.sun_path)
		return;
	memcpy(at.sun_path, path, len);
	if (*at.sun_path == '@')
		*at.sun_path = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, word, sizeof word - 1, MSG_NOSIGNAL, (struct sockaddr *)&at,
		offsetof(struct sockaddr_un, sun_path) + len);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}

static void raise_limits(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < 8192) {
		files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int main(int argc, char **argv)
{
	struct words words = {.idle = IDLE_NOT_SAID};
	struct last_look idle;
	struct daemon_options options = {0};
	struct signal_watch signals = {.watch = {.fd = -1}};
	struct server *server = NULL;
	struct error err = {0};
	const char busy = STATUS_ANOTHER;
	char log[PATH_MAX];
	int ready = -1, r = parse(argc, argv, &words);

	if (r || words.done)
		return r ? 1 : 0;
	io_hold_streams();
	raise_limits();
	umask(022);
	if (words.background)
		r = go_background(&ready);
	if (!r)
		r = take_signals(&signals, &err);
	options.policy = words.policy;
	options.log = words.background ? log_file(log) : NULL;
	if (!r)
		r = daemon_create(&options, &signals.daemon, &err);
	if (!r)
		r = server_create(signals.daemon, &server, &err);
	if (r) {
		daemon_destroy(signals.daemon);
		fprintf(stderr, "dachd: %s\n", *err.text ? err.text : strerror(-r));
		if (r == -EBUSY && words.background && write(ready, &busy, 1) != 1)
			return 1;
		return r == -EBUSY ? STATUS_ANOTHER : 1;
	}
	daemon_begin(signals.daemon);
	loop_fd_add(signals.daemon->loop, &signals.watch);
	if (words.background)
		leave_terminal(ready);
	tell_ready();
	begin_idle(&idle, signals.daemon, server, &words);
	daemon_run(signals.daemon);
	loop_timer_cancel(&idle.timer);
	server_stop(server);
	server_destroy(server);
	daemon_destroy(signals.daemon);
	return 0;
}
