/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/sandbox.h"
#include "share/message.h"
#include "share/server.h"
#include "virtio/fs.h"

#define FILES_MAX 65536u /* descriptors of a server */
#define FILES_MIN 256u
#define SOCKET_ROOM (4 * SHARE_BYTES_MAX)

struct one_share {
	const struct share_spec *what;
	pid_t pid;
	int socket;
	struct virtio_fs *fs;
};

struct shares {
	struct guest_monitor *monitor; /* for the walls of the devices' threads */
	unsigned count;
	struct one_share one[LIMIT_SHARES];
};

/* The process */

/* What it has open. */
enum { SOCKET, FOLDER };

struct share_process {
	bool read_only;
	const struct sandbox_user *user;
};

/* As many descriptors as it may have: folders that the guest uses, and files that it has open. */
static int raise_files(unsigned *files, struct error *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		limit.rlim_max = 0;
	if (limit.rlim_max > FILES_MAX)
		limit.rlim_max = FILES_MAX;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < FILES_MIN || setrlimit(RLIMIT_NOFILE, &limit))
		return error_set(err, EMFILE, "a shared folder needs %u open files (ulimit -n)",
			FILES_MIN);
	*files = (unsigned)limit.rlim_max;
	return 0;
}

/* The server, and all that it may do from here on. */
static int wall_in(const struct share_process *what, struct share_server **server,
	struct error *err)
{
	struct share_options options = {.read_only = what->read_only};
	int root = -1;
	struct vmm_needs needs = {.kvm = false};
	const struct sandbox walls = {.calls = vmm_calls, .ctx = &needs};
	int r = raise_files(&options.files, err);

	if (!r)
		r = sandbox_folder(FOLDER, what->read_only, what->user, &root, &options.rooted,
			err);
	if (!r)
		r = share_server_create(root, &options, server, err);
	if (!r &&
		(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) ||
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
		r = error_set(err, errno, "no limits for who serves a folder: %s", strerror(errno));
	return r ? r : sandbox_calls(CALLS_SERVER, &walls, err);
}

/* Nothing stays open but these two, whatever the monitor has. */
static bool keep(int socket, int folder)
{
	const int from[] = {fcntl(socket, F_DUPFD, FOLDER + 1), fcntl(folder, F_DUPFD, FOLDER + 1)};

	return from[0] >= 0 && from[1] >= 0 && dup2(from[0], SOCKET) >= 0 &&
		dup2(from[1], FOLDER) >= 0 && !close_range(FOLDER + 1, ~0u, 0);
}

static _Noreturn void process(const struct share_process *what, int socket, int folder)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2,
		SIGXFSZ, SIGPIPE};
	struct share_server *server = NULL;
	struct error err = {""};
	int r;

	/* What a terminal or an administrator means for the monitor is not for it. */
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "dach-share", 0, 0, 0);
	if (!keep(socket, folder))
		_exit(1);
	umask(0); /* the guest has its own */
	r = wall_in(what, &server, &err);
	/* The first message is how that went. */
	if (send(SOCKET, err.text, strlen(err.text) + 1, MSG_NOSIGNAL) >= 0 && !r)
		share_serve(server, SOCKET);
	_exit(0);
}

/* The monitor's side */

static int hear_begin(const struct one_share *share, struct error *err)
{
	char text[sizeof err->text] = "";

	if (recv(share->socket, text, sizeof text - 1, 0) <= 0)
		return error_set(err, EIO, "shared folder %s: the process that serves it has ended",
			share->what->folder);
	return *text ? error_set(err, EIO, "shared folder %s: %s", share->what->folder, text) : 0;
}

static int start(struct one_share *share, const struct share_spec *what,
	const struct sandbox_user *user, struct error *err)
{
	const struct share_process process_of = {what->read_only, user};
	const int room = SOCKET_ROOM;
	int sockets[2], folder = what->fd;

	if (folder < 0)
		folder = open(what->folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return error_set(err, errno, "%s: %s", what->folder, strerror(errno));

	share->what = what;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		close(folder);
		return error_set(err, errno, "no process for a shared folder: %s", strerror(errno));
	}
	for (unsigned i = 0; i < 2; i++)
		setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	share->socket = sockets[0];
	share->pid = fork();
	if (!share->pid)
		process(&process_of, sockets[1], folder);
	close(sockets[1]);
	close(folder);
	if (share->pid < 0)
		return error_set(err, errno, "no process for a shared folder: %s", strerror(errno));
	return hear_begin(share, err);
}

int shares_open(const struct vmm_config *config, struct guest_monitor *monitor, struct shares **out,
	struct error *err)
{
	struct shares *shares;
	int r = 0;

	*out = NULL;
	if (!config->shares)
		return 0;
	shares = calloc(1, sizeof *shares);
	if (!shares)
		return error_nomem(err);
	shares->monitor = monitor;
	for (unsigned i = 0; i < LIMIT_SHARES; i++)
		shares->one[i] = (struct one_share){.socket = -1, .pid = -1};
	while (!r && shares->count < config->shares) {
		r = start(&shares->one[shares->count], &config->share[shares->count],
			&config->owner, err);
		shares->count++;
	}
	*out = shares;
	return r;
}

void shares_needs(const struct shares *shares, struct vmm_needs *needs)
{
	for (unsigned i = 0; shares && i < shares->count; i++) {
		needs->share[i] = shares->one[i].socket;
		needs->server[i] = shares->one[i].pid;
		needs->shares++;
	}
}

static void lost(void *ctx)
{
	const struct one_share *share = ctx;

	fprintf(stderr,
		"dach: the process that serves %s has ended: the guest gets I/O errors there\n",
		share->what->folder);
}

/* What a nest's thread gets. */
struct share_making {
	struct shares *shares;
	struct machine *machine;
	struct error *err;
};

static int make(void *ctx)
{
	const struct share_making *m = ctx;
	int r = 0;

	for (unsigned i = 0; !r && i < m->shares->count; i++) {
		struct one_share *share = &m->shares->one[i];
		const struct virtio_fs_owner owner = {share, lost};
		char tag[VIRTIO_FS_TAG];

		snprintf(tag, sizeof tag, SHARE_TAG, i);
		r = virtio_fs_create(machine_pci(m->machine), machine_memory(m->machine), tag,
			share->socket, &owner, &share->fs, m->err);
	}
	return r;
}

int shares_create(struct shares *shares, struct machine *machine, struct error *err)
{
	struct share_making making = {shares, machine, err};

	return shares ? monitor_walled(shares->monitor, CALLS_SHARE, make, &making, err) : 0;
}

void shares_destroy(struct shares *shares)
{
	for (unsigned i = 0; shares && i < shares->count; i++) {
		struct one_share *share = &shares->one[i];

		virtio_fs_destroy(share->fs);
		if (share->socket >= 0)
			close(share->socket);
		/* It ends when it reads the end; one that is lost in a disk does not. One of another user's is not ours to kill. */
		if (share->pid > 0 && !kill(share->pid, SIGKILL))
			waitpid(share->pid, NULL, 0);
	}
	free(shares);
}
