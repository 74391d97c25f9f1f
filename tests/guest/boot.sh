#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The cloud kernel to its first process and off again; the ways in which a guest ends.
. "$(dirname "$0")/lib.sh"

guest <<'SCRIPT'
echo "processors $(nproc)"
date +%s
SCRIPT
check "boots and powers off" ended 0 GUEST-DONE
check "one processor" said "processors 1"
guest_time=$(grep -E '^[0-9]{10}$' "$output")
check "knows the time" [ $(($(date +%s) - ${guest_time:-0})) -lt 60 ]

plain=$kernel
kernel=$work/vmlinuz.gz
gzip -1 <"$plain" >"$kernel"
guest <<'SCRIPT'
SCRIPT
check "a kernel packed by gzip" ended 0 GUEST-DONE
kernel=$plain

# The engine that this host's users get: a device that only looks like KVM is none.
DACH_ENGINE=auto guest <<'SCRIPT'
echo "processors $(nproc)"
SCRIPT
check "so it does with the engine that auto takes" ended 0 GUEST-DONE

guest --vcpus 2 <<'SCRIPT'
echo "processors $(nproc)"
echo "adjust $(grep -c ' tsc_adjust' /proc/cpuinfo)"
echo "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
dmesg | grep -i 'unstable\|warp\|TSC_ADJUST'
taskset 1 sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done' &
taskset 2 sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done'
wait
SCRIPT
check "two processors" ended 0 "processors 2"
# With TSC_ADJUST Linux has no watchdog for the TSC, which on a busy host finds fault with the host.
check "each with a TSC that the guest need not watch" said "adjust 2"
check "which it trusts" [ -z "$(grep -i 'unstable\|warp\|firmware bug' "$output")" ]

guest <<'SCRIPT'
start=$(date +%s%N 2>/dev/null)
cut -d' ' -f1 /proc/uptime
sleep 3
cut -d' ' -f1 /proc/uptime
SCRIPT
check "sleeps" ended 0 GUEST-DONE
slept=$(awk '/^[0-9.]+$/ { if (first == "") first = $1; else last = $1 } END { print last - first }' "$output")
check "3 seconds are 3 seconds ($slept)" awk "BEGIN { exit !($slept > 2.9 && $slept < 4) }"

guest <<'SCRIPT'
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
SCRIPT
check "a kernel panic is a crash" ended 3 GUEST-UP

check "which is told in one line" [ "$(wc -l <"$errors")" -eq 1 ]

guest --stats <<'SCRIPT'
SCRIPT
check "counters at the end" grep -q '^exit' "$errors"
finish
