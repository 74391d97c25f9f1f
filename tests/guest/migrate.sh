#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest moves between two daemons with its disks in one place, and back; and its monitors, the daemons and the line are
# killed in between: it runs on one side or stands on one. DACH_STEPS says at how many of the 70 places (3), DACH_TRIPS how
# often it goes there and back (1).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper-lib.sh"

if [ "$(id -u)" -eq 0 ] && ! unshare -m true; then
	echo "ok migrate: # skipped: two daemons on one host need mounts of their own"
	exit 0
fi
initrd "$work/keeper"
DACH=$DACH timeout -k 5 "${DACH_MIGRATE_LIMIT:-300}" python3 "$top/tests/guest/migrate.py" "$kernel" "$work/initrd" \
	"${DACH_STEPS:-3}" "${DACH_TRIPS:-1}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
