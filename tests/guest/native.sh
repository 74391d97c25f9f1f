#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Programs that run as they are: the same results, on one processor and on two, for those that compute and those that
# are interrupted, fork, and end.
. "$(dirname "$0")/lib.sh"

if ! "$DACH" doctor | grep -q '^native code *yes'; then
	echo "ok native: this host can have none, and says so"
	finish
fi

# What the rows say has to be what they say without.
cat >"$work/work" <<'EOF'
work() {
	seq 4000 | awk '{ n = $1; while (n > 1) { n = n % 2 ? 3 * n + 1 : n / 2; k++ } } END { print "steps", k }'
	head -c 24000000 /dev/zero | sha256sum
	seq 60000 | sort -k1,1 | md5sum
	i=0; while [ $i -lt 200 ]; do i=$((i + 1)); true & wait; done; echo children $i
}
for n in 1 2; do work >/tmp/$n & done
wait
cmp /tmp/1 /tmp/2 && cat /tmp/1 && echo SAME
EOF

guest --stats --native never --vcpus 2 <"$work/work"
check "without, for comparison" ended 0 SAME
results() {
	sed -n '/^GUEST-UP/,/^GUEST-DONE/p' "$output"
}
results >"$work/expected"
count() {
	sed -n "s/^$1 *//p" "$errors"
}
check "nothing ran natively" [ "$(count native_trip)" = 0 ]
for cpus in 1 2; do
	guest --stats --native always --vcpus $cpus <"$work/work"
	results >"$work/seen"
	check "all that can, $cpus processors: the same results" cmp -s "$work/expected" "$work/seen"
	check "it was done natively" [ "$(count native_call)" -gt 500 ]
	check "no program ran into what is ours" [ "$(count native_astray)" = 0 ]
done

# By itself: a program that computes for a second or two moves up.
guest --stats --native auto <<'EOF'
awk 'BEGIN { for (i = 1; i < 50000; i++) { n = i; while (n > 1) { n = n % 2 ? 3 * n + 1 : n / 2; k++ } } printf "steps %d\n", k }'
EOF
check "a program that computes moves up by itself" [ "$(count native_up)" -gt 0 ]
check "with the right result" said "^steps 5024987$"

# A page with an instruction that tells of the host runs in a copy without it.
gcc -O2 -static -pthread -o "$work/root/native_check" "$top/tests/guest/native_check.c"
for how in "never 1" "always 1" "always 2" "auto 1" "auto 2"; do
	cpus=${how#* }
	echo /native_check | guest --stats --native "${how% *}" --vcpus "$cpus"
	results >"$work/seen"
	[ "$how" != "never 1" ] || cp "$work/seen" "$work/expected"
	check "CPUID beside a loop, $how: it says what it says, and changes are seen" said CHECKED
	check "the same, $how" cmp -s "$work/expected" "$work/seen"
	[ "$how" = "never 1" ] || check "natively, $how" [ "$(count native_patched)" -gt 0 ]
done
finish
