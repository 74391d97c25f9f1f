/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "daemon/migration.h"
#include "daemon/child.h"
#include "daemon/claims.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/holder.h"
#include "daemon/links.h"
#include "daemon/live_update.h"
#include "daemon/note.h"
#include "daemon/process.h"
#include "daemon/resources.h"
#include "daemon/spec.h"

#define MARK ".state"
#define LAUNCH_FILE_MAX 32

static int folder_path(const struct guest *guest, const char *file, char *path, size_t size,
	struct error *err)
{
	if (snprintf(path, size, "%s/guests/%s%s%s", guest->daemon->run, guest->config.uuid,
		    *file ? "/" : "", file) >= size)
		return error_set(err, ENAMETOOLONG, "%s: path too long", guest->daemon->run);
	return 0;
}

int launch_open_file(const struct guest *guest, const char *file, int flags, int *fd,
	struct error *err)
{
	char path[PATH_MAX];
	int r = folder_path(guest, file, path, sizeof path, err);

	if (r)
		return r;
	*fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
}

void launch_remove_file(const struct guest *guest, const char *file)
{
	char path[PATH_MAX];

	if (!folder_path(guest, file, path, sizeof path, NULL))
		unlink(path);
}

/* What a monitor has of its own; the lock is last: where it is, all of them are. */
static const char *const own_files[] = {"control", "console", "screen", "status", "lock"};
#define OWN_FILES (sizeof own_files / sizeof *own_files)

/* A file of the monitor's, or of the next one's. */
static const char *file_name(const char *file, bool next, char text[LAUNCH_FILE_MAX])
{
	snprintf(text, LAUNCH_FILE_MAX, "%s%s", file, next ? ".next" : "");
	return text;
}

void launch_remove_next(const struct guest *guest)
{
	char name[LAUNCH_FILE_MAX];

	for (size_t i = 0; i < OWN_FILES; i++)
		launch_remove_file(guest, file_name(own_files[i], true, name));
}

int launch_take_next(const struct guest *guest, struct error *err)
{
	char from[PATH_MAX], to[PATH_MAX], name[LAUNCH_FILE_MAX];
	int r = 0;

	for (size_t i = 0; !r && i < OWN_FILES; i++) {
		r = folder_path(guest, file_name(own_files[i], true, name), from, sizeof from, err);
		if (!r)
			r = folder_path(guest, own_files[i], to, sizeof to, err);
		if (!r && rename(from, to) && errno != ENOENT)
			r = error_set(err, errno, "%s: %s", from, strerror(errno));
	}
	return r;
}

void launch_remove(struct guest *guest)
{
	static const char *const files[] = {"output", "saving", "disks"};
	char path[PATH_MAX];

	links_remove(guest);
	launch_remove_next(guest);
	for (size_t i = 0; i < OWN_FILES; i++)
		launch_remove_file(guest, own_files[i]);
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
		launch_remove_file(guest, files[i]);
	for (unsigned note = 0; note < NOTES; note++)
		note_forget(guest, note);
	if (!folder_path(guest, "", path, sizeof path, NULL))
		rmdir(path);
	resources_end(guest);
}

static int mark_path(const struct guest *guest, char *path, size_t size, struct error *err)
{
	int r = folder_path(guest, "", path, size - 8, err);

	if (!r)
		strcat(path, MARK);
	return r;
}

