/* SPDX-License-Identifier: Apache-2.0 */
/* Whole configuration files, as Xen's manual pages and xen-tools have them, and the language. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/preamble.h"
#include "config_rig.h"

/* What xen-create-image writes. */
static const char xen_tools[] =
	"#\n# Configuration file for the Xen instance vm02.my.flat\n#\n\n"
	"kernel      = '/boot/vmlinuz-6.1.0-18-amd64'\n"
	"extra       = 'elevator=noop'\n"
	"ramdisk     = '/boot/initrd.img-6.1.0-18-amd64'\n\n"
	"vcpus       = '1'\n"
	"memory      = '256'\n\n"
	"root        = '/dev/xvda2 ro'\n"
	"disk        = [\n"
	"                  'file:/home/xen/domains/vm02.my.flat/disk.img,xvda2,w',\n"
	"                  'file:/home/xen/domains/vm02.my.flat/swap.img,xvda1,w',\n"
	"              ]\n\n"
	"name        = 'vm02.my.flat'\n\n"
	"vif         = [ 'ip=192.168.1.200 ,mac=00:16:3E:01:02:03' ]\n\n"
	"on_poweroff = 'destroy'\non_reboot   = 'restart'\non_crash    = 'restart'\n";

static void test_xen_tools(void **state)
{
	struct rig rig = {0};
	const struct domain_config *c = &rig.config;

	rig_good(&rig, xen_tools);
	assert_string_equal(rig.warnings, "");
	assert_string_equal(c->name, "vm02.my.flat");
	assert_string_equal(c->kernel, "/boot/vmlinuz-6.1.0-18-amd64");
	assert_string_equal(c->ramdisk, "/boot/initrd.img-6.1.0-18-amd64");
	assert_string_equal(c->cmdline, "root=/dev/xvda2 ro elevator=noop");
	assert_int_equal(c->memory, 256 << 10);
	assert_int_equal(c->vcpus, 1);
	assert_int_equal(c->disks, 2);
	assert_string_equal(c->disk[0].target, "/home/xen/domains/vm02.my.flat/disk.img");
	assert_string_equal(c->disk[0].vdev, "xvda2");
	assert_string_equal(c->disk[0].hint, "file");
	assert_true(c->disk[0].writable);
	assert_string_equal(c->disk[1].vdev, "xvda1");
	assert_int_equal(c->vifs, 1);
	assert_string_equal(c->vif[0].ip, "192.168.1.200");
	assert_string_equal(c->vif[0].mac, "00:16:3e:01:02:03");
	assert_int_equal(c->on_crash, DOMAIN_RESTART);
	assert_int_equal(c->on_poweroff, DOMAIN_DESTROY);
	domain_config_free(&rig.config);
}

