#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fio writes to two disks at full speed and verifies each block by its checksum, while layers come, are streamed and
# committed, and backups are made. Needs fio.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

if ! command -v fio >/dev/null; then
	echo "ok $test_name: # skipped: needs fio"
	exit 0
fi
mkdir -p "$work/root/lib64" "$work/root/fio" "$work/disks"
cp "$(command -v fio)" "$work/root/fio/"
ldd "$(command -v fio)" | grep -o '/[^ ]*' | while read -r library; do
	case $library in
	*/ld-linux*) cp -L "$library" "$work/root/lib64/" ;;
	*) cp -L "$library" "$work/root/fio/" ;;
	esac
done
cat >"$work/root/test.sh" <<'SCRIPT'
stty -echo
echo READY
while read -r word; do
	case $word in
	go) (
		/lib64/ld-linux-x86-64.so.2 --library-path /fio /fio/fio --ioengine=libaio --direct=1 --rw=randwrite \
			--bsrange=512-128k --blockalign=512 --iodepth=8 --verify=crc32c --verify_backlog=64 --verify_fatal=1 \
			--verify_state_save=0 --fsync=256 --time_based --runtime=100000 \
			--name=a --filename=/dev/vda --name=b --filename=/dev/vdb >/tmp/log 2>&1 &
		echo $! >/tmp/fio
		wait $!
		echo "FIO-ENDED $?, $(grep -c -e '^verify' -e 'err=[ ]*[1-9]' /tmp/log) WRONG"
		grep -m 5 -e '^verify' -e 'err=[ ]*[1-9]' /tmp/log
	) & ;;
	stop) kill -INT "$(cat /tmp/fio)" ;;
	done) echo "DONE $(awk '{ print $7, $3 }' /sys/block/vda/stat /sys/block/vdb/stat | tr '\n' ' ')" ;;
	esac
done
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/initrd"
truncate -s 128M "$work/disks/a.img"
qemu-img create -q -f qcow2 "$work/disks/b.qcow2" 128M
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 512
engine = "$DACH_ENGINE"
disk = ["$work/disks/a.img,raw,xvda,w", "$work/disks/b.qcow2,qcow2,xvdb,w"]
CONFIG

# has_done N: sectors of both disks, at least, are written, and as many are read
has_done() {
	say done
	sleep 0.5
	tr -d '\r' <"$output" | awk -v least="$1" '/^DONE/ { n = $2; for (i = 3; i <= 5; i++) if ($i < n) n = $i } END { exit !(n >= least) }'
}

# job WORDS...: on a disk, while the guest writes
job() {
	start=$(date +%s%N)
	xl disk "$@" >"$work/told" 2>&1
	status=$?
	check "disk $1 ($((($(date +%s%N) - start) / 1000000)) ms)$([ $status -eq 0 ] || cat "$work/told")" [ $status -eq 0 ]
}

xl_says create -q "$work/guest.cfg" "name='one'"
check "a guest starts" ended 0
console_open one
check "it is up" wait_for "$LIMIT" said READY
say go
check "and writes" wait_for "$LIMIT" has_done 8000
for round in 1 2 3; do
	job layer one
	job backup one xvda "$work/disks/backup.$round.qcow2"
	job stream one xvda
	job commit one xvdb
done
check "it goes on" wait_for "$LIMIT" has_done 100000
say stop
check "it ends" wait_for "$LIMIT" said FIO-ENDED
check "and no block was wrong" said "FIO-ENDED [0-9]*, 0 WRONG"
console_close
xl destroy one
for image in "$work"/disks/*.qcow2; do
	check "$(basename "$image") is sound" qemu-img check -q -f qcow2 "$image"
done
finish