int launch_mark_state(const struct guest *guest, struct error *err)
{
	char path[PATH_MAX];
	int fd, r = mark_path(guest, path, sizeof path, err);

	if (r)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

void launch_unmark_state(const struct guest *guest)
{
	char path[PATH_MAX];

	if (!mark_path(guest, path, sizeof path, NULL))
		unlink(path);
}

bool launch_is_marked(const struct guest *guest)
{
	char path[PATH_MAX];

	return !mark_path(guest, path, sizeof path, NULL) && !access(path, F_OK);
}

void launch_unmark_strangers(const struct daemon *daemon)
{
	char path[PATH_MAX], uuid[DOMAIN_UUID_LEN + 1];
	const struct dirent *entry;
	DIR *folder;

	if (snprintf(path, sizeof path, "%s/guests", daemon->run) >= sizeof path ||
		!(folder = opendir(path)))
		return;
	while ((entry = readdir(folder))) {
		if (strlen(entry->d_name) != DOMAIN_UUID_LEN + strlen(MARK) ||
			strcmp(entry->d_name + DOMAIN_UUID_LEN, MARK))
			continue;
		snprintf(uuid, sizeof uuid, "%.*s", DOMAIN_UUID_LEN, entry->d_name);
		for (const struct guest *at = daemon->guests; at; at = at->next)
			if (!strcmp(at->config.uuid, uuid))
				uuid[0] = 0;
		if (uuid[0])
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	closedir(folder);
}

static int make_folder(struct guest *guest, struct error *err)
{
	char path[PATH_MAX];
	int r = folder_path(guest, "", path, sizeof path, err);

	if (r)
		return r;
	launch_remove(guest);
	if (mkdir(path, 0700) && errno != EEXIST)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

/* A socket's address has 108 bytes: so through the folder's descriptor. */
static int address(const struct guest *guest, const char *file, struct sockaddr_un *at, int *folder,
	struct error *err)
{
	char path[PATH_MAX];
	int r = folder_path(guest, "", path, sizeof path, err);

	if (r)
		return r;
	*folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(at->sun_path, sizeof at->sun_path, "/proc/self/fd/%d/%s", *folder, file);
	return 0;
}

static int make_socket(const struct guest *guest, const char *file, int *fd, struct error *err)
{
	struct sockaddr_un at;
	int folder, r = address(guest, file, &at, &folder, err);

	if (r)
		return r;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&at, sizeof at) || listen(*fd, 16))
		r = error_set(err, errno, GUEST_LABEL ": %s socket: %s", guest->config.name, file,
			strerror(errno));
	close(folder);
	return r;
}

int launch_connect(struct guest *guest, const char *file, int *fd, struct error *err)
{
	struct sockaddr_un at;
	int folder, r = address(guest, file, &at, &folder, err);

	*fd = -1;
	if (r)
		return r;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || connect(*fd, (struct sockaddr *)&at, sizeof at)) {
		r = error_set(err, errno, GUEST_LABEL ": its monitor does not answer: %s",
			guest->config.name, strerror(errno));
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
	close(folder);
	return r;
}

/* Room for what will be written: last words must not fall to a full disk. */
static int reserve(const struct guest *guest, int fd, struct error *err)
{
	if (!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096) || errno != ENOSPC)
		return 0;
	return error_set(err, ENOSPC, "%s: no space left on the disk", guest->daemon->run);
}

/*
 * The lock belongs to the open file, which the monitor gets read-only: what stands in it is the
 * daemon's word. It is taken here, before there is a process.
 */
static int make_lock(const struct guest *guest, const char *name, int *fd, int *content,
	struct error *err)
{
	int r = launch_open_file(guest, name, O_WRONLY | O_CREAT | O_TRUNC, content, err);

	if (!r)
		r = reserve(guest, *content, err);
	if (!r)
		r = launch_open_file(guest, name, O_RDONLY, fd, err);
	if (!r && flock(*fd, LOCK_EX | LOCK_NB))
		r = error_set(err, errno, GUEST_LABEL ": its lock: %s", guest->config.name,
			strerror(errno));
	return r;
}

/* A host may keep its daemon from being killed when memory runs out; a guest is not to be spared so. */
static void forgo_protection(void)
{
	char now[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && read(fd, now, sizeof now - 1) > 0 && *now == '-' && write(fd, "0", 1) != 1)
		dprintf(2, "a monitor keeps the daemon's OOM score\n");
	if (fd >= 0)
		close(fd);
}

/* The child, up to exec. Only what may be called between fork and exec. */
static void child(const struct guest *guest, const struct spec_files *files, int content,
	const int gate[2])
{
	struct rlimit no_core = {0, 0};
	int fds[LAUNCH_FD + 1 + LAUNCH_FDS_MAX] = {files->null, files->output, files->output,
		files->written};
	const char *argv[] = {"dach-vmm", NULL, NULL};
	char text[64], byte;
	int len;

	/* Not before the parent has put it where it belongs; not at all if the parent has ended. */
	close(gate[1]);
	if (read(gate[0], &byte, 1) != 1)
		_exit(127);
	child_begin();
	setrlimit(RLIMIT_CORE, &no_core);
	forgo_protection();
	len = snprintf(text, sizeof text, "%u %d %llu\n", guest->domid, getpid(),
		(unsigned long long)process_start(getpid()));
	if (write(content, text, len) != len)
		_exit(127);
	memcpy(fds + LAUNCH_FD + 1, files->fd, files->count * sizeof *files->fd);
	child_take(fds, LAUNCH_FD + 1 + files->count);
	if (guest_is_container(guest)) {
		argv[0] = "dach-ct";
		if (guest->config.container.privileged || !guest->daemon->root)
			argv[1] = CONTAINER_SEALED;
	}
	child_exec(files->program, argv);
}

static int spawn(struct guest *guest, struct spec_files *files, int content, struct error *err)
{
	sigset_t all, old;
	int gate[2], r = 0;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC))
		return error_set(err, errno, "cannot start a monitor: %s", strerror(errno));
	/* No handler of ours is to run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (!pid)
		child(guest, files, content, gate);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(gate[0]);
	if (pid < 0) {
		r = error_set(err, errno, "cannot start a monitor: %s", strerror(errno));
	} else {
		process_open(guest, pid, 0);
		resources_begin(guest);
		if (write(gate[1], "", 1) != 1)
			r = error_set(err, errno, "cannot start a monitor: %s", strerror(errno));
	}
	close(gate[1]);
	return r;
}

/* The monitor's own files, and who it becomes. */
static int open_own(struct guest *guest, struct spec_files *files, bool next, int *content,
	struct error *err)
{
	struct launch_spec *spec = &files->spec;
	char name[LAUNCH_FILE_MAX];
	int r;

