#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest starts the kernel on its own disk: one that xen-create-image made for a distribution of
# today, from its file as it is; then another kernel, another boot loader, and none.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
xen_tools

# What the guest's ramdisk runs: a word changes what the disk boots next.
cat >"$work/commands" <<'SCRIPT'
stty -echo
echo 1 >/proc/sys/kernel/printk
echo "LINE $(cat /proc/cmdline)"
mount /dev/vda /mnt
echo "ROOT $(cat /mnt/etc/hostname)"
upgrade() {
	cp /mnt/boot/vmlinuz-6.1.0-1-amd64 /mnt/boot/vmlinuz-new
	rm /mnt/boot/vmlinuz-6.1.0-1-amd64
	cat >/mnt/boot/grub/grub.cfg <<-GRUB
	set default="\${saved_entry}"
	menuentry 'first' { linux /boot/vmlinuz-6.1.0-1-amd64 }
	menuentry 'second' --id new {
	    linux /boot/vmlinuz-new quiet root=/dev/xvda2 generation=$1
	    initrd /boot/initrd.img-6.1.0-1-amd64
	}
	GRUB
	echo saved_entry=new >/mnt/boot/grub/grubenv
}
leave() {
	umount /mnt
	sync
	$1 -f
}
# GRUB's entry for the next start alone, as grub-reboot leaves it.
once() {
	cat >/mnt/boot/grub/grub.cfg <<-GRUB
	load_env
	if [ "\${next_entry}" ]; then
	    set default="\${next_entry}"
	    set next_entry=
	    save_env next_entry
	fi
	menuentry 'always' { linux /boot/vmlinuz-new again entry=always
	    initrd /boot/initrd.img-6.1.0-1-amd64 }
	menuentry 'once' --id x { linux /boot/vmlinuz-new again entry=once
	    initrd /boot/initrd.img-6.1.0-1-amd64 }
	GRUB
	{
		echo '# GRUB Environment Block'
		echo next_entry=x
		head -c 2000 /dev/zero | tr '\0' '#'
	} | head -c 1024 >/mnt/boot/grub/grubenv
}
case $(cat /proc/cmdline) in
*entry=once*) echo ONCE && leave reboot ;;
*entry=always*) echo ALWAYS && leave poweroff ;;
*generation=2*boot-once*) once && leave reboot ;;
*generation=3*again*) echo THIRD && leave poweroff ;;
*again*) sed -i s/generation=2/generation=3/ /mnt/boot/grub/grub.cfg && leave reboot ;;
esac
echo READY
while read -r line; do
	case $line in
	upgrade) upgrade 2 && leave reboot ;;
	remove) rm /mnt/boot/vmlinuz-new && leave reboot ;;
	poweroff) leave poweroff ;;
	esac
done
SCRIPT
initrd "$work/commands"

# An install source for xen-create-image: enough of a system for its hooks, with a kernel, as the
# packages that the hooks would install leave it. What they ask apt for is there.
source=$work/source
mkdir -p "$source/bin" "$source/sbin" "$source/boot" "$source/etc/ssh" "$source/proc" "$source/dev" \
	"$source/sys" "$source/root" "$source/tmp" "$source/usr/bin" "$source/usr/sbin" \
	"$work/out" "$work/dir"
cp "$(command -v busybox)" "$source/bin/busybox"
for name in sh cat ls mount; do
	ln -s busybox "$source/bin/$name"
done
printf '#!/bin/sh\necho "Package: $2"\n' >"$source/usr/bin/apt-cache"
for name in usr/bin/apt-get usr/bin/dpkg usr/sbin/update-grub usr/sbin/update-locale; do
	printf '#!/bin/sh\nexit 0\n' >"$source/$name"
	chmod 0755 "$source/$name"
done
chmod 0755 "$source/usr/bin/apt-cache"
echo "root:x:0:0:root:/root:/bin/sh" >"$source/etc/passwd"
echo "root:*:1::::::" >"$source/etc/shadow"
echo 'Debian GNU/Linux 12 \n \l' >"$source/etc/issue"
cp "$kernel" "$source/boot/vmlinuz-6.1.0-1-amd64"
cp "$work/initrd" "$source/boot/initrd.img-6.1.0-1-amd64"
ln -s boot/vmlinuz-6.1.0-1-amd64 "$source/vmlinuz"
ln -s boot/initrd.img-6.1.0-1-amd64 "$source/initrd.img"

# Its mounts and its log stay in a mount namespace of its own.
cat >"$work/create" <<SCRIPT
mount -t tmpfs tmpfs /var/log && mkdir /var/log/xen-tools || exit 1
xen-create-image --no-xen-ok --hostname=vm04.my.flat --dir=$work/dir --size=64M --swap=16M \
	--memory=256M --ip=192.168.1.200 --netmask=255.255.255.0 --gateway=192.168.1.1 \
	--mac=00:16:3E:01:02:04 --install-method=copy --install-source=$source --nohosts \
	--dist=bookworm --mirror=http://localhost/debian --output=$work/out --fs=ext4 \
	--password=x --genpass=0
