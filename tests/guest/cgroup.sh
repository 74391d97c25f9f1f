#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Limits through control groups: of version 2 in a guest, and of whatever version this host has.
. "$(dirname "$0")/lib.sh"

program=$(dirname "$DACH")/tests/guest/cgroup_check
mkdir -p "$work/root/bin"
cp "$program" "$work/root/bin/cgroup_check"

guest_with_program() {
	cat >"$work/script"
	initrd "$work/script"
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1" --memory 256 \
		</dev/null >"$output.raw" 2>"$errors"
	status=$?
	tr -d '\r' <"$output.raw" >"$output"
}

# verdicts: the program's own lines are this test's
verdicts() {
	sed -n "s/^\(ok\|not ok\) /\1 $test_name: /p; s/^\(  .*\)/  |\1/p" "$output"
	failures=$((failures + $(grep -c "^not ok" "$output")))
}

guest_with_program <<'SCRIPT'
mkdir -p /sys/fs/cgroup
mount -t sysfs none /sys 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup || echo "no cgroup2"
/bin/cgroup_check v2 && echo ALL-WELL
poweroff -f
SCRIPT
verdicts
check "v2, in a guest" said ALL-WELL

"$program" >"$output" 2>&1
status=$?
if said "^none$"; then
	echo "# no control group of this host can be made here: seen in the guest only"
else
	verdicts
	check "this host's" [ $status -eq 0 ]
fi
finish
