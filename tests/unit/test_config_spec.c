/* SPDX-License-Identifier: Apache-2.0 */
/* The strings for disks, networks and processors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/spec.h"
#include "config_rig.h"
#include "host/cpuset.h"

static void test_disks(void **state)
{
	static const char *const cases[][2] = {
		/* The new form, by position and by name; then the old one. */
		{"/dev/vg/v,raw,xvda,rw", "/dev/vg/v xvda raw w"},
		{"/dev/vg/v,,hda", "/dev/vg/v hda raw w"},
		{"/dev/vg/v, raw , xvda1 , ro", "/dev/vg/v xvda1 raw r"},
		{"/i.iso,,hdc,cdrom", "/i.iso hdc raw r cdrom"},
		{"/i.iso,raw,hdc,devtype=cdrom", "/i.iso hdc raw r cdrom"},
		{"format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/i.iso",
			"/root/i.iso hdc raw r cdrom"},
		{"format=raw, vdev=xvda1, access=rw,target=/a,b=c, d", "/a,b=c, d xvda1 raw w"},
		{"raw,, ,vdev=xvdz", "/here/raw xvdz raw w"},
		{"/a=b,qcow2,xvda", "/a=b xvda qcow2 w"},
		{"a.vhd,vhd,vda", "/here/a.vhd vda vhd w"},
		{"vdev=hdc,devtype=cdrom", "- hdc empty r cdrom"},
		{",,hdc,cdrom", "- hdc empty r cdrom"},
		{"/a,raw,xvda,w,backendtype=qdisk,backend=store",
			"/a xvda raw w hint=qdisk backend=store"},
		{"vdev=xvda,script=block-rbd,target=pool/image",
			"pool/image xvda raw w script=block-rbd"},
		{"/a,raw,xvda,w,discard,direct-io-safe", "/a xvda raw w"},
		{"raw:/a,,xvda", "/a xvda raw w hint=raw"},
		{"phy:/dev/vg/h-disk,xvda2,w", "/dev/vg/h-disk xvda2 raw w hint=phy"},
		{"phy:vg/h-disk,sda1,w", "/dev/vg/h-disk sda1 raw w hint=phy"},
		{"file:/d.img,hda,r", "/d.img hda raw r hint=file"},
		{"/d.img,hda,rw", "/d.img hda raw w"},
		{"/d.img,/dev/hda1,w", "/d.img /dev/hda1 raw w"},
		{"tap:aio:/d.img,xvda,w", "/d.img xvda raw w hint=tap:aio"},
		{"tap2:tapdisk:aio:/d,xvda,w!", "/d xvda raw w hint=tap2:tapdisk:aio"},
		{"tap:qcow2:/d.img,xvda,w", "/d.img xvda qcow2 w hint=tap:qcow2"},
		{"vhd:d.vhd,xvda,w", "/here/d.vhd xvda vhd w hint=vhd"},
		{"qcow:/d,xvda,w", "/d xvda qcow w hint=qcow"},
		{"file:/i.iso,hdc:cdrom,r", "/i.iso hdc raw r cdrom hint=file"},
		{",hdc:cdrom,r", "- hdc empty r cdrom"},
		{"tap:aio:/xen/g/sda1.img,ioemu:sda1,w", "/xen/g/sda1.img sda1 raw w hint=tap:aio"},
		{"file:/xen/cd.iso,ioemu:hdc:cdrom,r", "/xen/cd.iso hdc raw r cdrom hint=file"},
		{"/a,raw,ioemu:hda,w", "/a hda raw w"},
		{"file:/home/nb/netbsd.disk,0x1,w", "/home/nb/netbsd.disk 0x1 raw w hint=file"},
		{"/home/nb/NetBSD.iso,2,r", "/home/nb/NetBSD.iso 2 raw r"},
		{"/d.img,xvda:disk,w,other", "/d.img xvda raw w backend=other"},
		{"./a:b.img,xvda,w", "/here/./a:b.img xvda raw w"},
	};
	const struct config_reader reader = {.folder = "/here"};
	struct rig rig = {0};
	char got[256];

	/* Also of formats that no guest can be started with. */
	for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
		const struct cfg_value value = {.kind = CFG_STRING, .text = (char *)cases[n][0]};
		struct domain_disk *disk = calloc(1, sizeof *disk);

		assert_non_null(disk);
		rig.config.disk = disk;
		rig.config.disks = 1;
		if (spec_disk(&value, &reader, disk, &rig.err))
			fail_msg("refused: %s\n%s", cases[n][0], rig.err.text);
		snprintf(got, sizeof got, "%s %s %s %s%s%s%s%s%s%s%s",
			disk->target ? disk->target : "-", disk->vdev,
			domain_format_name(disk->format), disk->writable ? "w" : "r",
			disk->cdrom ? " cdrom" : "", disk->hint ? " hint=" : "",
			disk->hint ? disk->hint : "", disk->script ? " script=" : "",
			disk->script ? disk->script : "", disk->backend ? " backend=" : "",
			disk->backend ? disk->backend : "");
		assert_string_equal(got, cases[n][1]);
		domain_config_free(&rig.config);
	}
	rig_good(&rig,
		"name='a'\ndisk=['/a,,xvda,no-discard,direct-io-safe,errors=wait','nbd://h:1/b,,xvdb,discard']");
	assert_false(rig.config.disk[0].discard);
	assert_true(rig.config.disk[0].direct_io);
	assert_int_equal(rig.config.disk[0].errors, DISK_ERRORS_WAIT);
	assert_int_equal(rig.config.disk[1].errors, DISK_ERRORS_REPORT);
	assert_string_equal(rig.config.disk[1].target, "nbd://h:1/b");
	assert_null(rig.config.disk[1].script);
	assert_true(rig.config.disk[1].discard);
	assert_false(rig.config.disk[1].direct_io);
	domain_config_free(&rig.config);
	/* No disk at all. */
	rig_good(&rig, "name='a'\ndisk=['', ' ']");
	assert_int_equal(rig.config.disks, 0);
	domain_config_free(&rig.config);
}

