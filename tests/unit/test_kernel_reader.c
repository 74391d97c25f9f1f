/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that reads a guest's disk, with its walls: what it hands over nobody can change, it is asked
 * again, and it ends with its monitor, whatever it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/machine.h"
#include "monitor/internal.h"
#include "vmm/kernel_reader.h"

static char folder[] = "/tmp/dach-test-XXXXXX";
static char disk_name[64];

/* A monitor that gives up what a daemon's does, where the reader is concerned. */
static int restrict_to(struct guest_monitor *monitor, bool network, bool signals, struct error *err)
{
	return sandbox_lone(&(struct sandbox_lone){.domid = 7,
				    .network = network,
				    .signals = signals},
		&monitor->walls, err);
}

static const struct front front = {.walls = true, .restrict_to = restrict_to};
static struct guest_monitor monitor = {.front = &front};
static struct disk_file file = {.format = DISK_RAW};
static struct vmm_config config = {.given = true,
	.kernel_fd = -1,
	.initrd_fd = -1,
	.cmdline = "",
	.memory = 64 << 20,
	.disks = 1,
	.disk = {{.file = &file, .files = 1}}};

static int make_disk(void **state)
{
	char command[512];

	if (!mkdtemp(folder))
		return -1;
	snprintf(disk_name, sizeof disk_name, "%s/disk", folder);
	snprintf(command, sizeof command,
		"PATH=$PATH:/sbin:/usr/sbin; cd %s && mkdir -p root/boot && printf NEW >root/boot/vmlinuz-2 &&"
		"printf RAM >root/boot/initrd-2 && ln -s boot/vmlinuz-2 root/vmlinuz &&"
		"ln -s boot/initrd-2 root/initrd.img && mke2fs -q -t ext4 -d root disk 8M",
		folder);
	file.name = disk_name;
	return system(command);
}

static int remove_disk(void **state)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static struct kernel_reader *start(void)
{
	struct kernel_reader *reader;
	struct error err = {""};

	file.fd = open(disk_name, O_RDWR | O_CLOEXEC);
	if (kernel_reader_create(&config, &monitor, &reader, &err))
		fail_msg("%s", err.text);
	close(file.fd);
	return reader;
}

static void hands_over_what_nobody_can_change(void **state)
{
	struct kernel_reader *reader = start();
	struct machine_file kernel, initrd;
	struct error err = {""};
	const char *cmdline;
	char bytes[8] = "";

	for (unsigned again = 0; again < 2; again++) {
		if (kernel_reader_read(reader, &kernel, &initrd, &cmdline, &err))
			fail_msg("%s", err.text);
		assert_int_equal(pread(kernel.fd, bytes, sizeof bytes, 0), 3);
		assert_string_equal(bytes, "NEW");
		assert_int_equal(pread(initrd.fd, bytes, sizeof bytes, 0), 3);
		assert_string_equal(bytes, "RAM");
		assert_int_equal(pwrite(kernel.fd, "x", 1, 0), -1);
		assert_int_equal(ftruncate(initrd.fd, 0), -1);
		assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, kernel.fd, 0),
			MAP_FAILED);
	}
	kernel_reader_destroy(reader);
}

/* One that was killed, as by its list of system calls, is told of, also the next time. */
static void tells_of_one_that_has_gone(void **state)
{
	struct kernel_reader *reader = start();
	struct machine_file kernel, initrd;
	const char *cmdline;

	kill(kernel_reader_pid(reader), SIGKILL);
	for (unsigned again = 0; again < 2; again++) {
		struct error err = {""};

		assert_true(kernel_reader_read(reader, &kernel, &initrd, &cmdline, &err) < 0);
		assert_non_null(strstr(err.text, "damaged, or made to be"));
	}
	kernel_reader_destroy(reader);
}

/* Stopped, so that it cannot see that nobody is there any more. */
static void ends_with_its_monitor(void **state)
{
	int ends[2], status = 0;
	pid_t owner, pid = 0;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_int_equal(pipe(ends), 0);
	owner = fork();
	if (!owner) {
		struct kernel_reader *reader = start();
		struct machine_file kernel, initrd;
		struct error err = {""};
		const char *cmdline;

		/* It has answered: it is within its walls. */
		pid = kernel_reader_read(reader, &kernel, &initrd, &cmdline, &err)
			? 0
			: kernel_reader_pid(reader);
		if (pid > 0)
			kill(pid, SIGSTOP);
		_exit(write(ends[1], &pid, sizeof pid) != sizeof pid);
	}
	assert_int_equal(read(ends[0], &pid, sizeof pid), sizeof pid);
	assert_true(pid > 0);
	assert_int_equal(waitpid(owner, &status, 0), owner);
	alarm(60);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	alarm(0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over_what_nobody_can_change),
		cmocka_unit_test(tells_of_one_that_has_gone),
		cmocka_unit_test(ends_with_its_monitor),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_disk, remove_disk);
}
