/* SPDX-License-Identifier: Apache-2.0 */
/* A system of one process: what init(1) of a distribution does, as far as commands need it. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/virtio_ids.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"

#define NEW_ROOT "/dach-root"
#define PORT_TRIES 1000
#define ROOT_TRIES 500
#define ROOT_PAUSE_US 10000
/* The network of user mode (net/user.c): what its DHCP would say. */
#define USER_ADDRESS 0x0a00020fu /* 10.0.2.15 */
#define USER_GATEWAY 0x0a000202u
#define USER_PREFIX 24
#define USER_NAMES "nameserver 10.0.2.3\n"

/* What is mounted in every guest, in this order; what is there already is as good. */
static const struct {
	const char *type, *where, *data;
	unsigned long flags;
} early[] =
	{
		{"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
		{"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
		{"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
},
  late[] = {
	  {"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=000", MS_NOSUID | MS_NOEXEC},
	  {"tmpfs", "/dev/shm", NULL, MS_NOSUID | MS_NODEV},
	  {"tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV},
	  {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

int system_proc = -1;

bool system_word(const char *key, char *value, size_t size)
{
	static char line[4096];
	size_t len = strlen(key);
	int fd = system_proc < 0 ? open("/proc/cmdline", O_RDONLY | O_CLOEXEC)
				 : openat(system_proc, "cmdline", O_RDONLY | O_CLOEXEC);
	char *save = NULL;
	bool found = false;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, sizeof line - 1);
	line[n > 0 ? n : 0] = 0;
	close(fd);
	for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strncmp(word, key, len) || (word[len] != '=' && word[len]))
			continue;
		snprintf(value, size, "%s", word[len] ? word + len + 1 : "");
		found = true; /* the last one counts, as for the kernel */
	}
	return found;
}

void system_spare(bool spare)
{
	int fd = system_proc < 0 ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
				 : openat(system_proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	const char *text = spare ? "-1000" : "0";

	if (fd < 0)
		return;
	dprintf(fd, "%s", text); /* or it is as it was */
	close(fd);
}

void system_mounts(void)
{
	for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
		mkdir(early[i].where, 0755);
		mount(early[i].type, early[i].where, early[i].type, early[i].flags, early[i].data);
	}
}

int system_early(void)
{
	int sys, dev;

	system_mounts();
	module_load("virtio_pci");
	module_load("virtio_console");
	sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return port_open(sys, dev, PORT_TRIES);
}

/* As the kernel does without rootfstype=: each kind that it has. */
static int try_all(const char *device, unsigned long flags, const char *data)
{
	FILE *file = fopen("/proc/filesystems", "re");
	char line[128];
	int error = ENODEV;

	while (file && error && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '\t') /* else "nodev" stands there */
			error = mount(device, NEW_ROOT, line + 1, flags, data) ? errno : 0;
	}
	if (file)
		fclose(file);
	return error;
}

/* First what nearly all are, which saves the kernel's words about what they are not. */
static int mount_root(const char *device, unsigned long flags, const char *data)
{
	static const char *const kinds[] = {"ext4", "xfs", "btrfs"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!mount(device, NEW_ROOT, kinds[i], flags, data))
			return 0;
		if (errno != ENODEV)
			continue;
		module_load(kinds[i]);
		if (!mount(device, NEW_ROOT, kinds[i], flags, data))
			return 0;
	}
	return try_all(device, flags, data);
}

/* The new root becomes that of all (switch_root(8)). */
static int change_root(void)
{
	for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
		char path[64];

		snprintf(path, sizeof path, NEW_ROOT "%s", early[i].where);
		mkdir(path, 0755);
		if (mount(early[i].where, path, NULL, MS_MOVE, NULL))
			umount2(early[i].where, MNT_DETACH);
	}
	if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return errno;
	return 0;
}

