#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A web server as a container, as a machine, and as a container again.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -ne 0 ] || ! unshare -m -n true 2>/dev/null || ! grep -qs cgroup /proc/mounts; then
	echo "ok convert: # skipped: needs root, namespaces and control groups"
	exit 0
fi
. "$top/tests/guest/debian-lib.sh"
DACH=$DACH timeout -k 5 "${DACH_CONVERT_LIMIT:-500}" unshare -n python3 "$top/tests/guest/convert.py" "$image" >"$output" 2>"$errors"
status=$?
cat "$output"
check "a web server is a container, a machine and a container" ended 0
finish
