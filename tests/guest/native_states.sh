#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests whose programs run natively (native.sh): a daemon's counts their time, stops them, saves, clones, and goes back to
# them, and what they compute is right all the while.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

if ! "$DACH" doctor | grep -q '^native code *yes'; then
	echo "ok $test_name: this host can have none, and says so"
	exit 0
fi

# Always the same sum, of a program that computes for a second or so and has pages to write to.
cat >"$work/sums" <<'EOF'
n=0
while :; do
	n=$((n + 1))
	sum=$(seq 9000 | awk '{ a[$1 % 997] += $1 * $1 % 7919; k = $1; while (k > 1) { k = k % 2 ? 3 * k + 1 : k / 2; t++ } } END { for (i in a) s += a[i]; print s, t }')
	[ "${first:=$sum}" = "$sum" ] && echo "SUM $n" || echo "WRONG $sum"
done
EOF
initrd "$work/sums"
cat >"$work/guest.cfg" <<CONFIG
name = "sums"
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 192
on_crash = "destroy"
CONFIG

# sums NAME COUNT: it says so many more, each of them right
sums() {
	console_open "$1"
	wait_for 90 more "$2"
	found=$?
	console_close
	[ $found = 0 ] && ! said WRONG
}
more() {
	[ "$(grep -c '^SUM' "$output")" -gt "$1" ]
}
seconds() {
	xl list "$1" | awk 'NR == 2 { print $NF }'
}

status=0
check "a guest that computes" xl new -q "$work/guest.cfg"
check "starts" xl start sums
check "and does" sums sums 2
monitor=$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' | head -n 1)
mirrors=$(cat "/proc/$monitor/task/$monitor/children")
check "its programs have processes" [ -n "$mirrors" ]
before=$(seconds sums)
sleep 4
check "their time is the guest's" awk "BEGIN { exit !($(seconds sums) - $before > 1.5) }"
check "it is paused" xl pause sums
before=$(seconds sums)
sleep 1
check "and no program goes on" awk "BEGIN { exit !($(seconds sums) - $before < 0.2) }"
check "it goes on" xl unpause sums
check "and computes" sums sums 1

check "a snapshot" xl snapshot create sums one
check "of a guest that goes on" sums sums 2
check "back to it" xl snapshot revert sums one
check "it goes on from there" sums sums 2
check "a clone" xl clone sums --name copy
check "computes" sums copy 2
check "as the first does" sums sums 1
check "it is suspended" xl suspend sums
check "and resumed" xl resume sums
check "and computes" sums sums 2
xl destroy copy
check "it ends" xl destroy sums
alive() {
	for pid in $mirrors; do
		! grep -q '^dach-native' "/proc/$pid/comm" 2>/dev/null || return 1
	done
}
check "and no process of a program is left" wait_for 10 alive
finish
