#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# More processors than the host has: they make way for each other where they spin, locks are waited
# for halted, and what the programs compute is right.
. "$(dirname "$0")/lib.sh"

guest --vcpus 8 --stats <<'EOF'
dmesg | grep -i -e 'PV spinlocks' -e 'PV qspinlock' -e 'PV IPIs'
work() {
	for n in 1 2 3; do
		ls -lR /sys/class | md5sum >/dev/null
		seq 3000 | sort -n | md5sum
		: | : | :
	done
}
for i in 1 2 3 4 5 6 7 8; do work >/tmp/$i & done
wait
cat /tmp/[1-8] | sort | uniq -c | sed 's/^ */times /'
EOF
check "eight processors run" ended 0
check "and compute the same" said 'times 24 [0-9a-f]\{32\} '
if [ "$DACH_ENGINE" = translate ]; then
	check "the kernel halts where it waits for locks" said 'PV qspinlock\|PV spinlocks enabled'
	check "and sends interrupts to many by one call" said 'PV IPIs'
	value() {
		sed -n "s/^$1 *//p" "$errors"
	}
	check "calls are answered" [ "$(value hypercall)" -gt 0 ]
	check "who spins makes way" [ "$(value yield)" -gt 0 ]
fi
finish
