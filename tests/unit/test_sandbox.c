/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox from inside: what still works, what does not, what kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/sandbox.h"
#include "vmm/calls.h"

#define KILLED 1000
#define NO_LANDLOCK 77
#define NO_NAMESPACES 78

static struct vmm_needs bare, network = {.user = true};
static char disk[] = "/tmp/dach-test-XXXXXX";
static int disk_fd;

/* In a child of its own, inside the sandbox: what act returns, or KILLED. */
static int inside(struct vmm_needs *needs, int (*act)(void))
{
	struct sandbox own = {.calls = vmm_calls, .ctx = needs};
	struct error err = {""};
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		sandbox_files(&own, needs->user, false);
		if (sandbox_calls(CALLS_ALL, &own, &err))
			_exit(99);
		_exit(!own.few_files && act == NULL ? NO_LANDLOCK : act ? act() : 0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int make_disk(void **state)
{
	int fd = mkstemp(disk);

	return fd < 0 ? -1 : close(fd);
}

static int remove_disk(void **state)
{
	return unlink(disk);
}

static int try_open(const char *path, int flags)
{
	return open(path, flags, 0600) >= 0 ? 0 : errno;
}

static int run_program(void)
{
	return execl("/bin/true", "true", (char *)NULL);
}

static int fork_process(void)
{
	return fork() < 0;
}

static int signal_others(void)
{
	return kill(getppid(), 0);
}

static int map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		MAP_FAILED;
}

static int make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}

static int unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}

static int open_passwd(void)
{
	return try_open("/etc/passwd", O_RDONLY);
}

static int open_resolv(void)
{
	return try_open("/etc/resolv.conf", O_RDONLY);
}

static int write_file(void)
{
	return try_open("/tmp/dach-test-file", O_WRONLY | O_CREAT);
}

static void *thread(void *ctx)
{
	*(int *)ctx = 1;
	return NULL;
}

static int start_thread(void)
{
	pthread_t id;
	int ran = 0;

	return pthread_create(&id, NULL, thread, &ran) || pthread_join(id, NULL) || !ran;
}

static int use_memory(void)
{
	char *p = malloc(8 << 20);

	memset(p, 1, 8 << 20);
	free(p);
	return 0;
}

/* In a child that is a daemon's monitor: all given up, and in this kind of thread. */
static int alone(unsigned roles, int (*act)(void))
{
	struct sandbox walls = {.doors = true, .calls = vmm_calls, .ctx = &bare};
	struct error err = {""};
	unsigned standing;
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		if (sandbox_lone(&(struct sandbox_lone){.domid = 7}, &standing, &err))
			_exit(99);
		walls.few_files = standing & 1u << WALL_LANDLOCK;
		/* What the host opened for others is not reached even before the calls are cut. */
		if (!act)
			_exit(try_open("/etc/passwd", O_RDONLY) ? 0 : 98);
		if (sandbox_calls(roles, &walls, &err))
			_exit(97);
		_exit(act());
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int signal_parent(void)
{
	return kill(getppid(), SIGTERM) ? errno : 0;
}

static int signal_thread(void)
{
	return syscall(SYS_tgkill, 1, 1, SIGTERM) ? errno : 0;
}

static int listen_somewhere(void)
{
	return listen(0, 1) ? errno : 0;
}

static int send_somewhere(void)
{
	return sendto(0, "x", 1, 0, NULL, 0) < 0 ? errno : 0;
}

static int take_fd(void)
{
	struct msghdr message = {0};

	return recvmsg(0, &message, 0) < 0 ? errno : 0;
}

static int trace_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) ? errno : 0;
}

static int read_disk(void)
{
	char byte;

	return preadv(0, &(struct iovec){&byte, 1}, 1, 0) < 0 ? errno : 0;
}

static int become_root(void)
{
	return setuid(0) ? errno : 0;
}

static int in_a_nest(void *ctx)
{
	return ((int (*)(void))ctx)();
}

static int (*nested)(void);

