#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stock Debian: an image is made, boots to its login, has a network, reboots and powers off; its
# file system is whole afterwards. Also for who has no privilege at all.
LIMIT=400
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-lib.sh"

serve

# login OPTION... -- DACH-OPTION...
login() {
	timeout -k 5 "$LIMIT" "$top/tools/login" --limit 380 --password "$image/password" "$@" \
		</dev/null >"$output" 2>"$errors"
	status=$?
}

# What `make run` does once the program is built.
DACH_IMAGES=$work timeout -k 5 "$LIMIT" "$top/tools/run-image" "$DACH" debian --engine "$DACH_ENGINE" \
	</dev/null >"$output" 2>"$errors"
status=$?
check "make run's script finds the image, logs in and powers off" ended 0 "Linux debian .* GNU/Linux"

login --run 'uname -a' --run 'nproc --all' \
	--run "curl -s http://10.0.2.2:$server_port/data | sha256sum" \
	--run 'systemctl is-system-running --wait; systemctl --failed' \
	--run poweroff -- "$DACH" run "$image" --engine "$DACH_ENGINE" --net user,loopback
check "boots to its login, powers off" ended 0 "Linux debian .* GNU/Linux"
check "64 MiB arrive as they were" said "$sum"
check "no unit failed" said "0 loaded units listed"
fsck() {
	/sbin/e2fsck -fn "$image/disk.raw" >"$work/fsck" 2>&1
}
check "its file system is whole" fsck

# Over ssh, with a reboot in between and two processors; then the power button.
image_start --vcpus 2
check "a forwarded port reaches sshd" wait_for 300 in_guest true
check "two processors" [ "$(in_guest nproc)" = 2 ]
# Another kernel, as an upgrade leaves it.
first=$(boot_id)
in_guest sh -s <<'UPGRADE'
mkdir -p /boot/grub
cp "$(readlink -f /vmlinuz)" /boot/vmlinuz-other
cat >/boot/grub/grub.cfg <<GRUB
menuentry 'Debian' {
	linux /boot/vmlinuz-other root=/dev/vda ro other=1
	initrd /$(readlink /initrd.img)
}
GRUB
reboot
UPGRADE
sleep 5
check "reboot comes back" wait_for 300 since "$first"
check "with the kernel that is on the disk now" in_guest 'grep -q "other=1 .*console=ttyS0" /proc/cmdline'
in_guest "rm /boot/grub/grub.cfg /boot/vmlinuz-* /vmlinuz"
kill -TERM "$(guest_process)"
guest_wait
check "the power button powers it off" [ $status -eq 0 ]
check "its file system is still whole" fsck

# As root of a user namespace in which there is nothing else.
if [ "$(id -u)" -eq 0 ]; then
	chown -R 65534:65534 "$work"
	chmod 0755 "$work"
	cp "$DACH" "$work/dach"
	chmod 0755 "$work/dach"
	DACH=$work/dach
	as_nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
else
	as_nobody=
fi
if $as_nobody unshare -Ur true 2>/dev/null; then
	# shellcheck disable=SC2086 # a list of words
	login --run 'uname -a' --run poweroff -- $as_nobody unshare -Ur "$DACH" run "$image" \
		--engine "$DACH_ENGINE"
	check "so it does in an unprivileged container" ended 0 "Linux debian .* GNU/Linux"
	check "with the image's first kernel where the disk has none" \
		grep -q "disk.raw: no kernel on it.*; starting $image/vmlinuz$" "$errors"
else
	echo "ok debian: # skipped: this host gives users no namespaces"
fi
finish
