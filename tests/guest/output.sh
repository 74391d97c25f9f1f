#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Where a guest's output goes: a reader that does not read, one that goes away, a file; and the time limit.
. "$(dirname "$0")/lib.sh"

# Nobody reads: the guest says far more than fits anywhere, and goes on to its end.
mkfifo "$work/pipe"
sleep 1000 <"$work/pipe" &
reader=$!
cat >"$work/flood" <<'SCRIPT'
yes "a line of many that nobody reads" | head -c 3000000 >/dev/hvc0
for event in /dev/input/event*; do
	dd if="$event" bs=24 count=1 2>/dev/null && poweroff -f &
done
sleep 1000
SCRIPT
initrd "$work/flood"
forget
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
	--cmdline "console=ttyS0 quiet" --memory 512 --grace 60 </dev/null >"$work/pipe" 2>"$errors" &
guest_pid=$!
wait_for 30 test -e "/proc/$guest_pid/task/$guest_pid/children"
sleep 12
kill -TERM "$(guest_process)"
guest_wait
kill $reader
check "a guest whose output nobody reads takes the power button" ended 0
guest_start <<'SCRIPT'
echo UP
SCRIPT
guest_wait
check "what is read is all there" ended 0 GUEST-DONE

initrd "$work/script"
"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" --memory 512 \
	--cmdline "console=ttyS0 quiet" </dev/null 2>"$errors" | head -n 1 >"$output"
check "a reader that goes away ends nothing" [ -s "$output" ]

printf 'one\ntwo\n' | {
	timeout -k 5 "$LIMIT" "$DACH" run --engine auto --kernel "$kernel" --initrd "$work/initrd" --memory 512 \
		--cmdline "console=ttyS0 quiet" --quiet --console "$output" 2>"$errors" >"$work/stdout"
	echo $? >"$work/status"
	cat >"$work/rest"
}
status=$(cat "$work/status")
tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
check "--console: what the guest says goes to a file" ended 0 GUEST-DONE
check "--quiet: nothing else is said" [ ! -s "$errors" -a ! -s "$work/stdout" ]
check "and standard input is left to others" [ "$(cat "$work/rest" | tr '\n' ' ')" = "one two " ]

echo "'$DACH' run --kernel /nowhere; echo kept" | sh >"$output" 2>"$errors"
check "a script on standard input is warned of" grep -q "is the shell's script" "$errors"
echo "'$DACH' run --kernel /nowhere </dev/null" | sh 2>"$errors"
check "but not where the guest does not get it" [ "$(grep -c script "$errors")" -eq 0 ]

guest --timeout 4 <<'SCRIPT'
sleep 1000
SCRIPT
check "--timeout ends a guest" ended 124
check "and says so" grep -q "has not ended within its time" "$errors"
guest --timeout 100 <<'SCRIPT'
SCRIPT
check "one that is quicker has its own status" ended 0 GUEST-DONE

cat >"$work/sizes" <<'SCRIPT'
echo "a word" >/dev/hvc0
last=
n=0
while [ $n -lt 300 ]; do
	size=$(stty -F /dev/hvc0 size 2>/dev/null)
	[ "$size" = "$last" ] || echo "size $size."
	last=$size
	n=$((n + 1))
	sleep 0.1
done
SCRIPT
initrd "$work/sizes"
check "the terminal's size reaches the virtio console, and its changes" \
	timeout 100 python3 "$top/tests/guest/terminal.py" size "$DACH" run --engine "$DACH_ENGINE" \
	--kernel "$kernel" --initrd "$work/initrd" --memory 512 --cmdline "console=ttyS0 quiet"
finish
