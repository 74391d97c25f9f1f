#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A running guest goes on in a new monitor: with its memory, its disks and its tap, on which it is asked each millisecond; and
# the monitors and the daemon are killed meanwhile: it runs, in one of them, or has ended and that is said. DACH_UPDATES says
# how often it goes (2), DACH_KILLS how often something is killed (3), DACH_SEED where the dice begin.
if [ -z "${DACH_TEST_NETNS:-}" ]; then
	DACH_TEST_NETNS=none
	if [ "$(id -u)" -eq 0 ] && [ -r /dev/net/tun ] && PATH=$PATH:/usr/sbin command -v nft >/dev/null && unshare -n true; then
		export DACH_TEST_NETNS=1
		exec unshare -n "$0" "$@"
	fi
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper-lib.sh"

bridge=
if [ "$DACH_TEST_NETNS" = 1 ]; then
	bridge=br0
	ip link set lo up
	ip link add br0 type bridge
	ip addr add 10.9.0.1/24 dev br0
	ip link set br0 up
	printf 'ip addr add 10.9.0.2/24 dev eth0\nip link set eth0 up\n' | cat - "$work/keeper" >"$work/with"
	mv "$work/with" "$work/keeper"
fi
initrd "$work/keeper"
DACH=$DACH timeout -k 5 "${DACH_UPDATE_LIMIT:-300}" python3 "$top/tests/guest/live_update.py" "$kernel" "$work/initrd" \
	"${DACH_UPDATES:-2}" "${DACH_KILLS:-3}" "${DACH_SEED:-1}" $bridge >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
