/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox from inside: what still works, what does not, what kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/sandbox.h"

#define KILLED 1000
#define NO_LANDLOCK 77

static const struct sandbox_needs bare, network = {.user = true};
static char disk[] = "/tmp/dach-test-XXXXXX";

/* In a child of its own, inside the sandbox: what act returns, or KILLED. */
static int inside(const struct sandbox_needs *needs, int (*act)(void))
{
	const char *const disks[] = {disk, NULL};
	struct sandbox_needs own = *needs;
	struct error err = {""};
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		own.landlocked = sandbox_files(disks);
		if (sandbox_calls(&own, &err))
			_exit(99);
		_exit(!own.landlocked && act == NULL ? NO_LANDLOCK : act ? act() : 0);
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
	assert_int_equal(inside(&network, open_passwd), EACCES);
	assert_int_equal(inside(&network, write_file), EACCES);
	assert_int_equal(inside(&network, unix_socket), EAFNOSUPPORT);
}

static void opens_the_name_servers(void **state)
{
	if (inside(&network, NULL) == NO_LANDLOCK || access("/etc/resolv.conf", R_OK))
		skip();
	assert_int_equal(inside(&network, open_resolv), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills),
		cmocka_unit_test(works),
		cmocka_unit_test(refuses_files),
		cmocka_unit_test(opens_the_name_servers),
	};

	return cmocka_run_group_tests(tests, make_disk, remove_disk);
}
