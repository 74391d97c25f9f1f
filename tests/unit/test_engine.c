/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engine "auto" takes. The calls that look for /dev/kvm are this file's:
 * they play hosts that have none, that do not let us, whose device cannot run a
 * guest or never comes back from it, and one that works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/engine.h"

enum host { NO_DEVICE, NO_PERMISSION, NOT_KVM, NO_VM, HANGS, FAILS, WRONG_EXIT, WORKS };
static enum host host;
static struct kvm_run *vcpu_run; /* of the vCPU that was made last */

int open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	if (strcmp(path, "/dev/kvm"))
		return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (host == NO_DEVICE || host == NO_PERMISSION) {
		errno = host == NO_DEVICE ? ENOENT : EACCES;
		return -1;
	}
	return syscall(SYS_openat, AT_FDCWD, "/dev/null", flags, mode);
}

/* A descriptor that can be mapped, whatever for. */
static int new_fd(void)
{
	int fd = memfd_create("kvm", 0);

	if (fd < 0 || ftruncate(fd, 4096))
		return -1;
	vcpu_run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return vcpu_run == MAP_FAILED ? -1 : fd;
}

static int run_guest(void)
{
	if (host == FAILS) {
		errno = EIO;
		return -1;
	}
	for (volatile int forever = host == HANGS; forever;)
		;
	vcpu_run->exit_reason = host == WORKS ? KVM_EXIT_IO : KVM_EXIT_FAIL_ENTRY;
	vcpu_run->io.port = 0x10;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return host == NOT_KVM ? -1 : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return host == NO_VM ? -1 : new_fd();
	case KVM_CREATE_VCPU:
		return new_fd();
	case KVM_GET_VCPU_MMAP_SIZE:
		return 4096;
	case KVM_RUN:
		return run_guest();
	}
	return 0;
}

static void auto_takes(enum host which, const char *name, const char *because)
{
	struct error err = {""};
	char why[256] = "?";
	const struct engine *engine;

	host = which;
	engine = engine_find("auto", why, sizeof why, &err);
	assert_non_null(engine);
	assert_string_equal(engine->name, name);
	if (because[0] ? !strstr(why, because) : why[0])
		fail_msg("\"%s\" is not because of \"%s\"", why, because);
	assert_null(strchr(why, '\n'));
	/* Asked for by its name it is had or refused, with the same reason. */
	engine = engine_find("kvm", why, sizeof why, &err);
	assert_int_equal(engine != NULL, !because[0]);
	assert_true(!because[0] || strstr(err.text, because));
}

static void test_no_device(void **state)
{
	auto_takes(NO_DEVICE, "translate", "no /dev/kvm");
}

static void test_no_permission(void **state)
{
	auto_takes(NO_PERMISSION, "translate", "/dev/kvm: Permission denied");
}

static void test_no_guest(void **state)
{
	auto_takes(NOT_KVM, "translate", "not a KVM device");
	auto_takes(NO_VM, "translate", "cannot make a virtual machine");
	auto_takes(FAILS, "translate", "cannot run a guest");
	auto_takes(WRONG_EXIT, "translate", "cannot run a guest");
}

/* One that never comes back is not waited for, and leaves no process. */
static void test_hangs(void **state)
{
	auto_takes(HANGS, "translate", "cannot run a guest");
}

static void test_works(void **state)
{
	auto_takes(WORKS, "kvm", "");
}

static void test_others(void **state)
{
	struct error err = {""};
	char why[8];

	assert_null(engine_find("bochs", why, sizeof why, &err));
	assert_non_null(strstr(err.text, "bochs"));
	assert_string_equal(engine_at(0)->name, "kvm");
	assert_string_equal(engine_at(1)->name, "translate");
	assert_null(engine_at(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test(test_no_guest),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_works),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
