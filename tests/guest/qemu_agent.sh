#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Commands by the qemu-guest-agent of a Debian guest, and its shutdown. Not a part of CI: its image takes half a minute.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
images=$DACH_CACHE/qemu-agent
cache_lock
[ -e "$images/guest" ] || "$DACH" image create guest --include qemu-guest-agent --output "$images" >"$output" 2>&1
status=$?
cache_unlock
check "an image is made" [ $status -eq 0 ]
[ $status -eq 0 ] || finish
cp --sparse=always "$images/guest/disk.raw" "$work/disk.raw"
cat >"$work/web.cfg" <<CFG
name = "web"
kernel = "$images/guest/vmlinuz"
ramdisk = "$images/guest/initrd.img"
cmdline = "root=/dev/vda rw console=ttyS0"
memory = 512
engine = "$DACH_ENGINE"
disk = ['$work/disk.raw,raw,xvda,w']
qemu_agent = 1
CFG

in_guest() {
	timeout -k 5 "$LIMIT" "$DACH" exec web "$@" >"$output" 2>"$errors"
	status=$?
}

xl_says create -q "$work/web.cfg"
check "a guest is made" ended 0
echo "in put" >"$work/in"
in_guest -- sh -c 'cat; echo err >&2; exit 7' <"$work/in"
check "its agent runs a command, whose status is the exit status" ended 7 "in put"
check "standard error is its own" [ "$(cat "$errors")" = err ]
in_guest --user nobody:tty --workdir /etc --env "X=1 2" -- sh -c 'id -un; id -gn; pwd; echo "$X"' </dev/null
check "user, group, folder and environment" printed "nobody
tty
/etc
1 2"
in_guest -- not-there </dev/null
check "no such command: 127" ended 127
in_guest -- sh -c 'kill -9 $$' </dev/null
check "a signal that ends it: 128 and more" ended 137
in_guest --timeout 2 -- sleep 1230 </dev/null
check "--timeout: 124" ended 124
head -c 1000000 /dev/urandom >"$work/data"
in_guest -- cat <"$work/data"
check "a million bytes go there and come back" cmp -s "$work/data" "$output"
head -c 2000000 /dev/urandom >"$work/data"
in_guest -- cat <"$work/data"
check "two million are more than it takes" grep -q 'no more than 1048576 bytes' "$errors"
in_guest -- head -c 20000000 /dev/zero </dev/null
check "what the agent does not keep is told of" grep -q 'more than qemu-guest-agent keeps' "$errors"
"$DACH" exec web -- sh -c 'sleep 1231; sleep 1232' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
sleep 2
kill -KILL $guest_pid
wait $guest_pid 2>/dev/null
check "a caller that is killed leaves nothing" wait_for 20 sh -c '! "$1" exec web -- pgrep -f "[s]leep 123" </dev/null >/dev/null 2>&1' - "$DACH"
xl_says save web "$work/web.save"
xl_says restore "$work/web.save"
in_guest -- sh -c 'echo there' </dev/null
check "one that goes on from a state has its agent" printed there
xl_says shutdown -w web
check "and shuts the guest down" grep -q "has been shut down" "$errors"
finish
