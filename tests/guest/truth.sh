#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The freestanding kernel truth/ asks the processor what the manuals answer: paging, segments,
# traps, debug registers, interrupts, several processors, code that changes.
. "$(dirname "$0")/lib.sh"

for vcpus in 1 2; do
	timeout -k 5 240 "$DACH" run --engine "$DACH_ENGINE" --test-devices --memory 64 --vcpus "$vcpus" \
		--kernel "$(dirname "$DACH")/tests/guest/truth" </dev/null >"$output" 2>"$errors"
	status=$?
	grep -v "^ok\|^skip\|^TRUTH-DONE" "$output" >>"$errors"
	check "$(grep -c ^ok "$output") answers, $vcpus vcpus" ended 100 TRUTH-DONE
done
finish
