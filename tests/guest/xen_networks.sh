#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian as xen-create-image leaves it, with its own file unchanged: eth0 in /etc/network/interfaces, by fixed address and by DHCP, on a
# bridge xenbr0 where somebody else's dnsmasq gives addresses and names. In a network namespace of the test's own.
if [ -z "${DACH_TEST_NETNS:-}" ]; then
	if [ "$(id -u)" -ne 0 ] || ! [ -r /dev/net/tun ] || ! PATH=$PATH:/usr/sbin command -v nft >/dev/null ||
		! PATH=$PATH:/usr/sbin command -v dnsmasq >/dev/null || ! command -v busybox >/dev/null || ! unshare -n true; then
		echo "ok xen_networks: not tried: not root, no /dev/net/tun, nft, dnsmasq, busybox or network of its own for a test"
		exit 0
	fi
	export DACH_TEST_NETNS=1
	# What it is made from comes by the host's network.
	all=${DACH_CACHE:-$(dirname "$0")/../../build/guest}
	cache=$all/ifupdown
	mkdir -p "$cache"
	(
		flock 9
		"$(dirname "$0")/prepare" "$all" || exit 1
		[ -e "$cache/debian/image.conf" ] || "${DACH:-$(dirname "$0")/../../build/dach}" image create debian \
			--include ifupdown,isc-dhcp-client --output "$cache" >/dev/null
	) 9>"$cache.lock" || {
		echo "not ok xen_networks: an image is made"
		exit 1
	}
	exec unshare -n "$0" "$@"
fi
LIMIT=300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
image=$DACH_CACHE/ifupdown/debian

ip link set lo up
ip link add xenbr0 type bridge
ip addr add 192.168.1.1/24 dev xenbr0
ip link set xenbr0 up
dnsmasq --conf-file=/dev/null --no-daemon --no-resolv --no-hosts --bind-interfaces --interface=xenbr0 --except-interface=lo \
	--pid-file= --user=root --dhcp-leasefile="$work/leases" --dhcp-range=192.168.1.50,192.168.1.60 --domain=my.flat \
	>/dev/null 2>&1 &
served=$!
trap 'kill $served; toolstack_end' EXIT

# made NAME: disk and file of a guest; its network from standard input
made() {
	mkdir -p "$work/$1"
	cp --sparse=always "$image/disk.raw" "$work/$1/disk.img"
	truncate -s 16M "$work/$1/swap.img"
	mkswap "$work/$1/swap.img" >/dev/null 2>&1
	{
		printf 'auto lo\niface lo inet loopback\n\nauto eth0\n'
		cat
	} >"$work/$1/interfaces"
	printf 'proc /proc proc defaults 0 0\n/dev/xvda1 none swap sw 0 0\n/dev/xvda2 / ext4 noatime,nodiratime,errors=remount-ro 0 1\n' \
		>"$work/$1/fstab"
	echo "$1" >"$work/$1/hostname"
	debugfs -w -f - "$work/$1/disk.img" >/dev/null 2>&1 <<COMMANDS
rm /etc/systemd/network/80-ethernet.network
rm /etc/network/interfaces
write $work/$1/interfaces /etc/network/interfaces
rm /etc/fstab
write $work/$1/fstab /etc/fstab
rm /etc/hostname
write $work/$1/hostname /etc/hostname
COMMANDS
	cat >"$work/$1/$1.cfg" <<CONFIG
#
# Configuration file for the Xen instance $1
#
kernel      = '$image/vmlinuz'
extra       = 'elevator=noop'
ramdisk     = '$image/initrd.img'
vcpus       = '1'
memory      = '256'
root        = '/dev/xvda2 ro'
disk        = [
                  'file:$work/$1/disk.img,xvda2,w',
                  'file:$work/$1/swap.img,xvda1,w',
              ]
name        = '$1'
$2
on_poweroff = 'destroy'
on_reboot   = 'restart'
on_crash    = 'restart'
CONFIG
}

made vm02 "vif         = [ 'mac=00:16:3E:01:02:03, bridge=xenbr0' ]" <<'NETWORK'
iface eth0 inet static
 address 192.168.1.200
 gateway 192.168.1.1
 netmask 255.255.255.0
NETWORK
made vm03 "dhcp        = 'dhcp'
vif         = [ 'mac=00:16:3E:01:02:04, bridge=xenbr0' ]" <<'NETWORK'
iface eth0 inet dhcp
NETWORK

for name in vm02 vm03; do
	xl_says create "$work/$name/$name.cfg" "engine='$DACH_ENGINE'"
	check "$name is made from its file as it is" ended 0
done

reached() {
	busybox ping -c 1 -W 1 "$1" >/dev/null 2>&1
}
# The address that DHCP has given to the name, as anybody on the bridge is told.
named() {
	address=$(busybox nslookup -type=a "$1" 192.168.1.1 2>/dev/null | sed -n '/^Name/,$s/^Address.*: *//p')
	[ -n "$address" ]
}
check "a fixed address on eth0 is there" wait_for 240 reached 192.168.1.200
check "and one by DHCP, with its name" wait_for 240 named vm03.my.flat
check "by which it is reached" reached "${address:-none}"
check "as what the bridge gives" sh -c "echo $address | grep -q '^192[.]168[.]1[.][56][0-9]$'"
finish