/* An xl file of the kind that the manual page explains: every sort of value. */
static void test_xl(void **state)
{
	struct rig rig = {0};
	const struct domain_config *c = &rig.config;

	rig_good(&rig,
		"type = \"hvm\"\nname = \"win\\x2d1\"; uuid = \"0123456789ABCDEF0123456789abcdef\"\n"
		"memory = 0x400\nmaxmem = 2048\nvcpus = 2\nmaxvcpus = 4\n"
		"cpus = \"0-3,^1\"\ncpus_soft = [ 0, \"2-3\" , ]\ncpu_weight = 512\ncap = '50'\n"
		"boot = \"dc\"\n"
		"disk = [ '/dev/vg/guest-volume,,hda', # the first\n"
		"         '/root/image.iso,,hdc,cdrom' ]\n"
		"disk += [ 'format=raw, vdev=xvdb, access=rw, target=/srv/a,b c.img ' ]\n"
		"vif = [ 'mac=00:16:3e:00:00:01,bridge=br0,model=e1000,rate=10Mb/s', '' ]\n"
		"serial = \"pty\"\nvnc = 1\nvnclisten = \"0.0.0.0\"\nvkb = [ 'a=1' ]\n"
		"on_crash = \"coredump-restart\"\non_watchdog = 'preserve'\n"
		"ioports = [ \"2f8-2ff\", [ 1, 'x', ], ]\nfirmware='ovmf'\n"
		"extra = \"console=ttyS0\"\nextra += \" quiet\"");
	assert_string_equal(rig.warnings, "f:19:1: 'vkb' has no effect yet\n");
	assert_string_equal(c->name, "win-1");
	assert_string_equal(c->type, "hvm");
	assert_string_equal(c->uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(c->memory, 1 << 20);
	assert_int_equal(c->maxmem, 2 << 20);
	assert_int_equal(c->maxvcpus, 4);
	assert_int_equal(c->cpus_count, 4);
	assert_string_equal(c->cpus[3], "0-3,^1");
	assert_int_equal(c->cpus_soft_count, 2);
	assert_string_equal(c->cpus_soft[0], "0");
	assert_int_equal(c->cpu_weight, 512);
	assert_int_equal(c->cap, 50);
	assert_string_equal(c->boot, "dc");
	assert_int_equal(c->disks, 3);
	assert_true(c->disk[1].cdrom);
	assert_string_equal(c->disk[2].target, "/srv/a,b c.img");
	assert_int_equal(c->vifs, 2);
	assert_int_equal(c->vif[0].rate, 1250000);
	assert_string_equal(c->serial[0], "pty");
	assert_int_equal(c->on_crash, DOMAIN_COREDUMP_RESTART);
	assert_int_equal(c->on_watchdog, DOMAIN_PRESERVE);
	assert_string_equal(c->firmware, "ovmf");
	assert_string_equal(c->cmdline, "console=ttyS0 quiet");
	assert_true(c->machine.vnc);
	assert_string_equal(c->machine.vnc_listen, "0.0.0.0");
	assert_null(json_object_get(c->kept, "vnc"));
	assert_int_equal(json_array_size(json_object_get(c->kept, "ioports")), 2);
	domain_config_free(&rig.config);
}

/* Said once, where one text stands for all of the guest's processors. */
static void test_processors_that_are_not_there(void **state)
{
	struct rig rig = {0};

	rig_good(&rig, "name='a'; vcpus=2\ncpus='1000-1003'");
	assert_string_equal(rig.warnings,
		"f:2:7: '1000-1003' names no processor that this host has; the guest's processor "
		"runs anywhere\n");
	domain_config_free(&rig.config);
	rig_good(&rig, "name='a'; vcpus=2\ncpus=['all', '1001']");
	assert_non_null(strstr(rig.warnings, "f:2:15: '1001' names no processor that this"));
	domain_config_free(&rig.config);
	rig_good(&rig, "name='a'\ncpus='0'\ncpus_soft='1001'");
	assert_string_equal(rig.warnings, "");
	domain_config_free(&rig.config);
}

/* Old files for xm: plain Python, without what must be run. */
static void test_xm(void **state)
{
	struct rig rig = {0};
	const struct domain_config *c = &rig.config;

	rig_good(&rig,
		"#  -*- mode: python; -*-\r\n"
		"kernel = \"/boot/vmlinuz-2.6-xenU\"\r\n"
		"builder='linux'\r\nvmid = 3\r\nbase = '/srv/' + 'xen'\r\n"
		"memory = 64 + 64\r\nname = \"vm%02d\" % vmid\r\n"
		"disk = [ 'file:%s/%s.img,hda1,w' % (base, name),\r\n"
		"         ('phy:vg/swap%d,hda2,w' % (vmid)) ] + ['tap:aio:/d,hdb,r']\r\n"
		"vif = [ 'mac=00:16:3e:00:00:%x, bridge=xenbr0' % 0x1f ]\r\n"
		"root = \"/dev/hda1 ro\"\r\nextra = '4'\r\nvnc = True\r\nsdl = False\r\n"
		"ramdisk = None\r\non_xend_start = 'ignore'\r\nlong = 'a' + \\\r\n 'b'\r\n"
		"dhcp = 'dhcp'\r\n");
	assert_string_equal(c->name, "vm03");
	assert_string_equal(c->type, "pv");
	assert_int_equal(c->memory, 128 << 10);
	assert_int_equal(c->disks, 3);
	assert_string_equal(c->disk[0].target, "/srv/xen/vm03.img");
	assert_string_equal(c->disk[1].target, "/dev/vg/swap3");
	assert_string_equal(c->disk[1].hint, "phy");
	assert_string_equal(c->disk[2].hint, "tap:aio");
	assert_false(c->disk[2].writable);
	assert_string_equal(c->vif[0].mac, "00:16:3e:00:00:1f");
	assert_string_equal(c->cmdline, "root=/dev/hda1 ro 4");
	assert_null(c->ramdisk);
	assert_true(c->machine.vnc);
	/* vmid and base were of use; long was not. */
	assert_string_equal(rig.warnings, "f:17:1: unknown key 'long' is ignored\n");
	domain_config_free(&rig.config);
}

static void test_warnings(void **state)
{
	struct rig rig = {0};

	rig_good(&rig,
		"name='a'\nvcpu = 2\ncolour = 'red'\ncmdline='x'\nroot='/dev/xvda1'\n"
		"memroy=5\nvif=['policy=x,mac=00:16:3e:00:00:01']\n"
		"disk=['/a,hdc:cdrom,w']");
	assert_string_equal(rig.warnings,
		"f:5:1: 'cmdline' is there too, so 'root' is ignored\n"
		"f:8:8: a CD is read-only: its access 'w' is ignored\n"
		"f:7:7: a network has no 'policy': ignored\n"
		"f:2:1: unknown key 'vcpu' is ignored; did you mean 'vcpus'?\n"
		"f:3:1: unknown key 'colour' is ignored\n"
		"f:6:1: unknown key 'memroy' is ignored; did you mean 'memory'?\n");
	assert_string_equal(rig.config.cmdline, "x");
	domain_config_free(&rig.config);
}

static void test_defaults(void **state)
{
	struct rig rig = {0};

	rig_good(&rig, "name='a'");
	assert_int_equal(rig.config.memory, 128 << 10);
	assert_int_equal(rig.config.cpu_weight, 256);
	domain_config_free(&rig.config);
	rig_good(&rig, "name='a'\nmaxmem=512\ncpu_cap=30\nvnc=0\nvfb=[]\npci=''");
	assert_int_equal(rig.config.memory, 512 << 10);
	assert_int_equal(rig.config.cap, 30);
	assert_string_equal(rig.warnings, "");
	domain_config_free(&rig.config);
}

/* xen-create-image writes this line where --nopygrub is given. */
static void test_stray(void **state)
{
	struct rig rig = {0};

	rig_bad(&rig, "#\n0\nvcpus = '1'\n", "f:2:1: expected KEY = VALUE here, not '0'");
}

/* Without a kernel; with one it does not count. */
static void test_bootloader(void **state)
{
	struct rig rig = {0};

	rig_good(&rig, "name='a'\nbootloader='/usr/lib/xen-4.17/bin/pygrub'\ndisk=['/d,,xvda']");
	assert_null(rig.config.kernel);
	domain_config_free(&rig.config);
	rig_good(&rig, "name='a'\nbootloader='pvgrub'\nkernel='/k'");
	domain_config_free(&rig.config);
	rig_bad(&rig, "name='a'\nbootloader='pvgrub'\ndisk=['/d,,xvda']",
		"f:2:13: bootloader: 'pvgrub' is not known; 'pygrub' is");
	rig_bad(&rig, "name='a'\nbootloader='pygrub'\ndisk=[',hdc:cdrom,r']",
		"f:2:13: bootloader: there is no disk");
}

/* What Xen 3's example for HVM guests begins with is passed over, and nothing else of its kind. */
static void test_preamble(void **state)
{
	static const char stock[] = "#  -*- mode: python; -*-\n"
				    "import os, re\n"
				    "arch = os.uname()[4]\n"
				    "if re.search('64', arch):\n"
				    "    arch_libdir = 'lib64'\n";
	static const char *const bad[][2] = {
		{"import os\narch = os.uname()[4]\n", "f:6:1: 'import' is Python"},
		{"import os, re\narch = os.uname()[3]\n", "f:6:1: 'import' is Python"},
		{"import os, re\narch = os.uname()[4]\nif re.search('64', arch):\n\tx = 'lib64'\n",
			"f:6:1: 'import' is Python"},
	};
	struct rig rig = {0};
	char text[1024];

	snprintf(text, sizeof text,
		"%s\n# else\nelse:\r\n    arch_libdir = \"lib\"\nname = 'a'\n"
		"device_model = '/usr/' + arch_libdir + '/xen/bin/qemu-dm'\nvcpus = x",
		stock);
	rig_bad(&rig, text, "f:12:9: 'x' has no quotes around it");
	strcpy(strstr(text, "vcpus"), "memory = 64");
	rig_good(&rig, text);
	assert_null(strstr(rig.warnings, "arch"));
	assert_string_equal(json_string_value(json_object_get(rig.config.kept, "device_model")),
		"/usr/lib64/xen/bin/qemu-dm");
	domain_config_free(&rig.config);
	/* A zero byte is none of it. */
	assert_int_equal(preamble_lines("import os, re\0\n", 15), 0);
	assert_int_equal(preamble_lines("\0\n", 2), 0);
	/* Without else, and with something else behind it */
	snprintf(text, sizeof text, "%sname = 'a'; extra = arch_libdir", stock);
	rig_good(&rig, text);
	assert_string_equal(rig.config.cmdline, "lib64");
	domain_config_free(&rig.config);
	snprintf(text, sizeof text, "%selse:\nname = 'a'", stock);
	rig_bad(&rig, text, "f:2:1: 'import' is Python");
	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++) {
		snprintf(text, sizeof text, "\n\n\n\n\n%s", bad[n][0]);
		rig_bad(&rig, text, bad[n][1]);
	}
}

