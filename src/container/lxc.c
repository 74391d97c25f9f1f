/* SPDX-License-Identifier: Apache-2.0 */
/* A container in liblxc's words: lxc.container.conf(5). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "container/internal.h"
#include "container/root.h"
#include "protocol/container_spec.h"

#define LXCFS "/var/lib/lxcfs"
#define LOG_MAX (64u << 10)
#define NAME_BYTES 16

/*
 * What no container needs, and what reaches beyond it where a kernel has a fault: whoever is root there is not to have it.
 * Of what is not listed the kernel asks for capabilities in the first user namespace, or keeps it apart by itself.
 */
static const char seccomp[] =
	"2\n"
	"denylist\n"
	"reject_force_umount\n"
	"[all]\n"
	"kexec_load errno 1\n"
	"kexec_file_load errno 1\n"
	"open_by_handle_at errno 1\n"
	"init_module errno 1\n"
	"finit_module errno 1\n"
	"delete_module errno 1\n"
	"bpf errno 1\n"
	"perf_event_open errno 1\n"
	"userfaultfd errno 1\n"
	"swapon errno 1\n"
	"swapoff errno 1\n"
	"settimeofday errno 1\n"
	"clock_settime errno 1\n"
	"clock_adjtime errno 1\n"
	"adjtimex errno 1\n"
	"acct errno 1\n"
	"quotactl errno 1\n"
	"lookup_dcookie errno 1\n"
	"iopl errno 1\n"
	"ioperm errno 1\n"
	"io_uring_setup errno 1\n"
	"io_uring_enter errno 1\n"
	"io_uring_register errno 1\n"
	/* Keys are everybody's, by their owner's number and by what he lets others do: as of a kernel without. */
	"add_key errno 38\n"
	"keyctl errno 38\n"
	"request_key errno 38\n";

/* Keys that every container has. */
static const char *const common[][2] = {
	{"lxc.rootfs.path", "dir:" ROOT_FOLDER},
	{"lxc.rootfs.mount", ROOT_MOUNT},
	{"lxc.autodev", "1"},
	{"lxc.tty.max", "0"},
	{"lxc.pty.max", "1024"},
	{"lxc.mount.auto", "proc:mixed sys:mixed"},
	{"lxc.environment", "container=lxc"},
	{"lxc.monitor.signal.pdeath", "SIGKILL"},
	/*
	 * liblxc starts it again by itself after a reboot: what follows one is the daemon's to say. It has a shell do
	 * "exec" and this, and then its own words, which here are true's.
	 */
	{"lxc.hook.pre-start",
		"3>&-; set -C; true >" ROOT_BEGUN " || { true >" ROOT_AGAIN "; exit 1; }; true"},
	{"lxc.cap.drop", "mac_admin mac_override sys_time sys_module sys_rawio syslog perfmon bpf"},
	/* A root that is a machine's, too, names that one's disks. */
	{"lxc.mount.entry", ROOT_FSTAB " etc/fstab none bind,ro,optional 0 0"},
	{NULL, NULL},
};

/* None but those that do nothing to the host: what liblxc puts into /dev, and terminals of its own. */
static const char *const devices[] = {
	"c *:* m", /* to make a node, which then cannot be opened */
	"b *:* m",
	"c 1:3 rwm",   /* null */
	"c 1:5 rwm",   /* zero */
	"c 1:7 rwm",   /* full */
	"c 1:8 rwm",   /* random */
	"c 1:9 rwm",   /* urandom */
	"c 5:0 rwm",   /* tty */
	"c 5:1 rwm",   /* console */
	"c 5:2 rwm",   /* ptmx */
	"c 136:* rwm", /* pts */
	NULL,
};

