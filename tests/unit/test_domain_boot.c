/* SPDX-License-Identifier: Apache-2.0 */
/* What a Xen guest's disks and console are called here. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_rig.h"
#include "domain/boot.h"

static int cmdline_of(const struct domain_config *config, char **cmdline, struct error *err)
{
	const char *vdev[DOMAIN_DISKS_MAX];
	unsigned disks = domain_boot_vdevs(config, vdev);

	return domain_boot_cmdline(config->cmdline, vdev, disks, cmdline, err);
}

static void test_cmdline(void **state)
{
	static const struct {
		const char *disks, *cmdline, *becomes;
	} cases[] = {
		/* xen-create-image's: the root first, though its number is higher. */
		{"'/d,xvda2,w','/s,xvda1,w'", "root=/dev/xvda2 ro elevator=noop",
			"root=/dev/vda ro elevator=noop console=ttyS0 net.ifnames=0"},
		{"'/s,xvda1,w','/d,xvda2,w'", "root=/dev/xvda2 ro resume=/dev/xvda1",
			"root=/dev/vdb ro resume=/dev/vda console=ttyS0 net.ifnames=0"},
		/* A whole disk, with a partition table of its own. */
		{"',hdc:cdrom,r','/d,,xvda'", "root=/dev/xvda3 console=hvc0",
			"root=/dev/vda3 console=ttyS0 net.ifnames=0"},
		{"'/d,,hda','/e,,xvda'", "root=/dev/hda1 x=/dev/xvda",
			"root=/dev/vda1 x=/dev/vdb console=ttyS0 net.ifnames=0"},
		{"'/d,,xvda','/e,,xvda1'", "a=/dev/xvda1,b=/dev/xvda2,c=/dev/xvda",
			"a=/dev/vdb,b=/dev/vda2,c=/dev/vda console=ttyS0 net.ifnames=0"},
		{"'/d,,sda1'", "root=/dev/sda1", "root=/dev/vda console=ttyS0"},
		{"'/d,,xvda1'", "crypt=source=/dev/xvda1,target=x console=tty0",
			"crypt=source=/dev/vda,target=x console=tty0 net.ifnames=0"},
		/* What is none of the guest's disks stays. */
		{"'/d,,xvda1'", "root=/dev/xvdb1 x=/dev/xvda12 y=/dev/mapper/xvda1 z=xvda1",
			"root=/dev/xvdb1 x=/dev/xvda12 y=/dev/mapper/xvda1 z=xvda1 console=ttyS0 net.ifnames=0"},
		{"'/d,,xvdb','/e,,xvda'", "root=/dev/vda /dev/51712 /dev/",
			"root=/dev/vda /dev/51712 /dev/ console=ttyS0 net.ifnames=0"},
		/* Cards are called as they were, unless somebody has said how, or is no Xen guest. */
		{"'/d,,xvda'", "net.ifnames=1 quiet", "net.ifnames=1 quiet console=ttyS0"},
		{"'/d,,xvda'", "a=net.ifnames=1", "a=net.ifnames=1 console=ttyS0 net.ifnames=0"},
		{"'/d,,xvda'", "", "console=ttyS0 net.ifnames=0"},
		{"'/d,,vda'", "root=/dev/vda1", "root=/dev/vda1 console=ttyS0"},
		{"", "", "console=ttyS0"},
		{"", "console=hvc0,115200 console=hvc00 xconsole=hvc0",
			"console=ttyS0,115200 console=hvc00 xconsole=hvc0"},
		{"", "console=ttyS0 console=xvc0 quiet", "console=ttyS0 console=ttyS0 quiet"},
	};
	struct rig rig = {0};
	struct error err = {""};
	char text[512], *cmdline;

	for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
		snprintf(text, sizeof text, "name='a'\ndisk=[%s]\nextra='%s'", cases[n].disks,
			cases[n].cmdline);
		rig_good(&rig, text);
		assert_int_equal(cmdline_of(&rig.config, &cmdline, &err), 0);
		assert_string_equal(cmdline, cases[n].becomes);
		free(cmdline);
		domain_config_free(&rig.config);
	}
	/* It must still fit. */
	rig_good(&rig, "name='a'");
	free(rig.config.cmdline);
	rig.config.cmdline = calloc(1, DOMAIN_CMDLINE_MAX + 1);
	memset(rig.config.cmdline, 'x', DOMAIN_CMDLINE_MAX);
	assert_int_equal(cmdline_of(&rig.config, &cmdline, &err), -E2BIG);
	assert_null(cmdline);
	domain_config_free(&rig.config);
}

