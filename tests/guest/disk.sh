#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Disks: what is written is there, read-only is, a reboot keeps it, a full host is an I/O error.
. "$(dirname "$0")/lib.sh"

head -c 32M /dev/urandom >"$work/in"
sum=$(sha256sum <"$work/in" | cut -d' ' -f1)
truncate -s 64M "$work/out"
truncate -s 1M "$work/through" "$work/word2"
guest --disk "$work/in,ro" --disk "$work/out" <<'SCRIPT'
sha256sum /dev/vda
dd if=/dev/vda of=/dev/vdb bs=64k 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
head -c 33554432 /dev/vdb | sha256sum
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null && echo WROTE
SCRIPT
check "reads a disk" ended 0 "$sum  /dev/vda"
check "writes a disk" said "$sum  -"
check "it is on the host's" [ "$(head -c 32M "$work/out" | sha256sum | cut -d' ' -f1)" = "$sum" ]
check "read-only is read-only" [ "$(sha256sum <"$work/in" | cut -d' ' -f1)" = "$sum" ]

# Past the host's page cache, in both directions.
direct=none
dd if="$work/in" of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null || direct=writeback
truncate -s 64M "$work/direct"
guest --disk "$work/in,cache=$direct,ro" --disk "$work/direct,cache=$direct" \
	--disk "$work/through,cache=writethrough" <<'SCRIPT'
dd if=/dev/vda of=/dev/vdb bs=64k 2>/dev/null
dd if=/dev/vda of=/dev/vdc bs=64k count=16 2>/dev/null
sync
echo 3 >/proc/sys/vm/drop_caches
head -c 33554432 /dev/vdb | sha256sum
SCRIPT
check "without the host's cache ($direct)" ended 0 "$sum  -"
check "it is on the host's too" [ "$(head -c 32M "$work/direct" | sha256sum | cut -d' ' -f1)" = "$sum" ]
check "a write through it is on the host's" cmp -n 1048576 "$work/in" "$work/through"

# The same by qcow2: over another image, whose bytes stay; read by QEMU.
qemu-img convert -f raw -O qcow2 -c "$work/in" "$work/base.qcow2"
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$work/top.qcow2"
qemu-img create -q -f qcow2 "$work/out.qcow2" 64M
guest --disk "$work/top.qcow2" --disk "$work/out.qcow2" <<'SCRIPT'
sha256sum /dev/vda
dd if=/dev/vda of=/dev/vdb bs=64k 2>/dev/null
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync,notrunc 2>/dev/null && echo WROTE
blkdiscard -z -o 1048576 -l 1048576 /dev/vdb 2>/dev/null
sync
SCRIPT
check "reads qcow2 over qcow2" ended 0 "$sum  /dev/vda"
qemu-img convert -f qcow2 -O raw "$work/out.qcow2" "$work/out.raw"
check "writes qcow2" cmp -n 1048576 "$work/in" "$work/out.raw"
check "QEMU finds it sound" qemu-img check -q -f qcow2 "$work/out.qcow2"
check "what is below is as it was" [ "$(qemu-img convert -f qcow2 -O raw "$work/base.qcow2" \
	"$work/base.raw" && head -c 32M "$work/base.raw" | sha256sum | cut -d' ' -f1)" = "$sum" ]

# As many as there may be.
set --
for n in $(seq 16); do
	truncate -s "${n}M" "$work/many$n"
	set -- "$@" --disk "$work/many$n"
done
guest "$@" <<'SCRIPT'
echo FOUND $(cat /sys/block/vd*/size | sort -n | uniq | wc -l)
SCRIPT
check "a guest with 16 disks" ended 0 "FOUND 16"
guest "$@" --disk "$work/many1,ro" </dev/null
check "and no more" sh -c "grep -q 'disk: 16 at most' $errors"
set --

guest --ephemeral --disk "$work/out.qcow2" --disk "$work/word2" <<'SCRIPT'
for disk in vda vdb; do
	dd if=/dev/zero of=/dev/$disk bs=64k count=16 conv=fsync 2>/dev/null && head -c 512 /dev/$disk | cmp -n 512 - /dev/zero && echo ZERO $disk
done
SCRIPT
check "what is thrown away is there meanwhile" ended 0 "ZERO vdb"
qemu-img convert -f qcow2 -O raw "$work/out.qcow2" "$work/out.raw"
check "and gone afterwards" cmp -n 1048576 "$work/in" "$work/out.raw"

# The first boot leaves a word on the disk, the second finds it.
truncate -s 1M "$work/word"
guest --disk "$work/word" <<'SCRIPT'
if head -c 5 /dev/vda | grep -q again; then
	echo SECOND-BOOT
else
	echo again | dd of=/dev/vda conv=fsync 2>/dev/null
	reboot -f
fi
SCRIPT
check "reboot comes back" ended 0 SECOND-BOOT
check "and is one" [ "$(grep -c GUEST-UP "$output")" -eq 2 ]

# A file system of 4 MiB that nobody but this guest sees: a write beyond it fails.
cat >"$work/full" <<'SCRIPT'
head -c 1048576 /dev/zero >/dev/vda && sync
dd if=/dev/zero of=/dev/vda bs=1M seek=8 count=8 conv=fsync 2>/dev/null
dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync 2>/dev/null && echo GOES-ON
SCRIPT
initrd "$work/full"
mkdir "$work/small"
timeout -k 5 "$LIMIT" unshare -rm sh -c '
	mount -t tmpfs -o size=4m small "$0" && truncate -s 32M "$0/disk" && exec "$@"' "$work/small" \
	"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
	--cmdline "console=ttyS0 quiet panic=-1" --memory 256 --disk "$work/small/disk" \
	</dev/null >"$output" 2>"$errors"
status=$?
check "a full host is an I/O error" ended 0 "I/O error, dev vda"
check "and the guest goes on" said GOES-ON
check "of which one line tells" [ "$(grep -c "small/disk: a write failed: No space left on device" "$errors")" -eq 1 ]
# What whoever started it may do, its threads may not; a disk of another user's was opened before.
walled() {
	for thread in "/proc/$1"/task/*/status; do
		awk '/^Cap(Eff|Prm|Inh|Bnd|Amb):/ && $2 !~ /^0*$/ { exit 1 } /^Seccomp:/ && $2 != 2 { exit 1 }
			/^NoNewPrivs:/ && $2 != 1 { exit 1 }' "$thread" || { cat "$thread" >>"$errors"; return 1; }
	done
}
truncate -s 1M "$work/theirs"
chmod 0600 "$work/theirs"
[ "$(id -u)" != 0 ] || chown nobody "$work/theirs"
guest_start --disk "$work/theirs" --net user <<'SCRIPT'
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null && echo OPENED
sleep 1000
SCRIPT
check "a disk of another user's, by root" wait_for "$LIMIT" said OPENED
process=$(guest_process)
check "no thread has capabilities" walled "$process"
kill -KILL "$process"
guest_wait
# What is to be done in the guest depends on what the disk begins with: where, which bytes, which word is said.
for kind in 1080:'\123\357':resize2fs 0:XFSB:xfs_growfs 510:'\125\252':growpart 0:none:'larger in the guest'; do
	rm -f "$work/resized"
	truncate -s 1M "$work/resized"
	bytes=${kind#*:}
	printf "${bytes%%:*}" | dd of="$work/resized" bs=1 seek="${kind%%:*}" conv=notrunc 2>/dev/null
	"$DACH" image resize "$work/resized" 2M 2>"$errors"
	check "a larger disk: ${bytes#*:}" grep -q "${bytes#*:}" "$errors"
done
finish
