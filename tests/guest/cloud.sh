#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A cloud image as distributions make them: GPT with an EFI system partition, ext4, GRUB's configuration,
# cloud-init. It starts as it is, ssh gets in with the key that cloud-init is told of, and again next time.
LIMIT=700
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-lib.sh"

# The root file system of the image, without what dach itself put there for whoever may log in.
root=$image/disk.raw
uuid=$(blkid -p -s UUID -o value "$root")
version=$(debugfs -R 'ls -p /boot' "$root" 2>/dev/null | sed -n 's|.*/vmlinuz-\([^/]*\)/.*|\1|p' | head -n 1)
cat >"$work/grub.cfg" <<GRUB
if [ -s \$prefix/grubenv ]; then
  load_env
fi
set default="0"
menuentry 'Debian GNU/Linux' --class debian {
	insmod part_gpt
	insmod ext2
	search --no-floppy --fs-uuid --set=root $uuid
	linux /boot/vmlinuz-$version root=UUID=$uuid ro console=tty0 console=ttyS0,115200
	initrd /boot/initrd.img-$version
}
GRUB
debugfs -w -f - "$root" >"$output" 2>&1 <<DEBUGFS
rm /root/.ssh/authorized_keys
mkdir /boot/grub
write $work/grub.cfg /boot/grub/grub.cfg
DEBUGFS
truncate -s 62M "$work/esp"
mkfs.fat -F 32 -n EFI "$work/esp" >"$output"
mmd -i "$work/esp" ::EFI ::EFI/debian
disk=$work/cloud.img
truncate -s 5G "$disk"
python3 - "$disk" <<'TABLE'
import os, struct, sys, uuid, zlib
ROOT, ESP = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"), uuid.UUID("c12a7328-f81f-11d2-ba4b-00c04fd430c8")
with open(sys.argv[1], "r+b") as disk:
    sectors = disk.seek(0, os.SEEK_END) // 512
    table = bytearray(128 * 128)
    for index, kind, start, count in ((0, ROOT, 131072, 4 << 21), (14, ESP, 2048, 62 << 11)):
        struct.pack_into("<16s16sQQ", table, index * 128, kind.bytes_le, uuid.uuid4().bytes_le, start,
                         start + count - 1)
    guid = uuid.uuid4().bytes_le
    def head(own, other, at):
        text = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, own, other, 34, sectors - 34,
                           guid, at, 128, 128, zlib.crc32(table))
        return text[:16] + struct.pack("<I", zlib.crc32(text)) + text[20:]
    disk.seek(446)
    disk.write(struct.pack("<B3xB3xII", 0, 0xee, 1, min(sectors - 1, 0xffffffff)))
    disk.seek(510)
    disk.write(b"\x55\xaa" + head(1, sectors - 1, 2).ljust(512, b"\0") + table)
    disk.seek((sectors - 33) * 512)
    disk.write(table + head(sectors - 1, 1, sectors - 33).ljust(512, b"\0"))
TABLE
dd if="$work/esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$root" of="$disk" bs=1M seek=64 conv=notrunc,sparse status=none
rm "$root"

ssh-keygen -q -t ed25519 -N '' -f "$work/key"
cat >"$work/user-data" <<'DATA'
#cloud-config
locale: false
write_files:
  - path: /run/told
    content: by the user
DATA

start() {
	forget
	timeout -k 5 "$LIMIT" "$DACH" run "$disk" --ssh-key "$work/key.pub" --hostname cloud --user-data "$work/user-data" \
		--engine "$DACH_ENGINE" --net "user,loopback,fwd=tcp:127.0.0.1:$port-:22" </dev/null >"$output" 2>"$errors" &
	guest_pid=$!
}

# as USER COMMAND...: over ssh
as() {
	user=$1
	shift
	timeout "${patience:-30}" ssh -q -i "$work/key" -p "$port" -o BatchMode=yes -o ConnectTimeout=5 \
		-o StrictHostKeyChecking=no -o "UserKnownHostsFile=$work/known" "$user@127.0.0.1" "$@"
}

start
check "ssh gets in with the key" wait_for 500 as root true
check "by the disk's own kernel and words" as root "grep -q 'root=UUID=$uuid ro console=tty0' /proc/cmdline"
check "with the name" [ "$(as root hostname)" = cloud ]
patience=300
check "cloud-init has done all" [ "$(as root cloud-init status --wait | tail -n 1)" = "status: done" ]
patience=30
check "and the distribution's user may log in" [ "$(as debian id -un)" = debian ]
check "and what the user wanted is there" [ "$(as root cat /run/told)" = "by the user" ]
as root poweroff
guest_wait
check "it powers off" [ $status -eq 0 ]

start
check "ssh gets in again, to the same host" wait_for 500 as root true
check "for which it is the same instance" [ "$(as root 'ls /var/lib/cloud/instances | wc -l')" = 1 ]
as root poweroff
guest_wait
check "and powers off again" [ $status -eq 0 ]
finish
