#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How guests end that have no driver for it: panics without pvpanic, halts, each way that Linux resets; and
# guests that only say that they panicked.
. "$(dirname "$0")/lib.sh"

# untold: the guest, without the driver that tells of a panic
untold() {
	{
		echo 'rmmod pvpanic_mmio pvpanic_pci pvpanic 2>/dev/null'
		echo 'echo 1 >/proc/sys/kernel/sysrq'
		cat
	} >"$work/untold"
	guest "$@" <"$work/untold"
}

for panic in -1 0; do
	cmdline="panic=$panic" untold --vcpus 2 <<'SCRIPT'
echo c >/proc/sysrq-trigger
SCRIPT
	check "a panic that only the console tells of, panic=$panic" ended 3 GUEST-UP
	check "is named" grep -q "the guest's kernel panicked" "$errors"
done
cmdline="panic=0 rdinit=/nothing" untold <<'SCRIPT'
SCRIPT
check "so is one without a root file system" ended 3 "Kernel panic - not syncing: VFS: Unable to mount root"

untold --vcpus 2 <<'SCRIPT'
halt -f
SCRIPT
check "a guest that halts has powered off" ended 0 "System halted"

for how in t k p a b; do
	cmdline="reboot=$how" untold --no-reboot <<'SCRIPT'
reboot -f
SCRIPT
	check "reboot=$how starts again" ended 5 GUEST-UP
done

# A program that says the same, at once or in its work, has not panicked.
untold --no-reboot <<'SCRIPT'
words() {
	echo "[ 1.0] Kernel panic - not syncing: $1"
	echo "[ 1.1] ---[ end Kernel panic - not syncing: $1 ]---"
}
words idle
sleep 3
words busy
n=0
end=$(($(date +%s) + 8))
while [ "$(date +%s)" -lt $end ]; do n=$((n + 1)); done
echo "[ 1.2] Kernel panic - not syncing: no end"
sleep 2
reboot -f
SCRIPT
check "a program that prints such words goes on" ended 5 "syncing: no end"
finish
