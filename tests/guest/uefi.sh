#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# UEFI: boot loaders on a CD and on a disk start a kernel, which finds the firmware's services; what it keeps there is still
# there when the guest starts again.
. "$(dirname "$0")/lib.sh"

mkdir -p "$work/root/efi"
cp "$DACH_CACHE"/kernel/lib/modules/*/kernel/fs/efivarfs/efivarfs.ko "$work/root/efi/"
cat >"$work/root/test.sh" <<'SCRIPT'
dmesg | grep -e 'efi: EFI v' -e 'RSDP 0x' -e 'Using ACPI' -e 'firmware bug' -e 'BAR .*\(error\|fail\)'
insmod /efi/efivarfs.ko
mount -t efivarfs none /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars
own=Kept-11111111-2222-3333-4444-555555555555
if [ -e $own ]; then
	echo "kept $(tail -c 5 $own)"
else
	printf '\007\000\000\000hello' >$own && echo "written $(tail -c 5 $own)"
fi
[ -e "$(echo BootOrder-*)" ] && echo "a boot order"
echo "processors $(nproc)"
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
mkdir -p "$work/iso/boot/grub"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
cp "$kernel" "$work/iso/vmlinuz"
cat >"$work/iso/boot/grub/grub.cfg" <<'GRUB'
set timeout=0
menuentry "our own kernel" {
	linux /vmlinuz console=ttyS0 quiet panic=-1
	initrd /initrd
}
GRUB
grub-mkrescue -o "$work/cd.iso" --locales= --fonts= --themes= -d /usr/lib/grub/x86_64-efi "$work/iso" >"$work/mkrescue" 2>&1 ||
	cat "$work/mkrescue"

# uefi OPTION...: a guest with it; its console says by escape sequences where its text goes
uefi() {
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware uefi --memory 256 "$@" \
		</dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" | sed "s/$(printf '\033')\[[0-9;?=]*[a-zA-Z]//g" >"$output.text" && mv "$output.text" "$output"
}

uefi --disk "$work/cd.iso,cdrom" --vcpus 2 --nvram "$work/nvram"
check "UEFI and GRUB start a kernel from a CD" ended 0 GUEST-DONE
check "GRUB has a menu" said "our own kernel"
check "its services are found" said "efi: EFI v2"
check "ACPI tables" said "RSDP 0x"
check "interrupts by ACPI" said "Using ACPI (MADT)"
check "both processors" said "processors 2"
check "its own variables" said "a boot order"
check "a variable is written" said "written hello"
check "no complaints" eval '! said "firmware bug" && ! said "BAR .*fail"'

# A disk with an EFI system partition, on virtio.
truncate -s 64M "$work/disk"
printf '\000\000\000\000\357\000\000\000\000\010\000\000\000\370\001\000' |
	dd of="$work/disk" bs=1 seek=446 conv=notrunc 2>/dev/null
printf '\125\252' | dd of="$work/disk" bs=1 seek=510 conv=notrunc 2>/dev/null
mformat -i "$work/disk@@1M" -T 129024 ::
grub-mkimage -O x86_64-efi -o "$work/boot.efi" -p /boot/grub fat part_msdos normal linux configfile echo
mmd -i "$work/disk@@1M" ::EFI ::EFI/BOOT ::boot ::boot/grub
mcopy -i "$work/disk@@1M" "$work/boot.efi" ::EFI/BOOT/BOOTX64.EFI
{ echo 'echo "from the disk"' && cat "$work/iso/boot/grub/grub.cfg"; } >"$work/grub.cfg"
mcopy -i "$work/disk@@1M" "$work/grub.cfg" ::boot/grub/
mcopy -i "$work/disk@@1M" "$work/iso/vmlinuz" "$work/iso/initrd" ::
uefi --disk "$work/cd.iso,cdrom" --disk "$work/disk" --boot cd --nvram "$work/nvram"
check "the same from a disk, if that is to be first" ended 0 GUEST-DONE
check "it is the disk" said "from the disk"
check "a variable is kept over power-off" said "kept hello"

truncate -s 100 "$work/other"
"$DACH" run --firmware uefi --nvram "$work/other" >"$output" 2>"$errors"
status=$?
check "a file of something else is none for variables" told "has 100 bytes and not"
"$DACH" run --firmware bios --nvram "$work/nvram" >"$output" 2>"$errors"
check "a BIOS keeps none" told "a BIOS has none"

# Under a daemon it goes on in a new monitor, with what it keeps; the file is the same, and locked.
. "$(dirname "$0")/toolstack-lib.sh"
cat >"$work/root/test.sh" <<'SCRIPT'
stty -echo
insmod /efi/efivarfs.ko
mount -t efivarfs none /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars
echo "READY $(ls | grep ^Line)"
while read -r name; do
	[ "$name" != off ] || poweroff -f
	printf '\007\000\000\000%s' "$name" >"Line$name-11111111-2222-3333-4444-555555555555"
	for file in Line*; do
		echo "HAS $name $(tail -c +5 $file)"
	done
done
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
mcopy -o -i "$work/disk@@1M" "$work/iso/initrd" ::
xl_says create -q /dev/null "name='one'" "firmware='uefi'" "memory=256" "engine='$DACH_ENGINE'" "disk=['$work/disk,raw,xvda,w']"
check "a guest with UEFI starts under a daemon" ended 0
console_open one
check "and has no variables of ours" wait_for 120 said "^READY .\?$"
say first
check "it writes one" wait_for 60 said "^HAS first first"
console_close
monitor=$(field one pid)
xl_says live-update one
check "it goes on in a new monitor" ended 0
check "which is another process" [ "$(field one pid)" != "$monitor" ]
xl_says live-update one
check "and in a third" ended 0
"$DACH" run --firmware uefi --nvram "$DACH_STATE/nvram/$(field one uuid)" >"$output" 2>"$errors"
status=$?
check "nobody else is given its variables" told "in use by another guest"
console_open one
say second
check "it writes another, and has both" wait_for 60 said "^HAS second second"
check "also the first one" wait_for 60 said "^HAS second first"
say off
console_close
finish
