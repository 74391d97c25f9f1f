#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The terminal, standard input, and signals from outside.
. "$(dirname "$0")/lib.sh"

# A guest without a word for its terminal: looked at in the end, for it takes half a minute to be noticed.
echo "sleep 1000" >"$work/silent"
initrd "$work/silent"
mv "$work/initrd" "$work/silent.initrd"
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/silent.initrd" \
	--cmdline "quiet" --memory 128 </dev/null >"$work/silent.output" 2>"$work/silent.errors" &
silent_pid=$!
silent_start=$(date +%s)

cat >"$work/lines" <<'SCRIPT'
stty -echo
echo READY
while read -r line; do
	echo "got $line"
	[ "$line" != end ] || break
done
SCRIPT
initrd "$work/lines"
mkfifo "$work/pipe"
forget
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
	--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1" --memory 256 \
	<"$work/pipe" >"$output" 2>"$errors" &
guest_pid=$!
exec 9>"$work/pipe"
check "starts with a pipe as input" wait_for 60 said READY
i=0
while [ $i -lt 50 ]; do
	echo "line $i with some more text so that the port's buffer overflows" >&9
	i=$((i + 1))
done
echo end >&9
guest_wait
check "input reaches the guest" ended 0 "got line 49 with some more text so that the port's buffer"
check "all of it" [ "$(grep -c '^got line' "$output")" -eq 50 ]
exec 9>&-

# The virtio console shares the terminal; what is typed goes where the guest has last spoken.
mkfifo "$work/second"
cat >"$work/wait" <<'SCRIPT'
exec </dev/hvc0 >/dev/hvc0 2>&1
stty -echo
echo READY
read -r line
echo "got $line"
SCRIPT
initrd "$work/wait"
forget
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
	--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1" --memory 256 \
	<"$work/second" >"$output" 2>"$errors" &
guest_pid=$!
exec 9>"$work/second"
check "starts on the virtio console" wait_for 60 said READY
echo word >&9
guest_wait
check "which takes input" ended 0 "got word"
exec 9>&-

# What a person at a terminal sees: raw mode, Ctrl+] leaves, the terminal as it was.
initrd "$work/lines"
for how in leave kill; do
	timeout -k 5 "$LIMIT" python3 "$top/tests/guest/terminal.py" $how "$DACH" run \
		--engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
		--cmdline "console=ttyS0 quiet" --memory 256 >"$output" 2>"$errors"
	status=$?
	check "$how: the terminal is as it was" [ $status -eq 0 ]
done

cat >"$work/button" <<'SCRIPT'
stty -echo
for event in /dev/input/event*; do
	(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && poweroff -f) &
done
sleep 1 # until they listen
echo READY
read -r line
echo "got $line"
sleep 1000
SCRIPT
initrd "$work/button"
timeout -k 5 "$LIMIT" python3 "$top/tests/guest/terminal.py" hangup "$DACH" run \
	--engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
	--cmdline "console=ttyS0 quiet" --memory 256 >"$output" 2>"$errors"
status=$?
check "a terminal that goes away presses the power button once" [ $status -eq 0 ]

guest_start <<'SCRIPT'
for event in /dev/input/event*; do
	(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && echo PRESSED && poweroff -f) &
done
echo READY
sleep 1000
SCRIPT
check "starts" wait_for 60 said READY
sleep 1
kill -TERM "$(guest_process)"
guest_wait
check "SIGTERM presses the power button" ended 0 PRESSED

guest_start <<'SCRIPT'
echo READY
sleep 1000
SCRIPT
check "starts again" wait_for 60 said READY
kill -TERM "$(guest_process)"
sleep 1
check "one SIGTERM does not end it" kill -0 "$guest_pid"
kill -TERM "$(guest_process)"
guest_wait
check "the second does" ended 2

# A press before anybody listens is lost, and comes again; a guest that never listens is ended in time.
guest_start <<'SCRIPT'
echo READY
sleep 2
for event in /dev/input/event*; do
	(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && echo PRESSED && poweroff -f) &
done
sleep 1000
SCRIPT
check "starts once more" wait_for 60 said READY
kill -TERM "$(guest_process)"
guest_wait
check "SIGTERM reaches a guest that listens late" ended 0 PRESSED
guest_start --grace 2 <<'SCRIPT'
echo READY
sleep 1000
SCRIPT
check "and again" wait_for 60 said READY
kill -TERM "$(guest_process)"
guest_wait
check "--grace ends one that does not listen" ended 2
guest_start --no-reboot <<'SCRIPT'
echo AGAIN
reboot -f
SCRIPT
guest_wait
check "--no-reboot ends one that wants to start again" ended 5 AGAIN

says_silence() {
	grep -q "^dach run: the guest has said nothing for 30 seconds. .*console=ttyS0" "$work/silent.errors"
}
check "a guest that says nothing is told of" wait_for $((silent_start + 40 - $(date +%s))) says_silence
guest_pid=$silent_pid
kill -TERM "$(guest_process)"
sleep 1
kill -TERM "$(guest_process)"
guest_wait
check "once" [ "$(wc -l <"$work/silent.errors")" -eq 1 ]
finish