static int file_of(const char *bytes, size_t size)
{
	int fd = memfd_create("overlay", MFD_CLOEXEC);

	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

/* The archive as cpio reads it, and where it stands behind a ramdisk of an odd size. */
static void test_overlay(void **state)
{
	char path[] = "/tmp/dach-test-overlay-XXXXXX", command[256], *bytes, *read_back;
	const char *rules = "KERNEL==\"vd*[!0-9]\", SUBSYSTEM==\"block\", "
			    "ATTR{serial}==\"dach-disk0\", SYMLINK+=\"xvda2\"\n"
			    "KERNEL==\"vd*[!0-9]\", SUBSYSTEM==\"block\", "
			    "ATTR{serial}==\"dach-disk1\", SYMLINK+=\"xvdb\"\n"
			    "KERNEL==\"vd*[0-9]\", SUBSYSTEM==\"block\", "
			    "ATTRS{serial}==\"dach-disk1\", SYMLINK+=\"xvdb%n\"\n";
	struct rig rig = {0};
	struct error err = {""};
	size_t size, got;
	struct stat st;
	FILE *pipe;
	int fd, overlay;

	rig_good(&rig, "name='a'\ndisk=['/d,xvda2,w', ',hdc:cdrom,r', '/e,,xvdb']");
	assert_int_equal(domain_boot_overlay(&rig.config, &bytes, &size, &err), 0);
	assert_true(size > 600 && size % 4 == 0);
	fd = mkstemp(path);
	assert_int_equal(write(fd, "12345", 5), 5);
	overlay = file_of(bytes, size);
	assert_int_equal(domain_boot_join(&fd, path, overlay, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8 + size);
	read_back = calloc(1, size + 8);
	assert_int_equal(pread(fd, read_back, size + 8, 0), size + 8);
	assert_memory_equal(read_back, "12345\0\0\0", 8);
	assert_memory_equal(read_back + 8, bytes, size);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	close(fd);
	free(read_back);

	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
	snprintf(command, sizeof command,
		"cpio -i --quiet --to-stdout etc/udev/rules.d/61-dach-names.rules <%s", path);
	pipe = popen(command, "r");
	read_back = calloc(1, 4096);
	got = fread(read_back, 1, 4095, pipe);
	assert_int_equal(pclose(pipe), 0);
	assert_int_equal(got, strlen(rules));
	assert_string_equal(read_back, rules);
	free(read_back);
	free(bytes);
	domain_config_free(&rig.config);

	/* No disk, no overlay. */
	rig_good(&rig, "name='a'");
	assert_int_equal(domain_boot_overlay(&rig.config, &bytes, &size, &err), 0);
	assert_null(bytes);
	domain_config_free(&rig.config);
	/* What is no ramdisk stays as it is. */
	fd = open("/", O_RDONLY);
	got = fd;
	assert_int_equal(domain_boot_join(&fd, "/", overlay, &err), -EINVAL);
	assert_int_equal(fd, got);
	close(fd);
	fd = open(path, O_RDWR);
	assert_int_equal(ftruncate(fd, BOOT_RAMDISK_MAX + 1), 0);
	err.text[0] = 0;
	assert_int_equal(domain_boot_join(&fd, path, overlay, &err), -E2BIG);
	close(fd);
	/* Alone: what a disk's own ramdisk gets behind it. */
	fd = -1;
	assert_int_equal(domain_boot_join(&fd, "", overlay, &err), 0);
	assert_int_equal(fstat(overlay, &st), 0);
	size = st.st_size;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	close(overlay);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_overlay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
