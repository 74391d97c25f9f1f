#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first instructions of a kernel, and those of its start proper, here and under QEMU's TCG.
. "$(dirname "$0")/../guest/lib.sh"

lockstep() {
	timeout -k 5 "$LIMIT" "$top/tests/peer/lockstep.py" --dach "$DACH" --engine "$DACH_ENGINE" \
		"$@" "$kernel" >"$output" 2>"$errors"
	status=$?
}

lockstep --steps 5000
check "boot code" ended 0 "instructions are the same"

# The decompressed kernel's entry: where its identity mapping ends, paging and descriptor tables
# are made anew.
lockstep --at 0x1000000 --steps 5000
check "kernel entry" ended 0 "instructions are the same"

finish
