#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest moves there and back between two hosts that are far from each other: network namespaces, with a line of DACH_LINE
# between them (Mbit/s, ms late, of 1000 frames lost: "100 20 10"). DACH_TRIPS: how often (1).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper-lib.sh"

line="$(dirname "$DACH")/tests/guest/slow_line"
if [ "$(id -u)" -ne 0 ] || [ ! -c /dev/net/tun ] || ! unshare -mn true || [ ! -x "$line" ]; then
	echo "ok migrate_far: # skipped: two hosts need root, mounts and networks of their own, and taps"
	exit 0
fi
initrd "$work/keeper"
# shellcheck disable=SC2086 # three words
DACH=$DACH timeout -k 5 "${DACH_MIGRATE_LIMIT:-400}" python3 "$top/tests/guest/migrate_far.py" "$kernel" "$work/initrd" \
	"$line" "${DACH_TRIPS:-1}" ${DACH_LINE:-100 20 10} >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