void system_set_up(void)
{
	char name[65] = "";
	FILE *file;

	for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
		mkdir(late[i].where, 0755);
		mount(late[i].type, late[i].where, late[i].type, late[i].flags, late[i].data);
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	chmod("/dev/shm", 01777);
	mkdir("/run/lock", 01777);
	file = fopen("/etc/hostname", "re");
	if (file && fgets(name, sizeof name, file))
		name[strcspn(name, "\n")] = 0;
	if (file)
		fclose(file);
	if (*name)
		sethostname(name, strlen(name));
}

/* Whether a virtio device of this type (virtio 1.2, 5) is there, with a driver or without. */
static bool has_virtio(unsigned type)
{
	DIR *dir = opendir("/sys/bus/virtio/devices");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char path[300], id[16] = "";
		int fd;

		snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, id, sizeof id - 1) > 0)
			found = strtoul(id, NULL, 16) == type;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

int system_root(char *why, size_t size)
{
	char root[256], device[300], data[256] = "", word[8];
	bool found;
	unsigned long flags = MS_RDONLY;
	int error;

	if (!system_word("root", root, sizeof root))
		return 0; /* the ramdisk is the root */
	if (strncmp(root, "/dev/", 5) && strncmp(root, "UUID=", 5) && strncmp(root, "LABEL=", 6)) {
		snprintf(why, size,
			"root=%s: a command needs /dev/..., UUID=... or LABEL=... there", root);
		return -1;
	}
	if (system_word("rw", word, sizeof word))
		flags = 0;
	system_word("rootflags", data, sizeof data);
	module_load("virtio_blk");
	/* A root from elsewhere has no drivers for this kernel. */
	if (has_virtio(VIRTIO_ID_NET))
		module_load("virtio_net");
	if (has_virtio(VIRTIO_ID_FS)) {
		module_load("virtiofs");
		module_load("overlay");
	}
	for (unsigned n = 0; !(found = device_find(root, device, sizeof device)) && n < ROOT_TRIES;
		n++)
		usleep(ROOT_PAUSE_US);
	if (!found) {
		snprintf(why, size, "root=%s: there is no such device", root);
		return -1;
	}
	mkdir(NEW_ROOT, 0755);
	error = mount_root(device, flags, data);
	if (error) {
		snprintf(why, size, "the root %s cannot be mounted: %s", device, strerror(error));
		return -1;
	}
	error = change_root();
	if (error) {
		snprintf(why, size, "the root %s: %s", device, strerror(error));
		return -1;
	}
	return 0;
}

/* The image's own resolv.conf may be a link to what a service would have written. */
static void name_servers(void)
{
	char path[PATH_MAX], *slash;
	ssize_t n = readlink("/etc/resolv.conf", path, sizeof path - 1);
	FILE *file;

	if (n > 0) {
		path[n] = 0;
		if (!strncmp(path, "../run/", 7)) /* as systemd has it */
			memmove(path, path + 2, strlen(path + 2) + 1);
	} else {
		strcpy(path, "/run/resolv.conf");
	}
	if (strncmp(path, "/run/", 5))
		return; /* it is the image's own */
	for (slash = strchr(path + 5, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "we");
	if (!file)
		return;
	fputs(USER_NAMES, file);
	fclose(file);
	if (n < 0)
		mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL);
}

void system_network(void)
{
	DIR *dir;
	struct dirent *entry;

	network_up("lo", 0x7f000001, 8, 0);
	module_load("virtio_net");
	dir = opendir("/sys/class/net");
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "lo"))
			continue;
		if (network_up(entry->d_name, USER_ADDRESS, USER_PREFIX, USER_GATEWAY))
			name_servers();
		break;
	}
	if (dir)
		closedir(dir);
}

void system_poweroff(void)
{
	session_kill_all();
	kill(-1, SIGKILL);
	sync();
	/* A journal that is closed is read faster the next time. */
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(RB_POWER_OFF);
	_exit(1);
}
