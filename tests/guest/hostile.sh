#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The hostile guest (hostile/): whatever it does, the monitor ends as monitors do: the guest
# switched off (0) or crashed (3), or it hangs until it is told to end (2).
. "$(dirname "$0")/lib.sh"

hostile=$(dirname "$DACH")/tests/guest/hostile
# attack SEED OPTION...
attack() {
	seed=$1
	shift
	truncate -s 4M "$work/disk"
	forget
	timeout -k 30 60 "$DACH" run --engine "$DACH_ENGINE" --kernel "$hostile" --memory 64 \
		--cmdline "seed=$seed" --disk "$work/disk" --net user "$@" \
		</dev/null >"$output" 2>"$errors" &
	guest_pid=$!
	if ! wait_for 45 ended_by_itself; then
		kill -TERM "$(guest_process)" && sleep 1 && kill -TERM "$(guest_process)"
	fi 2>/dev/null
	guest_wait
	check "seed $seed, $*: the guest harms only itself" survived
}

ended_by_itself() {
	! kill -0 "$guest_pid"
}

survived() {
	said "^rings" && { [ "$status" -eq 0 ] || [ "$status" -eq 2 ] || [ "$status" -eq 3 ]; }
}

for seed in ${SEEDS:-1 2 3 4}; do
	attack "$seed" --vcpus $((seed % 2 + 1))
done
finish
