#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Wrong input: one line each, status 1, and nothing left behind.
. "$(dirname "$0")/lib.sh"

touch "$work/empty"
head -c 100000 "$kernel" >"$work/truncated"
seq 100000 >"$work/text"
truncate -s 10M "$work/disk" "$work/readonly"
truncate -s 777 "$work/odd"
truncate -s 600M "$work/large"
chmod 0444 "$work/readonly"
long=$(head -c 5000 /dev/zero | tr '\0' x)

# bad NAME OPTION...: one line on standard error that says who says it; no file more or less
bad() {
	bad_name=$1
	shift
	before=$(cd "$work" && ls -R)
	# shellcheck disable=SC2086 # a list of words
	timeout 30 $as_user "$DACH" run --engine "$DACH_ENGINE" "$@" </dev/null >"$output" 2>"$errors"
	status=$?
	lines="$(wc -l <"$errors") $(grep -c '^dach run: .' "$errors")"
	check "$bad_name" [ "$status $lines $(cd "$work" && ls -R)" = "1 1 1 $before" ]
	[ ! "${VERBOSE:-}" ] || cat "$errors"
}
as_user=
: >"$output"
: >"$errors"

bad "no kernel" --memory 64
bad "a kernel that is missing" --kernel "$work/nothing"
bad "an empty kernel" --kernel "$work/empty"
bad "a truncated kernel" --kernel "$work/truncated"
bad "a text file as a kernel" --kernel "$work/text"
bad "a directory as a kernel" --kernel "$work"
bad "an initrd that is missing" --kernel "$kernel" --initrd "$work/nothing"
bad "an initrd larger than memory" --kernel "$kernel" --initrd "$work/large" --memory 512
bad "a disk that is missing" --kernel "$kernel" --disk "$work/nothing"
bad "a disk that is a directory" --kernel "$kernel" --disk "$work"
bad "a disk of an odd size" --kernel "$kernel" --disk "$work/odd"
if [ "$(id -u)" -eq 0 ]; then # whom no mode keeps out
	chmod 0755 "$work"
	cp "$DACH" "$kernel" "$work"
	chmod a+rX "$work"/*
	as_user="setpriv --reuid 65534 --regid 65534 --clear-groups"
	DACH=$work/$(basename "$DACH")
	kernel=$work/vmlinuz
fi
bad "a disk that cannot be written" --kernel "$kernel" --disk "$work/readonly"
as_user=
bad "the same disk twice" --kernel "$kernel" --disk "$work/disk" --disk "$work/disk"
bad "more memory than the host has" --kernel "$kernel" --memory 900T
bad "no memory" --kernel "$kernel" --memory 0
bad "memory that is no size" --kernel "$kernel" --memory lots
bad "no processors" --kernel "$kernel" --vcpus 0
bad "too many processors" --kernel "$kernel" --vcpus 1000
bad "a command line that is too long" --kernel "$kernel" --cmdline "$long"
bad "an unknown option" --kernel "$kernel" --flavour mint
bad "an option without its value" --kernel "$kernel" --initrd
bad "an unknown engine" --kernel "$kernel" --engine steam
bad "an unknown network" --kernel "$kernel" --net pigeon
bad "a forward without a port" --kernel "$kernel" --net user,fwd=tcp:127.0.0.1-:22
bad "an image that is missing" no-such-image
bad "a debugger's address that is none" --kernel "$kernel" --gdb nowhere
finish
