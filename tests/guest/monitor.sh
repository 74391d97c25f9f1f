#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dach-vmm as its daemon uses it: configuration and files by descriptor, control, console, its end.
. "$(dirname "$0")/lib.sh"

cat >"$work/script" <<'SCRIPT'
stty -echo
echo 1 >/proc/sys/kernel/sysrq
echo 4 >/proc/sys/kernel/printk
echo READY
while read -r line; do
	case $line in
	disk) dd if=/dev/zero of=/dev/vda bs=65536 count=1 oflag=direct 2>/dev/null; echo wrote ;;
	flood) i=0; while [ $i -lt 40 ]; do head -c 8192 /dev/zero | tr '\0' x; i=$((i + 1)); done; echo FLOOD-END ;;
	net) ip link set eth0 up; udhcpc -i eth0 -n -q -s /bin/true 2>&1 ;;
	eat) dd if=/dev/zero of=/tmp/x bs=1M count=120 2>/dev/null; rm /tmp/x; echo ATE ;;
	poweroff) poweroff -f ;;
	reboot) reboot -f ;;
	crash) echo c >/proc/sysrq-trigger ;;
	button)
		for event in /dev/input/event*; do
			(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && poweroff -f) &
		done
		sleep 1
		echo WAITS ;;
	*) echo "got $line" ;;
	esac
done
SCRIPT
initrd "$work/script"
export DACH DACH_ENGINE
for scenario in life memory jobs idle ends wrong; do
	timeout -k 5 "$LIMIT" python3 "$top/tests/guest/monitor.py" $scenario "$kernel" \
		"$work/initrd" "$work" || {
		status=$?
		failures=$((failures + 1))
		echo "not ok monitor: $scenario ends with status $status"
	}
done
finish
