#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copies of a running guest: what is only in its memory is in each, and each goes its own way. DACH_CLONES says how many
# are made at once (20); bench/clones has the figures.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
count=${DACH_CLONES:-20}

# `sum` is of all that the guest's memory file system has, made before; `count` tells apart who was asked how often.
cat >"$work/nonce" <<'SCRIPT'
stty -echo
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
count=0
dd if=/dev/urandom of=/tmp/noise bs=1M count=40 2>/dev/null
sum=$(md5sum </tmp/noise)
ip link set eth0 up
echo "NONCE $nonce"
while read -r line; do
	count=$((count + 1))
	case $line in
	check) [ "$(md5sum </tmp/noise)" = "$sum" ] && echo "MEMORY-IS-RIGHT $nonce $count" ;;
	link) count=$((count - 1)); echo "LINK $(cat /sys/class/net/*0/carrier) after $(cat /sys/class/net/eth0/carrier_down_count)" ;;
	random) count=$((count - 1)); echo "RANDOM $(head -c 12 /dev/urandom | md5sum | cut -c1-16)" ;;
	told) count=$((count - 1)); sed -n 's/^ *[0-9]*: *\([0-9]*\) *\([0-9]*\) .*ACPI:Ged.*/TOLD \1 \2/p' /proc/interrupts ;;
	change) dd if=/dev/urandom of=/tmp/noise bs=1M count=40 2>/dev/null; sum=$(md5sum </tmp/noise); echo "CHANGED $nonce $count" ;;
	*) echo "$line $nonce $count" ;;
	esac
done
SCRIPT
initrd "$work/nonce"
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
vcpus = 2
engine = "$DACH_ENGINE"
vif = ['mode=user']
CONFIG

# answers GUEST WORD N: it remembers its nonce, and that it was asked N times
answers() {
	console_open "$1"
	say "$2"
	check "$1: $3 words, and the nonce of the start" wait_for 30 said "$2 $nonce $3"
	console_close
}

# right GUEST N: all of its memory is as it was
right() {
	console_open "$1"
	say check
	check "$1: all of its memory is right" wait_for 60 said "MEMORY-IS-RIGHT $nonce $2"
	console_close
}

link_again() {
	say link
	said "^LINK 1 after $((downs + 1))"
}

xl_says create -q "$work/guest.cfg" "name='one'"
check "a guest starts" ended 0
console_open one
check "and has a nonce" wait_for 60 said "^NONCE"
nonce=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
say link
check "and a network" wait_for 30 said "^LINK 1"
downs=$(tr -d '\r' <"$output" | sed -n 's/^LINK 1 after //p')
console_close
answers one first 1

start=$(date +%s%N)
xl_says clone one
check "it is cloned ($((($(date +%s%N) - start) / 1000000)) ms)" ended 0
check "and the clone's name is said" said "^one-1$"
answers one-1 second 2
answers one second 2
right one 3
right one-1 3
console_open one-1
say told
check "the clone is told that it is one" wait_for 30 said "^TOLD .*1"
say link
check "and its link goes down and up" wait_for 30 link_again
console_close
console_open one
say told
check "the guest is not" wait_for 30 said "^TOLD 0 0"
console_close
check "they have UUIDs of their own" [ "$(field one uuid)" != "$(field one-1 uuid)" ]

# Once the memory of both has changed: each has its own.
console_open one-1
say change
check "one of them changes all" wait_for 60 said "CHANGED $nonce 4"
console_close
right one 4
right one-1 5

# What it has only read of what it stands on goes back to the host once it has had no work for a while.
own_memory_below() {
	[ "$(awk '/^[0-9a-f]+-/ { own = /guest-ram/ && $2 == "rw-s" } own && /^Rss:/ { sum += $2 } END { print int(sum / 1024) }' \
		"/proc/$(field "$1" pid)/smaps")" -lt "$2" ]
}
xl_says clone --name reader one
right reader 5
check "a clone that reads all has all" [ "$(own_memory_below reader 40; echo $?)" -eq 1 ]
check "and gives it back when it has no work" wait_for 90 own_memory_below reader 20
right reader 6
xl destroy reader

# Clones of clones, and more of the first: what stands on what grows no deeper than it may.
for round in 1 2 3 4; do
	xl_says clone --name "deep$round" "$([ "$round" -eq 1 ] && echo one || echo "deep$((round - 1))")"
	check "a clone of a clone, the ${round}th" ended 0
	xl_says clone --name "again$round" one
	check "and another of the first" ended 0
done
right deep4 5
right again4 5

# A clone is saved as any other guest; and one that is paused is cloned, and stays so.
xl_says save again4 "$work/again.save"
check "a clone is saved" ended 0
xl_says restore "$work/again.save"
check "and goes on" ended 0
right again4 6
xl pause again4
xl_says clone --name from-paused again4
check "a paused guest is cloned" ended 0
check "and stays paused" sh -c "xl list again4 | tail -n 1 | grep -q -- '--p---'"
right from-paused 7
xl destroy again4
xl destroy from-paused

# Many at once, from one moment.
xl destroy deep1 && xl destroy deep2 && xl destroy again1 && xl destroy again2
xl_says --json clone --count "$count" --name 'c%x' one
pause=$(sed -n 's/^ *"pause": \([0-9]*\).*/\1/p' "$output")
check "$count clones at once; the first stood still for $((pause / 1000)) us" ended 0
check "no two have the same address" [ "$(grep -o '"mac": "[^"]*"' "$output" | sort -u | wc -l)" -eq "$count" ]
xl_says clone --count 2 --name same one
check "two of one name are refused" grep -q "need a '%'" "$errors"
# Debian's cloud kernel has no driver for the generation ID: this is for kernels that do.
for name in c1x c2x c3x; do
	console_open "$name"
	say random
	wait_for 30 said "^RANDOM"
	tr -d '\r' <"$output" | grep "^RANDOM" >>"$work/random"
	console_close
done
if [ "$(sort -u "$work/random" | wc -l)" -eq 3 ]; then
	check "each has random numbers of its own" true
else
	echo "ok clone: # skipped: this kernel does not look at generation IDs"
fi
xl destroy one
right c1x 5
right "c${count}x" 5
right deep4 6
pid=$(xl --json list c2x | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p')
kill -9 "$pid"
right c3x 5