/* What cannot be read yet is refused where it is written, not when the guest is started. */
static void test_formats(void **state)
{
	struct rig rig = {0};

	rig_bad(&rig, "name='a'\ndisk=['/a,,xvda',\n  'tap2:vhd:/vms/diff.img,xvdb,w']",
		"f:3:4: disks[1]: format vhd is not there yet");
	rig_bad(&rig, "name='a'\ndisk=['/a,qed,xvda']", "f:2:8: disks[0]: format qed");
}

static void test_bad_disks(void **state)
{
	static const char *const bad[][2] = {
		{"/a", "f:2:8: the disk has no name in the guest"},
		{"/a,raw", "f:2:8: the disk has no name in the guest"},
		{"/a,rwa,xvda", "f:2:11: 'rwa' is not a disk format: raw, qcow2"},
		{"/a,raw,xvdA", "f:2:15: 'xvdA' is not a disk's name: like xvda"},
		{"/a,raw,xvda,x", "f:2:20: 'x' is not an access mode: r, ro, w or rw"},
		{"/a,raw,xvda,w,more", "f:2:22: 'more' is one too many"},
		{"/a,raw,xvda,colour=red", "f:2:20: 'colour=' is not a property of a disk"},
		{"/a,hda,q", "f:2:11: 'hda' is not a disk format"},
		{"/a,hda:floppy,w", "f:2:15: 'floppy' is not a kind of drive: cdrom or disk"},
		{"nfs:/a,hda,w", "f:2:8: 'nfs:' is none of file: phy:"},
		{"/d.img,ioemu:,w", "f:2:15: 'ioemu:' is not a disk format"},
		{"/d.img,ioemu:xyz,w", "f:2:15: 'ioemu:xyz' is not a disk format"},
		{",hda,w", "f:2:8: the disk has no target; only a drive with ':cdrom'"},
		{"/a,empty,hdc", "f:2:8: an empty drive has no target"},
		{"vdev=xvda,target=", "f:2:8: the disk has no target"},
		{"/a,raw,xvda,devtype=tape", "f:2:28: 'tape' is not a kind of drive"},
		{"\\x2fa,rwa,xvda",
			"f:2:8: 'rwa' is not a disk format"}, /* no telling where, with escapes */
	};
	struct rig rig = {0};
	char text[256];

	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++) {
		snprintf(text, sizeof text, "name='a'\ndisk=['%s']", bad[n][0]);
		rig_bad(&rig, text, bad[n][1]);
	}
}

