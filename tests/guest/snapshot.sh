#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Snapshots of a guest that runs: memory and two disks are of one moment, which comes back as often as it is wanted, and
# each return makes a branch. DACH_SNAPSHOTS says how often the guest goes back (2).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
rounds=${DACH_SNAPSHOTS:-2}

# Each number goes to both disks and to memory; `verify` looks whether all three know of the same one.
cat >"$work/writer" <<'SCRIPT'
stty -echo
epoch=1
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
dd if=/dev/urandom of=/tmp/noise bs=1M count=30 2>/dev/null
sum=$(md5sum </tmp/noise)
n=0
echo "NONCE $nonce"
write() {
	n=$((n + 1))
	printf '%-4096d' $n >/tmp/block
	for disk in a b; do
		dd if=/tmp/block of=/dev/vd$disk bs=4k seek=$((n % 300)) conv=notrunc,fsync 2>/dev/null || echo WRITE-FAILED
	done
}
# Both disks have the last numbers, and none after them.
verify() {
	echo 3 >/proc/sys/vm/drop_caches
	wrong=0
	first=$((n > 60 ? n - 59 : 1))
	for disk in a b; do
		dd if=/dev/vd$disk bs=4k count=300 2>/dev/null | tr -s ' \0' '\n' | sort -n | tail -n $((n - first + 1)) >/tmp/has
		seq $first $n | cmp -s - /tmp/has || wrong=$((wrong + 1))
	done
	[ "$(md5sum </tmp/noise)" = "$sum" ] || wrong=memory
	echo "VERIFIED $n $nonce $wrong $epoch WRONG $1"
}
while read -t 1 -r word number || true; do
	case ${word:-} in
	go) going=1 ;;
	stop) going= ;;
	last) echo "LAST $n $nonce OF $number" ;;
	verify) verify "$number" ;;
	epoch) epoch=$number ;;
	change) dd if=/dev/urandom of=/tmp/noise bs=1M count=30 2>/dev/null; sum=$(md5sum </tmp/noise); echo "CHANGED $number" ;;
	esac
	word=
	i=0
	while [ -n "${going:-}" ] && [ $i -lt 20 ]; do
		write
		i=$((i + 1))
	done
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
vcpus = 2
engine = "$DACH_ENGINE"
disk = ["$work/disks/a.img,raw,xvda,w", "$work/disks/b.qcow2,qcow2,xvdb,w"]
CONFIG

# last: the number that the guest is at
last() {
	mark=$(date +%s%N)
	say "last $mark"
	wait_for 30 said "^LAST [0-9]* $nonce OF $mark" &&
		tr -d '\r' <"$output" | sed -n "s/^LAST \([0-9]*\) .* OF $mark/\1/p"
}

past() {
	now=$(last) && [ "${now:-0}" -gt "$1" ]
}

# verified LEAST EPOCH: disks and memory agree, the number is at least so much (the guest may have gone on), and the epoch
# is what it was
verified() {
	mark=$(date +%s%N)
	wait_for 120 verified_now || return 1
	tr -d '\r' <"$output" | sed -n "s/^VERIFIED \(.*\) $mark/\1/p" | head -n 1 >"$work/verified"
	read -r at of wrong epoch word <"$work/verified"
	echo "at $at, not less than $1; epoch $epoch, wanted $2: $wrong $word" >>"$output"
	[ "$of $wrong $epoch" = "$nonce 0 $2" ] && [ "$at" -ge "$1" ]
}

# epoch NUMBER: it is so from now on, as it knows
epoch() {
	say "epoch $1"
	wait_for 60 epoch_is "$1"
}
epoch_is() {
	say "epoch $1"
	mark=$(date +%s%N)
	verified_now && tr -d '\r' <"$output" | grep -q "^VERIFIED .* $1 WRONG $mark"
}

verified_now() {
	say "verify $mark"
	sleep 2
	said "^VERIFIED .* $mark"
}

pause_of() {
	sed -n 's/^ *"pause": \([0-9]*\).*/\1/p' "$output"
}

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says snapshot create one before --comment 'nothing yet'
check "of a guest that is off" ended 0
check "is made without a pause" said "^snapshot before is made$"
xl_says start one
check "it starts" ended 0
console_open one
check "and has a nonce" wait_for 60 said "^NONCE"
nonce=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
say go
check "and writes" wait_for 60 past 20

