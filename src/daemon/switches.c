/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/switches.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/child.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "protocol/switch.h"

#define PROGRAM "dach-switch"
#define ANSWER_MS 5000

const char *switches_name(const struct guest *guest, unsigned i)
{
	const struct domain_vif *vif = &guest->config.vif[i];

	if (guest->daemon->root)
		return NULL;
	if (!vif->forwards && (!vif->mode || strcmp(vif->mode, "user")) && vif->bridge)
		return vif->bridge;
	return guest_is_container(guest) ? guest->config.uuid : NULL;
}

/* A socket's address has 108 bytes: so through the folder's descriptor. */
static int open_folder(const struct daemon *daemon, struct error *err)
{
	char path[PATH_MAX];
	int fd, r;

	if (snprintf(path, sizeof path, "%s/switches", daemon->run) >= (int)sizeof path)
		return error_set(err, ENAMETOOLONG, "%s: path too long", daemon->run);
	r = folder_make(path, 0700, err);
	if (r)
		return r;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : fd;
}

static int packet_socket(int folder, const char *name, struct sockaddr_un *at)
{
	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(at->sun_path, sizeof at->sun_path, "/proc/self/fd/%d/%s", folder, name);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static int start(int folder, const char *name, struct error *err)
{
	char program[PATH_MAX];
	struct sockaddr_un at;
	int listener, r = 0;
	pid_t pid = -1;

	if (folder_program(PROGRAM, "../libexec/dach/" PROGRAM, program, sizeof program))
		return error_set(err, ENOENT,
			PROGRAM " is neither beside this program nor in ../libexec/dach");
	unlinkat(folder, name, 0);
	listener = packet_socket(folder, name, &at);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) ||
		listen(listener, 16))
		r = error_set(err, errno, "the switch '%s': %s", name, strerror(errno));
	if (!r)
		pid = fork();
	if (!r && !pid)
		child_become(program, PROGRAM, &listener, 1);
	if (!r && pid < 0)
		r = error_set(err, errno, "the switch '%s': %s", name, strerror(errno));
	if (listener >= 0)
		close(listener);
	return r;
}

/* Hands it the port. */
static int give(int folder, const char *name, const struct switch_port *port, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)port, sizeof *port};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	struct sockaddr_un at;
	struct pollfd wait = {packet_socket(folder, name, &at), POLLIN, 0};
	char byte;
	int r = 0;

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(head), &fd, sizeof fd);
	if (wait.fd < 0 || connect(wait.fd, (struct sockaddr *)&at, sizeof at) ||
		sendmsg(wait.fd, &message, MSG_NOSIGNAL) < 0)
		r = -errno;
	else if (poll(&wait, 1, ANSWER_MS) <= 0)
		r = -ETIMEDOUT;
	else if (read(wait.fd, &byte, 1) != 1)
		r = -ECONNRESET;
	if (wait.fd >= 0)
		close(wait.fd);
	return r;
}

int switches_join(const struct guest *guest, unsigned vif, struct net_spec *spec, struct error *err)
{
	const char *name = switches_name(guest, vif);
	struct switch_port port = {.version = SWITCH_VERSION};
	int ends[2], folder = open_folder(guest->daemon, err), r;

	if (folder < 0)
		return folder;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends)) {
		r = error_set(err, errno, "socketpair: %s", strerror(errno));
		close(folder);
		return r;
	}
	net_spec_mac(spec, port.mac);
	r = give(folder, name, &port, ends[1]);
	/* There is none yet, or it has just ended. */
	if (r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE) {
		r = start(folder, name, err);
		if (!r)
			r = give(folder, name, &port, ends[1]);
	}
	close(folder);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return *err->text ? r
				  : error_set(err, -r,
					    "vifs[%u]: the switch '%s' does not take the guest: %s",
					    vif, name, strerror(-r));
	}
	spec->kind = NET_TAP;
	spec->fd = ends[0];
	return 0;
}
