#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dach run --from: a machine goes on from a snapshot for one command, or for who sits down at it, and nothing is left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/machine-lib.sh"

for applet in mount mkdir poweroff dd sync rm; do
	ln -s busybox "$root/bin/$applet"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
stty -echo
id -un >/tmp/who
echo "SYSTEM IS THERE"
while read -r line; do
	case $line in
	off) poweroff -f ;;
	crash) echo c >/proc/sysrq-trigger ;;
	*) echo "got $line" ;;
	esac
done
INIT
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/system.cpio"
truncate -s 4M "$work/disk.img"
cat >"$work/base.cfg" <<CFG
name = "base"
kernel = "$kernel"
ramdisk = "$work/system.cpio"
memory = 160
engine = "$DACH_ENGINE"
cmdline = "console=ttyS0 quiet panic=-1"
disk = ["$work/disk.img,raw,xvda,w"]
agent = 1
CFG

# from OPTION...: as from the snapshot, with $work/typed as its input; leaves status, output and errors
from() {
	timeout -k 5 "$LIMIT" "$DACH" run --from ready "$@" <"$work/typed" >"$output" 2>"$errors"
	status=$?
}
: >"$work/typed"

# Neither a machine nor a file of one, beside what was there before.
machines() {
	xl --json list | grep -c '"name": "base-'
}

nothing_left() {
	[ "$(machines)" -eq 0 ] && [ "$(ls "$work" | grep -c 'qcow2')" -eq "$files" ]
}

xl_says new -q "$work/base.cfg"
xl_says start base
check "a guest with an agent starts" ended 0
timeout "$LIMIT" "$DACH" exec base -- sh -c 'echo kept >/tmp/word' </dev/null
check "and has something in its memory" [ $? -eq 0 ]
xl_says snapshot create base ready
check "of which a snapshot is made" ended 0
xl_says destroy base
check "it ends" ended 0
files=$(ls "$work" | grep -c 'qcow2')

start=$(date +%s%N)
from base -- sh -c 'cat /tmp/word; echo err >&2; exit 7'
took=$((($(date +%s%N) - start) / 1000000))
check "a command goes on from there, and its status is the exit status ($took ms)" ended 7 '^kept$'
check "standard error is its own" [ "$(cat "$errors")" = err ]
check "and nothing is left" wait_for 10 nothing_left
echo hello >"$work/typed"
A=1 from --ephemeral --env A --user guest --workdir /etc base -- sh -c 'echo "$A $(id -un) $(pwd) $(cat)"'
check "user, folder, environment, standard input" ended 0 '^1 guest /etc hello$'
from base -- sh -c 'echo other >/tmp/word; echo changed | dd of=/dev/vda bs=512 count=1 conv=sync; sync'
from base -- sh -c 'cat /tmp/word; dd if=/dev/vda bs=7 count=1 2>/dev/null | tr -d "\0"'
check "what one wrote to memory and disk the next does not see" [ "$(cat "$output")" = kept ]
from --timeout 1 base -- sleep 1230
check "--timeout: 124" ended 124
check "and nothing is left" wait_for 10 nothing_left

printf 'word\noff\n' >"$work/typed"
from base
check "without a command one sits at its console, until it powers off" ended 0 '^got word'
echo crash >"$work/typed"
from base
check "or crashes" ended 3
"$DACH" run --from ready base </dev/null >"$output" 2>"$errors" &
pid=$!
one() { [ "$(machines)" -gt 0 ]; }
check "somebody who sits there" wait_for 30 one
kill -TERM $pid
wait $pid
status=$?
check "and is told to end takes it along" ended 2
check "and nothing is left" wait_for 10 nothing_left

from base --memory 512
check "what the snapshot says cannot be said" ended 1
check "which is told" told 'all else is the snapshot'
timeout "$LIMIT" "$DACH" run --from never base >"$output" 2>"$errors" </dev/null
status=$?
check "a snapshot that is not there" ended 1
check "is told" told "has no snapshot 'never'"
from nobody -- true
check "a command that cannot begin: 125" ended 125
finish