static void test_overrides(void **state)
{
	struct rig rig = {.count = 8,
		.overrides = {"memory=512", "name=web-one", "vif+=['bridge=b']", "extra=ro x=1 # y",
			"disk=[ '/x,,xvda' ]", "vcpus = '2'", "on_crash=\"preserve\"",
			"kernel=vm/k"}};

	rig_good(&rig, "name='a'\nmemory=64\nvif=['']\ndisk=['/y,,xvdb', '/z,,xvdc']\n");
	assert_string_equal(rig.config.name, "web-one");
	assert_int_equal(rig.config.memory, 512 << 10);
	assert_int_equal(rig.config.vifs, 2);
	assert_string_equal(rig.config.vif[1].bridge, "b");
	assert_string_equal(rig.config.cmdline, "ro x=1 # y");
	assert_int_equal(rig.config.disks, 1);
	assert_int_equal(rig.config.vcpus, 2);
	assert_int_equal(rig.config.on_crash, DOMAIN_PRESERVE);
	assert_string_equal(rig.config.kernel, "/here/vm/k");
	domain_config_free(&rig.config);

	/* xm's lists add up, and replace the file's; an empty one is an interface with nothing said of it. */
	rig = (struct rig){.count = 7,
		.overrides = {"disk=tap:aio:/srv/r.img,xvda1,w", "disk=tap:aio:/srv/s.img,xvda2,w",
			"vif=", "vif=mac=02:00:00:00:00:01,bridge=br0",
			"disk=['/t,,xvda3','/u,,xvda4']", "extra=a", "extra=b"}};
	rig_good(&rig, "name='a'\ndisk=['/old,,xvda']\nvif=['', '', '']\n");
	assert_int_equal(rig.config.disks, 4);
	assert_string_equal(rig.config.disk[0].target, "/srv/r.img");
	assert_string_equal(rig.config.disk[1].vdev, "xvda2");
	assert_string_equal(rig.config.disk[3].target, "/u");
	assert_int_equal(rig.config.vifs, 2);
	assert_string_equal(rig.config.vif[0].mac, "");
	assert_string_equal(rig.config.vif[1].bridge, "br0");
	assert_string_equal(rig.config.cmdline, "b");
	domain_config_free(&rig.config);
	rig = (struct rig){.count = 2, .overrides = {"disk=/a,,xvda", "disk=[ '/x,,xvda'"}};
	rig_bad(&rig, "name='a'", "command line:2:");
	rig = (struct rig){.count = 2, .overrides = {"disk=/a,,xvda", "disk=/b,raw,what"}};
	rig_bad(&rig, "name='a'", "command line:2:13: 'what' is not a disk's name");
	rig = (struct rig){.count = 2, .overrides = {"name=a", "vcpus=abc"}};
	rig_bad(&rig, "", "command line:2:7: 'vcpus' takes a number, not 'abc'");
	rig = (struct rig){.count = 1, .overrides = {"disk=[ '/x,,xvda'"}};
	rig_bad(&rig, "name='a'", "command line:1:18: expected ',' or ']' here");
	rig = (struct rig){.count = 1, .overrides = {"memory"}};
	rig_bad(&rig, "name='a'", "command line:1:1: 'memory' is not KEY=VALUE");
	rig = (struct rig){.count = 1, .overrides = {"9=1"}};
	rig_bad(&rig, "name='a'", "command line:1:1:");
	rig = (struct rig){.count = 1, .overrides = {"memory+=[1]"}};
	rig_bad(&rig, "name='a'\nmemory=1", "command line:1:9: cannot add a list to a number");
}

