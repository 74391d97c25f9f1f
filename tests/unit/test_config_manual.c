/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of Xen's manual pages, one row a rule: xl.cfg(5), xl-disk-configuration(5),
 * xl-network-configuration(5), xen-vbd-interface(7), of 4.17. What they accept is accepted here, or the
 * row says why it is not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "config/spec.h"
#include "config_rig.h"

struct row {
	const char *text;
	const char *refused; /* a part of the sentence; NULL: it is accepted */
};

static void check(struct rig *rig, const char *text, const struct row *row)
{
	if (row->refused) {
		rig_bad(rig, text, row->refused);
		return;
	}
	rig_good(rig, text);
	domain_config_free(&rig->config);
}

static void language_and_values(void **state)
{
	static const struct row rows[] = {
		/* The language. */
		{"vcpus=1;memory=64\n\n;\nextra='x'", NULL},
		{"# a comment\nextra=\"a # b\" # another", NULL},
		{"extra='it\\'s' ; root=\"\\x41\\101\\n\" ",
			"cmdline: "}, /* no line fits in a line */
		{"extra='a'\nextra+=' b'", NULL},
		{"disk=[ '/a,,xvda', ]\ndisk+=[ '/b,,xvdb' ]", NULL},
		{"vif=[\n''\n,\n'',\n]", NULL},
		{"memory=0x40\nvcpus='2'", NULL},
		{"memory=0100", "a number with a 0 in front"}, /* octal to xl: nobody means it so */
		{"a_key.of._dots9=1", NULL},
		{"ioports=[ '2f8-2ff', '3f8' ]\nirqs=[ 1, 2 ]\niomem=[ 'a0,20' ]", NULL},
		{"cpuid=[ '0x1:ecx=0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' ]\ncpuid='host,tm=0'", NULL},
		/* What it is. */
		{"type='pv'", NULL},
		{"type='pvh'", NULL},
		{"type='hvm'", NULL},
		{"type='container'\nroot='/srv/web'\ninit=[ '/sbin/init', '-x' ]\npids=100\nprivileged=1",
			NULL},
		{"template='web'\ntype='container'\ninit='/bin/sh'", NULL},
		{"type='container'\nroot='/r'\ncommand='nginx'\nenv=[ 'A=b' ]\nuser='ann'\nworkdir='/srv'",
			NULL},
		{"type='container'\nroot='/r'\ncommand=[ 1 ]", NULL},
		{"type='container'", "root: a container needs a folder"},
		{"type='container'\ntemplate='/t'\nkernel='/k'", "kernel: a container has none"},
		{"type='container'\nroot='/r'\ninit=[ [ '/x' ] ]", "'init' is a list of strings"},
		{"type='pvx'", "pv, pvh, hvm or container"},
		{"template='/t'", "template: is a container's"},
		{"builder='generic'", NULL},
		{"builder='hvm'\ntype='pvh'", NULL},
		{"uuid='01234567-89AB-cdef-0123-456789abcdef'", NULL},
		{"pool='Pool-0'\npassthrough='disabled'", NULL},
		/* A name that scripts would take apart, or for a path, or for a number's. */
		{"name='a b'", "name: "},
		{"name='a/b'", "name: "},
		/* Processors and memory. */
		{"vcpus=4\nmaxvcpus=8", NULL},
		{"cpus='all'", NULL},
		{"cpus='0-3,5,^1'", NULL},
		{"cpus='all,^0'", NULL},
		{"cpus='nodes:0-3,^node:2'", NULL},
		{"cpus='nodes:1,2'", NULL},
		{"cpus=[ '2', '3-8,^5' ]", NULL},
		{"cpus=[ 2, 3 ]", NULL},
		{"cpus_soft='0-1'\ncpu_weight=512\ncap=0", NULL},
		{"memory=64\nmaxmem=128", NULL},
		{"maxmem=128", NULL},
		{"vnuma=[ [ 'pnode=0', 'size=512', 'vcpus=0', 'vdistances=10,20' ] ]", NULL},
		/* Ends. */
		{"on_poweroff='destroy'\non_reboot='restart'\non_watchdog='rename-restart'", NULL},
		{"on_crash='preserve'\non_reboot='coredump-destroy'", NULL},
		{"on_crash='coredump-restart'\non_soft_reset='soft-reset'", NULL},
		/* What it starts. */
		{"kernel='/k'\nramdisk='/i'\nroot='/dev/xvda1'\nextra='ro'", NULL},
		{"kernel='/k'\ncmdline='root=/dev/xvda1'", NULL},
		{"bootloader='pygrub'\nbootloader_args=[ '--quiet' ]\ndisk=['/a,,xvda']", NULL},
		{"bootloader='/usr/lib/xen-4.17/bin/pygrub'\nbootloader_args='-q'\ndisk=['/a,,xvda']",
			NULL},
		{"bootloader='pvgrub'\ndisk=['/a,,xvda']", "'pvgrub' is not known; 'pygrub' is"},
		{"boot='cdn'\nfirmware='uefi'\nbios='ovmf'", NULL},
		/* Devices that are read, and told of where there are none. */
		{"pci=[ '03:00.0', '0000:04:00.0@10,permissive=1' ]\nrdm='strategy=host,policy=strict'",
			NULL},
		{"vfb=[ 'vnc=1,vncunused=1', 'sdl=1' ]\nvkb=[ 'backend-type=qemu' ]", NULL},
		{"channel=[ 'connection=pty,name=x' ]\nvtpm=[ 'backend=vtpm' ]", NULL},
		{"p9=[ 'tag=share,path=/srv,security_model=none' ]\nvscsi=[ '/dev/sda,0:0:0:0' ]",
			NULL},
		{"usbctrl=[ 'type=devicemodel,version=2,ports=8' ]\nusbdev=[ 'hostbus=1,hostaddr=3' ]",
			NULL},
		{"vdispl=[ 'connectors=id0:1920x1080' ]\nvsnd=[ [ 'card, short-name=Main' ] ]",
			NULL},
		{"agent=1\nshare=[ '/srv/data:/data,ro', 'here:/here,overlay', '/by/hand' ]", NULL},
		{"serial='pty'", NULL},
		{"serial=[ 'pty', 'none' ]", NULL},
		{"usb=1\nusbdevice=[ 'tablet', 'keyboard' ]\nsoundhw='ac97'\nvideoram=16", NULL},
		{"acpi=1\napic=1\npae=1\nhap=1\nnestedhvm=0\nviridian=[ 'base', '!crash_ctl' ]",
			NULL},
		{"device_model_version='qemu-xen'\ndevice_model_args=[ '-x' ]", NULL},
		{"vendor_device='none'\ne820_host=1\nvkb_device=0\naltp2m='mixed'", NULL},
		{"stubdomain_kernel='/s'\nstubdomain_memory=32\nspice_streaming_video='off'", NULL},
		{"driver_domain=1\nxend_suspend_evtchn_compat=0\nmax_event_channels=1023\nvpmu=1",
			NULL},
	};
	struct rig rig = {0};
	char text[512];

	for (unsigned n = 0; n < sizeof rows / sizeof *rows; n++) {
		snprintf(text, sizeof text, "%s%s",
			strstr(rows[n].text, "name=") == rows[n].text ? "" : "name='a'\n",
			rows[n].text);
		check(&rig, text, &rows[n]);
		/* A key that nobody knows would be told of. */
		if (!strstr(text, "a_key"))
			assert_null(strstr(rig.warnings, "unknown key"));
	}
}

