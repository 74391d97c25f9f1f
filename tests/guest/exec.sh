#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Commands in a guest that the daemon keeps, beside its own system: streams, statuses, signals, terminals; files;
# several at once; callers that are killed; the daemon's end, a guest that is saved, one without an agent.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/machine-lib.sh"

for applet in mount mkdir cp switch_root ps grep cut seq wc touch rm stat readlink ls; do
	ln -s busybox "$root/bin/$applet"
done
# The ramdisk goes elsewhere, as that of a distribution does.
cat >"$root/init" <<'INIT'
#!/bin/sh
mkdir -p /proc /sys /dev /new
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
sleep 1
mount -t tmpfs tmpfs /new
cp -a /bin /etc /lib /home /new
mkdir /new/proc /new/sys /new/dev /new/tmp /new/root
echo "$0 $*" >/new/etc/init-was
for folder in proc sys dev; do
	mount --move /$folder /new/$folder
done
echo "tmpfs / tmpfs defaults 0 1" >/new/etc/fstab
mount -o remount,ro tmpfs /new
exec switch_root /new /bin/system
INIT
cat >"$root/bin/system" <<'SYSTEM'
#!/bin/sh
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
sleep 2
mount -o remount,rw tmpfs /
echo "SYSTEM IS THERE"
while :; do
	sleep 1000
done
SYSTEM
chmod 755 "$root/init" "$root/bin/system"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/system.cpio"
cat >"$work/web.cfg" <<CFG
name = "web"
kernel = "$kernel"
ramdisk = "$work/system.cpio"
memory = 192
engine = "$DACH_ENGINE"
cmdline = "console=ttyS0 root=tmpfs quiet single"
agent = 1
CFG

# in_guest OPTION... -- COMMAND...: in the guest web; leaves status, output and errors
in_guest() {
	timeout -k 5 "$LIMIT" "$DACH" exec web "$@" >"$output" 2>"$errors"
	status=$?
}

# Whether no command of ours is left in the guest.
nothing_left() {
	"$DACH" exec web -- sh -c 'ps | grep -c "[s]leep 123[0-9]"' </dev/null 2>/dev/null | grep -qx 0
}

"$DACH" create -q "$work/web.cfg" >"$output" 2>&1
status=$?
check "a guest with an agent is made" [ $status -eq 0 ]
[ $status -eq 0 ] || finish

in_guest -- sh -c 'echo out; echo err >&2; : >/etc/written && exit 7' </dev/null
check "a command waits for the guest's system, and its status is the exit status" ended 7 out
[ $status -eq 7 ] || finish # with its root writable, as it is to be
check "standard output is its own" printed out
check "and so is standard error" [ "$(cat "$errors")" = err ]
in_guest -- cat /etc/init-was /proc/1/cmdline /proc/cmdline </dev/null
check "the ramdisk's init was started as the kernel starts it" said "^/init single"
check "in the real root, where the first process is the guest's own" said "/bin/system"
in_guest -- sh -c 'cat /proc/mounts; ls / 2>/dev/null' </dev/null
check "nothing of ours is mounted" [ "$(grep -c dach "$output")" = 0 ]

head -c 3000000 /dev/urandom >"$work/data"
in_guest -- cat <"$work/data"
check "three million bytes go there and come back" cmp -s "$work/data" "$output"
A=1 in_guest --env A --env "B=2 3" --user guest:staff --workdir /etc -- \
	sh -c 'echo "$A $B $(id -un) $(id -gn) $(pwd) $HOME"' </dev/null
check "user, group, folder and environment" printed "1 2 3 guest staff /etc /home/guest"
"$DACH" exec web -- echo lost </dev/null >/dev/full 2>"$errors"
status=$?
check "output that cannot be written: 125" ended 125
check "which is told" told "output is lost from here on: No space left"
"$DACH" exec web -- sh -c 'echo lost; sleep 60' </dev/null >/dev/full 2>"$errors"
status=$?
check "also of one that ends of it" ended 125
in_guest -- not-there </dev/null
check "no such command: 127" [ $status -eq 127 ]
in_guest --user nobody -- id </dev/null
check "no such user: 126" [ $status -eq 126 ]
check "which is told" told "the guest has no user 'nobody'"
in_guest -- sh -c 'kill -9 $$' </dev/null
check "a signal that ends it: 128 and more" [ $status -eq 137 ]
in_guest --timeout 2 -- sleep 1230 </dev/null
check "--timeout: 124" [ $status -eq 124 ]
timeout -k 5 "$LIMIT" "$DACH" exec web -- yes </dev/null 2>"$errors" | head -n 2 >"$output"
check "a reader that goes away ends it" printed "$(printf 'y\ny')"
echo 'echo $0 $((6 * 7)) $USER' | timeout "$LIMIT" "$DACH" enter web >"$output" 2>"$errors"
status=$?
check "enter is the user's shell" printed "-sh 42 root"

