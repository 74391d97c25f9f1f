/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beside the guest's own system: the kernel starts us in place of the ramdisk's /init. The first process becomes
 * that, as if we had not been there, and a second one stays. It has mounts of its own that nobody sees, follows
 * the first process into the root that it goes to, and serves commands there.
 *
 * A name that begins with '@' is what systemd does not end when it leaves the ramdisk
 * (https://systemd.io/ROOT_STORAGE_DAEMONS/). Once there, we are a process as any other and end at a shutdown.
 *
 * In a system that runs already (qemu-guest-agent has started us there) we are that from the beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"

#define INIT "/init"
#define PLACE "/dach-mount"
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 2000
#define MOUNTS 8u
#define JOIN_TRIES 200 /* to find the port, 10 ms each */
/* A ramdisk that goes nowhere, or a root that stays read-only, is then a place to look around in. */
#define SETTLE_MS 60000

static struct {
	int proc, sys, dev;
	char *name;          /* argv[0] */
	char first;          /* of its letters, as it was */
	struct stat place;   /* our root */
	bool settled, ready; /* that is where the guest's system is; and it has its file systems */
	struct timespec begun;
	struct wanted {
		char payload[AGENT_MOUNT_MAX];
		size_t size;
		bool mounted;
	} mount[MOUNTS]; /* each once, however often we are told */
	unsigned mounts;
} beside = {.proc = -1, .sys = -1, .dev = -1};

/* A mount that is nowhere to be seen. -1: there is none. */
static int private_mount(const char *type)
{
	int fd = -1;

	if (mkdir(PLACE, 0700) && errno != EEXIST)
		return -1;
	if (!mount(type, PLACE, type, MS_NOSUID, NULL)) {
		fd = open(PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
		umount2(PLACE, MNT_DETACH);
	}
	rmdir(PLACE);
	return fd;
}

/* As the kernel does where the ramdisk has no /init: the root is mounted, and its own init started. */
static void start_system(char **argv)
{
	static const char *const inits[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
	char own[256], why[256] = "";

	system_mounts();
	if (system_root(why, sizeof why)) {
		fprintf(stderr, "dach: %s\n", why);
		return;
	}
	if (system_word("init", own, sizeof own)) {
		argv[0] = own;
		execv(own, argv);
	}
	for (size_t i = 0; i < sizeof inits / sizeof *inits; i++) {
		argv[0] = (char *)inits[i];
		execv(inits[i], argv);
	}
}

/* The first process: what the kernel would have started. */
static _Noreturn void become_init(char **argv)
{
	unlink(AGENT_BESIDE);
	if (access(INIT, X_OK)) {
		start_system(argv);
	} else {
		argv[0] = INIT;
		execv(INIT, argv);
	}
	fprintf(stderr, "dach: the guest has no init that can be started: %s\n", strerror(errno));
	_exit(1);
}

static void take_name(char *argv0)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	int null = openat(beside.dev, "null", O_RDWR);

	beside.name = argv0;
	beside.first = *argv0;
	prctl(PR_SET_NAME, &AGENT_BESIDE[1]);
	setsid();
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

void beside_begin(char **argv)
{
	char word[8];
	pid_t pid = -1;

	beside.proc = private_mount("proc");
	beside.sys = private_mount("sysfs");
	beside.dev = private_mount("devtmpfs");
	system_proc = beside.proc;
	if (beside.proc >= 0 && beside.sys >= 0 && beside.dev >= 0)
		pid = fork();
	if (pid)
		become_init(argv);
	take_name(argv[0]);
	if (*beside.name)
		*beside.name = '@';
	system_spare(true);
	clock_gettime(CLOCK_MONOTONIC, &beside.begun);
	if (stat("/", &beside.place))
		_exit(1);
	/* Without a root to go to, the ramdisk is the system. */
	beside.settled = !system_word("root", word, sizeof word);
}

static int find_port(void)
{
	beside.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	beside.sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	beside.dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return port_open(beside.sys, beside.dev, JOIN_TRIES);
}

int beside_join(char **argv, int *status)
{
	pid_t pid;

	*status = 0;
	if (find_port()) {
		if (errno == EBUSY)
			return -1;
		fprintf(stderr, "no port " AGENT_PORT " can be opened: %s\n", strerror(errno));
	} else {
		pid = fork();
		if (!pid) {
			take_name(argv[0]);
			signal(SIGTERM, SIG_DFL);
			system_spare(true);
			beside.settled = !stat("/", &beside.place) && !chdir("/");
			return 0;
		}
		if (pid > 0)
			return -1;
		fprintf(stderr, "no process: %s\n", strerror(errno));
	}
	*status = 1;
	return -1;
}

void beside_follow(void)
{
	struct stat now;
	int fd;

	if (fstatat(beside.proc, "1/root", &now, 0) ||
		(now.st_dev == beside.place.st_dev && now.st_ino == beside.place.st_ino))
		return;
	fd = openat(beside.proc, "1/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!fchdir(fd) && !chroot(".")) {
		beside.place = now;
		beside.settled = true;
		if (*beside.name == '@')
			*beside.name = beside.first;
		signal(SIGTERM, SIG_DFL);
	}
	close(fd);
}

/* Where whoever looks after the guest sees it. */
static void log_line(const char *line)
{
	int fd = openat(beside.dev, "kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	dprintf(fd, "dach: %s\n", line);
	close(fd);
}

static void mount_all(void)
{
	char why[512];

	for (unsigned i = 0; i < beside.mounts; i++) {
		struct wanted *wanted = &beside.mount[i];
		struct agent_mount share;

		if (!wanted->mounted && agent_mount_read(wanted->payload, wanted->size, &share) &&
			share_mount(&share, why, sizeof why))
			log_line(why);
		wanted->mounted = true;
	}
}

void beside_mount(const char *payload, size_t size)
{
	struct wanted *wanted = &beside.mount[beside.mounts];

	for (unsigned i = 0; i < beside.mounts; i++)
		if (beside.mount[i].size == size && !memcmp(beside.mount[i].payload, payload, size))
			return;
	if (beside.mounts == MOUNTS || size > sizeof wanted->payload)
		return;
	memcpy(wanted->payload, payload, size);
	wanted->size = size;
	beside.mounts++;
	if (beside.ready)
		mount_all();
}

/* A root that the system has been started on read-only, and that it makes writable once it has been checked (fstab(5)). */
static bool root_is_due(void)
{
	FILE *table = setmntent("/etc/fstab", "re");
	struct mntent entry;
	struct statvfs root;
	char text[1024];
	bool due = false;

	while (table && getmntent_r(table, &entry, text, sizeof text))
		if (!strcmp(entry.mnt_dir, "/"))
			due = !hasmntopt(&entry, "ro");
	if (table)
		endmntent(table);
	return due && !statvfs("/", &root) && (root.f_flag & ST_RDONLY);
}

bool beside_ready(void)
{
	struct timespec now;

	if (!beside.settled)
		beside_follow();
	beside.ready |= beside.settled && !root_is_due();
	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - beside.begun.tv_sec) * 1000 >= SETTLE_MS)
		beside.settled = beside.ready = true;
	if (beside.ready)
		mount_all();
	return beside.ready;
}

void beside_open_port(void)
{
	unsigned ms = PAUSE_MIN_MS;

	while (port_fd() < 0 && port_open(beside.sys, beside.dev, 1)) {
		const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};

		beside_follow();
		module_load("virtio_pci");
		module_load("virtio_console");
		nanosleep(&pause, NULL);
		ms = ms * 2 < PAUSE_MAX_MS ? ms * 2 : PAUSE_MAX_MS;
	}
}
