#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The daemon is killed at random moments under a stream of commands: no guest is lost, none is
# started twice, the store opens. DACH_KILLS says how often (12).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
kills=${DACH_KILLS:-12}

cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 96
engine = "$DACH_ENGINE"
CONFIG

for name in one two; do
	xl create -q "$work/guest.cfg" "name='$name'" 2>>"$errors"
done
console_open one
check "a guest is up" wait_for 60 said READY
console_close
before=$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' | sort)

# All monitors of this test, by their open files.
monitors() {
	for pid in $(pgrep -x dach-vmm); do
		# shellcheck disable=SC2010 # names of descriptors are numbers
		! ls -l "/proc/$pid/fd" 2>/dev/null | grep -q "$work/run/guests" || echo "$pid"
	done | sort
}

# Commands without end; each may fail while there is no daemon, and is tried with the next.
cat >"$work/stream" <<'STREAM'
n=0
while [ -e "$work/go" ]; do
	n=$((n + 1))
	xl pause one
	xl list
	xl unpause one
	xl new -q "$work/guest.cfg" "name='kept$n'" && echo "kept$n" >>"$work/kept"
	xl rename two zwei || xl rename zwei two
	[ $((n % 4)) -ne 0 ] || { xl create -q "$work/guest.cfg" "name='short$n'" && xl destroy "short$n"; }
done >"$work/stream.out" 2>&1
STREAM
export work
touch "$work/go" "$work/kept"
sh "$work/stream" &
stream=$!
n=0
while [ $n -lt "$kills" ]; do
	n=$((n + 1))
	# Some hundredths to some tenths of a second into whatever goes on.
	sleep "0.$(printf %02d $(($(od -An -N1 -tu1 /dev/urandom) % 60 + 5)))"
	pid=$(daemon_pid)
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
done
rm "$work/go"
wait $stream
xl_says unpause one
xl_says list
check "after $kills kills the store opens" ended 0
xl --json list >"$work/list"
after=$(sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' "$work/list" | sort)
lives=$(for pid in $before; do echo "$after" | grep -x "$pid"; done)
check "the guests of before live on" [ "$lives" = "$before" ]
# A guest that was started twice would be a process that the daemon does not know.
check "and none beside them" [ "$(monitors)" = "$after" ]
lost=0
while read -r name; do
	grep -q "\"name\": \"$name\"" "$work/list" || lost=$((lost + 1))
done <"$work/kept"
check "of $(wc -l <"$work/kept") guests that new said it keeps none is lost" [ $lost -eq 0 ]
console_open one
check "the guests answer" wait_for 10 said READY
say word
check "to what is typed" wait_for 10 said "got word"
console_close
finish
