#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A machine for one command: its streams, its status, its signals, its terminal; the ramdisk is its root.
. "$(dirname "$0")/lib.sh"

. "$(dirname "$0")/machine-lib.sh"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/machine.cpio"

# machine [OPTION...] -- COMMAND...: leaves status, output and errors
machine() {
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/machine.cpio" --memory 256 "$@" >"$output" 2>"$errors"
	status=$?
}

machine -- sh -c 'echo out; echo err >&2; exit 7' </dev/null
check "its status is the command's" [ $status -eq 7 ]
check "standard output is its own" printed out
check "and so is standard error, with nothing of ours" [ "$(cat "$errors")" = err ]

head -c 3000000 /dev/urandom >"$work/data"
machine -- sh -c 'cat; cat /etc/hostname >&2' <"$work/data"
check "three million bytes go there and come back" cmp -s "$work/data" "$output"
check "to its input's end" [ "$status $(cat "$errors")" = "0 machine" ]

A=1 machine --env A --env "B=2 3" --env NOT_SET_HERE --user guest:staff --workdir /etc -- \
	sh -c 'echo "$A $B ${NOT_SET_HERE-none} $(id -un) $(id -gn) $(pwd) $HOME"' </dev/null
check "user, group, folder and environment" printed "1 2 3 none guest staff /etc /home/guest"

machine -- not-there </dev/null
check "no such command: 127" [ $status -eq 127 ]
machine -- /etc/passwd </dev/null
check "one that cannot be run: 126" [ $status -eq 126 ]
machine --user nobody -- id </dev/null
check "no such user: 126" [ $status -eq 126 ]
check "which is told" grep -q "the guest has no user 'nobody'" "$errors"
machine -- sh -c 'kill -9 $$' </dev/null
check "a signal that ends it: 128 and more" [ $status -eq 137 ]

machine --net user -- sh -c 'cat /sys/class/net/eth0/address >/dev/null && cat /etc/resolv.conf /run/resolv.conf' </dev/null
check "the network has a name server" said "nameserver 10.0.2.3"

# What this host lacks is told at a console, not on the command's standard error.
if unshare -Ur true 2>/dev/null; then
	unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_mnt_namespaces; exec "$0" "$@"' "$DACH" run --engine "$DACH_ENGINE" \
		--kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 --net user -- sh -c : </dev/null 2>"$errors"
	check "a host that lacks something says so to nobody" [ ! -s "$errors" ]
fi

if unshare -Urm mount -t tmpfs none /proc 2>/dev/null; then
	unshare -Urm sh -c 'mount -t tmpfs none /proc; exec "$0" "$@"' "$DACH" run --engine "$DACH_ENGINE" \
		--kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 -- echo ran </dev/null >"$output" 2>"$errors"
	check "without /proc it runs, too" printed ran
fi

timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" \
	--memory 256 -- yes </dev/null 2>"$errors" | head -n 2 >"$output"
check "a reader that goes away ends it" printed "$(printf 'y\ny')"

"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 -- echo lost \
	</dev/null >/dev/full 2>"$errors"
status=$?
check "output that cannot be written: 125" ended 125
check "which is told" grep -q "output is lost from here on: No space left" "$errors"
"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 -- \
	sh -c 'echo lost; sleep 60' </dev/null >/dev/full 2>"$errors"
status=$?
check "also of one that ends of it" ended 125

machine --timeout 10 -- sleep 1000 </dev/null
check "--timeout: 124" [ $status -eq 124 ]

forget
"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" --memory 256 -- \
	sh -c 'trap "echo asked; exit 9" TERM; echo ready; sleep 1000 & wait' </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said ready
kill -TERM $guest_pid
guest_wait
check "SIGTERM is the command's" ended 9 asked

machine -- sh -c 'echo c >/proc/sysrq-trigger; sleep 100' </dev/null
check "a guest that crashes: 125" [ $status -eq 125 ]
check "with its last words" grep -q "sysrq" "$errors"

machine --memory 256 -- </dev/null
check "no command: 125" [ $status -eq 125 ]
"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/machine.cpio" --memory 1 -- true </dev/null >"$output" 2>"$errors"
status=$?
check "too little memory: 125" ended 125
check "which is told" grep -q "the guest has 1 MiB of memory" "$errors"

python3 - "$DACH" "$kernel" "$work/machine.cpio" "$DACH_ENGINE" >"$output" 2>"$errors" <<'PYTHON'
import fcntl, os, pty, select, struct, sys, termios

dach, kernel, initrd, engine = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(dach, ["dach", "run", "--engine", engine, "--kernel", kernel, "--initrd", initrd, "--memory", "256", "--", "sh"])


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
os.write(terminal, b"stty size; tty\r")
until(b"33 111\r\n/dev/pts/0\r\n")
os.write(terminal, b"sh -c 'echo RUN-0 | tr 0 1; exec sleep 1000'\r")
until(b"RUN-1")
os.write(terminal, b"\x03")
until(b"# ")
size(40, 90)
# The size takes its way through the guest: asked again until it is there.
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
finish
