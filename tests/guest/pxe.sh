#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that has nothing but its network: BIOS and UEFI start a kernel from there, by both kinds of card. Root's alone,
# since who gives out addresses and files is on a tap, in a network namespace of the test's own.
if [ "$(id -u)" -eq 0 ] && [ -z "${DACH_TEST_NETNS:-}" ] && [ -r /dev/net/tun ] && unshare -n true; then
	export DACH_TEST_NETNS=1
	exec unshare -n "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

if [ -z "${DACH_TEST_NETNS:-}" ]; then
	echo "ok $test_name: # skipped: needs root and network namespaces"
	exit 0
fi
mkdir "$work/served"
cat >"$work/script" <<'SCRIPT'
echo "started from the network"
SCRIPT
initrd "$work/script"
cp "$kernel" "$work/initrd" "$work/served/"
cat >"$work/served/start.ipxe" <<'IPXE'
#!ipxe
kernel tftp://10.77.0.1/vmlinuz initrd=initrd console=ttyS0 quiet panic=-1
initrd tftp://10.77.0.1/initrd
boot
IPXE
cat >"$work/grub.cfg" <<'GRUB'
linux (tftp,10.77.0.1)/vmlinuz console=ttyS0 quiet panic=-1
initrd (tftp,10.77.0.1)/initrd
boot
GRUB
grub-mkimage -O x86_64-efi -o "$work/served/start.efi" -p / -c "$work/grub.cfg" net efinet tftp linux
ip link set lo up
ip tuntap add name tap0 mode tap vnet_hdr
ip addr add 10.77.0.1/24 dev tap0
ip link set tap0 up
dnsmasq --no-daemon --conf-file=/dev/null --pid-file= --leasefile-ro --port=0 --user=root --interface=tap0 \
	--bind-interfaces --dhcp-range=10.77.0.10,10.77.0.99 --enable-tftp --tftp-root="$work/served" \
	--dhcp-match=set:ipxe,175 --dhcp-boot=tag:ipxe,start.ipxe --dhcp-boot=tag:!ipxe,start.efi >"$work/dnsmasq" 2>&1 &
server_pid=$!
trap 'kill $server_pid; rm -rf "$work"' EXIT

for way in "bios virtio" "bios e1000" "uefi virtio" "uefi e1000"; do
	firmware=${way% *}
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware "$firmware" --boot n --memory 512 \
		--net "tap=tap0,model=${way#* }" </dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
	check "$way: a kernel from the network" ended 0 "started from the network"
done
"$DACH" run --firmware bios --boot nx --net none >"$output" 2>"$errors"
status=$?
check "what is no order" told "is no order"
finish