/* Each says where, and what would be right. */
static void test_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"", "f: the guest has no name"},
		{"name = 'a\nmemory=1", "f:1:8: this string is not closed: put a ' at its end"},
		{"name = \"a", "f:1:8: this string is not closed: put a \" at its end"},
		{"name = 'a\\q'", "f:1:10: a \\ here must be followed by"},
		{"name = 'a\\x00'", "f:1:10: a \\ here"},
		{"name = web", "f:1:8: 'web' has no quotes around it: write 'web' in quotes"},
		{"name = 'a'\nmemory = 2G", "f:2:10: '2G' is not a number"},
		{"name = 'a'\nmemory = '2G'", "f:2:11: 'memory' takes a number of MiB, not '2G'"},
		{"name = 'a'\nmemory = 0", "f:2:10: 'memory' takes a number of MiB from 1 to"},
		{"name = 'a'\nmemory = -1", "f:2:10: expected a value here"},
		{"name = 'a'\nmemory = 010", "f:2:10: a number with a 0 in front"},
		{"name = 'a'\nmemory = 99999999999999999999", "too large"},
		{"name = 'a'\nmemory = ['1']", "f:2:10: 'memory' takes one value, not a list"},
		{"name = 'a'\nmemory 5", "f:2:8: expected '=' or '+=' after 'memory', not '5'"},
		{"name = 'a'\n= 5", "f:2:1: expected KEY = VALUE here, not '='"},
		{"name = 'a'\nmemory =\n5", "f:2:9: expected a value here, 'text', a number or"},
		{"name = 'a' vcpus = 2", "f:1:12: expected the end of the line after the value"},
		{"name = 'a'\ndisk = [ '/a,,xvda' '/b,,xvdb' ]", "f:2:21: expected ',' or ']'"},
		{"name = 'a'\ndisk = [ '/a,,xvda',\n", "f:3:1: expected a value here"},
		{"name = 'a'\ndisk = [ '/a,,xvda'\nmemory = 1", "(the list begins in line 2)"},
		{"import os\nname='a'", "f:1:1: 'import' is Python, which is not run here"},
		{"name='a'\ndef check(x):\n  pass", "f:2:1: 'def' is Python"},
		{"name='a'\nif vmid > 1:", "f:2:1: 'if' is Python"},
		{"name='a'\nxm_vars.check()", "f:2:1: 'xm_vars.check(' is Python"},
		{"name='a'\nvcpus = len(x)", "f:2:9: 'len(' is Python, which is not run here"},
		{"name='a'\nx = os.uname()[4]", "f:2:5: 'os.uname(' is Python"},
		{"name='a'\nx = [ 'a%d' % i for i in range(3) ]", "f:2:15: 'i' has no quotes"},
		{"name='a%d' % 'x'", "f:1:15: this value does not fit"},
		{"name='a%d%d' % (1,)", "fewer values behind %"},
		{"name='a' % 1", "more values behind %"},
		{"name='a%' % 1", "a lone % at the end"},
		{"name='a%099d' % 1", "a width of more than 40"},
		{"name='a' + 1", "f:1:12: cannot add a number to a string"},
		{"name='a'\nname+=['b']", "f:2:7: cannot add a list to a string"},
		{"name='\xc3\xa4' \xc3\xa4", "f:1:10: "},
		{"name='\xc3'", "f:1:7: name: is not valid UTF-8"},
		{"name='a'\nextra='x\\033[0m'", "f:2:8: cmdline: has a control character"},
		{"name='a/b'", "f:1:7: name: 'a/b' must not be or hold a path"},
		{"name='a'\nmemory=64\nmaxmem=32", "f:3:8: maxmem: "},
		{"name='a'\nvcpus=4\nmaxvcpus=2", "f:3:10: maxvcpus: "},
		{"name='a'\nramdisk='/r'", "f:2:10: ramdisk: needs a kernel"},
		{"name='a'\nuuid='x'", "f:2:7: 'x' is not a UUID"},
		{"name='a'\ntype='vm'", "f:2:7: 'vm' is not a type: pv, pvh, hvm or container"},
		{"name='a'\nbuilder='x'",
			"f:2:10: 'x' is not a builder: generic, linux, pv or hvm"},
		{"name='a'\non_crash='explode'",
			"f:2:11: 'on_crash' takes destroy, restart, rename-restart, preserve, coredump-destroy or "
			"coredump-restart, not 'explode'"},
		{"name='a'\non_crash='soft-reset'", "f:2:11: "},
		{"name='a'\ncpu_weight=70000",
			"f:2:12: 'cpu_weight' takes a number from 1 to 65535"},
		{"name='a'\ncpus='x'", "f:2:7: 'x' names no processors: like 0-3,5"},
		{"name='a'\ncpus=['1', '3-2']", "f:2:13: '3-2' names no processors"},
		{"name='a'\ncpus=[[1]]", "f:2:7: 'cpus' is a list of strings"},
		{"name='a'\ndisk=[1,,2]", "f:2:9: expected a value here"},
		{"name='a'\ndisk=['/a,,xvda', '/b,,xvda']",
			"f:2:20: disks[1].vdev: 'xvda' is there"},
		{"name='a'\nagent=1\nshare=['/a:/mnt', '/b:/..']", "f:3:20: share: /..: a path"},
		{"name='a'\nshare='/a:/b'", "shares[0]: /b is where the guest's agent mounts it"},
		{"name='a'\nserial=['a','b','c','d','e']", "f:2:1: 'serial': 4 at most"},
		{"name='a'\n\x01", "f:2:1: expected KEY = VALUE here, not '?'"},
	};
	struct rig rig = {0};

	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++)
		rig_bad(&rig, bad[n].text, bad[n].says);
}

