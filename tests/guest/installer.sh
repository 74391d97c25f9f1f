#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian's installer and memtest86+, from a disc that both firmwares start: each comes to its first screen on the serial port.
# No part of CI: it takes minutes, and the packages debian-installer-12-netboot-amd64 and memtest86+.
LIMIT=${LIMIT:-900}
. "$(dirname "$0")/lib.sh"

installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
mkdir -p "$work/iso/boot/grub"
cp "$installer/linux" "$installer/initrd.gz" /boot/memtest86+x64.bin /boot/memtest86+x64.efi "$work/iso/boot/" || exit 1

# disc ENTRY: which of the menu's entries the disc starts
disc() {
	cat >"$work/iso/boot/grub/grub.cfg" <<GRUB
set timeout=0
set default=$1
menuentry installer --id installer {
	linux /boot/linux console=ttyS0 quiet
	initrd /boot/initrd.gz
}
menuentry memtest --id memtest {
	if [ "\$grub_platform" = efi ]; then
		chainloader /boot/memtest86+x64.efi console=ttyS0,115200
	else
		linux16 /boot/memtest86+x64.bin console=ttyS0,115200
	fi
}
GRUB
	grub-mkrescue -o "$work/$1.iso" --locales= --fonts= --themes= "$work/iso" >"$work/mkrescue" 2>&1 || cat "$work/mkrescue"
}

# shows FIRMWARE DISC TEXT: the disc's system says that
shows() {
	forget
	"$DACH" run --engine "$DACH_ENGINE" --firmware "$1" --boot dc --disk "$work/$2.iso,cdrom" --memory 1024 \
		--vnc "unix:$work/screen" --grace 1 </dev/null >"$output" 2>"$errors" &
	guest_pid=$!
	check "$2 comes up by $1" wait_for "$LIMIT" said "$3"
	kill -TERM "$guest_pid"
	guest_wait
}

disc installer
disc memtest
for firmware in bios uefi; do
	shows "$firmware" memtest 'Pass:  0 .*Errors: 0'
	shows "$firmware" installer 'language'
done
finish
