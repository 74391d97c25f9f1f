#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ways out of a container that others have found (tests/guest/escape.c), and what greedy ones leave to others. As root."""
import ctypes
import glob
import os
import socket
import subprocess
import time

from containers import BUILD, TEMPLATE, TOP, as_root, create, dach, daemon, eventually, inside, sh, up

ATTACKER = BUILD + "/tests/guest/escape"
ADD_KEY, SETPERM, USER_KEYRING = 248, 5, -4  # of x86-64; linux/keyctl.h
# Those that are tried at all: what of them this host's root can, in whatever sandbox it is itself.
SOME = {"handle", "bpf", "perf", "log", "key", "socket", "settings"}


def add_key():
    """Of the host's root, for all who have his number; its own number."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.syscall(ADD_KEY, b"user", b"dach-test", b"secret", 6, USER_KEYRING)
    libc.syscall(250, SETPERM, number, 0x3f3f3f3f)
    return number


def attempts(text):
    """Those that work, and those that do not."""
    lines = text.split()
    assert lines[-1] == "tried" and "killed-" not in text, text
    vain = {line[3:] for line in lines if line.startswith("no-")}
    return {line for line in lines[:-1] if not line.startswith("no-")}, vain


def test_no_way_out():
    if not os.path.exists(ATTACKER):
        print("# not tried: builds with sanitizers have no " + ATTACKER)
        return
    key = str(add_key())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0dach-test-" + key)
        listener.listen()
        words = [key, "dach-test-" + key]
        here, vain = attempts(subprocess.run([ATTACKER, *words], capture_output=True, text=True, timeout=60, check=True).stdout.replace("killed-", "no-"))
        assert len(here & SOME) >= 2, here
        # Of these it is not shown that they would be seen to work.
        print("# in vain on this host, too:", *sorted(vain))
        with daemon() as d:
            create(d)
            create(d, "free", privileged=True)
            for name in "web", "free":
                up(d, name)
                assert not dach(d, "cp", ATTACKER, name + ":/tmp/attack").returncode
                said, kept_off = attempts(inside(d, "/tmp/attack " + " ".join(words), name))
                assert said | kept_off == here | vain
                # Whoever is the host's root by number sees that this one has keys, though not what they are.
                assert said <= ({"keys"} if name == "free" else set()), (name, said)



def counted(uuid, files, word):
    """What the container's control groups have counted, of whichever version."""
    total = 0
    for top in "/sys/fs/cgroup/*/dach/", "/sys/fs/cgroup/dach/":
        for file in files:
            for path in glob.glob(f"{top}{uuid}/**/{file}", recursive=True):
                total += sum(int(line.split()[1]) for line in open(path) if line.split()[0] == word)
    return total


def answers(d, name):
    """Seconds that a command takes there."""
    began = time.monotonic()
    assert dach(d, "exec", name, "--", "/bin/true").returncode == 0
    return time.monotonic() - began


def test_greedy_ones():
    """A bomb of processes, one of memory, one of files: the host and a neighbour go on, and all of it ends with the container."""
    hogs = {
        "processes": "bomb() { bomb | bomb & }; bomb",
        "memory": "while true; do tail /dev/zero; done",
        "files": "n=0; while mkdir /tmp/d$n; do (cd /tmp/d$n; k=0; while [ $k -lt 500 ] && echo > f$k; do k=$((k + 1)); done); n=$((n + 1)); done",
    }
    bites = {
        "processes": lambda d, uuid: counted(uuid, ["pids.events"], "max"),
        "memory": lambda d, uuid: counted(uuid, ["memory.events", "memory.oom_control"], "oom_kill"),
        "files": lambda d, uuid: len(os.listdir(f"{d.state}/containers/{uuid}/upper/tmp")) > 20,
    }
    with daemon() as d:
        create(d, "neighbour")
        up(d, "neighbour")
        quiet = min(answers(d, "neighbour") for _ in range(3))
        for what, script in hogs.items():
            uuid = create(d, "hog", memory_kib=65536, pids=100, cap=50)["uuid"]
            up(d, "hog")
            with open(TOP + "/hog", "w") as file:
                file.write(script + "\n")
            assert not dach(d, "cp", TOP + "/hog", "hog:/tmp/hog").returncode
            inside(d, "sh /tmp/hog >/dev/null 2>&1 &", "hog")
            eventually(lambda: bites[what](d, uuid), 60)
            busy = sorted(answers(d, "neighbour") for _ in range(5))[2]
            fork = time.monotonic()
            sh("true")
            print(f"# {what}: a command in a neighbour {busy * 1000:.0f} ms, {quiet * 1000:.0f} ms without; "
                  f"a shell here {(time.monotonic() - fork) * 1000:.0f} ms; load {open('/proc/loadavg').read().split()[0]}")
            assert busy < max(5, 20 * quiet), (what, busy, quiet)
            began = time.monotonic()
            d.post("/v1/guests/hog/destroy", None)
            eventually(lambda: "hog" not in d.guests(), 60)
            print(f"# {what}: gone after {time.monotonic() - began:.1f} s")
        assert inside(d, "echo well", "neighbour") == "well\n"
    assert os.path.isdir(TEMPLATE) and os.path.isdir(TOP)


if __name__ == "__main__":
    as_root(dict(globals()))
