#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest whose agent lies to its monitor: the command's own caller learns that in a line, and nothing worse happens.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machine-lib.sh"
cp "$(dirname "$DACH")/tests/guest/agent_liar" "$root/bin/" || exit 1
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/machine.cpio"

# lies HOW: leaves status, output and errors
lies() {
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 -- \
		agent_liar "$1" </dev/null >"$output" 2>"$errors"
	status=$?
}

# A line of ours; what the guest said on its console may come before it.
sentence() {
	[ "$(grep -c '^dach run: ' "$errors")" = 1 ] && grep -q "^dach run: $1" "$errors"
}

lies garbage
check "one that makes no sense: 125" ended 125
check "in a line" sentence "the guest's agent breaks the rules"
lies flood
check "one that floods its caller: 125" ended 125
check "in a line, too" sentence "the guest's agent sends more than there is room for"
check "who got no more than he had room for" [ "$(wc -c <"$output")" -le 1048576 ]
lies endless
check "a frame without an end: 125" ended 125
check "which is refused by its first bytes" sentence "the guest's agent breaks the rules"
lies escapes
check "a failure's status is the guest's to tell" ended 7
check "but no terminal is written to" sh -c '! tr -d "\n" <"$1" | grep -q "[[:cntrl:]]"' - "$errors"
lies others
check "what is told of others' commands is nobody's" [ "$status $(cat "$output" "$errors")" = "3 " ]
lies status
check "a status is none but a byte" ended 7
finish