low=$(last)
xl snapshot create one first --json >"$work/first" 2>"$errors"
status=$?
check "a snapshot is made while it runs; it stood still for $(($(output=$work/first pause_of) / 1000)) us" ended 0
check "it goes on" wait_for 60 past "$low"
check "to another epoch" epoch 2
low2=$(last)
xl snapshot create one second >"$work/told" 2>"$errors"
check "and another one on that" grep -q 'stood still for' "$work/told"
check "and to a third" epoch 3
high=$(last)
xl snapshot create one second >"$work/told" 2>&1
check "a name that is there is refused" grep -q "has a snapshot 'second' already" "$work/told"
say "change x"
wait_for 60 said "^CHANGED x"
console_close

round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	start=$(date +%s%N)
	xl_says snapshot revert one first
	check "it goes back ($((($(date +%s%N) - start) / 1000000)) ms)" ended 0
	console_open one
	check "and is what it was, the ${round}th time" verified "$low" 1
	check "and goes on from there" wait_for 60 past "$high"
	console_close
done
xl_says snapshot revert one second
check "to the later one too" ended 0
console_open one
check "where disks and memory are one moment as well" verified "$low2" 2
console_close
xl_says snapshot create one third --disk-only
check "only of the disks" ended 0
xl_says --json snapshot list one
check "they are in a list, each with its parent" test "$(tr -d ' \n' <"$output" | grep -o '"name":"[a-z]*","parent":[a-z"]*' | tr '\n' ' ')" = \
	'"name":"before","parent":null "name":"first","parent":"before" "name":"second","parent":"first" "name":"third","parent":"second" '
xl_says snapshot list one
check "with the state of each" test "$(grep -c 'shutoff\|running\|disk-snapshot' "$output")" -eq 4
xl_says disk commit one xvda
check "a base that a snapshot needs is not written to" grep -q 'a snapshot of the guest needs it\|say into which file' "$errors"
xl_says delete one
check "a guest that has some is not deleted" test "$status" -ne 0

xl_says clone --from first --name copy one
check "a clone of what it was then" ended 0
console_open copy
check "is that, too" verified "$low" 1
check "and goes on by itself" wait_for 60 past "$high"
console_close
xl destroy copy

xl_says snapshot delete one second
check "one in the middle is deleted" ended 0
check "and its memory" test ! -e "$DACH_STATE/snapshots/$(field one uuid)/second"
console_open one
check "the guest notices nothing" wait_for 60 past 20
console_close
xl_says snapshot revert one first
check "its parent is still there" ended 0
console_open one
check "as it was" verified "$low" 1
console_close
images=$(find "$work/disks" -type f | wc -l)
xl_says snapshot create one short
check "one more" ended 0
console_open one
check "it writes" wait_for 60 past "$((high + 100))"
xl_says snapshot delete one short
check "is deleted while it writes, and its images are one again with those above" test "$status:$(find "$work/disks" -type f | wc -l)" = "0:$images"
console_open one
check "in which all is" verified "$high" 1
console_close
console_close

# One after the other, while it writes: each is deleted when there are two newer ones, more often than a disk stands on images.
turn=0
while [ $turn -lt 18 ] && [ "$status" -eq 0 ]; do
	turn=$((turn + 1))
	xl_says snapshot create one turn$turn --disk-only
	[ "$status" -ne 0 ] || [ $turn -le 2 ] || xl_says snapshot delete one turn$((turn - 2))
done
check "snapshots come and go while it writes" ended 0
check "images between them do not add up" test "$(find "$work/disks" -type f | wc -l)" -le $((images + 4))
console_open one
check "and all is in them" verified "$high" 1
console_close
xl_says snapshot create one kept
xl_says snapshot delete one turn17
check "the older of two goes" ended 0
xl_says snapshot revert one kept
check "and the guest back to the newer one" ended 0
console_open one
check "which is what it was" verified "$high" 1
console_close
for image in "$work"/disks/*.qcow2; do
	qemu-img check -q -U "$image" >>"$work/checked" 2>&1 || echo "$image" >>"$work/wrong"
done
check "no image is damaged" test ! -e "$work/wrong"
xl_says snapshot delete one turn18
xl_says snapshot delete one kept
check "both are deleted" ended 0
xl_says snapshot revert one before
check "back to where it was off" ended 0
check "it is off" field_is one state off
xl_says snapshot delete one before first third
check "all are deleted" ended 0
check "no image is left but those that the guest stands on" test "$(find "$work/disks" -name '*.qcow2' | wc -l)" -le 4
xl_says delete one
check "then the guest is, too" ended 0
check "and nothing of them is left" test -z "$(find "$DACH_STATE/snapshots" -type f 2>/dev/null)"
finish
