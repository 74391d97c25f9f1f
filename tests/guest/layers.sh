#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# New images on the disks of a guest that writes: nothing is lost, and the bases are of one moment of both disks.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

# Writes numbers, each to one disk and then to the other; each block has the last number whose place it is.
cat >"$work/writer" <<'SCRIPT'
stty -echo
write() {
	n=0
	while [ ! -e /tmp/stop ]; do
		n=$((n + 1))
		printf '%-4096d' $n >/tmp/block
		for disk in a b; do
			dd if=/tmp/block of=/dev/vd$disk bs=4k seek=$((n % 300)) conv=notrunc,fsync 2>/dev/null || echo WRITE-FAILED
		done
		echo $n >/tmp/now && mv /tmp/now /tmp/last
	done
	echo STOPPED
}
# The last numbers up to $1 are where they belong.
verify() {
	echo 3 >/proc/sys/vm/drop_caches
	wrong=0 n=$1
	while [ $n -gt 0 ] && [ $n -gt $(($1 - 300)) ]; do
		for disk in a b; do
			[ "$(dd if=/dev/vd$disk bs=4k skip=$((n % 300)) count=1 2>/dev/null | tr -d ' ')" = $n ] || wrong=$((wrong + 1))
		done
		n=$((n - 1))
	done
	echo "VERIFIED $1, $wrong WRONG"
}
echo READY
while read -r word number; do
	case $word in
	go) write & ;;
	stop) touch /tmp/stop ;;
	size) echo "SIZE $(cat /sys/block/vda/size) $(cat /sys/block/vdb/size) OF $number" ;;
	last) echo "LAST $(cat /tmp/last) OF $number" ;;
	verify) verify "${number:-$(cat /tmp/last)}" ;;
	esac
done
SCRIPT
initrd "$work/writer"
mkdir "$work/disks"
truncate -s 16M "$work/disks/a.img"
qemu-img create -q -f qcow2 "$work/disks/b.qcow2" 16M
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
engine = "$DACH_ENGINE"
disk = ["$work/disks/a.img,raw,xvda,w", "$work/disks/b.qcow2,qcow2,xvdb,w"]
CONFIG

# number FILE: the largest in a raw image
number() {
	tr -s ' \0' '\n' <"$1" | sort -n | tail -n 1
}

# past N: it has written more since
past() {
	say "last $(date +%N)"
	sleep 0.2
	[ "$(tr -d '\r' <"$output" | sed -n 's/^LAST \([0-9]*\) .*/\1/p' | tail -n 1)" -gt "$1" ]
}

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest starts" ended 0
console_open one
check "and writes" wait_for 60 said READY
say go
wait_for 30 past 20

for round in 1 2 3; do
	start=$(date +%s%N)
	xl disk layer one >"$work/told" 2>&1
	status=$?
	took=$((($(date +%s%N) - start) / 1000000))
	check "layer $round ($took ms)$([ $status -eq 0 ] || cat "$work/told")" grep -q "^xvda $work/disks/a.$round.qcow2" "$work/told"
	before=$((round - 1))
	base_a=$work/disks/a.$before.qcow2 base_b=$work/disks/b.$before.qcow2
	[ $before -gt 0 ] || base_a=$work/disks/a.img base_b=$work/disks/b.qcow2
	cp "$base_a" "$work/disks/copy"
	qemu-img convert -O raw -f "$([ $before -gt 0 ] && echo qcow2 || echo raw)" "$work/disks/copy" "$work/a.raw" 2>"$work/why"
	qemu-img convert -O raw -f qcow2 "$base_b" "$work/b.raw" 2>>"$work/why"
	a=$(number "$work/a.raw") b=$(number "$work/b.raw")
	check "its bases are of one moment (${a:-none}, ${b:-none})" [ "${a:-1}" -eq "${b:-0}" -o "${a:-1}" -eq $((${b:-0} + 1)) ]
	check "and the guest goes on" wait_for 30 past "${a:-0}"
done
# moment FILE FORMAT: it is sound, and has the numbers of one moment, up to what it prints
moment() {
	if [ "$2" = qcow2 ]; then qemu-img check -q -f qcow2 "$1" || return 1; fi
	qemu-img convert -O raw -f "$2" "$1" "$work/moment.raw" || return 1
	python3 -c '
import sys
data = open(sys.argv[1], "rb").read(300 * 4096)
numbers = [int(data[i:i + 4096].strip(b" \0") or 0) for i in range(0, len(data), 4096)]
last = max(numbers)
wrong = [n for n in range(max(last - 299, 1), last + 1) if numbers[n % 300] != n]
print(last)
sys.exit(bool(wrong) or not last)' "$work/moment.raw" >"$work/last"
}