/* A screen by xl's keys and by vfb, and where it is to be had. */
static void test_screen(void **state)
{
	static const struct {
		const char *text, *listen, *password, *warnings;
		bool vnc;
	} cases[] = {
		{"vnc=1", NULL, NULL, "", true},
		{"vnc=1\nvncdisplay=3", "127.0.0.1:3", NULL, "", true},
		{"vnc=1\nvnclisten='::1'\nvncdisplay=3\nvncpasswd='secret'", "[::1]:3", "secret",
			"", true},
		{"vnc=1\nvnclisten='0.0.0.0:7'\nvncdisplay=3\nvncunused=1", "0.0.0.0:7", NULL, "",
			true},
		{"vfb=[ 'vnc=1, vnclisten=::, vncpasswd=0123456789,keymap=de', 'sdl=1' ]",
			"::", "01234567",
			"f:2:8: VNC's passwords have 8 characters: what is behind them does not count\n",
			true},
		{"vfb=[ 'sdl=1,vnc=0' ]", NULL, NULL, "", false},
		{"vfb=[ 'type=vnc,vncdisplay=12' ]", "127.0.0.1:12", NULL, "", true},
		{"vnclisten='1.2.3.4'", "1.2.3.4", NULL, "", false},
	};
	struct rig rig = {0};
	char text[256];

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct machine_spec *machine = &rig.config.machine;

		snprintf(text, sizeof text, "name='a'\n%s\n", cases[i].text);
		rig_good(&rig, text);
		assert_int_equal(machine->vnc, cases[i].vnc);
		if (cases[i].listen)
			assert_string_equal(machine->vnc_listen, cases[i].listen);
		else
			assert_null(machine->vnc_listen);
		if (cases[i].password)
			assert_string_equal(machine->vnc_password, cases[i].password);
		else
			assert_null(machine->vnc_password);
		assert_string_equal(rig.warnings, cases[i].warnings);
		domain_config_free(&rig.config);
	}
}

