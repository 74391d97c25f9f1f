/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/resources.h"

#define STARTTIME 22 /* its number among the fields of /proc/PID/stat */

/* Also called between fork and exec. */
uint64_t process_start(pid_t pid)
{
	char path[32], text[1024];
	const char *at;
	ssize_t len;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof text - 1);
	close(fd);
	text[len > 0 ? len : 0] = 0;
	/* The second field is a name in parentheses, which may hold anything. */
	at = strrchr(text, ')');
	for (unsigned field = 2; at && field < STARTTIME; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

void process_open(struct guest *guest, pid_t pid, uint64_t start)
{
	process_close(guest);
	guest->pid = pid;
	if (pid <= 0)
		return;
	guest->process.fd = pidfd_open(pid, 0);
	/* Asked after the descriptor is there: it is then of the process that began at that time, or of none. */
	if (start && guest->process.fd >= 0 && process_start(pid) != start)
		process_close(guest);
}

void process_close(struct guest *guest)
{
	if (guest->process.ready)
		loop_fd_remove(guest->daemon->loop, &guest->process);
	if (guest->process.fd >= 0)
		close(guest->process.fd);
	guest->process = (struct loop_fd){.fd = -1};
}

bool process_runs(const struct guest *guest)
{
	struct pollfd ended = {.fd = guest->process.fd, .events = POLLIN};

	return guest->process.fd >= 0 && !poll(&ended, 1, 0);
}

bool process_left(const struct guest *guest)
{
	return process_runs(guest) || resources_end(guest) == -EBUSY;
}

/* A lock is shown with the descriptor that has it, also with one that was inherited: proc(5), fdinfo. */
static bool has_lock(const char *pid, const struct stat *lock)
{
	char path[64], text[1024];
	struct dirent *entry;
	struct stat st;
	bool found = false;
	ssize_t len;
	DIR *files;
	int fd;

	snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
	files = opendir(path);
	while (files && !found && (entry = readdir(files))) {
		if (fstatat(dirfd(files), entry->d_name, &st, 0) || st.st_dev != lock->st_dev ||
			st.st_ino != lock->st_ino)
			continue;
		snprintf(path, sizeof path, "/proc/%.16s/fdinfo/%.16s", pid, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		text[len > 0 ? len : 0] = 0;
		found = strstr(text, "\nlock:");
	}
	if (files)
		closedir(files);
	return found;
}

/* Those that have the guest's lock from the monitor, which has ended. */
static bool kill_heirs(const struct guest *guest)
{
	struct dirent *entry;
	bool found = false;
	struct stat lock;
	DIR *all;
	int fd;

	if (launch_open_file(guest, "lock", O_RDONLY, &fd, NULL))
		return false;
	all = fstat(fd, &lock) ? NULL : opendir("/proc");
	close(fd);
	while (all && (entry = readdir(all))) {
		const pid_t pid = atoi(entry->d_name);

		/* The descriptor comes first: what is seen after it is then seen of the process that it is of. */
		fd = pid > 0 && pid != getpid() ? pidfd_open(pid, 0) : -1;
		if (fd < 0)
			continue;
		if (has_lock(entry->d_name, &lock))
			found |= !pidfd_send_signal(fd, SIGKILL, NULL, 0);
		close(fd);
	}
	if (all)
		closedir(all);
	return found;
}

bool process_kill(const struct guest *guest)
{
	bool found = resources_kill(guest);

	if (!process_runs(guest))
		return guest->daemon->cgroup ? found : kill_heirs(guest);
	/* Its number is that of its group, too, as long as it has not ended. */
	if (!guest->daemon->cgroup)
		kill(-guest->pid, SIGKILL);
	pidfd_send_signal(guest->process.fd, SIGKILL, NULL, 0);
	return true;
}