/* The nest's walls are its thread's alone. */
static int in_nest(void)
{
	struct sandbox walls = {.doors = true, .calls = vmm_calls, .ctx = &bare};
	struct error err = {""};
	struct nest *nest;

	if (nest_create(CALLS_DISK, &walls, &nest, &err))
		return 96;
	return nest_run(nest, in_a_nest, (void *)nested);
}

static int nest_of(int (*act)(void))
{
	pid_t pid;
	int status = 0;

	nested = act;
	pid = fork();
	if (!pid)
		_exit(in_nest() == 0 && access("/etc/passwd", R_OK) == 0 ? 0 : 1);
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* Whatever a guest makes of a thread of its monitor: no file, no socket, nobody to signal. */
static void lone_process(void **state)
{
	static const unsigned roles[] = {CALLS_LOOP, CALLS_VCPU, CALLS_DISK, CALLS_NET,
		CALLS_READER};
	static int (*const acts[])(void) = {run_program, fork_process, signal_parent, signal_thread,
		map_code, make_code, tcp_socket, unix_socket, listen_somewhere, send_somewhere,
		trace_parent, become_root};

	assert_int_equal(alone(0, NULL), 0);
	for (unsigned r = 0; r < sizeof roles / sizeof *roles; r++) {
		assert_int_equal(alone(roles[r], open_passwd), EACCES);
		assert_int_equal(alone(roles[r], open_resolv), EACCES);
		assert_int_equal(alone(roles[r], write_file), EACCES);
		assert_int_equal(alone(roles[r], use_memory), 0);
		assert_int_equal(alone(roles[r], start_thread), 0);
		for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
			assert_int_equal(alone(roles[r], acts[i]), KILLED);
	}
}

/* What is in a folder, one letter each: r resolv.conf, e etc, ? anything else. */
static const char *listing(const char *path)
{
	static char text[16];
	DIR *folder = opendir(path);
	unsigned n = 0;

	for (struct dirent *entry; folder && (entry = readdir(folder)) && n < sizeof text - 1;)
		if (entry->d_name[0] != '.')
			text[n++] = !strcmp(entry->d_name, "etc")       ? 'e'
				: !strcmp(entry->d_name, "resolv.conf") ? 'r'
									: '?';
	text[n] = 0;
	if (folder)
		closedir(folder);
	return folder ? text : "none";
}

static int no_capability_can_come_back(void)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0)
			return 1;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || !setuid(0) || !seteuid(0);
}

/* A child's status: which of the checks of a daemon's monitor failed, 0 for none. */
static int left_host(bool net)
{
	const bool root = !geteuid(), resolver = !access("/etc/resolv.conf", R_OK);
	const struct sandbox_lone lone = {.domid = 7, .network = net};
	struct error err = {""};
	unsigned standing;

	if (sandbox_lone(&lone, &standing, &err))
		return 1;
	if (!(standing & 1u << WALL_NAMESPACES))
		return NO_NAMESPACES;
	if (!(standing & 1u << WALL_LANDLOCK)) {
		if (strcmp(listing("/"), net && resolver ? "e" : ""))
			return 2;
		if (net && resolver && strcmp(listing("/etc"), "r"))
			return 3;
	}
	if (net && resolver && try_open("/etc/resolv.conf", O_RDONLY))
		return 4;
	if (!try_open("/etc/resolv.conf", O_RDWR) || !try_open("/new", O_RDWR | O_CREAT))
		return 5;
	if (root && no_capability_can_come_back())
		return 6;
	return mount("none", "/", "tmpfs", 0, NULL) && sethostname("x", 1) ? 0 : 7;
}

static int in_child(int (*act)(bool arg), bool arg, unsigned uid)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		if (uid &&
			(setgroups(0, NULL) || setresgid(uid, uid, uid) ||
				setresuid(uid, uid, uid)))
			_exit(98);
		_exit(act(arg));
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* With a net and without, started by root and by a user: nothing of the host is in sight. */
static void leaves_the_host(void **state)
{
	for (unsigned net = 0; net < 2; net++)
		for (unsigned nobody = 0; nobody < 2; nobody++) {
			int r;

			if (nobody && geteuid())
				continue;
			r = in_child(left_host, net, nobody ? 65534 : 0);
			if (r != NO_NAMESPACES)
				assert_int_equal(r, 0);
		}
}

