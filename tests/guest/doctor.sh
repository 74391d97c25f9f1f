#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dach doctor: what a host has, and what it says where things are missing. No guest runs.
. "$(dirname "$0")/lib.sh"

# doctor COMMAND...: runs it, and leaves output, errors and status
doctor() {
	"$@" >"$output" 2>"$errors"
	status=$?
}

# row WHAT STATE: the table has this line
row() {
	said "^$1 *$2 "
}

doctor "$DACH" doctor
check "an engine runs guests here" [ $status -eq 0 ]
check "the translator does" row translate yes
check "memory is told" row memory yes
check "native code too, as it is here" said "^native code *\(yes\|limited\) "

doctor "$DACH" doctor --json
check "--json has the same rows" python3 -c "
import json, sys
rows = json.load(open(sys.argv[1]))
assert {'what': 'translate', 'state': 'yes'}.items() <= next(r for r in rows if r['what'] == 'translate').items()
assert all(r['state'] in ('yes', 'limited', 'no') and r['text'] for r in rows)
" "$output"

doctor env PATH=/nowhere DACH_IMAGES=relative "$DACH" doctor
check "without mmdebstrap no image can be made" row images limited
check "which is named" said "making one needs.* mmdebstrap"

doctor sh -c 'ulimit -v 1500000; exec "$0" doctor' "$DACH"
check "a limit of the address space is told" row "address space" limited
(ulimit -v 300000; exec "$DACH" run --kernel "$kernel" --memory 64 --engine translate) </dev/null >"$output" 2>&1
check "and what it keeps from running" said "ulimit -v"

# A user who may not open /dev/kvm, if there is one; a container that forbids namespaces.
if [ -e /dev/kvm ] && [ "$(id -u)" = 0 ] && [ -z "$(find /dev/kvm -perm -o+w)" ]; then
	cp "$DACH" "$work/dach"
	chmod 0755 "$work" "$work/dach"
	doctor setpriv --reuid 65534 --regid 65534 --clear-groups "$work/dach" doctor
	check "who may not open /dev/kvm is told how" said "^kvm *no .*usermod -aG kvm"
fi
if unshare -Ur true 2>/dev/null; then
	doctor unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_mnt_namespaces; exec "$0" doctor' "$DACH"
	check "where namespaces are forbidden, what that means" row namespaces limited
	doctor unshare -Urm sh -c 'mount -t tmpfs -o ro none /mnt && DACH_IMAGES=/mnt/none/here exec "$0" doctor' "$DACH"
	check "where nothing can be written, no image is promised" row images limited
	check "and the place is named" said "none can be made in /mnt: Read-only"
fi
finish