/* As large as it gets, and what would be more than that. */
static void test_hostile(void **state)
{
	struct rig rig = {0};
	size_t size = 1 << 20;
	char *text = malloc(size + 1), *at;

	assert_non_null(text);
	memset(text, '[', size);
	memcpy(text, "name=", 5);
	text[size] = 0;
	rig_bad(&rig, text, "f:1:22: lists nested deeper than 16");
	memset(text + 5, '(', size - 5);
	rig_bad(&rig, text, "parentheses nested deeper than 16");
	text[5] = '\'';
	memset(text + 6, 'x', size - 6);
	rig_bad(&rig, text, "f:1:6: a string of more than 65536 bytes");
	/* Strings that double. */
	at = text + sprintf(text, "name='a'\nx='aaaaaaaa'\n");
	for (unsigned n = 0; n < 40; n++)
		at += sprintf(at, "x=x+x\n");
	rig_bad(&rig, text, "a string of more than 65536 bytes");
	at = text + sprintf(text, "name='a'\nx=[1,1,1,1,1,1,1,1]\n");
	for (unsigned n = 0; n < 40; n++)
		at += sprintf(at, "x=[x,x]\n");
	rig_bad(&rig, text, "in all");
	/* Many keys, many items. */
	at = text + sprintf(text, "name='a'\n");
	for (unsigned n = 0; n < 5000; n++)
		at += sprintf(at, "x%u=1\n", n);
	rig_bad(&rig, text, "f:4097:1: more than 4096 keys");
	at = text + sprintf(text, "name='a'\ndisk=[");
	for (unsigned n = 0; n < 5000; n++)
		at += sprintf(at, "1,");
	rig_bad(&rig, text, "a list of more than 4096");
	at = text + sprintf(text, "name='a'\ndisk=[");
	for (unsigned n = 0; n <= DOMAIN_DISKS_MAX; n++)
		at += sprintf(at, "'/a,,d%u',", n);
	strcpy(at, "]");
	rig_bad(&rig, text, "f:2:1: 'disk': 64 at most");
	/* A zero byte ends nothing. */
	memcpy(text, "name='a'\n\0memory=1", 18);
	assert_int_equal(config_read("f", text, 18, NULL, 0, NULL, &rig.config, &rig.err), -EINVAL);
	free(text);
}