static int lacking(bool needed)
{
	const struct sandbox_lone lone = {.domid = 7, .needed = needed ? WALLS_ALL : 0};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct error err = {""};
	unsigned standing;

	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) ||
		seccomp_load(filter))
		return 99;
	seccomp_release(filter);
	if (!needed)
		return sandbox_lone(&lone, &standing, &err) || standing & 1u << WALL_NAMESPACES;
	return sandbox_lone(&lone, &standing, &err) != -EPERM || !strstr(err.text, "namespaces");
}

/* A host that lacks a wall: the guest starts, unless it is to have it. */
static void a_wall_that_is_needed(void **state)
{
	assert_int_equal(in_child(lacking, false, 0), 0);
	assert_int_equal(in_child(lacking, true, 0), 0);
}

static void roles_differ(void **state)
{
	assert_int_equal(alone(CALLS_LOOP, take_fd), ENOTSOCK);
	assert_int_equal(alone(CALLS_VCPU, take_fd), KILLED);
	assert_int_equal(alone(CALLS_DISK, take_fd), KILLED);
	assert_int_not_equal(alone(CALLS_DISK, read_disk), KILLED);
	assert_int_equal(alone(CALLS_VCPU, read_disk), KILLED);
	assert_int_equal(alone(CALLS_LOOP, read_disk), KILLED);
	assert_int_equal(alone(CALLS_NET, read_disk), KILLED);
	assert_int_equal(alone(CALLS_READER, take_fd), KILLED);
	assert_int_equal(nest_of(use_memory), 0);
	assert_int_equal(nest_of(signal_parent), KILLED);
}

/* As glibc does from 2.42 on, by number. */
static int newer_terminal(void)
{
	static const unsigned requests[] = {0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d};
	char termios2[64] = {0};

	for (unsigned i = 0; i < 4; i++)
		if (!ioctl(disk_fd, requests[i], termios2) || errno != ENOTTY)
			return 1;
	return 0;
}

static int type_into_terminal(void)
{
	return ioctl(disk_fd, TIOCSTI, "x") ? errno : 0;
}

