#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# errors=wait: a guest whose host is full, or has lost its disk, waits until that is mended, and goes on; nothing is lost.
. "$(dirname "$0")/lib.sh"

# A file system of 4 MiB that nobody but this guest sees, and that becomes larger when the test says so.
cat >"$work/fill" <<'SCRIPT'
for n in 1 2 3 4 5 6 7 8; do
	dd if=/dev/urandom of=/tmp/block bs=1M count=1 2>/dev/null
	dd if=/tmp/block of=/dev/vda bs=1M seek=$n conv=fsync,notrunc 2>/dev/null || echo WRITE-FAILED
	md5sum </tmp/block >>/tmp/sums
	echo WRITTEN-$n.
done
echo 3 >/proc/sys/vm/drop_caches
for n in 1 2 3 4 5 6 7 8; do
	dd if=/dev/vda bs=1M skip=$n count=1 2>/dev/null | md5sum
done | cmp - /tmp/sums && echo NOTHING-LOST
SCRIPT
initrd "$work/fill"
mkdir "$work/small"
forget
timeout -k 5 "$LIMIT" unshare -rm sh -c '
	mount -t tmpfs -o size=4m small "$0/small" && truncate -s 32M "$0/small/disk" || exit 9
	(until [ -e "$0/larger" ]; do sleep 0.1; done; mount -o remount,size=64m "$0/small") & exec "$@"' "$work" \
	"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
	--cmdline "console=ttyS0 quiet panic=-1" --memory 256 --disk "$work/small/disk,errors=wait" \
	</dev/null >"$output" 2>"$errors" &
guest_pid=$!
check "a full host" wait_for "$LIMIT" told "No space left on device; its guest's requests wait"
sleep 2
check "is waited for" eval '! said "WRITTEN-8[.]\|WRITE-FAILED"'
: >"$work/larger"
guest_wait
check "and is gone on with when it has room" ended 0 NOTHING-LOST
check "without an error" eval '! said "WRITE-FAILED\|I/O error"'
check "of which one line tells" [ "$(grep -c "small/disk: goes on" "$errors")" -eq 1 ]

# A disk that is cut off for a while, and one that does not come back.
cat >"$work/reader" <<'SCRIPT'
echo READY
until dd if=/dev/vda bs=4k skip=2047 count=1 iflag=direct 2>/dev/null | grep -q the-end; do
	dd if=/dev/vda of=/dev/null bs=1M iflag=direct 2>/dev/null || echo READ-FAILED
done
sha256sum /dev/vda
SCRIPT
head -c 8M /dev/urandom >"$work/disk"
cp "$work/disk" "$work/whole"
echo the-end | dd of="$work/whole" bs=4k seek=2047 conv=notrunc 2>/dev/null
sum=$(sha256sum <"$work/whole" | cut -d' ' -f1)
for end in mended ended; do
	guest_start --disk "$work/disk,errors=wait,ro" <"$work/reader"
	check "a guest reads" wait_for "$LIMIT" said READY
	truncate -s 2M "$work/disk"
	check "a disk that is cut off is waited for" wait_for "$LIMIT" told "a read failed: Input/output error; its guest's requests wait"
	if [ $end = mended ]; then
		dd if="$work/whole" of="$work/disk" bs=1M conv=notrunc 2>/dev/null
		guest_wait
		check "and read when it is whole" ended 0 "$sum  /dev/vda"
		check "of which the guest knows nothing" eval '! said READ-FAILED'
		head -c 8M /dev/zero >"$work/disk"
	else
		process=$(guest_process)
		since=$(date +%s)
		kill -TERM "$process"
		sleep 1
		kill -TERM "$process" 2>/dev/null
		guest_wait
		check "it can be ended" ended 2
		check "soon" [ $(($(date +%s) - since)) -lt 20 ]
	fi
done
finish
