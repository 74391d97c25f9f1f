/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways out of a container, and into the kernel, that others have found: escape KEY SOCKET tries each, as root, and prints the
 * names: of those that work; with "no-" before, of those that do not; with "killed-", of those that were not let finish. KEY: the
 * number of a key of the host's; SOCKET: the name of an abstract socket there.
 * Run on the host as root it shows that they are tried at all. For containers_escapes.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/nsfs.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *key, *socket_name;

/* Shocker: files of the file system that the root lies on, by their numbers. */
static bool by_handle(void)
{
	struct {
		struct file_handle head;
		unsigned char bytes[8];
	} handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
	const int at = open("/", O_RDONLY);

	return open_by_handle_at(at, &handle.head, O_RDONLY) >= 0 || errno == ESTALE;
}

static bool bpf_map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) >= 0;
}

static bool perf(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0;
}

/* A fault that waits for somebody in user space holds the kernel up where it likes. */
static bool fault(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC) >= 0;
}

static bool ring(void)
{
	char params[120] = {0};

	return syscall(SYS_io_uring_setup, 1, params) >= 0;
}

static bool others_key(void)
{
	char bytes[64];

	return syscall(SYS_keyctl, KEYCTL_READ, atoi(key), bytes, sizeof bytes) > 0;
}

static bool keys_list(void)
{
	char line[32] = "", *end;
	FILE *file = fopen("/proc/keys", "r");
	bool found = false;

	while (file && fscanf(file, "%31s%*[^\n]", line) == 1)
		found |= strtoul(line, &end, 16) == strtoul(key, NULL, 10);
	return found;
}

/* Everybody's is who listens in the same network namespace. */
static bool others_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t len = strlen(socket_name);

	memcpy(address.sun_path + 1, socket_name, len);
	return !connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

/* The namespace above one's own. */
static bool parent(const char *space)
{
	return ioctl(open(space, O_RDONLY), NS_GET_PARENT) >= 0;
}

static bool parent_pid(void)
{
	return parent("/proc/self/ns/pid");
}

static bool parent_user(void)
{
	return parent("/proc/self/ns/user");
}

/* In namespaces of one's own one has all capabilities, and no device more. */
static bool nested(void)
{
	int status = 1;
	const pid_t pid = fork();

	if (!pid) {
		if (!unshare(CLONE_NEWUSER | CLONE_NEWNS) &&
			!mount("none", "/tmp", "tmpfs", 0, NULL) &&
			!mknod("/tmp/m", S_IFCHR | 0600, makedev(1, 1)) &&
			open("/tmp/m", O_RDONLY) >= 0)
			_exit(0);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return !status;
}

static bool device(void)
{
	return (!mknod("/tmp/escape", S_IFCHR | 0600, makedev(1, 1)) || errno == EEXIST) &&
		open("/tmp/escape", O_RDONLY) >= 0;
}

/* Its clones on other mounts are to have none either. */
static bool device_elsewhere(void)
{
	const int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/tmp", 1);
	struct {
		unsigned long long set, clear, propagation, user;
	} attr = {.clear = 4};

	return device() ||
		(tree >= 0 &&
			!syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) &&
			openat(tree, "escape", O_RDONLY) >= 0);
}

static bool log_(void)
{
	return klogctl(3, (char[64]){0}, 64) >= 0;
}

static bool ports(void)
{
	return !ioperm(0x80, 1, 1) || !iopl(3);
}

/* A tick that cannot be: who may change it is told that. */
static bool clock_(void)
{
	struct timex change = {.modes = ADJ_TICK, .tick = 1};

	return adjtimex(&change) >= 0 || errno == EINVAL;
}

static bool realtime(void)
{
	const struct sched_param param = {.sched_priority = 1};

	return !sched_setscheduler(0, SCHED_FIFO, &param);
}

static bool spared(void)
{
	const int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	return write(fd, "-1000", 5) == 5;
}

static bool module(void)
{
	return syscall(SYS_delete_module, "no-such-module", O_NONBLOCK) == -1 && errno == ENOENT;
}

static bool setting(const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/sys/%s", name);
	return open(path, O_WRONLY) >= 0;
}

static bool settings(void)
{
	static const char *const all[] = {"kernel/core_pattern", "kernel/modprobe",
		"kernel/hotplug", "vm/overcommit_memory", "fs/binfmt_misc/register", "kernel/sysrq",
		"kernel/randomize_va_space"};
	bool any = false;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		any |= setting(all[i]);
	return any || open("/proc/sysrq-trigger", O_WRONLY) >= 0 ||
		open("/sys/kernel/uevent_helper", O_WRONLY) >= 0;
}

static bool disks(void)
{
	return open("/dev/mem", O_RDONLY) >= 0 || open("/proc/kcore", O_RDONLY) >= 0 ||
		open("/dev/loop-control", O_RDWR) >= 0;
}

static bool account(void)
{
	return !acct("/no/such/file") || errno == ENOENT;
}

static const struct attack {
	const char *name;
	bool (*works)(void);
} attacks[] = {{"handle", by_handle}, {"bpf", bpf_map}, {"perf", perf}, {"fault", fault},
	{"ring", ring}, {"key", others_key}, {"keys", keys_list}, {"socket", others_socket},
	{"parent-pid", parent_pid}, {"parent-user", parent_user}, {"nested", nested},
	{"device", device}, {"elsewhere", device_elsewhere}, {"log", log_}, {"ports", ports},
	{"clock", clock_}, {"realtime", realtime}, {"spared", spared}, {"module", module},
	{"settings", settings}, {"disks", disks}, {"account", account}};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	key = argv[1];
	socket_name = argv[2];
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		int status = 1;
		const pid_t pid = fork();

		if (!pid)
			_exit(attacks[i].works() ? 0 : 1);
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			printf("killed-%s\n", attacks[i].name);
		else
			printf("%s%s\n", status ? "no-" : "", attacks[i].name);
	}
	unlink("/tmp/escape");
	puts("tried");
	return 0;
}