/* Calls that only a newer C library makes, which then takes another. */
static int newer_library(void)
{
	static const int calls[] = {SYS_statx, SYS_membarrier, SYS_close_range, 449, 453, 454, 455,
		456, 462};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (syscall(calls[i], 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
			return 1;
	return 0;
}

static void newer_libraries(void **state)
{
	disk_fd = open(disk, O_RDONLY);
	assert_true(disk_fd >= 0);
	assert_int_equal(inside(&bare, newer_terminal), 0);
	assert_int_equal(inside(&bare, newer_library), 0);
	assert_int_equal(inside(&bare, type_into_terminal), KILLED);
	close(disk_fd);
}

static void kills(void **state)
{
	assert_int_equal(inside(&bare, run_program), KILLED);
	assert_int_equal(inside(&bare, fork_process), KILLED);
	assert_int_equal(inside(&bare, signal_others), KILLED);
	assert_int_equal(inside(&bare, map_code), KILLED);
	assert_int_equal(inside(&bare, make_code), KILLED);
	assert_int_equal(inside(&bare, tcp_socket), KILLED);
	assert_int_equal(inside(&network, run_program), KILLED);
}

static void works(void **state)
{
	assert_int_equal(inside(&bare, start_thread), 0);
	assert_int_equal(inside(&bare, use_memory), 0);
	assert_int_equal(inside(&network, tcp_socket), 0);
	assert_int_equal(inside(&network, start_thread), 0);
}

static void refuses_files(void **state)
{
	assert_int_equal(inside(&bare, open_resolv), EACCES);
	assert_int_equal(inside(&bare, open_passwd), EACCES);
	assert_int_equal(inside(&bare, write_file), EACCES);
	assert_in_set(inside(&network, open_passwd), ((uintmax_t[]){EACCES, ENOENT}), 2);
	assert_int_equal(inside(&network, write_file), EACCES);
	assert_int_equal(inside(&network, unix_socket), EAFNOSUPPORT);
}

static void opens_the_name_servers(void **state)
{
	if (inside(&network, NULL) == NO_LANDLOCK || access("/etc/resolv.conf", R_OK))
		skip();
	assert_int_equal(inside(&network, open_resolv), 0);
}

/* Name servers that change. The host is a file system in memory, in mounts of the test's own. */

#define CHANGES 3

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	bool good = fd >= 0 && !fchmod(fd, 0644) &&
		write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good;
}

static char first_byte(void)
{
	char byte = 0;
	int fd = open("/etc/resolv.conf", O_RDONLY);

	if (read(fd, &byte, 1) != 1)
		byte = 0;
	close(fd);
	return byte;
}

/* The monitor, as whom it was started: tells each change. */
static int watch(bool lone, unsigned uid, int told)
{
	const struct sandbox_lone whole = {.domid = 7, .network = true};
	struct sandbox sandbox = {.names = true};
	struct error err = {""};
	unsigned standing = 1u << WALL_NAMESPACES;
	char last = '0';

	alarm(60);
	if (uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
		return 1;
	if (lone ? sandbox_lone(&whole, &standing, &err) : 0)
		return 2;
	if (!lone)
		sandbox_files(&sandbox, true, false);
	if (!sandbox.names || !(standing & 1u << WALL_NAMESPACES))
		return NO_NAMESPACES;
	if (!try_open("/etc/passwd", O_RDONLY) || !try_open("/etc/new", O_RDWR | O_CREAT))
		return 3;
	while (last != '0' + CHANGES) {
		char now = first_byte();

		if (now == last + 1 && write(told, &now, 1) == 1)
			last = now;
		else if (now != last)
			return 4; /* half a file, or none */
		else
			usleep(20000);
	}
	return 0;
}

/* Replaced; a link that leads out of the folder; what that leads to replaced. */
static bool change(unsigned n)
{
	if (n == 1)
		return write_text("/etc/new", "1\n") && !rename("/etc/new", "/etc/resolv.conf");
	if (n == 2)
		return write_text("/etc/run/resolv.conf", "2\n") &&
			!symlink("run/resolv.conf", "/etc/new") &&
			!rename("/etc/new", "/etc/resolv.conf");
	return write_text("/etc/run/new", "3\n") && !rename("/etc/run/new", "/etc/run/resolv.conf");
}

static int change_names(bool lone, unsigned uid)
{
	int told[2], status = 0;
	char byte;
	pid_t pid;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "/etc", "tmpfs", 0, "mode=755") || mkdir("/etc/run", 0755) ||
		chmod("/etc/run", 0755) || !write_text("/etc/passwd", "") ||
		!write_text("/etc/resolv.conf", "0\n") || pipe(told))
		return NO_NAMESPACES;
	alarm(60);
	pid = fork();
	if (!pid) {
		close(told[0]);
		_exit(watch(lone, uid, told[1]));
	}
	close(told[1]);
	for (unsigned n = 1; n <= CHANGES; n++)
		if (!change(n) || read(told[0], &byte, 1) != 1)
			break;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 5;
	return WEXITSTATUS(status);
}

/* Of dach run and of a daemon, root's and a user's. */
static void follows_the_name_servers(void **state)
{
	pid_t pid[4];

	if (geteuid())
		skip();
	for (unsigned i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(change_names(i & 1, i & 2 ? 65534 : 0));
	}
	for (unsigned i = 0; i < 4; i++) {
		int status = 0;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != NO_NAMESPACES)
			assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills),
		cmocka_unit_test(works),
		cmocka_unit_test(newer_libraries),
		cmocka_unit_test(refuses_files),
		cmocka_unit_test(opens_the_name_servers),
		cmocka_unit_test(lone_process),
		cmocka_unit_test(leaves_the_host),
		cmocka_unit_test(a_wall_that_is_needed),
		cmocka_unit_test(roles_differ),
		cmocka_unit_test(follows_the_name_servers),
	};

	return cmocka_run_group_tests(tests, make_disk, remove_disk);
}
