/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/connector.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/address.h"

#define TIMEOUT_MS 10000u

/* The process */

union one_fd {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* The byte that was asked by, and what is behind it: a connection, or why there is none. */
static bool answer(char asked, int fd, const struct error *err)
{
	union one_fd file = {.header = {.cmsg_level = SOL_SOCKET,
				     .cmsg_type = SCM_RIGHTS,
				     .cmsg_len = CMSG_LEN(sizeof fd)}};
	struct iovec text[] = {{&asked, 1}, {(void *)(uintptr_t)err->text, strlen(err->text)}};
	struct msghdr message = {.msg_iov = text, .msg_iovlen = 2};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&file.header), &fd, sizeof fd);
		message.msg_control = &file;
		message.msg_controllen = sizeof file;
	}
	return sendmsg(0, &message, MSG_NOSIGNAL) >= 0;
}

static void serve(const struct nbd_address *address)
{
	bool good = true;
	char asked;

	while (good && read(0, &asked, 1) == 1) {
		struct error err = {""};
		int fd = -1;

		nbd_connect(address, TIMEOUT_MS, &fd, &err);
		good = answer(asked, fd, &err);
		if (fd >= 0)
			close(fd);
	}
}

/* What a terminal or an administrator means for the monitor is not for it: it ends when that one has. */
static _Noreturn void process(const struct nbd_address *address, const struct sandbox_user *user,
	int socket)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2};
	struct error err = {""};

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "dach-connect", 0, 0, 0);
	if (dup2(socket, 0) == 0 && !close_range(1, ~0u, 0) && !chdir("/") &&
		!sandbox_owner(user, &err))
		serve(address);
	_exit(0);
}

/* The monitor's side */

int connector_start(const char *name, const struct sandbox_user *user, int *fd, struct error *err)
{
	struct nbd_address *address;
	int sockets[2], r;
	pid_t pid;

	if (!disk_is_remote(name))
		return 0;
	address = malloc(sizeof *address);
	r = address ? nbd_address_parse(name, address, err) : error_nomem(err);
	if (!r && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		r = error_set(err, errno, "%s: no process to connect: %s", name, strerror(errno));
	if (r) {
		free(address);
		return r;
	}
	pid = fork();
	if (!pid)
		process(address, user, sockets[1]);
	free(address);
	close(sockets[1]);
	if (pid < 0) {
		close(sockets[0]);
		return error_set(err, errno, "%s: no process to connect: %s", name,
			strerror(errno));
	}
	*fd = sockets[0];
	return 0;
}

int connectors_start(struct disk_spec *spec, const struct sandbox_user *user, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < spec->files; i++)
		if (spec->file[i].fd < 0)
			r = connector_start(spec->file[i].name, user, &spec->file[i].fd, err);
	return r;
}

bool connector_needed(const struct disk_spec *spec)
{
	bool any = false;

	for (unsigned i = 0; i < spec->files; i++)
		any = any || disk_is_remote(spec->file[i].name);
	return any;
}
