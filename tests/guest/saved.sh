#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests that are saved to files and suspended by the daemon, and go on: what is only in their memory is there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

cat >"$work/nonce" <<'SCRIPT'
stty -echo
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
count=0
dd if=/dev/urandom of=/tmp/noise bs=1M count=40 2>/dev/null
sum=$(md5sum </tmp/noise)
echo "NONCE $nonce"
while read -r line; do
	count=$((count + 1))
	case $line in
	check) [ "$(md5sum </tmp/noise)" = "$sum" ] && echo "MEMORY-IS-RIGHT $nonce $count" ;;
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
CONFIG

# answers WORD N: it remembers its nonce, and that it was asked N times
answers() {
	console_open "$guest"
	say "$1"
	check "${guest}: $2 words, and the nonce of its start" wait_for 30 said "$1 $nonce $2"
	console_close
}

guest=one
xl_says create -q "$work/guest.cfg" "name='one'"
check "a guest starts" ended 0
console_open one
check "and has a nonce" wait_for 60 said "^NONCE"
nonce=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
console_close
answers first 1
start=$(date +%s%N)
xl_says save one "$work/one.save"
check "it is saved ($((($(date +%s%N) - start) / 1000000)) ms)" ended 0
check "and is no more" [ "$(xl list | grep -c '^one ')" -eq 0 ]
check "its file is sparse" [ "$(du -k "$work/one.save" | cut -f1)" -lt $(($(stat -c %s "$work/one.save") / 1024 * 2 / 3)) ]
mv "$work/initrd" "$work/kept" # nothing is needed but the file
start=$(date +%s%N)
xl_says restore "$work/one.save"
check "it goes on ($((($(date +%s%N) - start) / 1000000)) ms)" ended 0
answers second 2
console_open one
say check
check "with all of its memory" wait_for 30 said "MEMORY-IS-RIGHT $nonce 3"
console_close
xl_says save -c one "$work/later.save"
check "it is saved and runs on" ended 0
answers third 4
xl_says save -p one "$work/later.save"
check "it is saved and paused" sh -c "xl list one | tail -n 1 | grep -q -- '--p---'"
xl destroy one
xl_says restore -p "$work/later.save"
check "it goes on paused" sh -c "xl list one | tail -n 1 | grep -q -- '--p---'"
xl unpause one
answers fourth 5

# Memory that comes as it is touched.
xl save one "$work/later.save"
xl_says restore --lazy "$work/later.save"
check "it goes on before its memory is there" ended 0
console_open one
say check
check "which comes, all of it" wait_for 30 said "MEMORY-IS-RIGHT $nonce 6"
console_close
xl_says save -c one "$work/later.save"
check "and can be saved again" ended 0

# A file that cannot hold it: the guest goes on.
if mkdir "$work/small" && mount -t tmpfs -o size=20m tmpfs "$work/small" 2>/dev/null; then
	xl_says save one "$work/small/save"
	check "a full disk is said so" grep -q "No space left" "$errors"
	check "and leaves nothing" [ -z "$(ls "$work/small")" ]
	umount "$work/small"
	answers fifth 7
fi

xl destroy one
xl_says restore "$work/nowhere.save"
check "a file that is not there is said so" grep -q "^xl restore: .*nowhere.save: No such file" "$errors"
head -c 3000000 "$work/one.save" >"$work/part.save"
xl_says restore "$work/part.save"
check "a part of a file is refused" [ "$status" -eq 1 ]
check "in one line" [ "$(wc -l <"$errors")" -eq 1 ]
check "that says why" grep -q "ends too early" "$errors"
printf damage | dd of="$work/one.save" bs=1 seek=$((2097152 + 0x1000000)) conv=notrunc 2>/dev/null
xl_says restore "$work/one.save"
check "a damaged file is refused" [ "$status" -eq 1 ]
check "and says so" grep -q "damaged: memory at 0x1000000 has a wrong checksum" "$errors"
xl_says restore --lazy "$work/one.save"
gone_again() { [ "$(xl list | grep -c '^one ')" -eq 0 ]; }
check "nor does one go on whose memory is damaged" wait_for 20 gone_again
check "nothing is left of it" [ "$(xl list | grep -c '^one ')" -eq 0 ]

# A kept guest is suspended, and its next start goes on.
mv "$work/kept" "$work/initrd"
guest=kept
xl new -q "$work/guest.cfg" "name='kept'"
xl_says start kept
console_open kept
check "a kept guest starts" wait_for 60 said "^NONCE"
nonce=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
console_close
xl_says suspend kept
check "is suspended" ended 0
check "and is off" sh -c "xl --json list | grep -q '\"state\": \"suspended\"'"
xl_says resume kept
answers resumed 1
xl suspend kept
xl_says start kept
answers started 2

# The host goes down, and comes up: one that is kept, and one that is not.
xl destroy kept
xl_says create -q "$work/guest.cfg" "name='plain'" "on_host_shutdown='suspend'"
console_open plain
check "another guest starts" wait_for 60 said "^NONCE"
plain=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
console_close
xl new -q "$work/guest.cfg" "name='wanted'" "on_host_shutdown='suspend'"
xl start wanted
console_open wanted
check "and a kept one" wait_for 60 said "^NONCE"
kept=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
console_close
xl_says host-stop --settings /dev/null
check "the host's end saves both" ended 0
check "none is on" [ "$(xl list | awk 'NR > 2 && $2 != "" && $2 ~ /^[0-9]+$/' | wc -l)" -eq 0 ]
kill "$(daemon_pid)"
xl_says host-start --settings /dev/null
check "and they go on when it is up" ended 0
guest=plain nonce=$plain
answers plain 1
guest=wanted nonce=$kept
answers wanted 1
check "nothing of that is left" [ -z "$(ls "$DACH_STATE/saved" "$DACH_STATE/host" | grep -v :)" ]

# What is typed goes where the guest has last spoken, also once it goes on: here on its virtio console.
printf 'exec </dev/hvc0 >/dev/hvc0 2>&1\n' | cat - "$work/nonce" >"$work/second"
initrd "$work/second"
xl_says create -q "$work/guest.cfg" "name='second'"
console_open second
check "a guest speaks on its second console" wait_for 60 said "^NONCE"
guest=second nonce=$(tr -d '\r' <"$output" | sed -n 's/^NONCE //p')
console_close
xl_says save second "$work/second.save"
xl_says restore "$work/second.save"
check "it is saved and goes on" ended 0
answers there 1
finish
