#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest of the daemon's with a disk on an NBD server: it starts, goes on in another monitor, and what cannot be is said.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

server=
server_ends() {
	[ -z "$server" ] || kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
}
trap 'server_ends; toolstack_end' EXIT

head -c 16M /dev/urandom >"$work/disk"
qemu-nbd -t -e 4 -p "$(free_port)" -b 127.0.0.1 -f raw -x disk --pid-file="$work/pid" "$work/disk" &
server=$!
wait_for "$LIMIT" [ -s "$work/pid" ]
port=$(tr '\0' ' ' <"/proc/$server/cmdline" | sed 's/.*-p \([0-9]*\) .*/\1/')
uri=nbd://127.0.0.1:$port/disk

cat >"$work/writer" <<'SCRIPT'
stty -echo
echo READY
while read -r word number; do
	case $word in
	put) printf '%-4096d' "$number" | dd of=/dev/vda bs=4k seek="$number" conv=notrunc,fsync 2>/dev/null && echo "PUT $number" ;;
	get) echo "HAS $number $(dd if=/dev/vda bs=4k skip="$number" count=1 iflag=direct 2>/dev/null | tr -d ' ')" ;;
	esac
done
SCRIPT
initrd "$work/writer"
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
engine = "$DACH_ENGINE"
disk = ["$uri,raw,xvda,w"]
CONFIG

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest starts" ended 0
console_open one
check "it is up" wait_for "$LIMIT" said READY
say "put 7"
check "and writes" wait_for "$LIMIT" said "PUT 7"
check "to the server's file" [ "$(dd if="$work/disk" bs=4k skip=7 count=1 2>/dev/null | tr -d ' ')" = 7 ]
xl_says block-list one
check "its disk is listed" said "xvda\|51712\|$uri"

xl_says live-update one
check "it goes to another monitor" ended 0
console_open one
wait_for "$LIMIT" eval 'say "get 7"; sleep 0.5; said "HAS 7 7"'
check "where it has its disk" said "HAS 7 7"
say "put 8"
check "and writes to it" wait_for "$LIMIT" said "PUT 8"

xl_says create -q "$work/guest.cfg" "name='two'"
check "another guest does not get it" [ "$status" -ne 0 ]
check "since the first has it" told "in use by the guest 'one'"
for words in "block-attach one nbd://127.0.0.1/more,raw,xvdb,w" "disk layer one" "disk backup one xvda $work/copy" "snapshot create one before" "disk resize one xvda 32M"; do
	# shellcheck disable=SC2086 # words
	xl_says $words
	check "no $words" [ "$status" -ne 0 ]
	check "as one line tells" eval '[ "$(wc -l <"$errors")" -eq 1 ] && told "on an NBD server"'
done
xl_says save one "$work/saved"
check "it is saved" ended 0
xl_says restore "$work/saved"
check "and goes on" ended 0
console_open one
wait_for "$LIMIT" eval 'say "get 8"; sleep 0.5; said "HAS 8 8"'
check "with its disk" said "HAS 8 8"
console_close
xl_says destroy one
server_ends
server=
xl_says start one
check "without its server it does not start" [ "$status" -ne 0 ]
check "as one line tells of it" told "cannot be reached"
finish
