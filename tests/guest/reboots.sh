#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest puts another kernel in the place of its own and reboots, again and again: each start is that of the
# kernel that lies there, and what was written before is there. DACH_REBOOTS times (3).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/generic-lib.sh"
times=${DACH_REBOOTS:-3}
LIMIT=$((60 + times * 40))

cat >"$work/script" <<SCRIPT
times=$times
SCRIPT
cat >>"$work/script" <<'SCRIPT'
mount -t ext4 /dev/vda /mnt || poweroff -f
n=$(cat /mnt/count)
echo "start $n of $(uname -r), wanted $(cat /mnt/wanted)"
[ "$(uname -r)" = "$(cat /mnt/wanted)" ] || poweroff -f
[ "$n" -lt "$times" ] || { echo "all of them"; umount /mnt; poweroff -f; }
other=cloud
[ "$(cat /mnt/is)" = generic ] || other=generic
# As a package does: a new file that gets the name.
cp /mnt/kernels/$other /mnt/boot/vmlinuz.new
mv /mnt/boot/vmlinuz.new /mnt/boot/vmlinuz
cp /mnt/kernels/$other.name /mnt/wanted
echo $other >/mnt/is
echo $((n + 1)) >/mnt/count
umount /mnt
reboot -f
SCRIPT
# The drivers of the one kernel are no good for the other: the ramdisk has both.
mkdir -p "$work/root/modules"
n=50
for name in $generic_drivers; do
	n=$((n + 1))
	cp "$generic/lib/modules/$generic_name/kernel/$name.ko" "$work/root/modules/$n.ko"
done
cp "$work/script" "$work/root/test.sh"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/initrd"

disk=$work/disk
mkdir -p "$work/files/boot" "$work/files/kernels" "$work/files/etc"
cp "$kernel" "$work/files/kernels/cloud"
cp "$generic_kernel" "$work/files/kernels/generic"
cp "$kernel" "$work/files/boot/vmlinuz"
cp "$work/initrd" "$work/files/boot/initrd.img"
echo "$cloud_name" | tee "$work/files/wanted" >"$work/files/kernels/cloud.name"
echo "$generic_name" >"$work/files/kernels/generic.name"
echo cloud >"$work/files/is"
echo 0 >"$work/files/count"
mke2fs -q -F -t ext4 -d "$work/files" "$disk" 256M >/dev/null

timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --disk "$disk" --memory 512 \
	--cmdline "console=ttyS0 quiet panic=-1" </dev/null >"$output" 2>"$errors"
status=$?
check "$times reboots, each into the kernel that was put there" ended 0 "all of them"
starts() {
	[ "$(tr -d '\r' <"$output" | grep -c "^start [0-9]* of \(.*\), wanted \1$")" -eq $((times + 1)) ]
}
check "none was missed" starts
finish
