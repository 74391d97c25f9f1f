#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk on an NBD server: QEMU's, one that goes and comes back, and ones that do not keep to the protocol.
. "$(dirname "$0")/lib.sh"

# export_disk [OPTION...]: QEMU's server for $work/disk, at $work/socket
export_disk() {
	rm -f "$work/socket"
	qemu-nbd -t -k "$work/socket" -f raw -x a/disk --discard=unmap "$@" "$work/disk" 2>/dev/null &
	server=$!
	wait_for "$LIMIT" [ -S "$work/socket" ]
}

# bad_peer KIND: a server of that kind
bad_peer() {
	rm -f "$work/socket"
	"$top/tests/guest/nbd_peer.py" "$work/socket" "$work/disk" "$1" >"$work/peer" &
	server=$!
	wait_for "$LIMIT" grep -q ready "$work/peer"
}

server_ends() {
	kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
}
trap 'server_ends; rm -rf "$work"' EXIT

uri="nbd+unix:///a%2Fdisk?socket=$work/socket"
head -c 32M /dev/urandom >"$work/in"
sum=$(sha256sum <"$work/in" | cut -d' ' -f1)
first=$(head -c 1M "$work/in" | sha256sum | cut -d' ' -f1)
cp "$work/in" "$work/disk"
export_disk
guest --disk "$uri" <<'SCRIPT'
sha256sum /dev/vda
dd if=/dev/vda of=/dev/vda bs=1M count=4 seek=8 conv=fsync 2>/dev/null
blkdiscard -o 1048576 -l 1048576 /dev/vda && sync
SCRIPT
check "reads a disk on a server" ended 0 "$sum  /dev/vda"
check "writes to it" cmp -n 1048576 "$work/in" "$work/disk" 0 8388608
check "gives back space of it" cmp -n 1048576 "$work/disk" /dev/zero 1048576 0
guest --disk "$uri" --ephemeral <<'SCRIPT'
dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null
head -c 4194304 /dev/vda | cmp -n 4194304 - /dev/zero && echo THROWN-AWAY
SCRIPT
check "what is thrown away" ended 0 THROWN-AWAY
check "is not written to it" cmp -n 1048576 "$work/in" "$work/disk"
guest --disk "$uri,ro" <<'SCRIPT'
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null && echo WROTE
head -c 1048576 /dev/vda | sha256sum
SCRIPT
check "read-only" ended 0 "$first"
check "is read-only" eval '! said WROTE'
server_ends

# A server without room for a second client, which a guest with its kernel on the disk is.
export_disk
timeout -k 5 "$LIMIT" "$DACH" run --disk "$uri" --memory 256 </dev/null >"$output" 2>"$errors"
status=$?
check "a server for one client, and a kernel on the disk" ended 1
check "is told as that" told "room for one client only"
server_ends
export_disk -e 2
timeout -k 5 "$LIMIT" "$DACH" run --disk "$uri" --memory 256 </dev/null >"$output" 2>"$errors"
check "with room for it there is no kernel" told "no kernel can be taken\|no partition\|no file system\|none that"
server_ends
for words in "run $uri" "image info $uri" "image convert $uri $work/copy.qcow2"; do
	# shellcheck disable=SC2086 # words
	"$DACH" $words </dev/null >"$output" 2>"$errors"
	status=$?
	check "no ${words%% nbd*}" ended 1
	check "as one line says" eval '[ "$(wc -l <"$errors")" -eq 1 ] && told "server"'
done

# refused DISK WHAT PATTERN: it is said in one line, before the guest starts
refused() {
	guest --disk "$1" </dev/null
	check "$2" ended 1
	check "of which one line tells" [ "$(grep -c '^dach run' "$errors")" -eq 1 ]
	check "that says so" told "$3"
}
refused "$uri" "no server" "cannot be reached"
refused "nbd://name.invalid/x" "no such host" "name.invalid"
refused "nbds://host/x" "TLS" "TLS"
export_disk -r
refused "$uri" "a server that lets it only be read" ",ro"
refused "nbd+unix:///other?socket=$work/socket,ro" "an export that is not there" 'no export "other"'
refused "$uri,format=qcow2" "qcow2 is the server's" "qemu-nbd -f qcow2"
server_ends

# It goes, in the midst of writes, and comes back.
export_disk
guest_start --disk "$uri,cache=writethrough" <<'SCRIPT'
i=0
while [ $i -lt 300 ]; do
	dd if=/dev/urandom of=/tmp/block bs=64k count=1 2>/dev/null
	dd if=/tmp/block of=/dev/vda bs=64k seek=$i oflag=direct 2>/dev/null || echo FAILED $i
	dd if=/dev/vda of=/tmp/back bs=64k skip=$i count=1 iflag=direct 2>/dev/null
	cmp /tmp/block /tmp/back || echo DIFFERS $i
	i=$((i + 1))
	echo WRITTEN-$i.
done
echo ALL-WRITTEN
SCRIPT
for n in 20 120; do
	check "writes to a server" wait_for "$LIMIT" said "WRITTEN-$n[.]"
	server_ends
	export_disk
done
guest_wait
check "a server that comes back is gone on with" ended 0 ALL-WRITTEN
check "all of it is written" eval '! said "FAILED\|DIFFERS"'
check "of which a line tells" told "its server is there again"
server_ends

# What a server had taken before, and nobody has flushed, may have gone with it: the guest is told.
export_disk
guest_start --disk "$uri" <<'SCRIPT'
dd if=/dev/urandom of=/dev/vda bs=1M count=2 oflag=direct 2>/dev/null && echo UNSTABLE
until dd if=/dev/vda bs=1M skip=4 count=1 iflag=direct 2>/dev/null | grep -q come-back; do sleep 0.2; done
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null || echo FLUSH-FAILED
dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null && echo STABLE-AGAIN
SCRIPT
check "writes, and flushes nothing" wait_for "$LIMIT" said UNSTABLE
server_ends
echo come-back | dd of="$work/disk" bs=1M seek=4 conv=notrunc 2>/dev/null
export_disk
guest_wait
check "the next flush fails" ended 0 FLUSH-FAILED
check "and the one after that does not" said STABLE-AGAIN
check "of which a line tells, too" told "a flush fails"
server_ends

cp "$work/in" "$work/disk"
bad_peer short
guest --disk "$uri" <<'SCRIPT'
sha256sum /dev/vda
SCRIPT
check "a server that breaks off in answers" ended 0 "$sum  /dev/vda"
check "lines are few" [ "$(grep -c "is lost" "$errors")" -eq 1 ]
server_ends
bad_peer liar
guest --disk "$uri" <<'SCRIPT'
dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null || echo READ-FAILED
SCRIPT
check "a server that lies is errors" ended 0 READ-FAILED
check "of which three lines tell" [ "$(grep -c "nbd+unix" "$errors")" -eq 3 ]
server_ends
finish