cp /var/log/xen-tools/*.log $work
SCRIPT
timeout -k 5 60 unshare -m sh "$work/create" >"$output" 2>&1 </dev/null
status=$?
config=$work/out/vm04.my.flat.cfg
check "xen-create-image makes an image" grep -q "^bootloader = 'pygrub'$" "$config"
disk=$work/dir/domains/vm04.my.flat/disk.img
debugfs -R "dump /boot/grub/menu.lst $work/menu.lst" "$disk" 2>/dev/null
check "with a menu" grep -q "^kernel  */boot/vmlinuz-6.1.0-1-amd64 root=/dev/xvda2 ro" "$work/menu.lst"

xl_says create -n "$config"
check "create -n has nothing against it" ended 0
xl_says create "$config" "engine='$DACH_ENGINE'"
check "the guest is made of it" ended 0
console_open vm04.my.flat
check "its own kernel speaks" wait_for 60 said READY
check "of the image's file system" said "^ROOT vm04"
check "started as the menu and root= say" \
	said "^LINE root=/dev/vda ro elevator=noop root=/dev/vda ro console=ttyS0 net.ifnames=0"
say upgrade
check "it installs another, and GRUB 2, and reboots" wait_for 20 field_is vm04.my.flat domid 2
console_open vm04.my.flat
check "which is started next" wait_for 60 said READY
check "as grub.cfg and grubenv say" said "^LINE quiet root=/dev/vda generation=2 root=/dev/vda ro console=ttyS0 net.ifnames=0"
say poweroff
gone_from_list() {
	! xl list vm04.my.flat >/dev/null 2>&1
}
check "it ends" wait_for 20 gone_from_list
console_close

cp "$disk" "$work/once.img"
once=$work/once.img
run_once() {
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --disk "$once" --memory 256 "$@" \
		</dev/null >"$output" 2>"$errors"
	status=$?
}
run_once --cmdline boot-once
check "GRUB's entry for one start alone has it" said "^ONCE"
check "and then it is the default's turn" ended 0 "^ALWAYS"
run_once
check "also later" ended 0 "^ALWAYS"
check "alone" [ "$(grep -c '^ONCE' "$output")" -eq 0 ]
qemu-img convert -f raw -O qcow2 "$disk" "$work/below.qcow2"
qemu-img create -q -f qcow2 -b "$work/below.qcow2" -F qcow2 "$work/once.qcow2"
once=$work/once.qcow2
run_once --cmdline boot-once
check "on a qcow2 image over another, too" said "^ONCE"
check "whose reader sees what was written" ended 0 "^ALWAYS"

# The daemon's guest has a new monitor for each start.
cp "$disk" "$work/daemon.img"
xl_says create "$config" "engine='$DACH_ENGINE'" "disk=['$work/daemon.img,raw,xvda2,rw']" "extra='boot-once'"
check "a guest of the daemon's, too" wait_for 60 gone_from_list
environment=$(debugfs -R "cat /boot/grub/grubenv" "$work/daemon.img" 2>/dev/null)
check "has had it" [ "$(echo "$environment" | grep -c '^next_entry=$')" -eq 1 ]

timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --disk "$disk" --memory 256 --cmdline again \
	</dev/null >"$output" 2>"$errors"
status=$?
check "dach run starts it as well" said "^LINE quiet root=/dev/xvda2 generation=2 again console=ttyS0"
check "and after a reboot what is there then" ended 0 "^THIRD"

xl_says create "$config" "engine='$DACH_ENGINE'"
console_open vm04.my.flat
wait_for 60 said READY
say remove
check "a guest that loses its kernel ends with a reboot" wait_for 60 gone_from_list
console_close
xl_says create "$config"
check "and create says what is missing" \
	grep -q "disk.img: /boot/grub/grub.cfg names /boot/vmlinuz-new, which is not there$" "$errors"
check "with a failure" ended 1
mke2fs -q -F -t ext4 "$disk" 8M
xl_says create "$config"
check "an empty file system" grep -q "disk.img: no kernel on it: neither" "$errors"
head -c 1M /dev/urandom | dd of="$disk" bs=1k seek=1 conv=notrunc status=none
printf '\123\357' | dd of="$disk" bs=1 seek=1080 conv=notrunc status=none
xl_says create "$config"
check "noise" grep -q "disk.img: " "$errors"
xl_says create "$config" "bootloader='pvgrub'"
check "another boot loader" grep -q "bootloader: 'pvgrub' is not known; 'pygrub' is" "$errors"
finish
