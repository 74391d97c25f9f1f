#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that works on its disks, raw and qcow2 on another image, moves to a host that has none of them, and they go along.
# DACH_DISK_MIB: how large they are (64).
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" -eq 0 ] && ! unshare -m true; then
	echo "ok migrate_disks: # skipped: two daemons on one host need mounts of their own"
	exit 0
fi
mkdir -p "$work/root/bin"
cp "$(dirname "$DACH")/tests/guest/disk_check" "$work/root/bin/disk_check"
cat >"$work/script" <<'SCRIPT'
for disk in a b; do /bin/disk_check /dev/vd$disk & done
wait
SCRIPT
initrd "$work/script"
(cd "$work/root" && echo bin/disk_check | cpio -o -H newc --quiet) >>"$work/initrd"
DACH=$DACH timeout -k 5 "${DACH_MIGRATE_LIMIT:-300}" python3 "$top/tests/guest/migrate_disks.py" "$kernel" "$work/initrd" \
	"${DACH_DISK_MIB:-64}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
