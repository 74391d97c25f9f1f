#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The KVM engine, on an emulated host that has a /dev/kvm that works; and what is said of a host
# that has none.
LIMIT=${LIMIT:-300} # an emulated host is slow
. "$(dirname "$0")/lib.sh"
root=${DACH_TEST_ROOT:-$DACH_CACHE/kernel}
export NESTED_KERNEL="$kernel"
export NESTED_MODULES="$(echo "$root"/lib/modules/*)"

# nested FILE-OPTIONS... PROGRAM ARGUMENT...
nested() {
	"$top/tests/guest/nested.sh" --timeout "$LIMIT" "$@" </dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
}

# nested_guest ENGINE VCPUS <SCRIPT
nested_guest() {
	cat >"$work/script"
	initrd "$work/script"
	nested --cpus "$2" --file "$kernel=/vmlinuz" --file "$work/initrd=/initrd" \
		"$DACH" run --engine "$1" --vcpus "$2" --kernel /vmlinuz --initrd /initrd \
		--cmdline "console=ttyS0 quiet panic=-1" --memory 512 --stats
}

harness=${DACH_NESTED_ENGINE:-$(dirname "$DACH")/tests/guest/nested_engine}
if [ -x "$harness" ]; then
	nested "$harness" kvm
	check "the engine alone" ended 0 "kvm: 0 failures"
	nested --cpu EPYC "$harness" translate
	check "the translator on another processor" ended 0 "translate: 0 failures"
fi

nested_guest auto 1 <<'SCRIPT'
grep -c ^processor /proc/cpuinfo
SCRIPT
check "a guest, chosen by itself" ended 0 kvm_exit_io

nested_guest kvm 2 <<'SCRIPT'
echo "processors $(nproc)"
SCRIPT
check "two processors" ended 0 "processors 2"

nested_guest kvm 1 <<'SCRIPT'
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
SCRIPT
check "a kernel panic is a crash" ended 3 GUEST-UP

finish
