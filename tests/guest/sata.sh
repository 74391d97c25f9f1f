#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Drives of an AHCI controller: BIOS and UEFI start a kernel from a CD and from a disk there, and its own driver uses both.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/generic-lib.sh"

mkdir -p "$work/iso/boot/grub"
# shellcheck disable=SC2086 # lists of words
generic_put "$work/root/drivers" $generic_ata_drivers
cat >"$work/root/test.sh" <<'SCRIPT'
for pass in 1 2 3 4; do
	for file in /drivers/*.ko; do insmod $file 2>/dev/null; done
done
i=0
while { [ ! -e /dev/sda ] || [ ! -e /dev/sr0 ]; } && [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1; done
dmesg | grep -e 'AHCI 0001' -e 'SATA link up' | sed 's/^/kernel: /'
echo "cd $(md5sum </dev/sr0)"
dd if=/dev/sr0 of=/tmp/some bs=2048 skip=20 count=1500 2>/dev/null
dd if=/tmp/some of=/dev/sda bs=64k seek=512 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
[ "$(dd if=/dev/sda bs=64k skip=512 2>/dev/null | head -c 3072000 | md5sum)" = "$(md5sum </tmp/some)" ] && echo "the disk keeps what it is given"
dmesg | grep -e 'failed command' -e 'lost interrupt' -e 'exception Emask' -e 'hard resetting'
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
cp "$generic_kernel" "$work/iso/vmlinuz"
cat >"$work/iso/boot/grub/grub.cfg" <<'GRUB'
set timeout=0
menuentry "our own kernel" {
	linux /vmlinuz console=ttyS0 quiet panic=-1
	initrd /initrd
}
GRUB
grub-mkrescue -o "$work/cd.iso" --locales= --fonts= --themes= "$work/iso" >"$work/mkrescue" 2>&1 || cat "$work/mkrescue"
# What starts from a CD starts from a disk, too.
cp "$work/cd.iso" "$work/disk"
truncate -s 64M "$work/disk"
truncate -s 8M "$work/empty"

# sata OPTION...: a guest with it; its console says by escape sequences where its text goes
sata() {
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --memory 512 "$@" </dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" | sed "s/$(printf '\033')\[[0-9;?=]*[a-zA-Z]//g" >"$output.text" && mv "$output.text" "$output"
}

for firmware in bios uefi; do
	sata --firmware $firmware --boot dc --disk "$work/disk,ahci" --disk "$work/cd.iso,cdrom,ahci"
	check "$firmware: a CD starts a kernel" ended 0 GUEST-DONE
	check "$firmware: the kernel's driver" said "kernel: .*ahci 0000:00:.*AHCI 0001.0300 32 slots 6 ports 3 Gbps 0x3f impl SATA mode"
	check "$firmware: both drives" [ "$(grep -c 'SATA link up 3.0 Gbps' "$output")" = 2 ]
	check "$firmware: the CD is read as it is" said "cd $(md5sum <"$work/cd.iso")"
	check "$firmware: a disk is written and read" said "the disk keeps what it is given"
	check "$firmware: no transfer goes wrong" eval '! said "failed command" && ! said "lost interrupt" && ! said "exception Emask"'
	sata --firmware $firmware --boot cd --disk "$work/disk,ahci" --disk "$work/cd.iso,cdrom,ahci"
	check "$firmware: a disk starts a kernel" ended 0 GUEST-DONE
	check "$firmware: it is the disk" said "Booting from Hard Disk\|starting.*dach disk"
done

"$DACH" run --disk "$work/empty,ahci" --kernel "$kernel" >"$output" 2>"$errors"
status=$?
check "AHCI drives need firmware" told "an AHCI drive needs firmware"
set --
for n in 1 2 3 4 5 6 7; do
	set -- "$@" --disk "$work/empty,ro,ahci"
done
"$DACH" run --firmware bios "$@" >"$output" 2>"$errors"
status=$?
check "there are six" told "there are six AHCI drives at most"
finish
