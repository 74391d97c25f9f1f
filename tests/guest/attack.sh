#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The engine attacked (truth/attack.c). The guest says that it has come to the part in which it may
# end in any way, and ends there: by itself (100 and more) or by a triple fault (3).
. "$(dirname "$0")/lib.sh"

survived() {
	grep -a -q "^ATTACK-DONE" "$output" && { [ "$status" -eq 3 ] || [ "$status" -ge 100 ]; } &&
		[ "$status" -ne 124 ] && [ "$status" -ne 137 ]
}

for seed in ${SEEDS:-1 2 3}; do
	timeout -k 2 60 "$DACH" run --engine "$DACH_ENGINE" --test-devices --memory 64 --vcpus 2 \
		--cmdline "attack seed=$seed" --kernel "$(dirname "$DACH")/tests/guest/truth" \
		</dev/null >"$output" 2>"$errors"
	status=$?
	check "seed $seed: the guest harms only itself" survived
done
finish
