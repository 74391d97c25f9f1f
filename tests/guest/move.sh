#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest is saved in the middle of its work and goes on in another monitor: its clock, disk,
# network and console. States that are damaged, and that do not fit, are refused.
. "$(dirname "$0")/lib.sh"

state=$work/state
head -c 8M /dev/urandom >"$work/disk"
sum=$(sha256sum <"$work/disk" | cut -d' ' -f1)
forward=$(free_port)
cat >"$work/script" <<'SCRIPT'
cat >/tmp/dhcp <<'DHCP'
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
DHCP
chmod +x /tmp/dhcp
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 5 -s /tmp/dhcp
echo "remembered" >/tmp/memory
awk 'BEGIN { for (;;) { x = x * 3 % 1000003 + 1; n++ } }' &
dd if=/dev/vda of=/dev/null bs=64k count=16 2>/dev/null
while :; do dd if=/dev/vda of=/dev/vda bs=4k count=512 conv=notrunc 2>/dev/null; done &
writer=$!
cut -d' ' -f1 /proc/uptime
echo "READY $(date +%s)"
# A word on the console, typed after the move.
read word
echo "HEARD $word"
echo "UPTIME $(cut -d' ' -f1 /proc/uptime)"
echo "TIME $(date +%s)"
cat /tmp/memory
kill $writer
wait $writer
echo 3 >/proc/sys/vm/drop_caches
sha256sum /dev/vda
ifconfig eth0 | grep -o 'inet addr:10.0.2.15'
echo LISTENING
echo "from the guest" | nc -l -p 7
dmesg | grep -E 'soft lockup|detected stalls|unstable|WARNING: CPU|BUG:' && echo COMPLAINTS
SCRIPT
initrd "$work/script"

# start VCPUS OPTION...: in the background, with a console to type on
start() {
	vcpus=$1
	shift
	rm -f "$work/typed"
	mkfifo "$work/typed"
	forget
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1" --memory 256 \
		--vcpus "$vcpus" --disk "$work/disk" --net "user,fwd=tcp:127.0.0.1:$forward-:7" "$@" \
		<"$work/typed" >"$output" 2>"$errors" &
	guest_pid=$!
	exec 8>"$work/typed"
}


# move VCPUS: saved, a while nothing, restored. Through a pipe: states are not sought in
move() {
	mkfifo "$work/out$1" "$work/in$1"
	cat "$work/out$1" >"$state" &
	start "$1" --save-to "$work/out$1"
	check "$1: runs" wait_for 60 said READY
	kill -USR2 "$(guest_process)"
	guest_wait
	check "$1: is saved" [ "$status" -eq 6 ]
	saved_at=$(awk '/^[0-9.]+\r?$/ { print $1 }' "$output")
	exec 8>&-
	sleep 3
	cat "$state" >"$work/in$1" &
	start "$1" --restore-from "$work/in$1"
	echo "hello" >&8
	check "$1: goes on and hears" wait_for 60 said "HEARD hello"
	check "$1: answers on the network" wait_for 60 said LISTENING
	answer=$(timeout 20 python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $forward), 10)
s.settimeout(15)
print(s.recv(100).decode())")
	check "$1: a forwarded port reaches it" [ "$answer" = "from the guest" ]
	guest_wait
	check "$1: ends as it would have" ended 0 GUEST-DONE
	now=$(date +%s)
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
	time=$(sed -n 's/^TIME //p' "$output")
	uptime=$(sed -n 's/^UPTIME //p' "$output")
	check "$1: knows the time ($time, now $now)" [ $((now - ${time:-0})) -lt 30 ]
	check "$1: its clock went on (from $saved_at to $uptime)" \
		awk "BEGIN { exit !($uptime - $saved_at > 3 && $uptime - $saved_at < 40) }"
	check "$1: its memory is there" said "remembered"
	check "$1: its disk is as it was" said "$sum"
	check "$1: has no complaints" [ "$(grep -c COMPLAINTS "$output")" -eq 0 ]
	exec 8>&-
}

move 1
move 2

# A state that cannot be written: the guest goes on.
start 1 --save-to /dev/full
check "runs" wait_for 60 said READY
kill -USR2 "$(guest_process)"
check "a full disk is said so" wait_for 20 grep -q "the guest goes on: /dev/full: .*No space left" "$errors"
echo "again" >&8
check "and the guest goes on" wait_for 60 said "HEARD again"
kill -KILL "$(guest_process)"
guest_wait
exec 8>&-

# A state that nobody takes: the guest stands still meanwhile, and can be ended. (Opened both ways, or the
# reader would wait for a writer.)
mkfifo "$work/slow"
sleep 1000 <>"$work/slow" &
reader=$!
start 1 --save-to "$work/slow"
check "runs before it is saved into a pipe" wait_for 60 said READY
kill -USR2 "$(guest_process)"
sleep 1
kill -USR2 "$(guest_process)"
check "one save at a time" wait_for 20 grep -q "save: one is already running" "$errors"
kill -TERM "$(guest_process)"
sleep 1
echo "word" >&8
kill -TERM "$(guest_process)"
guest_wait
check "a guest that is being saved can be ended" [ "$status" -eq 2 ]
check "which is said" grep -q "save: the guest has gone" "$errors"
check "and does not run on before" [ "$(grep -c "HEARD word" "$output")" -eq 0 ]
kill "$reader"
exec 8>&-

# refused NAME TEXT: the state is not taken, which is said in one line
refused() {
	"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --memory 256 --disk "$work/disk" \
		--net user --restore-from "$state" </dev/null >"$output" 2>"$errors"
	status=$?
	check "$1" [ "$status" -eq 1 ]
	check "$1: in one line" [ "$(wc -l <"$errors")" -eq 1 ]
	check "$1: that says why" grep -q "$2" "$errors"
}

cp "$state" "$work/good"
head -c 1M "$work/good" >"$state"
refused "a part of a state is refused" "ends too early"
cp "$work/good" "$state"
printf x | dd of="$state" bs=1 seek=500000 conv=notrunc 2>/dev/null
refused "a damaged state is refused" "checksum"
cp "$work/good" "$state"
printf '\003' | dd of="$state" bs=1 seek=8 conv=notrunc 2>/dev/null
refused "a state of a newer version is refused" "newer dach"
cp "$work/good" "$state"
truncate -s 16M "$work/disk"
refused "a guest with another disk is refused" "disk had 8388608 bytes"
finish
