#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Where a guest spends its time: the profile and perf's map name kernel and programs, with symbols
# of another boot, whose kernel lay elsewhere.
. "$(dirname "$0")/lib.sh"

guest --profile "$work/profile" --vcpus 2 <<'EOF'
grep -w -e entry_SYSCALL_64 -e __x64_sys_getppid -e __x64_sys_newuname \
	-e do_syscall_64 -e __x64_sys_read -e vfs_read /proc/kallsyms
i=0
while [ $i -lt 20000 ]; do i=$((i + 1)); done
dd if=/dev/zero of=/dev/null bs=1 count=100000
EOF
check "the guest ran" ended 0
grep '^ffffffff' "$output" >"$work/symbols"
check "the profile has samples" grep -q '^[0-9]* samples: ' "$work/profile"
check "of the kernel" grep -q '% .* kernel 0xffffffff' "$work/profile"
check "and of programs" grep -q '% .* user   0x' "$work/profile"

guest_start --profile "$work/profile" --perf-map --symbols "$work/symbols" <<'EOF'
dd if=/dev/zero of=/dev/null bs=1 count=1000000
EOF
wait_for 5 guest_process >/dev/null
map=/tmp/perf-$(guest_process).map
guest_wait
check "the guest ran with symbols" ended 0
path='\(do_syscall_64\|vfs_read\|__x64_sys_read\|entry_SYSCALL_64\)'
check "functions have names" grep -q "kernel $path\$" "$work/profile"
check "and addresses in them" grep -q "kernel $path+0x" "$work/profile"

check "perf's map has names" grep -q '^[0-9a-f]* [0-9a-f]* kernel:do_syscall_64+0x' "$map"
check "and programs" grep -q '^[0-9a-f]* [0-9a-f]* user:0x' "$map"
rm -f "$map"

"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --symbols "$work/symbols" \
	>"$output" 2>"$errors" </dev/null
status=$?
check "--symbols alone is refused" grep -q -e '--symbols is for' "$errors"
finish
