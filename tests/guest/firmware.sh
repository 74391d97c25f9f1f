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

# A CD, El Torito, and a disk: old drives, by Linux's own drivers too, which take the bus master.
modules=$(echo "$DACH_CACHE"/kernel/lib/modules/*)/kernel
mkdir -p "$work/root/ide" "$work/iso/boot/grub"
for name in scsi/scsi_common scsi/scsi_mod ata/libata ata/ata_piix lib/crc64 lib/crc64-rocksoft scsi/sd_mod cdrom/cdrom scsi/sr_mod; do
	for file in "$modules/drivers/$name.ko" "$modules/$name.ko" "$modules/block/$name.ko"; do
		[ ! -e "$file" ] || cp "$file" "$work/root/ide/"
	done
done
cat >"$work/root/test.sh" <<'SCRIPT'
for pass in 1 2 3; do
	for file in /ide/*.ko; do insmod $file 2>/dev/null; done
done
i=0
while { [ ! -e /dev/sda ] || [ ! -e /dev/sr0 ]; } && [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.1; done
echo "modes $(cat /sys/class/ata_device/dev1.0/dma_mode /sys/class/ata_device/dev1.1/dma_mode | tr '\n' ' ')"
echo "cd $(md5sum </dev/sr0)"
dd if=/dev/sr0 of=/tmp/some bs=2048 skip=20 count=1500 2>/dev/null
dd if=/tmp/some of=/dev/sda bs=64k conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
[ "$(dd if=/dev/sda bs=2048 count=1500 2>/dev/null | md5sum)" = "$(md5sum </tmp/some)" ] && echo "the disk keeps what it is given"
dd if=/dev/sr0 bs=2048 skip=100000 count=1 2>/dev/null | wc -c
dmesg | grep -e 'failed command' -e 'lost interrupt' -e 'exception Emask'
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
cp "$kernel" "$work/iso/vmlinuz"
sed -n '/^set timeout/,$p' "$work/grub.cfg" >"$work/iso/boot/grub/grub.cfg"
grub-mkrescue -o "$work/cd.iso" \
	--locales= --fonts= --themes= -d /usr/lib/grub/i386-pc "$work/iso" >"$work/mkrescue" 2>&1 || cat "$work/mkrescue"
truncate -s 8M "$work/empty"
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware bios --boot dc --disk "$work/empty,ide" \
	--disk "$work/cd.iso,cdrom" --memory 256 </dev/null >"$output" 2>"$errors"
status=$?
tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
check "a CD starts a kernel" ended 0 GUEST-DONE
check "drives by bus master" said "modes XFER_MW_DMA_2 XFER_MW_DMA_2"
check "the CD is read as it is" said "cd $(md5sum <"$work/cd.iso")"
check "a disk is written and read" said "the disk keeps what it is given"
check "no transfer goes wrong" eval '! said "failed command" && ! said "lost interrupt" && ! said "exception Emask"'

"$DACH" run --disk "$work/empty,ide" --kernel "$kernel" >"$output" 2>"$errors"
status=$?
check "IDE drives need firmware" grep -q "an IDE drive needs firmware" "$errors"
forget
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware bios --boot nc --disk "$work/empty,ide" \
	--memory 64 --verbose --grace 1 </dev/null >"$output" 2>"$errors" &
guest_pid=$!
check "a disk without a boot loader" wait_for 60 said "No bootable device"
kill -TERM "$(guest_process)"
guest_wait
check "a guest that has nothing to start from ends when it is told to" [ "$status" = 2 ]
check "what the firmware says of its work" grep -q "firmware: PCI: init bdf" "$errors"
"$DACH" run --firmware bios --kernel "$kernel" >"$output" 2>"$errors"
status=$?
check "firmware and a kernel exclude each other" [ "$status" = 1 ]
finish
