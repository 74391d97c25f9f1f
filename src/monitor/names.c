/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/names.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"

#define HOST_FILE NAMES_FOLDER "/" NAMES_FILE
#define NEW_FILE NAMES_FILE ".new"
/* A look at the file each time: one system call, wherever its folders and links are. */
#define PERIOD_MS 2000

/* The new one is whole before it has the name, and it is another file: libslirp sees that it is new. */
static bool copy(int folder)
{
	int from = open(HOST_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), to = -1;
	char *text = NULL;
	size_t size;
	bool good = from >= 0 && !io_read_file(from, NAMES_MAX, &text, &size);

	if (good) {
		to = openat(folder, NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
		good = to >= 0 && !fchmod(to, 0444) && !io_write_all(to, text, size) &&
			!renameat(folder, NEW_FILE, folder, NAMES_FILE);
	}
	free(text);
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return good;
}

/* The process */

union one_fd {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* The folder, once the monitor has one; -1: it will not have any. */
static int receive_folder(int socket)
{
	char byte;
	struct iovec text = {&byte, 1};
	union one_fd file;
	struct msghdr message = {.msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = &file,
		.msg_controllen = sizeof file};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		!memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) &&
		!memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim);
}

/* Until the monitor has gone. A file that is not there, or cannot be read, leaves the last one. */
static void follow(int socket, int folder)
{
	struct pollfd end = {.fd = socket, .events = POLLIN};
	struct stat now, last = {0};
	bool told = false;

	do {
		if (!stat(HOST_FILE, &now) && !same_file(&now, &last) && copy(folder))
			last = now;
		if (!told)
			told = write(socket, "", 1) == 1;
	} while (poll(&end, 1, PERIOD_MS) == 0);
}

/* It can read what anybody can, and nobody can look into it. */
static bool give_up_rights(const struct names_process *names)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	if (!geteuid() && names->uid &&
		(setgroups(0, NULL) || setresgid(names->gid, names->gid, names->gid) ||
			setresuid(names->uid, names->uid, names->uid)))
		return false;
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_capset, &header, none) &&
		!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* What a terminal or an administrator means for the monitor is not for it: it ends when that one has. */
static _Noreturn void process(const struct names_process *names, int socket)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2};
	int folder;

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "dach-names", 0, 0, 0);
	if (dup2(socket, 0) == 0 && !close_range(1, ~0u, 0) && !chdir("/") &&
		give_up_rights(names)) {
		folder = receive_folder(0);
		if (folder >= 0)
			follow(0, folder);
	}
	_exit(0);
}

/* The monitor's side */

bool names_begin(struct names_process *names, uid_t uid, gid_t gid)
{
	int sockets[2];
	pid_t pid;

	*names = (struct names_process){.socket = -1, .uid = uid, .gid = gid};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return false;
	pid = fork();
	if (!pid)
		process(names, sockets[1]);
	close(sockets[1]);
	if (pid < 0)
		close(sockets[0]);
	else
		names->socket = sockets[0];
	return pid > 0;
}

static bool send_folder(const struct names_process *names, int folder)
{
	struct iovec text = {"", 1};
	union one_fd file = {.header = {.cmsg_level = SOL_SOCKET,
				     .cmsg_type = SCM_RIGHTS,
				     .cmsg_len = CMSG_LEN(sizeof folder)}};
	struct msghdr message = {.msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = &file,
		.msg_controllen = sizeof file};

	memcpy(CMSG_DATA(&file.header), &folder, sizeof folder);
	return sendmsg(names->socket, &message, MSG_NOSIGNAL) == 1;
}

bool names_follow(const struct names_process *names, const char *path)
{
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char byte;
	bool good = folder >= 0 && send_folder(names, folder) && read(names->socket, &byte, 1) == 1;

	if (folder >= 0)
		close(folder);
	return good;
}

void names_end(struct names_process *names)
{
	if (names->socket >= 0)
		close(names->socket);
	names->socket = -1;
}
