#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Folders of this host's in a guest that the daemon keeps (share): mounted by the guest's agent or by the guest itself,
# served as the guest's owner, gone with the guest; and what cannot be with them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/machine-lib.sh"
. "$(dirname "$0")/share-lib.sh"
for applet in mount mkdir ls; do
	ln -s busybox "$root/bin/$applet"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while :; do
	sleep 1000
done
INIT
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/system.cpio"

mkdir -p "$work/shared" "$work/read" "$work/closed"
echo there >"$work/shared/file"
echo read >"$work/read/file"
echo secret >"$work/closed/file"
# The daemon may be root: what only it may read is not the guest's, whose owner has no such rights.
chmod 000 "$work/closed/file"
cat >"$work/web.cfg" <<CFG
name = "web"
kernel = "$kernel"
ramdisk = "$work/system.cpio"
memory = 192
engine = "$DACH_ENGINE"
cmdline = "console=ttyS0 quiet"
agent = 1
share = ['$work/shared:/data/deep', '$work/read:/mnt,overlay', '$work/closed']
CFG

in_guest() {
	timeout -k 5 "$LIMIT" "$DACH" exec web -- sh -c "$1" >"$output" 2>"$errors" </dev/null
	status=$?
}

answers() {
	[ -n "$(daemon_pid)" ]
}

servers_gone() {
	for pid in $servers; do
		! kill -0 "$pid" 2>/dev/null || return 1
	done
}

"$DACH" create -q "$work/web.cfg" >"$output" 2>&1
status=$?
check "a guest with shared folders is made" ended 0
[ $status -eq 0 ] || finish
in_guest 'cat /data/deep/file; echo new >/data/deep/made; cat /mnt/file; echo own >/mnt/file; cat /mnt/file'
check "its agent has mounted them before the first command" printed "there
read
own"
check "what it writes is there" [ "$(cat "$work/shared/made")" = new ]
check "and not where it has an overlay" [ "$(cat "$work/read/file")" = read ]
in_guest 'mkdir /third; mount -t virtiofs dach2 /third && ls /third && cat /third/file'
check "one without a path is mounted by its tag" said '^file$'
check "a file that the owner may not read is not read, by root's daemon neither" grep -qi 'permission denied' "$errors"
servers=$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p')
servers=$(for pid in $servers; do cat "/proc/$pid/task/"*/children; done | tr ' ' '\n' |
	while read -r pid; do grep -qs dach-share "/proc/$pid/comm" && echo "$pid"; done)
status="$servers"
check "each has a process" [ "$(echo "$servers" | wc -w)" = 3 ]
xl_says save web "$work/web.save"
check "such a guest is not saved" grep -q 'has shared folders (share) is not saved' "$errors"
check "nor cloned" sh -c '! "$1" clone web 2>/dev/null' - "$DACH"
in_guest 'cat /data/deep/made'
check "and goes on" printed new
xl_says destroy web
check "the processes end with it" wait_for 20 servers_gone

sed -e "s|^share.*|share = ['$work/none']|" "$work/web.cfg" >"$work/none.cfg"
xl_says create -q "$work/none.cfg"
check "a folder that is not there is told of" grep -q 'none: No such file' "$errors"
sed -e 's/^agent.*//' "$work/web.cfg" >"$work/plain.cfg"
xl_says create -q "$work/plain.cfg"
check "a path without an agent, too" grep -q 'write agent = 1' "$errors"

# At root's daemon another user's guest has that user's folders, as he has them.
as="setpriv --reuid 65534 --regid 65534 --clear-groups"
chmod 755 "$work"
if [ "$(id -u)" != 0 ] || ! $as test -x "$DACH" -a -r "$kernel" -a -r "$work/system.cpio"; then
	echo "ok $test_name: # skipped: another user's folders, which only root can make"
	finish
fi
toolstack_daemon=$(daemon_pid)
kill "$toolstack_daemon"
wait_for 20 gone "$toolstack_daemon"
mkdir "$work/his"
echo his >"$work/his/file"
echo secret >"$work/his/roots"
chown 65534:65534 "$work/his" "$work/his/file"
chmod 600 "$work/his/roots"
chmod 700 "$work/closed"
printf '{"users": {"%s": {"guests": 2, "memory": 512, "vcpus": 2, "paths": ["/"]}}}' "$(id -un 65534)" >"$work/policy"
"$(dirname "$DACH")/dachd" --policy "$work/policy" >"$work/log" 2>&1 &
sed -e "s|^share.*|share = ['$work/his:/his']|" "$work/web.cfg" >"$work/his.cfg"
chmod 644 "$work/his.cfg"
wait_for 20 answers
$as "$DACH" create -q "$work/his.cfg" >"$output" 2>&1
status=$?
check "another user's guest at root's daemon" ended 0
timeout -k 5 "$LIMIT" $as "$DACH" exec web -- sh -c 'cat /his/file; echo made >/his/made; cat /his/roots' \
	>"$output" 2>"$errors" </dev/null
check "has his files" printed his
check "but not root's" grep -qi 'permission denied' "$errors"
check "and makes his own" [ "$(stat -c %u "$work/his/made")" = 65534 ]
xl_says destroy web
sed -e "s|^share.*|share = ['$work/closed']|" "$work/his.cfg" >"$work/closed.cfg"
chmod 755 "$work" && chmod 644 "$work/closed.cfg" && mkdir "$work/closed/in"
sed -i "s|/closed'|/closed/in'|" "$work/closed.cfg"
$as "$DACH" create -q "$work/closed.cfg" >"$output" 2>&1
check "a folder that he does not reach is not opened for him" said 'in: Permission denied'
finish
