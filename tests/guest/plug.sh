#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Disks and networks that come and go while a guest runs: it sees them, lets go of them, and goes on from a saved state
# with them. Root's networks are on a bridge, in a network namespace of the test's own, a user's on a switch.
if [ "$(id -u)" -eq 0 ] && [ -z "${DACH_TEST_NETNS:-}" ] && [ -r /dev/net/tun ] && unshare -n true; then
	export DACH_TEST_NETNS=1
	exec unshare -n "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

cat >"$work/plugger" <<'SCRIPT'
stty -echo
echo READY
while read -r word disk value place; do
	case $word in
	list) echo "DISKS $(cd /sys/block && echo vd*) OF $disk" ;;
	write)
		head -c 4096 /dev/zero | tr '\0' "$value" >/tmp/block
		dd if=/tmp/block of="/dev/$disk" bs=4k seek="${place:-3}" conv=notrunc,fsync 2>/dev/null && echo "WROTE $disk $value" || echo "NOT-WRITTEN $disk $value"
		;;
	read) echo "READ $disk $(dd if="/dev/$disk" bs=4k skip=3 count=1 iflag=direct 2>/dev/null | head -c 4) OF $value" ;;
	size) echo "SIZE $(cat "/sys/block/$disk/size") RO $(cat "/sys/block/$disk/ro") OF $disk $value" ;;
	hold) sleep 1000 <"/dev/$disk" & holder=$!; echo "HELD $disk" ;;
	drop) kill $holder; echo "DROPPED" ;;
	nets) echo "NETS $(cd /sys/class/net && echo eth*) OF $disk" ;;
	reach)
		ip addr add "$value" dev "$disk" && ip link set "$disk" up
		ping -c 1 -W 10 "$place" >/dev/null && echo "REACHED BY $disk AS $(cat "/sys/class/net/$disk/address")" || echo "NOT-REACHED BY $disk"
		;;
	serve)
		ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0
		(while :; do echo "from the guest" | nc -l -p "$value"; done) &
		echo "SERVES $value"
		;;
	esac
done
SCRIPT
initrd "$work/plugger"
mkdir "$work/disks"
truncate -s 16M "$work/disks/a.img"
truncate -s 600M "$work/disks/b.img"
qemu-img create -q -f raw "$work/disks/base.img" 32M
qemu-img create -q -f qcow2 -b base.img -F raw "$work/disks/c.qcow2"
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
engine = "$DACH_ENGINE"
disk = ["$work/disks/a.img,raw,xvda,w", ",,hdc:cdrom,r"]
vif = [""]
CONFIG

# sees WORDS: its disks are these
sees() {
	number=$((${number:-0} + 1))
	say "list $number"
	sleep 0.3
	tr -d '\r' <"$output" | grep -q "^DISKS $* OF $number$"
}

# has NETWORKS: those are its networks
has() {
	number=$((${number:-0} + 1))
	say "nets $number"
	sleep 0.3
	tr -d '\r' <"$output" | grep -q "^NETS $* OF $number$"
}

# asked WORD...: says so to the guest, and waits for its answer, the last word
asked() {
	say "$1"
	wait_for 20 said "$2"
}

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest starts" ended 0
console_open one
check "and is up" wait_for 60 said READY
xl block-attach one "$work/disks/b.img,raw,xvdb,w" 2>"$work/why"
status=$?
check "a disk comes$(cat "$work/why")" [ $status -eq 0 ]
check "the guest sees it" wait_for 30 sees vda vdb
check "and writes to it" asked "write vdb B" "^WROTE vdb B"
check "also where no disk was when it started" asked "write vdb E 153599" "^WROTE vdb E"
check "which is in its file" [ "$(dd if="$work/disks/b.img" bs=4k skip=3 count=1 2>/dev/null | head -c 4)" = BBBB ]
check "one with a chain, as xl's words" xl block-attach one "vdev=xvdc" "format=qcow2" "target=$work/disks/c.qcow2"
check "is seen" wait_for 30 sees vda vdb vdc
check "and written to" asked "write vdc C" "^WROTE vdc C"
check "block-list has all of them" [ "$(xl block-list one | wc -l)" = 5 ]
asked "hold vdb" "HELD vdb"
check "one that is in use goes" xl block-detach one xvdb
check "the guest sees that" wait_for 30 sees vda vdc
asked "drop" "^DROPPED"
check "its file is free" sh -c "! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $work/disks/b.img"
cp "$work/disks/b.img" "$work/disks/cd.img"
check "a CD comes" xl cd-insert one hdc "$work/disks/cd.img"
check "as a disk" wait_for 30 sees vda vdb vdc
asked "size vdb 1" "^SIZE .* OF vdb 1"
check "that is only read" said "^SIZE 1228800 RO 1 OF vdb 1"
asked "read vdb 1" "^READ vdb .* OF 1"
check "with what is on it" said "^READ vdb BBBB OF 1"

# What a port of this host's says.
port_says() {
	timeout 20 python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $1), 10)