	if (guest->daemon->root)
		spec->uid = spec->gid = LIMIT_UIDS_FIRST + guest->domid % LIMIT_UIDS;
	r = make_socket(guest, file_name("control", next, name), &spec->control, err);
	if (!r)
		r = make_socket(guest, file_name("console", next, name), &spec->console, err);
	if (!r && spec->machine.vnc)
		r = make_socket(guest, file_name("screen", next, name), &spec->screen, err);
	if (!r)
		r = launch_open_file(guest, file_name("status", next, name),
			O_RDWR | O_CREAT | O_TRUNC, &spec->status, err);
	if (!r)
		r = reserve(guest, spec->status, err);
	if (!r)
		r = launch_open_file(guest, "output",
			O_WRONLY | O_CREAT | O_APPEND | (next ? 0 : O_TRUNC), &files->output, err);
	return r ? r : make_lock(guest, file_name("lock", next, name), &spec->lock, content, err);
}

/* All that it is given is open but what a monitor has of its own. */
static int launch(struct guest *guest, struct spec_files *files, bool next, struct error *err)
{
	int content = -1, r = open_own(guest, files, next, &content, err);

	if (!r)
		r = spec_write(files, err);
	if (!r)
		r = spawn(guest, files, content, err);
	if (content >= 0)
		close(content);
	return r;
}

int launch_start_next(struct guest *guest, struct error *err)
{
	struct spec_files files;
	int r = spec_init(&files, err);

	if (r)
		return r;
	launch_remove_next(guest);
	r = spec_open(guest, &files, err);
	if (!r)
		r = claims_same(guest, &files.spec, err);
	if (!r)
		r = launch(guest, &files, true, err);
	spec_close(&files);
	if (r)
		launch_remove_next(guest);
	return r;
}

int launch_start(struct guest *guest, struct error *err)
{
	struct spec_files files;
	struct launch_spec *spec = &files.spec;
	int disks = -1;
	int r = spec_init(&files, err);

	if (r)
		return r;
	r = make_folder(guest, err);
	if (!r)
		r = migration_begin(guest, err);
	if (!r)
		r = spec_open(guest, &files, err);
	if (!r)
		r = holder_check(guest, spec, err);
	if (!r)
		r = launch_open_file(guest, "disks", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
			&disks, err);
	if (!r)
		r = claims_take(guest, spec, disks, err);
	if (disks >= 0)
		close(disks);
	if (!r)
		r = launch(guest, &files, false, err);
	spec_close(&files);
	if (r) {
		migration_not_begun(guest);
		launch_remove(guest);
	}
	return r;
}

static enum launch_life look(struct guest *guest, const char *lock)
{
	char text[64] = "";
	unsigned long long start;
	unsigned domid;
	int fd, pid;
	enum launch_life life = LAUNCH_NOT_BEGUN;

	if (launch_open_file(guest, lock, O_RDONLY, &fd, NULL))
		return life;
	if (read(fd, text, sizeof text - 1) > 0 &&
		sscanf(text, "%u %d %llu", &domid, &pid, &start) == 3 && domid == guest->domid) {
		if (guest->process.fd < 0)
			process_open(guest, pid, start);
		life = LAUNCH_ENDED;
	}
	if (flock(fd, LOCK_EX | LOCK_NB))
		life = LAUNCH_ALIVE;
	close(fd);
	return life;
}

bool launch_look_next(struct guest *guest)
{
	return look(guest, "lock.next") == LAUNCH_ALIVE;
}

enum launch_life launch_look(struct guest *guest)
{
	const enum launch_life life = look(guest, "lock");

	return process_left(guest) ? LAUNCH_ALIVE : life;
}

void launch_last_words(struct guest *guest)
{
	char text[END_REPORT_MAX];
	struct end_report report;
	bool said = true;
	ssize_t len = -1;
	int fd;

	if (!launch_open_file(guest, "status", O_RDONLY, &fd, NULL)) {
		len = io_read_all(fd, text, sizeof text);
		close(fd);
	}
	if (len <= 0 || end_report_read(text, len, &report)) {
		said = false;
		report.reason = END_CRASH;
		snprintf(report.error.text, sizeof report.error.text,
			"its monitor was killed or failed");
	}
	guest->reason = report.reason;
	snprintf(guest->text, sizeof guest->text, "%s", report.error.text);
	migration_ended(guest, said ? &report : NULL);
	live_update_ended(guest);
}
