#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Disks as distributions have them for downloading: started as they are, by their boot loaders' configurations
# on FAT, XFS and ext4; what the guest changes is kept beside them or thrown away; cloud-init's disk is there.
. "$(dirname "$0")/lib.sh"

cat >"$work/commands" <<'SCRIPT'
echo 1 >/proc/sys/kernel/printk
echo "LINE $(cat /proc/cmdline)"
echo "SIZE $(cat /sys/block/vda/size)"
dd if=/dev/vda bs=512 skip=4 count=1 2>/dev/null | grep -q been-here && echo AGAIN
echo been-here | dd of=/dev/vda bs=512 seek=4 conv=fsync 2>/dev/null
if [ -e /dev/vdb ]; then
	echo "SEED $(cat /sys/block/vdb/ro) $(dd if=/dev/vdb bs=1 skip=43 count=6 2>/dev/null)"
	tr -d '\0' </dev/vdb | grep -a -e instance-id -e local-hostname -e ssh-ed25519 -e root: -e '^echo mine'
fi
SCRIPT
initrd "$work/commands"
printf 'ssh-ed25519 AAAAC3 me\n' >"$work/key.pub"
printf '#!/bin/sh\necho mine\n' >"$work/user-data"

# put FILE MIB: the file becomes the disk's second partition, behind one for the boot loader
put() {
	truncate -s "$2M" "$disk"
	python3 - "$disk" "$2" <<'TABLE'
import struct, sys
with open(sys.argv[1], "r+b") as disk:
    disk.seek(446)
    for start, sectors, kind in ((8, 8, 0xef), (2048, (int(sys.argv[2]) - 1) * 2048, 0x83)):
        disk.write(struct.pack("<B3xB3xII", 0, kind, start, sectors))
    disk.seek(510)
    disk.write(b"\x55\xaa")
TABLE
	dd if="$1" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
}

# run WORD...: the disk's own kernel
run() {
	timeout -k 5 "$LIMIT" "$DACH" run "$@" --engine "$DACH_ENGINE" --memory 256 \
		</dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
}

# Alpine's way: extlinux on a small ext4 of its own.
mkdir -p "$work/files/extlinux"
cp "$kernel" "$work/files/vmlinuz-virt"
cp "$work/initrd" "$work/files/initramfs-virt"
cat >"$work/files/extlinux.conf" <<'EXTLINUX'
DEFAULT menu.c32
PROMPT 0
MENU TITLE Alpine/Linux Boot Menu
TIMEOUT 10
LABEL virt
  MENU DEFAULT
  MENU LABEL Linux virt
  LINUX vmlinuz-virt
  INITRD initramfs-virt
  APPEND root=/dev/vda2 quiet panic=-1 way=extlinux
EXTLINUX
mke2fs -q -t ext4 -d "$work/files" "$work/part" 48M
disk=$work/alpine.img
put "$work/part" 49
sum=$(sha256sum <"$disk")

run "$disk" --ssh-key "$work/key.pub" --hostname web.example.org --user-data "$work/user-data" --password 'a"b'
check "extlinux on ext4 starts" ended 0 "^LINE .*way=extlinux"
check "cloud-init's disk is there, read-only" said "^SEED 1 cidata"
check "with the name" said '"local-hostname": "web.example.org"'
check "the key" said '"ssh-ed25519 AAAAC3 me"'
check "the password, quoted" said 'root:a\\"b'
check "and the user's own" said '^echo mine'
check "one line says where changes are kept" grep -q "kept in $work/alpine.overlay.qcow2$" "$errors"
check "nothing was there before" [ "$(grep -c AGAIN "$output")" -eq 0 ]
instance=$(grep instance-id "$output")
run "$disk" --ssh-key "$work/key.pub"
check "what the guest wrote is there again" ended 0 AGAIN
check "it is the same guest" [ "$(grep instance-id "$output")" = "$instance" ]
run "$disk" --ephemeral --disk-size 1G --ssh-key "$work/key.pub"
check "not where it is thrown away" [ "$(grep -c AGAIN "$output")" -eq 0 ]
check "which is another guest" [ "$(grep instance-id "$output")" != "$instance" ]
check "whose disk may be larger" said "^SIZE 2097152$"
run "$disk" --overlay "$work/second.qcow2"
check "another overlay has its own changes" ended 0 "^LINE"
check "which are not those of the first" [ "$(grep -c AGAIN "$output")" -eq 0 ]
check "the download is as it was" [ "$(sha256sum <"$disk")" = "$sum" ]
printf x | dd of="$disk" bs=1 seek=3000 conv=notrunc status=none
run "$disk"
check "one that has changed since is refused" grep -q "alpine.img: has changed since .*remove that to start anew$" "$errors"
check "with status 1" ended 1
rm "$work"/alpine.overlay.*

