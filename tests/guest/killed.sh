#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The daemon and a guest's monitor are killed while the guest is saved, kept in snapshots, put back, and cloned: it is as
# before or as after, and nothing else is on the disk. DACH_KILLS says how often (4), DACH_SEED where the dice begin.
. "$(dirname "$0")/lib.sh"

cat >"$work/keeper" <<'SCRIPT'
stty -echo
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
dd if=/dev/urandom of=/tmp/noise bs=1M count=8 2>/dev/null
sum=$(md5sum </tmp/noise)
n=0
read_disk() {
	dd if=/dev/vd$1 bs=4k count=1 2>/dev/null | tr -cd 0-9
}
while read -r word number; do
	case $word in
	who) echo "WHO $number $nonce" ;;
	put)
		n=$number
		printf '%-4096d' $n >/tmp/block
		for disk in a b; do
			dd if=/tmp/block of=/dev/vd$disk bs=4k conv=notrunc,fsync 2>/dev/null
		done
		echo "PUT $n"
		;;
	get)
		echo 3 >/proc/sys/vm/drop_caches
		right=wrong
		[ "$(md5sum </tmp/noise)" = "$sum" ] && right=right
		echo "HAS $number $nonce $right $n $(read_disk a) $(read_disk b)"
		;;
	esac
done
SCRIPT
initrd "$work/keeper"
DACH=$DACH timeout -k 5 "${DACH_KILLED_LIMIT:-300}" python3 "$top/tests/guest/killed.py" "$kernel" "$work/initrd" \
	"${DACH_KILLS:-4}" "${DACH_SEED:-1}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
