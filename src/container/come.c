/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to a container that runs, and goes. Whoever does this enters one namespace of the container's, and runs nothing there:
 * the container does not see him.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container/internal.h"
#include "links/link.h"

static int enter(struct lxc_container *container, const char *space, int kind, struct error *err)
{
	const pid_t init = container->init_pid(container);
	char path[64];
	int fd = -1;

	snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)init, space);
	if (init > 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, kind))
		error_set(err, init > 0 ? errno : ESRCH, "the container cannot be entered: %s",
			init > 0 ? strerror(errno) : "it has ended");
	else
		err->text[0] = 0;
	if (fd >= 0)
		close(fd);
	return err->text[0] ? -EIO : 0;
}

int come_link(struct lxc_container *container, const char *name, unsigned number, struct error *err)
{
	char there[16];
	int r;

	snprintf(there, sizeof there, LINK_THERE, number);
	if (!container->attach_interface(container, name, there))
		return error_set(err, EIO, "%s: liblxc does not give it to the container as %s",
			name, there);
	r = enter(container, "net", CLONE_NEWNET, err);
	return r ? r : link_change(there, &(struct link_change){.up = true}, err);
}