s.settimeout(15)
print(s.recv(100).decode(), end='')" 2>/dev/null
}
reaches_guest() {
	[ "$(port_says "$port")" = "from the guest" ]
}
[ -z "${DACH_TEST_NETNS:-}" ] || ip link set lo up
port=$(free_port)
asked "serve eth0 7" "^SERVES 7"
check "a port is forwarded while it runs" xl network-forward one 0 "tcp:127.0.0.1:$port-:7"
check "and leads to the guest" wait_for 20 reaches_guest
forwards_once() {
	! xl network-forward one 0 "tcp:127.0.0.1:$port-:8" 2>"$errors" && grep -q "is forwarded already" "$errors"
}
check "once" forwards_once
busy_port() {
	python3 -c "
import socket, subprocess, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
r = subprocess.run(['xl', 'network-forward', 'one', '0', 'tcp:127.0.0.1:%d-:7' % s.getsockname()[1]], capture_output=True, text=True)
sys.exit(not (r.returncode and 'cannot listen on tcp 127.0.0.1:' in r.stderr and 'in use' in r.stderr))"
}
check "a port that is somebody else's is not" busy_port
udp_late() {
	! xl network-forward one 0 "udp:127.0.0.1:$port-:7" 2>"$errors" && grep -q "comes with the guest's start" "$errors"
}
check "nor the first of UDP" udp_late
check "the port goes" xl network-forward --remove one 0 "tcp:127.0.0.1:$port-:7"
check "then nobody is there" sh -c "! python3 -c \"import socket; socket.create_connection(('127.0.0.1', $port), 10)\" 2>/dev/null"
check "and it comes again" xl network-forward one 0 "tcp:127.0.0.1:$port-:7"

if [ -n "${DACH_TEST_NETNS:-}" ]; then
	ip link add lan type bridge && ip addr add 10.9.0.1/24 dev lan && ip link set lan up
	own=10.9.0.2/24 peer=10.9.0.1
else
	own=10.0.2.99/24 peer=10.0.2.2
fi
if [ "$(id -u)" -ne 0 ] || [ -n "${DACH_TEST_NETNS:-}" ]; then
	check "a network comes" xl network-attach one bridge=lan
	check "the guest sees it" wait_for 30 has eth0 eth1
	check "and reaches who is there" asked "reach eth1 $own $peer" "^REACHED BY eth1"
	check "network-list has both" sh -c "[ \$(xl network-list one | wc -l) = 3 ]"
	check "it goes" xl network-detach one 1
	check "which it sees" wait_for 30 has eth0
	check "as the host does" sh -c "! ip link show vif1.1 2>/dev/null"
	check "it comes again, with an address" xl network-attach one bridge=lan mac=00:16:3e:00:00:77
	check "as ever" wait_for 30 has eth0 eth1
	check "and reaches" asked "reach eth1 $own $peer" "^REACHED BY eth1 AS 00:16:3e:00:00:77"
	xl pause one
	check "a paused guest loses it by force" xl network-detach --force one 00:16:3e:00:00:77
	check "the host does not have it any more" sh -c "! ip link show vif1.1 2>/dev/null"
	xl unpause one
	console_open one
	check "then the guest knows" wait_for 30 has eth0
	if [ -n "${DACH_TEST_NETNS:-}" ]; then
		check "one that is routed comes" xl network-attach one script=vif-route ip=10.9.0.5 gatewaydev=lan
		check "as any" wait_for 30 has eth0 eth1
		check "and reaches the host by its route" asked "reach eth1 10.9.0.5/24 10.9.0.1" "^REACHED BY eth1"
		check "which goes with it" sh -c "xl network-detach one 1 && ! ip route | grep -q 10.9.0.5"
		check "as the guest sees" wait_for 30 has eth0
	fi
	check "the next comes" xl network-attach one bridge=lan mac=00:16:3e:00:00:78
	networks="eth0 eth1"
else
	echo "ok plug: networks not tried: no /dev/net/tun, or no network of its own for a test"
	networks=eth0
fi

# Its devices are in odd slots now. It goes on from a state, and the same disks come and go.
check "it is suspended" xl suspend one
console_close
check "and goes on" xl resume one
console_open one
check "with its disks where they were" wait_for 30 sees vda vdb vdc
check "and its networks" wait_for 30 has $networks
check "and their contents" asked "read vdc 2" "^READ vdc CCCC OF 2"
check "the CD goes" xl cd-eject one hdc
check "which it sees" wait_for 30 sees vda vdc
check "a disk comes to it" xl block-attach one "$work/disks/b.img,raw,xvdb,w"
check "which it sees, too" wait_for 30 sees vda vdb vdc
asked "read vdb 3" "^READ vdb .* OF 3"
check "with what was written" said "^READ vdb BBBB OF 3"

# A guest that cannot let go of it.
check "it is paused" xl pause one
xl_says block-detach one xvdb
check "a paused guest lets go of nothing" [ $status -eq 1 ]
check "of which is told how" grep -q "paused.*--force" "$errors"
check "it loses it by force" xl block-detach --force one xvdb
check "whose file is free" sh -c "! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $work/disks/b.img"
xl_says suspend one
check "and is not suspended as long as it does not know" grep -q "not let go of a disk" "$errors"
xl unpause one
console_open one
check "then it knows" wait_for 30 sees vda vdc
check "and the next disk comes" xl block-attach one "$work/disks/b.img,raw,xvdb,w"
check "as ever" wait_for 30 sees vda vdb vdc
check "a copy of a disk keeps it" sh -c "xl disk backup --rate 1m one xvdb $work/disks/copy.img >/dev/null 2>&1 & sleep 1; ! xl block-detach one xvdb 2>$work/why && grep -q 'being copied' $work/why; kill \$!; wait \$! 2>/dev/null; true"
xl destroy one
check "an ended guest's disk is in the store" sh -c "xl block-list one | grep -q '^51728 '"
finish