# Files there and back.
mkdir -p "$work/tree/deep"
cp "$work/data" "$work/tree/deep/data"
truncate -s 100M "$work/tree/hole"
ln -s deep/data "$work/tree/link"
chmod 751 "$work/tree/deep"
touch -d 2001-02-03T04:05:06.789 "$work/tree/deep/data"
copy() {
	timeout -k 5 "$LIMIT" "$DACH" cp "$@" >"$output" 2>"$errors"
	status=$?
}
copy "$work/tree" web:/tmp
check "a folder is copied into one of the guest's" ended 0
in_guest -- sh -c 'cd /tmp/tree && sha256sum <deep/data && stat -c "%a %u" deep && readlink link && stat -c %s hole' </dev/null
check "with what is in it" printed "$(sha256sum <"$work/data")
751 0
deep/data
104857600"
copy web:/tmp/tree "$work/back"
check "and comes back" ended 0
check "as it was" diff -r --no-dereference "$work/tree" "$work/back"
check "with its holes" [ "$(du -m "$work/back" | tail -n 1 | cut -f 1)" -lt 20 ]
check "and times" [ "$(stat -c %y "$work/back/deep/data")" = "$(stat -c %y "$work/tree/deep/data")" ]
copy - web:/tmp/stream <"$work/data"
check "a stream becomes a file" ended 0
copy web:/tmp/stream -
check "and a file a stream" cmp -s "$work/data" "$output"
copy web:/proc/cpuinfo "$work/cpuinfo"
check "a file of the kernel's, which has no size" grep -q ^processor "$work/cpuinfo"
copy web:/nowhere "$work/x"
check "what is not there: 1" ended 1
check "in one line" [ "$(cat "$errors")" = "dach: /nowhere: No such file or directory" ]
copy "$work/data" web:/nowhere/x
check "nor where it was to go: 1" ended 1
check "in one line, too" [ "$(cat "$errors")" = "dach: /nowhere: No such file or directory" ]
copy "$work/data" "$work/x"
check "one of both is in a guest" told "nothing of this is in a guest"
copy "$work/data" web:/dev/full
check "no device is replaced" ended 1
check "which is told" told "full: is there, and no file"

# Twelve at once, each with its own streams.
children=
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
	echo "in $n" | timeout "$LIMIT" "$DACH" exec web -- sh -c "cat; seq 1 20000 | wc -l; exit $n" >"$work/out.$n" 2>&1 &
	children="$children $!"
done
wrong=
n=0
for child in $children; do
	n=$((n + 1))
	wait "$child"
	[ $? -eq $n ] && [ "$(cat "$work/out.$n")" = "$(printf 'in %s\n20000' $n)" ] || wrong="$wrong $n"
done
check "twelve commands at once" [ -z "$wrong" ]

forget
"$DACH" exec web -- sh -c 'trap "echo asked; exit 9" TERM; echo ready; sleep 1231 & wait' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said ready
kill -TERM $guest_pid
guest_wait
check "SIGTERM is the command's" ended 9 asked
forget
"$DACH" exec web -- sh -c 'echo ready; exec sleep 1232' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said ready
kill -KILL $guest_pid
guest_wait 2>/dev/null
"$DACH" exec web -- sh -c 'trap "" HUP; echo ready; sleep 1233; sleep 1234' </dev/null >"$work/stubborn" 2>&1 &
guest_pid=$!
wait_for 60 grep -q ready "$work/stubborn"
kill -KILL $guest_pid
guest_wait 2>/dev/null
status=
check "callers that are killed leave nothing" wait_for 60 nothing_left

python3 - "$DACH" >"$output" 2>"$errors" <<'PYTHON'
import fcntl, os, pty, select, struct, sys, termios

pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["dach", "enter", "web"])


def size(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def until(word):
    text = b""
    while word not in text:
        if not select.select([terminal], [], [], 60)[0]:
            sys.exit(f"no {word} in {text}")
        text += os.read(terminal, 4096)
    return text


size(33, 111)
until(b"# ")
os.write(terminal, b"until [ \"$(stty size)\" = '33 111' ]; do sleep 0.1; done; tty\r")
until(b"/dev/pts/0\r\n")
os.write(terminal, b"sh -c 'echo RUN-0 | tr 0 1; exec sleep 1235'\r")
until(b"RUN-1")
os.write(terminal, b"\x03")
until(b"# ")
size(40, 90)
os.write(terminal, b"until [ \"$(stty size)\" = '40 90' ]; do sleep 0.1; done; echo NEW-$?; exit 5\r")
until(b"NEW-0")
while True:
    try:
        if not os.read(terminal, 4096):
            break
    except OSError:
        break
print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
check "on a terminal it has one, of its size, with its keys" printed "status 5"

xl pause web >/dev/null 2>&1
in_guest -- true </dev/null
check "a guest that is paused: 125, and why" ended 125
check "in one line" told "it is paused"
xl unpause web >/dev/null 2>&1

# A daemon that ends hangs up on commands; the next one takes the guest over, and its agent.
forget
"$DACH" exec web -- sh -c 'echo ready; exec sleep 1236' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said ready
dachd=$(daemon_pid)
kill -KILL "$dachd"
guest_wait
check "the daemon's end is told: 125" [ $status -eq 125 ]
in_guest -- echo again </dev/null
check "with the next one the guest has its agent" printed again
check "and the command is over" wait_for 60 nothing_left

# Who goes on from a state has nobody who waits for what ran.
forget
"$DACH" exec web -- sh -c 'echo ready; exec sleep 1237' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said ready
xl save web "$work/web.save" >/dev/null 2>"$work/saved"
guest_wait
check "a guest that is saved: 125" [ $status -eq 125 ]
xl restore "$work/web.save" >/dev/null 2>"$errors"
in_guest -- echo restored </dev/null
check "one that is restored has its agent" printed restored
check "and nothing that ran before" wait_for 60 nothing_left

xl destroy web >/dev/null 2>&1
sed -e 's/^agent.*//' -e 's/"web"/"plain"/' "$work/web.cfg" >"$work/plain.cfg"
"$DACH" create -q "$work/plain.cfg" >/dev/null 2>&1
"$DACH" exec plain -- true >"$output" 2>"$errors" </dev/null
status=$?
check "a guest without one: 125, and what to do" ended 125
check "in one sentence" told "has no agent: with agent = 1"
"$DACH" exec nobody -- true >"$output" 2>"$errors" </dev/null
status=$?
check "no such guest: 125" ended 125
finish
