#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a Xen guest's disks are called: in its command line, and for udev in its ramdisk. And its
# control group, if this host has any.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

# For each rule the disk that it matches, and what is on it.
cat >"$work/commands" <<'SCRIPT'
echo "LINE $(cat /proc/cmdline)"
sed -n 's/^KERNEL=="vd\*\[!0-9\]".*{serial}=="\([^"]*\)", SYMLINK+="\([^"]*\)"$/\1 \2/p' \
	/etc/udev/rules.d/61-dach-names.rules | while read -r serial name; do
	for disk in /sys/block/vd*; do
		[ "$(cat "$disk/serial")" != "$serial" ] ||
			echo "LINK $name ${disk##*/} $(head -c 4 "/dev/${disk##*/}")"
	done
done
echo "COPY $(grep -c 'cat /etc/udev/rules.d/61-dach-names.rules >/run/udev/rules.d/' \
	/etc/udev/rules.d/62-dach-keep.rules)"
echo READY
read -r line
SCRIPT
initrd "$work/commands"
for disk in root swap data; do
	printf %s "$disk" >"$work/disk-$disk"
	truncate -s 1M "$work/disk-$disk"
done
cat >"$work/names.cfg" <<CONFIG
name = "names"
kernel = "$kernel"
ramdisk = "$work/initrd"
root = "/dev/xvda2 ro"
extra = "resume=/dev/xvda1 other=/dev/xvdb3 console=hvc0 quiet panic=-1"
memory = 128
engine = "$DACH_ENGINE"
cpu_weight = 512
cap = 150
disk = [ 'file:$work/disk-root,xvda2,w', ',hdc:cdrom,r', 'file:$work/disk-swap,xvda1,w', '$work/disk-data,,xvdb,r' ]
CONFIG

xl_says create "$work/names.cfg"
check "the guest is made" ended 0
console_open names
check "and speaks, though its console was Xen's" wait_for 60 said READY
check "names in the command line" \
	said "LINE root=/dev/vda ro resume=/dev/vdb other=/dev/vdc3 console=ttyS0 quiet panic=-1 net.ifnames=0"
check "a rule for the root" said "LINK xvda2 vda root"
check "for what is swap" said "LINK xvda1 vdb swap"
check "for a whole disk" said "LINK xvdb vdc data"
check "and one that keeps them" said "COPY 1"
check "list -l has what the file said" sh -c "xl list -l names | grep -q 'root=/dev/xvda2 ro resume=/dev/xvda1'"

# group FILE: what it says of the guest in version 1 or 2
group() {
	find /sys/fs/cgroup -path "*/$(field names uuid)/$1" -exec cat {} + 2>/dev/null
}
in_group() {
	pid=$(xl --json list names | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p')
	[ -n "$pid" ] && group cgroup.procs | grep -qx "$pid"
}

case $(xl --json info | sed -n 's/^ *"cgroup": "\(.*\)",\{0,1\}$/\1/p') in
*v1)
	check "its weight" [ "$(group cpu.shares)" = 2048 ]
	check "its cap" [ "$(group cpu.cfs_quota_us)" = 150000 ]
	check "its monitor is in it" in_group
	xl_says sched-credit -d names -w 1024 -c 0
	check "changed while it runs" [ "$(group cpu.shares),$(group cpu.cfs_quota_us)" = 4096,-1 ]
	;;
*v2)
	check "its weight" [ "$(group cpu.weight)" = 200 ]
	check "its cap" [ "$(group cpu.max)" = "150000 100000" ]
	check "its monitor is in it" in_group
	xl_says sched-credit -d names -w 1024 -c 0
	check "changed while it runs" [ "$(group cpu.weight),$(group cpu.max)" = "400,max 100000" ]
	;;
*) echo "# no control groups here: cgroup.sh has seen them in a guest" ;;
esac
console_close
xl_says destroy names
check "it is gone" ended 0
finish
