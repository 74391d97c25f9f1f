# SPDX-License-Identifier: Apache-2.0
"""terminal.py leave|detach|kill|hangup|size COMMAND...: runs it on a pseudo-terminal, waits for READY, types a line,
then Ctrl+], or kills it without a warning, or takes the terminal away. Succeeds if the line came back, the
program ended (asked to leave: with status 2, the guest's end; to detach: with status 0; without a terminal:
with status 0, the guest's own end) and the terminal is as before.
size: the guest says "size ROWS COLUMNS." when it changes, and is to say two sizes that the terminal has."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

how, command = sys.argv[1], sys.argv[2:]


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


pid, fd = pty.fork()
if pid == 0:
    set_size(0, 50, 200)
    os.execvp(command[0], command)
before = termios.tcgetattr(fd)
seen = b""


def wait_for(text, seconds):
    global seen
    end = time.monotonic() + seconds
    while text not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                data = os.read(fd, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
    return text in seen


ok = wait_for(b"size 50 200." if how == "size" else b"READY", 60)
raw = not termios.tcgetattr(fd)[3] & termios.ICANON
if how == "size":
    set_size(fd, 40, 100)
    ok = wait_for(b"size 40 100.", 10) and ok
else:
    os.write(fd, b"hello\r")
    ok = wait_for(b"got hello", 10) and ok
if how == "kill":
    os.kill(pid, 9)
elif how == "hangup":
    os.close(fd)  # the kernel sends SIGHUP; so does a shell that has lost its terminal, to each of its jobs
    time.sleep(0.3)
    os.kill(pid, signal.SIGHUP)
else:
    os.write(fd, b"\x1d")
end = time.monotonic() + (30 if how == "hangup" else 10)
status = None
while status is None and time.monotonic() < end:
    done, code = os.waitpid(pid, os.WNOHANG)
    if done:
        status = os.waitstatus_to_exitcode(code)
    time.sleep(0.05)
if status is None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
end = time.monotonic() + 5
after = before
while how != "hangup" and (after := termios.tcgetattr(fd)) != before and time.monotonic() < end:
    time.sleep(0.05)
print(seen.decode("utf-8", "replace"))
print(f"ok {ok}, raw {raw}, status {status}, restored {before == after}")
wanted = {"kill": -9, "leave": 2, "size": 2, "detach": 0, "hangup": 0}[how]
sys.exit(0 if ok and raw and status == wanted and before == after else 1)