static int set(struct lxc_container *container, struct error *err, const char *key, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
static int set(struct lxc_container *container, struct error *err, const char *key, const char *fmt,
	...)
{
	char value[4 * LIMIT_SHARE_PATH + 64];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(value, sizeof value, fmt, args);
	va_end(args);
	if (n < (int)sizeof value && container->set_config_item(container, key, value))
		return 0;
	return error_set(err, EINVAL, "liblxc does not take %s = %.200s", key, value);
}

static int set_range(struct lxc_container *container, unsigned first, unsigned ids, unsigned count,
	struct error *err)
{
	int r = set(container, err, "lxc.idmap", "u %u %u %u", first, ids, count);

	return r ? r : set(container, err, "lxc.idmap", "g %u %u %u", first, ids, count);
}

/* A user's are two ranges already, and a range is to lie within one. */
static int set_ids(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	int r;

	if (!users_own(spec))
		return set_range(container, 0, spec->ids, CONTAINER_IDS, err);
	r = set_range(container, 0, 0, 1, err);
	return r ? r : set_range(container, 1, 1, CONTAINER_IDS - 1, err);
}

/* In a file in memory, which liblxc opens by its name when it starts the container. */
static int set_seccomp(struct lxc_container *container, struct error *err)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);

	if (fd < 0 || io_write_all(fd, seccomp, sizeof seccomp - 1))
		return error_set(err, errno, "memfd: %s", strerror(errno));
	return set(container, err, "lxc.seccomp.profile", "/proc/self/fd/%d", fd);
}

static int set_devices(struct lxc_container *container, struct error *err)
{
	static const char *const versions[] = {"lxc.cgroup", "lxc.cgroup2"};
	char key[64];
	int r = 0;

	for (unsigned v = 0; !r && v < 2; v++) {
		snprintf(key, sizeof key, "%s.devices.deny", versions[v]);
		r = set(container, err, key, "a");
		snprintf(key, sizeof key, "%s.devices.allow", versions[v]);
		for (unsigned i = 0; !r && devices[i]; i++)
			r = set(container, err, key, "%s", devices[i]);
	}
	return r;
}

/*
 * Below the guest's own group, which has its limits and is the daemon's: the container's, which is all that it sees, and
 * this process's.
 */
static int set_groups(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	const unsigned pids = spec->container.pids ? spec->container.pids : CONTAINER_PIDS;
	int r = set(container, err, "lxc.cgroup.dir.container", "%s/guest", spec->group);

	if (!r)
		r = set(container, err, "lxc.cgroup.dir.monitor", "%s/keeper", spec->group);
	if (!r)
		r = set(container, err, "lxc.cgroup.dir.monitor.pivot", "%s/keeper-end",
			spec->group);
	if (!r)
		r = set(container, err, "lxc.cgroup.pids.max", "%u", pids);
	return r ? r : set(container, err, "lxc.cgroup2.pids.max", "%u", pids);
}

/* The host's root has all control groups, and says which devices there are. */
static int set_host(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	int r = set(container, err, "lxc.mount.auto", "cgroup:mixed");

	if (!r)
		r = set(container, err, "lxc.proc.oom_score_adj", "0");
	if (!r)
		r = set_devices(container, err);
	return !r && spec->group ? set_groups(container, spec, err) : r;
}

/*
 * In a user namespace no device can be opened that a mount brings, or made. Of control groups there are those that
 * a user's daemon was given, and below the one that this process is in; without, the container sees none.
 */
static int set_user(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	int r = set(container, err, "lxc.cgroup.relative", "1");

	return !r && spec->group ? set(container, err, "lxc.mount.auto", "cgroup:mixed") : r;
}

/* Without any it has a network of its own, too: its loopback. */
static int set_network(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	char key[64];
	int r = 0;

	const unsigned count = spec->links ? spec->links : spec->networks;

	if (!count)
		return set(container, err, "lxc.net.0.type", "empty");
	for (unsigned i = 0; !r && i < count; i++) {
		snprintf(key, sizeof key, "lxc.net.%u.type", i);
		r = set(container, err, key, "phys");
		snprintf(key, sizeof key, "lxc.net.%u.link", i);
		if (!r && spec->links)
			r = set(container, err, key, "%s", spec->link[i].name);
		else if (!r)
			r = set(container, err, key, LINE_NAME, i);
		snprintf(key, sizeof key, "lxc.net.%u.name", i);
		if (!r)
			r = set(container, err, key, LINK_THERE,
				spec->links ? spec->link[i].number : i);
		snprintf(key, sizeof key, "lxc.net.%u.flags", i);
		if (!r)
			r = set(container, err, key, "up");
	}
	return r;
}

