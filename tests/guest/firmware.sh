#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A BIOS, a boot loader on a disk that it reads, and a kernel that this starts.
. "$(dirname "$0")/lib.sh"

# grub_disk FILE: a disk of one FAT partition with a kernel, $work/initrd and $work/grub.cfg, and GRUB in front of it
grub_disk() {
	truncate -s 64M "$1"
	grub-mkimage -O i386-pc -o "$work/core.img" -p '(hd0,msdos1)' \
		biosdisk part_msdos fat normal linux configfile test echo loadenv reboot
	python3 - "$1" "$work/core.img" <<'PYTHON'
import struct, sys

boot = open("/usr/lib/grub/i386-pc/boot.img", "rb").read()
entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xc, b"\xfe\xff\xff", 2048, 129024)
with open(sys.argv[1], "r+b") as disk:
    disk.write(boot[:446] + entry + bytes(48) + b"\x55\xaa" + open(sys.argv[2], "rb").read())
PYTHON
	mformat -i "$1@@1M" -T 129024 ::
	grub-editenv "$work/grubenv" create
	mcopy -i "$1@@1M" "$kernel" "$work/initrd" "$work/grub.cfg" "$work/grubenv" ::
}

cat >"$work/script" <<'SCRIPT'
for id in 0000:00:00.0 0000:00:01.0 0000:00:01.3; do
	echo "device $(cat /sys/bus/pci/devices/$id/vendor /sys/bus/pci/devices/$id/device | tr '\n' ' ')"
done
dmesg | grep -e 'RSDP 0x' -e 'Using ACPI' -e 'BAR .*\(error\|fail\)' -e 'firmware bug'
echo "processors $(nproc)"
grep virtio0-req /proc/interrupts && echo "disk $(cat /sys/block/vda/size)"
SCRIPT
initrd "$work/script"
# The first time it writes to the disk, and starts again.
cat >"$work/grub.cfg" <<'GRUB'
load_env
if [ -z "$again" ]; then
	set again=1
	save_env again
	echo "starts again"
	reboot
fi
set timeout=0
menuentry "our own kernel" {
	linux /vmlinuz console=ttyS0 quiet panic=-1
	initrd /initrd
}
GRUB
grub_disk "$work/disk"
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware bios --disk "$work/disk" \
	--memory 256 --vcpus 2 </dev/null >"$output" 2>"$errors"
status=$?
# The console says by escape sequences where its text goes, now and then within a word.
tr -d '\r' <"$output" | sed "s/$(printf '\033')\[[0-9;?]*[a-zA-Z]//g" >"$output.text" && mv "$output.text" "$output"
check "SeaBIOS and GRUB start a kernel" ended 0 GUEST-DONE
check "SeaBIOS says who it is" said "SeaBIOS (version"
check "GRUB has a menu" said "our own kernel"
check "a reset starts the firmware again" [ "$(grep -c 'SeaBIOS (version' "$output")" = 2 ]
check "what the boot loader wrote is there" eval 'mtype -i "$work/disk@@1M" ::grubenv | grep -q again=1'
check "a host bridge" said "device 0x8086 0x1237"
check "an ISA bridge" said "device 0x8086 0x7000"
check "power management" said "device 0x8086 0x7113"
check "ACPI tables" said "RSDP 0x"
check "interrupts by ACPI" said "Using ACPI (MADT)"
check "both processors" said "processors 2"
check "the disk's driver" said "disk 131072"
check "no complaints" eval '! said "firmware bug" && ! said "BAR .*fail"'

truncate -s 1M "$work/empty"
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware bios --boot nc --disk "$work/empty" \
	--memory 64 --verbose --timeout 3 --grace 1 </dev/null >"$output" 2>"$errors"
status=$?
check "a disk without a boot loader" ended 124 "No bootable device"
check "what the firmware says of its work" grep -q "firmware: PCI: init bdf" "$errors"
"$DACH" run --firmware bios --kernel "$kernel" >"$output" 2>"$errors"
status=$?
check "firmware and a kernel exclude each other" [ "$status" = 1 ]

finish