/* What no guest can be started with is refused here already, with its place. */
static void test_limits(void **state)
{
	struct rig rig = {0};

	rig_good(&rig,
		"name='a'\nvcpus=64\nmaxvcpus=512\nvif=['','','','']\ndisk=['/1,,xvda',"
		"'/2,,xvdb','/3,,xvdc','/4,,xvdd','/5,,xvde','/6,,xvdf','/7,,xvdg','/8,,xvdh',"
		"'/9,,xvdi','/10,,xvdj','/11,,xvdk','/12,,xvdl','/13,,xvdm','/14,,xvdn',"
		"'/15,,xvdo','/16,,xvdp',',,hdc,cdrom']\n");
	domain_config_free(&rig.config);
	rig_bad(&rig,
		"name='a'\ndisk=['/1,,xvda','/2,,xvdb','/3,,xvdc','/4,,xvdd','/5,,xvde','/6,,xvdf',"
		"'/7,,xvdg','/8,,xvdh','/9,,xvdi','/10,,xvdj','/11,,xvdk','/12,,xvdl','/13,,xvdm',"
		"'/14,,xvdn','/15,,xvdo','/16,,xvdp',\n  '/17,,xvdq']\n",
		"f:3:4: disks[16]: a guest can have 16 disks at most");
	rig_bad(&rig, "name='a'\nvif=['','','','','','','','',\n'']\n",
		"f:3:2: vifs[8]: a guest can have 8 networks at most");
	rig_bad(&rig, "name='a'\nvif=['',\n'vifname=abcdefghijklmnop']\n",
		"f:3:2: vifs[1]: vifname: 'abcdefghijklmnop' is 16 characters long");
	rig_bad(&rig, "name='a'\nvif=['bridge=a:b']\n",
		"f:2:7: vifs[0]: bridge: 'a:b' is no name for a link");
	rig_bad(&rig, "name='a'\nvif=['filter=maybe']\n", "f:2:14: filter= is on, or off");
	rig_bad(&rig, "name='a'\nvif=['',\n'mode=user,fwd=tcp:1']\n",
		"f:3:2: vifs[1]: fwd=tcp:1: not");
	rig_bad(&rig, "name='a'\nvcpus=65\n", "f:2:7: 'vcpus' takes a number from 1 to 64");
	rig_bad(&rig, "name='a'\nmemory=4194305\n", "f:2:8: 'memory' takes a number of MiB from");
}

