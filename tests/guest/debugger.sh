#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# gdb attached to a guest: held at its start, registers, memory, a breakpoint, steps; then it goes on.
. "$(dirname "$0")/lib.sh"

cmdline=nokaslr guest_start --gdb "unix:$work/gdb" <<'SCRIPT'
echo hello
SCRIPT
check "waits for a debugger" wait_for 20 test -S "$work/gdb"
check "and does not run before" [ ! -s "$output" ]
timeout 60 gdb -nx -batch -ex "set confirm off" -ex "set architecture i386:x86-64" \
	-ex "target remote $work/gdb" \
	-ex "info registers rip cr0" -ex "x/4i \$pc" -ex stepi -ex stepi -ex "info registers rip" \
	-ex "hbreak *0x1000000" -ex continue -ex "info registers rip" -ex "delete" -ex detach \
	>"$work/session" 2>&1
check "gdb steps" [ "$(grep -c '^rip ' "$work/session")" -eq 3 ]
check "gdb breaks" grep -q '^rip *0x1000000 ' "$work/session"
[ $failures -eq 0 ] || sed 's/^/  | /' "$work/session"
guest_wait
check "and the guest goes on" ended 0 hello
finish