# Entries of the Boot Loader Specification on a FAT /boot; in qcow2, whose name does not say so.
disk=$work/fat.raw
rm "$work/files/extlinux.conf"
printf 'title Linux\nversion 6.1\nlinux /vmlinuz-virt\ninitrd /initramfs-virt\noptions quiet panic=-1 way=bls\n' \
	>"$work/entry.conf"
truncate -s 48M "$work/fat"
mkfs.fat "$work/fat" >"$output"
mmd -i "$work/fat" ::loader ::loader/entries
mcopy -i "$work/fat" "$work/entry.conf" ::loader/entries
mcopy -i "$work/fat" "$work/files/vmlinuz-virt" "$work/files/initramfs-virt" ::
put "$work/fat" 49
qemu-img convert -f raw -O qcow2 "$disk" "$work/fat.img"
run "$work/fat.img" --ephemeral
check "entries on FAT start, in qcow2" ended 0 "^LINE .*way=bls"

# GRUB on XFS, as Red Hat's family has it.
disk=$work/xfs.raw
cat >"$work/grub.cfg" <<'GRUB'
search --no-floppy --set=root --label BOOT
menuentry 'Linux' { linux ($root)/vmlinuz-virt quiet panic=-1 way=grub
    initrd ($root)/initramfs-virt }
GRUB
printf '/\n0 0\nd--755 0 0\nvmlinuz-virt ---644 0 0 %s\ninitramfs-virt ---644 0 0 %s\ngrub2 d--755 0 0\n' \
	"$work/files/vmlinuz-virt" "$work/files/initramfs-virt" >"$work/proto"
printf 'grub.cfg ---644 0 0 %s\n$\n$\n' "$work/grub.cfg" >>"$work/proto"
truncate -s 320M "$work/xfs"
mkfs.xfs -q -L BOOT -p "$work/proto" "$work/xfs" >"$output" 2>&1
put "$work/xfs" 321
run "$disk" --ephemeral
check "GRUB on XFS starts" ended 0 "^LINE .*way=grub"

# What is no disk that can be started.
printf KDMV >"$work/old.vmdk"
run "$work/old.vmdk" --ephemeral
check "a VMDK that is none is refused" grep -q "^dach run: qemu-img: " "$errors"
qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$work/alpine.img" "$work/alpine.vmdk"
run "$work/alpine.vmdk" --ephemeral
check "one that is one is converted and starts" ended 0 "^LINE .*way=extlinux"
run "$work/alpine.vmdk" --ephemeral
check "and starts again without" ended 0 "^LINE .*way=extlinux"
DACH_IMAGES=$work/images "$DACH" image import "$work/alpine.vmdk" >"$output" 2>"$errors"
DACH_IMAGES=$work/images run alpine
check "imported it is an image like others" ended 0 "^LINE .*way=extlinux"
(cd "$work" && qemu-img create -q -f qcow2 -b /etc/hostname -F raw trap.qcow2)
run "$work/trap.qcow2"
check "one that stands on a file elsewhere is refused" \
	grep -q "trap.qcow2: stands on /etc/hostname, which it names itself and lies in another folder" "$errors"
run "$disk" --ephemeral --ssh-key "$work/old.vmdk"
check "what is no key is named" grep -q "old.vmdk: not a public key" "$errors"
run "$disk" --ephemeral --hostname 'a b'
check "and what is no host name" grep -q "'a b' is not a host name" "$errors"
finish