static void disks(void **state)
{
	static const struct row rows[] = {
		/* By position, by name, and mixed; blanks in front. */
		{"/dev/vg/v,,hda", NULL},
		{"/dev/vg/v,raw,hda,rw", NULL},
		{"format=raw, vdev=hda, access=rw, target=/dev/vg/v", NULL},
		{"vdev=hda, /dev/vg/v, raw,, rw", NULL},
		{"cdrom,/i.iso,,hdc", NULL},
		{"/i.iso,,hdc,,cdrom", NULL},
		{"/i.iso,raw,hdc,devtype=cdrom", NULL},
		{"format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/i.iso", NULL},
		{"/a,,xvda,,target=/b, c", NULL},
		{"vdev=hdc,cdrom,target=", NULL},
		{"/a,raw,xvda,,", NULL},
		{"/a,format=,vdev=xvda,access=", NULL},
		/* Each property. */
		{"/a,,xvda,r", NULL},
		{"/a,,xvda,ro", NULL},
		{"/a,,xvda,w", NULL},
		{"/a,,xvda,backendtype=phy", NULL},
		{"/a,,xvda,backendtype=qdisk", NULL},
		{"/a,,xvda,backendtype=standalone,specification=virtio", NULL},
		{"/a,,xvda,specification=xen", NULL},
		{"/a,,xvda,backend=store", NULL},
		{"/a,,xvda,direct-io-safe,no-discard", NULL},
		{"/a,,xvda,discard,untrusted", NULL},
		{"/a,,xvda,trusted", NULL},
		{"/a,,xvda,colo,colo-host=h,colo-port=9,colo-export=x,active-disk=/b,hidden-disk=/c",
			NULL},
		/* What must be opened otherwise is not there yet. */
		{"vdev=xvda,script=block-rbd,target=pool/image", "(block-rbd) are not there yet"},
		{"iscsi:iqn.2001-05.com:1,xvda,w", "(block-iscsi) are not there yet"},
		{"drbd:r0,xvda,w", "(block-drbd) are not"},
		{"nbd:10809,xvda,w", "(block-nbd) are not"},
		{"enbd:3,xvda,w", "(block-enbd) are not"},
		{"/a,qcow,xvda", "format qcow is not there yet"},
		{"/a,vhd,xvda", "format vhd is not"},
		{"/a,qed,xvda", "format qed is not"},
		/* The form of xm, with what its versions put in front. */
		{"raw:/dev/vg/v,hda,w", NULL},
		{"raw:/i.iso,hdc:cdrom,ro", NULL},
		{",hdc:cdrom,r", NULL},
		{"/a,hda:disk,w", NULL},
		{"file:/a,hda,w", NULL},
		{"phy:/dev/vg/v,sda1,w", NULL},
		{"phy:vg/v,sda1,w", NULL},
		{"tap:aio:/a,xvda,w", NULL},
		{"tap2:aio:/a,xvda,w", NULL},
		{"tapdisk:aio:/a,xvda,w", NULL},
		{"aio:/a,xvda,w", NULL},
		{"tap:tapdisk:raw:/a,xvda,w!", NULL},
		{"ioemu:/a,hda,w", NULL},
		{"file:/a,ioemu:hda,w", NULL},
		{"vhd:/a,xvda,w", "format vhd is not there yet"},
		/* Names of disks. */
		{"/a,,xvdaa", NULL},
		{"/a,,xvdb15", NULL},
		{"/a,,hdd", NULL},
		{"/a,,sdp15", NULL},
		{"/a,,d0", NULL},
		{"/a,,d3p2", NULL},
		{"/a,,51712", NULL},
		{"/a,,0xca01", NULL},
		{"/a,,/dev/xvda", NULL},
		{"/a,,hde", "is not a disk's name"},
	};
	struct rig rig = {0};
	char text[256];

	for (unsigned n = 0; n < sizeof rows / sizeof *rows; n++) {
		snprintf(text, sizeof text, "name='a'\ndisk=['%s']", rows[n].text);
		check(&rig, text, &rows[n]);
	}
	/* What does not begin with / is a device where there is such a one, else in the current folder. */
	rig_good(&rig, "name='a'\ndisk=['null,raw,xvda,r', 'phy:vg/v,xvdb,w', 'null.img,,xvdc']");
	assert_string_equal(rig.config.disk[0].target, "/dev/null");
	assert_string_equal(rig.config.disk[1].target, "/dev/vg/v");
	assert_string_equal(rig.config.disk[2].target, "/here/null.img");
	domain_config_free(&rig.config);
	rig_good(&rig,
		"name='a'\ndisk=['/a,,xvda,colo,active-disk=/b,trusted,specification=virtio']");
	assert_string_equal(rig.warnings,
		"f:2:17: 'colo' has no effect yet\nf:2:22: 'active-disk' has no effect yet\n");
	domain_config_free(&rig.config);
}

