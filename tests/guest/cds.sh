#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# CDs in the drives of IDE and AHCI controllers, which are empty at first: they come and go while the guest runs, which may
# lock them; and it goes on from a saved state with what is in them then.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/generic-lib.sh"

cat >"$work/root/test.sh" <<'SCRIPT'
stty -echo
for pass in 1 2 3 4; do
	for file in /drivers/*.ko; do insmod $file 2>/dev/null; done
done
i=0
while { [ ! -e /dev/sr0 ] || [ ! -e /dev/sr1 ]; } && [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1; done
for sr in sr0 sr1; do
	case $(readlink -f /sys/block/$sr) in
	*/ata[12]/*) echo "DRIVE ide $sr" ;;
	*) echo "DRIVE ahci $sr" ;;
	esac
done
echo READY
while read -r word drive value; do
	case $word in
	read) echo "READ $(dd if="/dev/$drive" bs=2048 skip=7 count=1 2>/dev/null | head -c 4) OF $value" ;;
	hold) sleep 1000 <"/dev/$drive" & holder=$!; sleep 1; echo "HELD $drive" ;;
	drop) kill $holder; wait $holder; echo "DROPPED $drive" ;;
	esac
done
SCRIPT
# shellcheck disable=SC2086 # lists of words
generic_put "$work/root/drivers" $generic_ata_drivers
mkdir -p "$work/iso/boot/grub"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
cp "$generic_kernel" "$work/iso/vmlinuz"
printf 'set timeout=0\nmenuentry own {\n\tlinux /vmlinuz console=ttyS0 quiet panic=-1\n\tinitrd /initrd\n}\n' >"$work/iso/boot/grub/grub.cfg"
grub-mkrescue -o "$work/boot.img" --locales= --fonts= --themes= -d /usr/lib/grub/i386-pc "$work/iso" >"$work/mkrescue" 2>&1 ||
	cat "$work/mkrescue"
for letter in A B C; do
	head -c 1000000 /dev/zero | tr '\0' "$letter" >"$work/$letter.iso"
	truncate -s 1M "$work/$letter.iso"
done
cat >"$work/guest.cfg" <<CONFIG
type = "hvm"
boot = "cd"
memory = 512
engine = "$DACH_ENGINE"
disk = ["$work/boot.img,raw,hda,w", ",,hdc:cdrom,r", ",,sdb:cdrom,r"]
CONFIG

# reads DRIVE TEXT: the guest does so there
reads() {
	number=$((${number:-0} + 1))
	say "read $1 $number"
	wait_for 20 said "^READ .*OF $number" && said "^READ $2 OF $number"
}

asked() {
	say "$1"
	wait_for 30 said "$2"
}

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest with empty drives starts" ended 0
console_open one
check "and is up" wait_for 240 said "^READY"
ide=$(sed -n 's/^DRIVE ide \(sr.\).*/\1/p' "$output")
ahci=$(sed -n 's/^DRIVE ahci \(sr.\).*/\1/p' "$output")
check "one has IDE, one AHCI" [ -n "$ide" ] && [ -n "$ahci" ]
check "there is nothing in them" reads "$ide" ""
for drive in "$ide hdc" "$ahci sdb"; do
	name=${drive#* } drive=${drive% *}
	check "$name: a CD comes" xl cd-insert one "$name" "$work/A.iso"
	check "$name: the guest reads it" reads "$drive" AAAA
	check "$name: another takes its place" xl cd-insert one "$name" "$work/B.iso"
	check "$name: the guest reads that one" reads "$drive" BBBB
	asked "hold $drive" "^HELD $drive"
	xl_eject() { xl cd-eject one "$name" >"$work/why" 2>&1; }
	check "$name: one that the guest has locked stays" eval '! xl_eject'
	check "$name: it says why" grep -q "the guest has locked $name" "$work/why"
	check "$name: it is there" reads "$drive" BBBB
	check "$name: by force it goes" xl cd-eject --force one "$name"
	check "$name: its file is free" sh -c "! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q $work/B.iso"
	asked "drop $drive" "^DROPPED $drive"
	check "$name: the drive is empty" reads "$drive" ""
done
check "block-attach brings no drive" eval '! xl block-attach one "$work/C.iso,raw,hdd:cdrom,r" 2>"$work/why"'
check "and says so" grep -q "comes only while the guest is off" "$work/why"
check "block-detach takes none" eval '! xl block-detach one sdb 2>"$work/why"'
check "and says what does" grep -q "cd-eject takes the CD out" "$work/why"
check "a CD is in the one drive" xl cd-insert one hdc "$work/C.iso"
check "and read" reads "$ide" CCCC
console_close
check "the guest is saved" xl save one "$work/state.save"
check "and goes on" xl restore "$work/state.save"
console_open one
check "with the CD" reads "$ide" CCCC
check "the other drive is there" xl cd-insert one sdb "$work/A.iso"
check "and takes one" reads "$ahci" AAAA
check "which goes" xl cd-eject one sdb
check "the drive is empty again" reads "$ahci" ""
finish
