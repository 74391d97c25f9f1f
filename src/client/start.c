/* SPDX-License-Identifier: Apache-2.0 */
#include "client/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/folder.h"

/* Of dachd: see its manual. */
#define STATUS_ANOTHER 75

int start_socket_path(char *buf, size_t size, struct error *err)
{
	char run[PATH_MAX];
	int r = folder_run(run, sizeof run, err);

	if (r)
		return r;
	if (snprintf(buf, size, "%s/dachd.sock", run) >= size)
		return error_set(err, ENAMETOOLONG, "%s: too long for a socket's folder", run);
	return 0;
}

static int find_daemon(char *path, size_t size, struct error *err)
{
	int r = folder_program("dachd", "../sbin/dachd", path, size);

	return r ? error_set(err, -r, "dachd is neither beside this program nor in ../sbin") : 0;
}

/* What the daemon said before it ended, its last line: that is the reason. */
static int failed(const char *said, int status, struct error *err)
{
	size_t len = strlen(said);
	const char *last;

	while (len && said[len - 1] == '\n')
		len--;
	last = memrchr(said, '\n', len);
	last = last ? last + 1 : said;
	if (len && status == STATUS_ANOTHER)
		return error_set(err, EBUSY, "%.*s", (int)(said + len - last), last);
	if (len)
		return error_set(err, ECONNREFUSED, "%.*s", (int)(said + len - last), last);
	return error_set(err, ECONNREFUSED, "dachd ended with status %d", status);
}

/* The daemon closes the pipe when it answers; if it ends before, it says why into it. */
static int wait_daemon(int fd, pid_t pid, struct error *err)
{
	char said[1024];
	size_t len = 0;
	int status;

	for (;;) {
		ssize_t n = read(fd, said + len, sizeof said - 1 - len);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			break;
		len += n > 0 ? n : 0;
		if (len == sizeof said - 1)
			len = 0;
	}
	said[len] = 0;
	/* It goes into the background itself: our child ends at once, 0 if all is well. */
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return failed(said, 1, err);
	return WEXITSTATUS(status) ? failed(said, WEXITSTATUS(status), err) : 0;
}

/* Where a unit may lie: the distribution's, one that was installed by hand, an administrator's own. */
static bool is_service(void)
{
	static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"};
	char path[64];

	if (access("/run/systemd/system", F_OK))
		return false;
	for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/dachd.service", folders[i]);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

int start_daemon(struct error *err)
{
	char path[PATH_MAX];
	int fds[2];
	pid_t pid;
	int r;

	if (getuid() == 0 && !getenv("DACH_RUN") && is_service())
		return error_set(err, ECONNREFUSED, "dachd does not run: systemctl start dachd");
	r = find_daemon(path, sizeof path, err);
	if (r)
		return r;
	if (pipe2(fds, O_CLOEXEC))
		return error_set(err, errno, "cannot start dachd: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(fds[1], 2);
		execl(path, "dachd", "--background", NULL);
		dprintf(2, "%s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	r = pid < 0 ? error_set(err, errno, "cannot start dachd: %s", strerror(errno))
		    : wait_daemon(fds[0], pid, err);
	close(fds[0]);
	return r;
}
