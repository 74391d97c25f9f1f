# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# On top of lib.sh: $root, a root of busybox, with the modules where a system has them, and what each needs.
umask 022 # whoever runs the command is to get at it
root=$work/machine
modules=$(ls -d "${DACH_TEST_ROOT:-$DACH_CACHE/kernel}"/lib/modules/*)
folder=$root/lib/modules/$(basename "$modules")
mkdir -p "$root/bin" "$root/etc" "$folder" "$root/home/guest"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat echo head id env sleep sha256sum yes kill pwd stty tty tr; do
	ln -s busybox "$root/bin/$applet"
done
# add_program PROGRAM: one of this host's into $root/bin, with its libraries
add_program() {
	cp "$1" "$root/bin/"
	ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$root/$(dirname "$library")"
		cp -L "$library" "$root/$library"
	done
}
printf 'root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nguest:x:1000:\nstaff:x:50:guest\n' >"$root/etc/group"
printf 'machine\n' >"$root/etc/hostname"
v=kernel/drivers/virtio
ring="$v/virtio.ko $v/virtio_ring.ko"
cat >"$folder/modules.dep" <<DEP
$v/virtio_pci.ko: $v/virtio_pci_legacy_dev.ko $v/virtio_pci_modern_dev.ko $ring
kernel/drivers/char/virtio_console.ko: $ring
kernel/drivers/block/virtio_blk.ko: $ring
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko $ring
$v/virtio.ko:
DEP
for module in $(tr -d : <"$folder/modules.dep" | tr ' ' '\n' | sort -u); do
	mkdir -p "$folder/$(dirname "$module")"
	cp "$modules/$module" "$folder/$module" 2>/dev/null # or it is built in
done