/* Where the host has lxcfs(1), what it says of memory, processors and times is the container's own. */
static int set_truth(struct lxc_container *container, struct error *err)
{
	static const char *const files[] = {"cpuinfo", "diskstats", "loadavg", "meminfo", "stat",
		"swaps", "uptime"};
	char path[64];
	int r = 0;

	for (size_t i = 0; !r && i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, LXCFS "/proc/%s", files[i]);
		if (!access(path, R_OK))
			r = set(container, err, "lxc.mount.entry",
				"%s proc/%s none bind,optional 0 0", path, files[i]);
	}
	return r;
}

/* As fstab(5) has it, where blanks end a field. */
static void write_path(const char *path, char *to)
{
	for (path += strspn(path, "/"); *path; path++)
		if (strchr(" \t\n\\", *path))
			to += sprintf(to, "\\%03o", (unsigned char)*path);
		else
			*to++ = *path;
	*to = 0;
}

static int set_device(struct lxc_container *container, const struct launch_spec *spec, unsigned n,
	struct error *err)
{
	static const char *const keys[] = {"lxc.cgroup.devices.allow", "lxc.cgroup2.devices.allow"};
	char node[ROOT_DEVICE_ROOM], from[4 * CONTAINER_DEVICE_PATH + 2],
		to[4 * CONTAINER_DEVICE_PATH + 1];
	dev_t device;
	bool block;
	int r = root_make_device(spec, n, &device, &block, node, err);

	for (unsigned i = 0; !r && !users_own(spec) && i < 2; i++)
		r = set(container, err, keys[i], "%c %u:%u rwm", block ? 'b' : 'c', major(device),
			minor(device));
	if (r)
		return r;
	write_path(spec->container.device[n], to);
	snprintf(from, sizeof from, "/%s", to);
	return set(container, err, "lxc.mount.entry", "%s %s none bind,create=file 0 0",
		users_own(spec) ? from : node, to);
}

/* What is missing of the path is made; a link in it is refused by liblxc. */
static int set_shares(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	char path[4 * LIMIT_SHARE_PATH + 1];
	int r = 0;

	for (unsigned i = 0; !r && i < spec->shares; i++) {
		if (!spec->share[i].path)
			return error_set(err, EINVAL, "configuration: shares[%u].path: is missing",
				i);
		write_path(spec->share[i].path, path);
		r = set(container, err, "lxc.mount.entry",
			ROOT_SHARE " %s none bind,create=dir 0 0", i, path);
	}
	return r;
}

/* Files of the host's that are there for the container alone; what is a link in its root stays as it is. */
static int bind_file(struct lxc_container *container, const char *path, const char *place,
	const char *text, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_write_all(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r))
		 : set(container, err, "lxc.mount.entry",
			   "%s %s none bind,ro,create=file,optional 0 0", path, place);
}

/* What the init of a distribution would do for a command, as far as it is not init.c of agent/ who does. */
static int set_command(struct lxc_container *container, const struct launch_spec *spec,
	struct error *err)
{
	char text[256], key[64];
	bool way_out = false;
	int r = 0;

	for (unsigned i = 0; !r && i < spec->container.envs; i++)
		if (!container->set_config_item(container, "lxc.environment",
			    spec->container.env[i]))
			r = error_set(err, EINVAL, "liblxc does not take env: %.200s",
				spec->container.env[i]);
	snprintf(text, sizeof text, "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n",
		spec->name);
	if (!r)
		r = bind_file(container, ROOT_HOSTS, "etc/hosts", text, err);
	for (unsigned i = 0; !r && i < spec->links; i++) {
		const struct launch_link *link = &spec->link[i];

		if (!*link->address)
			continue;
		snprintf(key, sizeof key, "lxc.net.%u.ipv4.address", i);
		r = set(container, err, key, "%s", link->address);
		if (r || way_out)
			continue;
		way_out = true;
		snprintf(key, sizeof key, "lxc.net.%u.ipv4.gateway", i);
		r = set(container, err, key, "%s", link->gateway);
		snprintf(text, sizeof text, "nameserver %s\n", link->gateway);
		if (!r)
			r = bind_file(container, ROOT_NAMES, "etc/resolv.conf", text, err);
	}
	return r;
}