static void test_vifs(void **state)
{
	static const struct {
		const char *rate;
		uint64_t bytes;
		unsigned interval;
	} rates[] = {{"10Mb/s", 1250000, 0}, {"1MB/s@20ms", 1000000, 20000}, {"8b/s", 1, 0},
		{"250KB/s@1s", 250000, 1000000}, {"1Gb/s@50us", 125000000, 50}, {"7B/s", 7, 0}};
	struct rig rig = {0};
	const struct domain_vif *vif;
	char text[256];

	rig_good(&rig,
		"name='a'\nvif=['', 'mac=00:16:3E:0:1:fF , bridge = xenbr0, vifname=web.0,"
		"script=vif-nat,gatewaydev=eth0,ip=10.0.0.2 10.0.0.3,model=rtl8139,type=ioemu,mtu=9000,"
		"backend=net,vlan=20,isolated=on,', 'mode=user,fwd=tcp:127.0.0.1:80-:80,fwd=udp::1-:2,"
		"allow=10.0.0.0/8,allow=debian.org']");
	assert_string_equal(rig.warnings, "f:2:150: 'backend' has no effect yet\n");
	assert_int_equal(rig.config.vifs, 3);
	vif = &rig.config.vif[1];
	assert_string_equal(rig.config.vif[0].mac, "");
	assert_string_equal(vif->mac, "00:16:3e:00:01:ff");
	assert_string_equal(vif->bridge, "xenbr0");
	assert_string_equal(vif->vifname, "web.0");
	assert_string_equal(vif->script, "vif-nat");
	assert_string_equal(vif->gatewaydev, "eth0");
	assert_string_equal(vif->ip, "10.0.0.2 10.0.0.3");
	assert_string_equal(vif->model, "rtl8139");
	assert_string_equal(vif->type, "ioemu");
	assert_string_equal(vif->backend, "net");
	assert_int_equal(vif->mtu, 9000);
	assert_int_equal(vif->vlan, 20);
	assert_true(vif->isolated);
	assert_string_equal(vif[1].mode, "user");
	assert_int_equal(vif[1].forwards, 2);
	assert_string_equal(vif[1].forward[1], "udp::1-:2");
	assert_int_equal(vif[1].allows, 2);
	assert_string_equal(vif[1].allow[0], "10.0.0.0/8");
	domain_config_free(&rig.config);
	for (unsigned n = 0; n < sizeof rates / sizeof *rates; n++) {
		snprintf(text, sizeof text, "name='a'\nvif=['rate=%s']", rates[n].rate);
		rig_good(&rig, text);
		assert_int_equal(rig.config.vif[0].rate, rates[n].bytes);
		assert_int_equal(rig.config.vif[0].rate_interval, rates[n].interval);
		domain_config_free(&rig.config);
	}
}

