#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A moment of a disk, read by NBD clients while the guest writes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

# Writes the same number to blocks in order, over and over: each round has one number more.
cat >"$work/writer" <<'SCRIPT'
stty -echo
echo READY
read -r go
n=1
while [ $n -lt 100000 ]; do
	i=0
	printf '%-4096d' $n >/tmp/block
	while [ $i -lt 64 ]; do
		dd if=/tmp/block of=/dev/vda bs=4k seek=$((i * 17)) conv=notrunc,fsync 2>/dev/null || echo WRITE-FAILED
		i=$((i + 1))
	done
	echo "ROUND $n"
	n=$((n + 1))
done
SCRIPT
initrd "$work/writer"
mkdir "$work/disks"
qemu-img create -q -f qcow2 "$work/disks/a.qcow2" 64M
qemu-io -f qcow2 -c "write -P 7 32M 1M" "$work/disks/a.qcow2" >/dev/null
cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
engine = "$DACH_ENGINE"
disk = ["$work/disks/a.qcow2,qcow2,xvda,w"]
CONFIG
uri=nbd+unix:///?socket=$work/socket

# export_begin [OPTION...]: in the background, until its socket is there
export_begin() {
	xl disk export --socket="$work/socket" "$@" one xvda >"$work/told" 2>&1 &
	exporter=$!
	wait_for 20 test -S "$work/socket"
}

export_end() {
	wait "$exporter"
	status=$?
	cat "$work/told" >"$errors"
	[ $status -eq 0 ] && [ ! -e "$work/socket" ]
}

# moment FILE: blocks were written in order, so up to somewhere they have one number, and from there on the one before
moment() {
	python3 -c '
import sys
data = open(sys.argv[1], "rb").read()
numbers = [int(data[i * 17 * 4096:][:4096].strip(b" \0") or 0) for i in range(64)]
first, last = numbers[0], numbers[-1]
change = numbers.index(last)
good = set(numbers[:change]) <= {first} and set(numbers[change:]) == {last} and first - last in (0, 1) and first > 1
good &= data[32 << 20:33 << 20] == bytes([7]) * (1 << 20) and not any(data[33 << 20:])
print(numbers)
sys.exit(not good or len(data) != 64 << 20)' "$1" >"$output.numbers" 2>&1
}

xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest starts" ended 0
console_open one
check "and is up" wait_for 60 said READY
say go
check "and writes" wait_for 60 said "ROUND 2"

export_begin --persistent
check "a disk is exported" [ -S "$work/socket" ]
if command -v nbdinfo >/dev/null; then
	check "nbdinfo reads what it is" sh -c "nbdinfo '$uri' >$work/info"
	check "its size" grep -q "export-size: 67108864" "$work/info"
	check "that it is only read" grep -q "is_read_only: true" "$work/info"
	nbdinfo --map "$uri" >"$work/map"
	check "and where it has holes" grep -q "34603008 *32505856 *3 *hole,zero" "$work/map"
	check "nbdcopy copies it" nbdcopy "$uri" "$work/copy1.img"
	check "which is of one moment" moment "$work/copy1.img"
	wait_for 30 said "ROUND $(($(tr -d '\r' <"$output" | sed -n 's/^ROUND //p' | tail -n 1) + 1))"
	check "later" nbdcopy "$uri" "$work/copy2.img"
	check "it is the same moment" cmp "$work/copy1.img" "$work/copy2.img"
fi
check "qemu-img copies it" qemu-img convert -f raw -O raw "$uri" "$work/copy3.img"
check "which is of one moment, too" moment "$work/copy3.img"
check "qemu-img finds them the same" qemu-img compare -q -f raw -F raw "$uri" "$work/copy3.img"
check "nobody writes to it" sh -c "! qemu-io -f raw -c 'write 0 4k' '$uri' >/dev/null 2>&1"
qemu-io -r -f raw -c "read -P 7 33554433 1000" "$uri" >"$work/io" 2>&1
check "bytes that are no sectors" sh -c "grep -q '^read 1000/1000 bytes' '$work/io' && ! grep -q failed '$work/io'"
job=$(xl jobs one | sed -n 's/^ *\([0-9][0-9]*\) .*disk-export.*/\1/p' | head -n 1)
check "it is cancelled (${job:-no job})" xl cancel one "${job:-0}"
wait "$exporter"
check "and its socket is gone" [ ! -e "$work/socket" ]

export_begin --checkpoint=one
check "without --persistent a client" qemu-img convert -f raw -O raw "$uri" "$work/copy4.img"
check "is the end" export_end
check "of one later moment" moment "$work/copy4.img"
# What has changed since, and nothing else, over what was then is what is now.
more=$(($(tr -d '\r' <"$output" | sed -n 's/^ROUND //p' | tail -n 1) + 1))
wait_for 30 said "ROUND $more"
if command -v nbdinfo >/dev/null; then
	export_begin --persistent --since=one
	nbdinfo --map=qemu:dirty-bitmap:one "$uri" >"$work/map"
	check "what has changed since is told" grep -q "1 *dirty$" "$work/map"
	nbdcopy "$uri" "$work/copy5.img"
	check "and those bytes alone make the disk of the one before" python3 -c '
import sys
then, now = bytearray(open(sys.argv[1], "rb").read()), open(sys.argv[2], "rb").read()
changed = 0
for line in open(sys.argv[3]):
    offset, length, state = map(int, line.split()[:3])
    if state:
        then[offset:offset + length] = now[offset:offset + length]
        changed += length
sys.exit(then != now or not 0 < changed < 8 << 20)' "$work/copy4.img" "$work/copy5.img" "$work/map"
	xl cancel one "$(xl jobs one | sed -n 's/^ *\([0-9][0-9]*\) .*disk-export.*running.*/\1/p' | tail -n 1)"
	wait "$exporter"
fi
check "a backup since then" xl disk backup --since=one --base="$work/copy4.img" --checkpoint=two one xvda \
	"$work/since.qcow2"
check "is the disk of one moment" sh -c "qemu-img convert -O raw '$work/since.qcow2' '$work/copy6.img'"
check "with what it stands on" moment "$work/copy6.img"
check "and has only what has changed" [ "$(stat -c %s "$work/since.qcow2")" -lt 8388608 ]
check "nothing stays behind" [ "$(ls -A "$work/disks")" = a.qcow2 ]
# It goes on elsewhere, and writes there.
check "the disk moves" xl disk move one xvda "$work/moved.qcow2"
more=$(($(tr -d '\r' <"$output" | sed -n 's/^ROUND //p' | tail -n 1) + 2))
check "while the guest goes on" wait_for 60 said "ROUND $more"
check "without an error" sh -c "! grep -q WRITE-FAILED '$output'"
xl destroy one
qemu-img convert -O raw "$work/moved.qcow2" "$work/moved.img"
check "all that it wrote is there" moment "$work/moved.img"
check "up to the end" sh -c "[ \$(head -c 4096 '$work/moved.img') -ge $more ]"
check "QEMU sees both checkpoints" sh -c \
	"[ \$(qemu-img info '$work/moved.qcow2' | grep -c 'name: \(one\|two\)') = 2 ] &&
		! qemu-img info '$work/moved.qcow2' | grep -q in-use"
check "and 'image info' does" sh -c "[ \$('$DACH' image info '$work/moved.qcow2' | grep -c '^Checkpoint') = 2 ]"
check "the disk is sound" qemu-img check -q -f qcow2 "$work/moved.qcow2"
check "and what it was before" qemu-img check -q -f qcow2 "$work/disks/a.qcow2"
finish