static void networks(void **state)
{
	static const struct row rows[] = {
		{"", NULL},
		{"mac=00:16:3E:74:3d:76,model=rtl8139,bridge=xenbr0", NULL},
		{"bridge=br0", NULL},
		{"gatewaydev=eth0", NULL},
		{"netdev=eth0", NULL},
		{"type=ioemu", NULL},
		{"type=vif", NULL},
		{"model=e1000", NULL},
		{"vifname=web0", NULL},
		{"script=vif-route", NULL},
		{"ip=10.0.0.1 10.0.0.2", NULL},
		{"backend=net", NULL},
		{"rate=10Mb/s", NULL},
		{"rate=250KB/s", NULL},
		{"rate=1MB/s@20ms", NULL},
		{"rate=1GB/s@100us", NULL},
		{"rate=8b/s@1s", NULL},
		{"rate=100B/s@50000us", NULL},
		{"devid=3", NULL},
		{"mtu=9000", NULL},
		{"trusted", NULL},
		{"untrusted,mtu=1400", NULL},
		{"coloft_forwarddev=eth1", NULL},
		{" , bridge = br0 ,", NULL},
		/* Without a unit xl's own reader does not take it, whatever its manual says. */
		{"rate=100B/s@50000", "is not a rate"},
		/* An address of a group is no card's. */
		{"mac=01:00:5e:00:00:01", "is not a network card's address"},
	};
	struct rig rig = {0};
	char text[256];

	for (unsigned n = 0; n < sizeof rows / sizeof *rows; n++) {
		snprintf(text, sizeof text, "name='a'\nvif=['%s']", rows[n].text);
		check(&rig, text, &rows[n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(language_and_values),
		cmocka_unit_test(disks),
		cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