static void test_bad_vifs(void **state)
{
	static const char *const bad[][2] = {
		{"bridge", "f:2:7: 'bridge' is not KEY=VALUE: like bridge=br0"},
		{"bridge=b,mac=", "f:2:20: '' is not a network card's address"},
		{"mac=1:2:3:4:5:6", "the first number even"},
		{"mac=00:16:3e:01:02:03:04", "is not a network card's address"},
		{"mac=0x:16:3e:01:02:03", "is not a network card's address"},
		{"mtu=9", "f:2:11: '9' is not an MTU: from 68 to 65535"},
		{"mtu=70000", "is not an MTU"},
		{"vlan=0", "f:2:12: '0' is not a VLAN: from 1 to 4094"},
		{"vlan=4095", "is not a VLAN"},
		{"isolated=yes", "isolated= is off, or on"},
		{"rate=10", "f:2:12: '10' is not a rate: like 10Mb/s"},
		{"rate=Mb/s", "is not a rate"},
		{"rate=0Mb/s", "is not a rate"},
		{"rate=99999999999999Gb/s", "is not a rate"},
		{"rate=2000000GB/s", "is not a rate"},
		{"rate=10Mb/s@", "is not a rate"},
		{"rate=10Mb/s@20", "is not a rate"},
		{"rate=10Mb/s@5000s", "is not a rate"},
		{"rate=10Mb/s x", "is not a rate"},
		{"mode=tap", "'tap' is not a mode: user or bridge"},
		{"mode=bridge,fwd=x", "fwd= needs mode=user"},
		{"fwd=", "fwd= takes tcp:"},
		{"allow=", "allow= takes an address"},
		{"allow=a..b", "vifs[0]: allow: 'a..b' is neither"},
		{"allow=10.0.0.0/33", "is neither an address nor a network"},
		{"bridge=b,allow=a", "vifs[0]: allow: only of a network in user mode"},
		{"mode=bridge,allow=a", "vifs[0]: allow: only of a network in user mode"},
		{"script=vif-route,allow=a", "vifs[0]: allow: only of a network in user mode"},
	};
	struct rig rig = {0};
	char text[256];

	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++) {
		snprintf(text, sizeof text, "name='a'\nvif=['%s']", bad[n][0]);
		rig_bad(&rig, text, bad[n][1]);
	}
}

static void put(const char *folder, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	for (char *c = path + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = 0;
		mkdir(path, 0700);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_cpusets(void **state)
{
	static const char *const good[][2] = {{"all", "all"}, {"0-7", "all"}, {"0", "0"},
		{"0-3,5", "0-3,5"}, {"0-3,^1", "0,2-3"}, {"^0", "1-7"}, {"all,^0-6", "7"},
		{"nodes:1", "4-7"}, {"node:0,^2,6", "0-1,3,6"}, {"all,^nodes:0", "4-7"},
		{" 1 , 3 ", "1,3"}, {"3-9", "3-7"}, {"nodes:0-63", "all"}, {"1,1,1", "1"}};
	static const char *const bad[] = {"", ",", "1,", "a", "1-", "-1", "3-2", "1024", "0-1024",
		"99999999999999999999", "^", "nodes:", "nodes:x", "0 1", "1;2", "12", "nodes:2",
		"0,^0", "^all"};
	char folder[] = "/tmp/dach-test-cpus-XXXXXX", text[CPUSET_TEXT_MAX], command[64];
	struct cpuset_host host;
	struct error err = {""};
	cpu_set_t set;

	assert_non_null(mkdtemp(folder));
	put(folder, "devices/system/cpu/online", "0-7\n");
	put(folder, "devices/system/node/node0/cpulist", "0-3\n");
	put(folder, "devices/system/node/node1/cpulist", "4-7,9\n");
	assert_int_equal(cpuset_host_read(folder, &host, &err), 0);
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(host.nodes, 2);
	for (unsigned n = 0; n < sizeof good / sizeof *good; n++) {
		if (cpuset_parse(good[n][0], &host, &set, &err))
			fail_msg("%s", err.text);
		assert_string_equal(cpuset_format(&set, &host, text, sizeof text), good[n][1]);
	}
	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++) {
		err.text[0] = 0;
		if (cpuset_parse(bad[n], &host, &set, &err) != -EINVAL)
			fail_msg("taken: %s", bad[n]);
		assert_true(err.text[0]);
	}
	CPU_ZERO(&set);
	assert_string_equal(cpuset_format(&set, &host, text, sizeof text), "none");
	/* This host, whatever it is. */
	err.text[0] = 0;
	assert_int_equal(cpuset_host_read("/sys", &host, &err), 0);
	assert_true(CPU_COUNT(&host.online) >= 1);
	assert_true(host.nodes >= 1);
	assert_int_equal(cpuset_host_read("/nonexistent", &host, &err), 0);
	assert_true(CPU_COUNT(&host.online) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_bad_disks),
		cmocka_unit_test(test_vifs),
		cmocka_unit_test(test_bad_vifs),
		cmocka_unit_test(test_cpusets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