static int set_all(struct lxc_container *container, const struct launch_spec *spec,
	const char *console, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && common[i][0]; i++)
		r = set(container, err, common[i][0], "%s", common[i][1]);
	/* Its default is a profile that LXC's own packages load; a liblxc without AppArmor knows no such key. */
	container->set_config_item(container, "lxc.apparmor.profile", "unconfined");
	if (!r)
		r = set(container, err, "lxc.uts.name", "%.64s", spec->name);
	if (!r)
		r = set(container, err, "lxc.console.path", "%s", console);
	if (!r && !spec->container.privileged)
		r = set_ids(container, spec, err);
	if (!r)
		r = set_seccomp(container, err);
	if (!r)
		r = users_own(spec) ? set_user(container, spec, err)
				    : set_host(container, spec, err);
	if (!r)
		r = set_truth(container, err);
	if (!r)
		r = set_network(container, spec, err);
	if (!r)
		r = set_shares(container, spec, err);
	for (unsigned i = 0; !r && i < spec->container.devices; i++)
		r = set_device(container, spec, i, err);
	return r || !spec->container.commands ? r : set_command(container, spec, err);
}

/*
 * What liblxc calls it, and the socket by which liblxc's parts speak: that is an abstract one of the host's network, so a name
 * which others know beforehand is theirs to take first.
 */
static int make_name(char name[2 * NAME_BYTES + 1], struct error *err)
{
	uint8_t bytes[NAME_BYTES];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return error_set(err, errno, "getrandom: %s", strerror(errno));
	for (unsigned i = 0; i < NAME_BYTES; i++)
		sprintf(name + 2 * i, "%02x", bytes[i]);
	return 0;
}

int lxc_make(const struct launch_spec *spec, const char *console, struct lxc_container **out,
	int *log, struct error *err)
{
	char file[32], name[2 * NAME_BYTES + 1];
	struct lxc_log settings = {.name = name,
		.lxcpath = ROOT_LXC,
		.file = file,
		.level = "ERROR",
		.prefix = "dach-ct",
		.quiet = true};
	struct lxc_container *container;
	int r = make_name(name, err);

	if (r)
		return r;
	/* It would have newuidmap and newgidmap write the maps, which know nothing of the IDs that are the daemon's to give. */
	if (setenv("PATH", ROOT_PLACE, 1))
		return error_nomem(err);
	*log = memfd_create("lxc-log", MFD_CLOEXEC);
	if (*log < 0)
		return error_set(err, errno, "memfd: %s", strerror(errno));
	snprintf(file, sizeof file, "/proc/self/fd/%d", *log);
	lxc_log_init(&settings);
	container = lxc_container_new(name, ROOT_LXC);
	if (!container)
		return lxc_say(*log, ENOMEM, "liblxc makes no container", err);
	*out = container;
	r = set_all(container, spec, console, err);
	if (!r && !container->want_daemonize(container, false))
		r = error_set(err, EINVAL, "liblxc does not stay in the foreground");
	return r;
}

/* Lines such as "PREFIX NAME TIME ERROR    part - file.c:function:123 - What failed". */
int lxc_say(int log, int code, const char *what, struct error *err)
{
	char *text = NULL, *line, *end;
	size_t size;

	if (lseek(log, 0, SEEK_SET) < 0 || io_read_file(log, LOG_MAX, &text, &size) ||
		!(line = strstr(text, " ERROR "))) {
		free(text);
		return error_set(err, code, "%s", what);
	}
	line[strcspn(line, "\n")] = 0;
	for (unsigned i = 0; i < 2 && (end = strstr(line, " - ")); i++)
		line = end + 3;
	error_set(err, code, "%s: %s", what, line);
	free(text);
	return -code;
}
