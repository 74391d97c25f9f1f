#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest whose system has qemu-guest-agent: that one brings ours, by which there are commands, a shell and copies; and
# shuts the guest down.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/machine-lib.sh"
ga=$(command -v qemu-ga) || {
	echo "ok $test_name: # skipped: needs qemu-ga"
	finish
}
for applet in mount mkdir modprobe mktemp chmod sed basename ps grep rm stat ls pidof wc poweroff; do
	ln -s busybox "$root/bin/$applet"
done
mkdir -p "$root/sbin" "$root/tmp" "$root/root"
add_program "$ga"
cat >"$root/sbin/shutdown" <<'SHUTDOWN'
#!/bin/sh
poweroff -f
SHUTDOWN
# Where programs do not run from /run. Without commands= on its command line the agent runs none.
cat >"$root/init" <<'INIT'
#!/bin/sh
mkdir -p /proc /sys /dev /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o noexec run /run
modprobe virtio_pci
modprobe virtio_console
refused=
grep -q commands= /proc/cmdline || refused="-b guest-exec"
while :; do
	for port in /sys/class/virtio-ports/*; do
		[ "$(cat "$port/name" 2>/dev/null)" != org.qemu.guest_agent.0 ] ||
			qemu-ga -m virtio-serial -p "/dev/$(basename "$port")" -t /run $refused
	done
	sleep 1
done
INIT
chmod 755 "$root/init" "$root/sbin/shutdown"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/system.cpio"
for guest in web mute; do
	cat >"$work/$guest.cfg" <<CFG
name = "$guest"
kernel = "$kernel"
ramdisk = "$work/system.cpio"
memory = 192
engine = "$DACH_ENGINE"
cmdline = "console=ttyS0 quiet $([ $guest != web ] || echo commands=1)"
qemu_agent = 1
CFG
done

# in_guest OPTION... -- COMMAND...: in the guest web; leaves status, output and errors
in_guest() {
	timeout -k 5 "$LIMIT" "$DACH" exec web "$@" >"$output" 2>"$errors"
	status=$?
}

copied() {
	timeout -k 5 "$LIMIT" "$DACH" cp "$@" >"$output" 2>"$errors"
	status=$?
}

# Whether no command of ours is left in the guest.
nothing_left() {
	"$DACH" exec web -- sh -c 'ps | grep -c "[s]leep 123[0-9]"' </dev/null 2>/dev/null | grep -qx 0
}

xl_says create -q "$work/web.cfg"
check "a guest is made" ended 0
echo "in put" >"$work/in"
in_guest -- sh -c 'cat; echo err >&2; exit 7' <"$work/in"
check "a command waits for the agent, and its status is the exit status" ended 7 "in put"
[ $status -eq 7 ] || finish
check "standard error is its own" [ "$(cat "$errors")" = err ]
in_guest --user guest:staff --workdir /etc --env "X=1 2" -- sh -c 'id -un; id -gn; pwd; echo "$X"' </dev/null
check "user, group, folder and environment" printed "guest
staff
/etc
1 2"
in_guest --timeout 2 -- sleep 1230 </dev/null
check "--timeout: 124" ended 124
head -c 3000000 /dev/urandom >"$work/data"
in_guest -- cat <"$work/data"
check "three million bytes go there and come back" cmp -s "$work/data" "$output"
mkfifo "$work/said"
timeout -k 5 "$LIMIT" "$DACH" exec web -- sh -c 'echo begun; exec cat >/dev/null' <"$work/said" >"$output" 2>"$errors" &
guest_pid=$!
exec 4>"$work/said"
check "output comes while the command runs" wait_for "$LIMIT" grep -q begun "$output"
exec 4>&-
wait $guest_pid
mkdir -p "$work/folder/in/it" "$work/back"
cp "$work/data" "$work/folder/in/it/data"
chmod 750 "$work/folder/in"
copied "$work/folder" web:/root/
check "a folder is copied there" ended 0
copied web:/root/folder "$work/back/"
check "and back" diff -r "$work/folder" "$work/back/folder"
check "with its modes" [ "$(stat -c %a "$work/back/folder/in")" = 750 ]
echo 'echo shell $((6 * 7)); exit 5' | timeout -k 5 "$LIMIT" "$DACH" enter web >"$output" 2>"$errors"
status=$?
check "a shell" ended 5 "shell 42"
"$DACH" exec web -- sh -c 'echo begun; sleep 1231; sleep 1232' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for "$LIMIT" grep -q begun "$output"
kill -KILL $guest_pid
wait $guest_pid 2>/dev/null
check "a caller that is killed leaves nothing" wait_for 60 nothing_left
in_guest -- sh -c 'ls -d /run/dach-* /tmp/dach-* 2>/dev/null; pidof dach-agent | wc -w' </dev/null
check "one agent runs, and has left no file" printed 1
in_guest -- sh -c 'kill -9 $(pidof dach-agent)' </dev/null
in_guest -- echo again </dev/null
check "one that has been killed is brought again" printed again
xl_says save web "$work/web.save"
xl_says restore "$work/web.save"
in_guest -- echo there </dev/null
check "one that goes on from a state has its agent" printed there
xl_says shutdown -w web
check "and shuts the guest down" grep -q "has been shut down" "$errors"
xl_says create -q "$work/mute.cfg"
timeout -k 5 "$LIMIT" "$DACH" exec mute -- true </dev/null >"$output" 2>"$errors"
status=$?
check "one that may run no commands is told of" grep -q "qemu-guest-agent refuses: .*guest-exec" "$errors"
check "with status 125" ended 125
xl_says shutdown -w mute
check "and shuts its guest down, too" grep -q "has been shut down" "$errors"
finish