# job WORDS...: a job on a disk, while the guest writes
job() {
	start=$(date +%s%N)
	xl disk "$@" >"$work/told" 2>&1
	status=$?
	check "disk $1 ($((($(date +%s%N) - start) / 1000000)) ms)$(cat "$work/told")" [ $status -eq 0 ]
}

job backup one xvda "$work/backup.qcow2"
check "the backup is of one moment" moment "$work/backup.qcow2" qcow2
first=$(cat "$work/last")
check "and the guest goes on" wait_for 30 past "$first"
job backup --format raw --rate 100m one xvdb "$work/backup.img"
check "another is, too" moment "$work/backup.img" raw
check "and of a later one" [ "$(cat "$work/last")" -ge "$first" ]
xl disk backup one xvda "$work/backup.img" 2>/dev/null
check "nothing is written over" [ $? -eq 1 ]
job commit one xvdb
check "its top is gone" [ ! -e "$work/disks/b.3.qcow2" -a -e "$work/disks/b.2.qcow2" ]
job commit one xvdb
job stream one xvda
rm "$work/disks/a.img" "$work/disks/a.1.qcow2" "$work/disks/a.2.qcow2"
check "the disks are others now" sh -c "xl block-list one >/dev/null && xl --json list one | grep -q '$work/disks/b.1.qcow2'"
check "and the guest goes on" wait_for 30 past "$(cat "$work/last")"
# sizes A B: what the guest sees, in sectors
sizes() {
	say "size $(date +%N)"
	sleep 0.2
	said "^SIZE $1 $2 OF"
}
job resize one xvda 20m
check "the guest sees a larger disk" wait_for 30 sizes 40960 32768
xl disk layer one xvdb >/dev/null
job commit one xvdb
xl disk resize one xvda 1m 2>/dev/null
check "no disk becomes smaller" [ $? -eq 1 ]
check "QEMU does not write to what is in use" sh -c "! qemu-img snapshot -c x '$work/disks/b.qcow2' 2>/dev/null"
say stop
check "it stops" wait_for 30 said STOPPED
say verify
check "and all that it wrote is there" wait_for 60 said "VERIFIED [0-9]*, 0 WRONG"
check "no write failed" sh -c "! grep -q WRITE-FAILED '$output'"
last=$(tr -d '\r' <"$output" | sed -n 's/^VERIFIED \([0-9]*\),.*/\1/p')
console_close
xl destroy one
xl_says start one
check "it starts from the new images" ended 0
console_open one
wait_for 60 said READY
say "verify $last"
check "and they have it all" wait_for 60 said "VERIFIED $last, 0 WRONG"
console_close

# Clones of it in the midst of its writes: each has its own disks from that moment on.
console_open one
say go
wait_for 30 past 20
console_close
xl_says clone --count 2 one
check "it is cloned while it writes" ended 0
for name in one one-1 one-2; do
	console_open "$name"
	wait_for 30 past 20
	check "$name goes on" wait_for 30 past "$(tr -d '\r' <"$output" | sed -n 's/^LAST \([0-9]*\) .*/\1/p' | tail -n 1)"
	say stop
	check "$name stops" wait_for 30 said STOPPED
	say verify
	check "$name has all that it wrote" wait_for 60 said "VERIFIED [0-9]*, 0 WRONG"
	console_close
done
check "the clones' files are beside the disks" [ "$(ls "$work/disks" | grep -c '[ab]\.[0-9a-f]\{8\}-.*qcow2$')" -eq 4 ]
xl_says clone one-1
check "nothing can stand on a clone's disks" grep -q "goes when this guest ends" "$errors"
xl destroy one-1
xl destroy one-2
check "and go with them" [ "$(ls "$work/disks" | grep -c '[ab]\.[0-9a-f]\{8\}-')" -eq 0 ]
xl destroy one
for image in "$work"/disks/*.qcow2; do
	check "$(basename "$image") is sound" qemu-img check -q -f qcow2 "$image"
done
