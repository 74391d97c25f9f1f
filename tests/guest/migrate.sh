#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest moves between two daemons with its disks in one place, and back; and its monitors, the daemons and the line are
# killed in between: it runs on one side or stands on one. DACH_STEPS says at how many of the 60 places (3), DACH_TRIPS how
# often it goes there and back (1).
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" -eq 0 ] && ! unshare -m true; then
	echo "ok migrate: # skipped: two daemons on one host need mounts of their own"
	exit 0
fi
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
DACH=$DACH timeout -k 5 "${DACH_MIGRATE_LIMIT:-300}" python3 "$top/tests/guest/migrate.py" "$kernel" "$work/initrd" \
	"${DACH_STEPS:-3}" "${DACH_TRIPS:-1}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
