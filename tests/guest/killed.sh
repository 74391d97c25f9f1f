#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The daemon and a guest's monitor are killed while the guest is saved, kept in snapshots, put back, and cloned: it is as
# before or as after, and nothing else is on the disk. DACH_KILLS says how often (4), DACH_SEED where the dice begin.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper-lib.sh"

initrd "$work/keeper"
DACH=$DACH timeout -k 5 "${DACH_KILLED_LIMIT:-300}" python3 "$top/tests/guest/killed.py" "$kernel" "$work/initrd" \
	"${DACH_KILLS:-4}" "${DACH_SEED:-1}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