static void test_files(void **state)
{
	char path[] = "/tmp/dach-test-config-XXXXXX";
	int fd = mkstemp(path);
	struct rig rig = {0};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, xen_tools, sizeof xen_tools - 1), sizeof xen_tools - 1);
	assert_int_equal(config_load(path, NULL, 0, NULL, &rig.config, &rig.err), 0);
	assert_string_equal(rig.config.name, "vm02.my.flat");
	domain_config_free(&rig.config);
	assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(config_load(path, NULL, 0, NULL, &rig.config, &rig.err), -EFBIG);
	assert_non_null(strstr(rig.err.text, path));
	close(fd);
	unlink(path);
	rig.err.text[0] = 0;
	assert_int_equal(config_load(path, NULL, 0, NULL, &rig.config, &rig.err), -ENOENT);
	assert_non_null(strstr(rig.err.text, path));
	rig.err.text[0] = 0;
	assert_int_equal(config_load("/", NULL, 0, NULL, &rig.config, &rig.err), -EISDIR);
	assert_null(rig.config.name);
	rig.overrides[0] = "name=b";
	rig.err.text[0] = 0;
	assert_int_equal(config_load(NULL, rig.overrides, 1, NULL, &rig.config, &rig.err), 0);
	assert_string_equal(rig.config.name, "b");
	domain_config_free(&rig.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xen_tools),
		cmocka_unit_test(test_xl),
		cmocka_unit_test(test_processors_that_are_not_there),
		cmocka_unit_test(test_xm),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_stray),
		cmocka_unit_test(test_bootloader),
		cmocka_unit_test(test_preamble),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
