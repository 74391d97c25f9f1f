# SPDX-License-Identifier: Apache-2.0
"""For migrate_far.sh: migrate_far.py KERNEL RAMDISK SLOW_LINE TRIPS MBIT MS LOSS"""
import contextlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from keeper import ask  # noqa: E402 pylint: disable=wrong-import-position
from two_hosts import Host  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, SLOW_LINE, TRIPS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


@contextlib.contextmanager
def network():
    """A network namespace, as the file that names it; it goes with the block."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
    try:
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
            time.sleep(0.02)
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.kill()
        holder.wait()


@contextlib.contextmanager
def line(*networks):
    """Between the two: 10.99.0.1 and 10.99.0.2."""
    slow = subprocess.Popen([SLOW_LINE, *networks, *sys.argv[5:8]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert slow.stdout.readline() == "ready\n"
        for n, space in enumerate(networks, 1):
            for words in "link set lo up", "link set far0 up", f"addr add 10.99.0.{n}/24 dev far0":
                subprocess.run(["nsenter", "--net=" + space, "ip", *words.split()], check=True)
        yield
    finally:
        slow.stdin.close()
        slow.wait()


class Far(Host):
    def __init__(self, space, n):
        super().__init__()
        self.listen(f"10.99.0.{n}:7420")
        self.program = ["nsenter", "--net=" + space, *self.program]


def main():
    with network() as one, network() as two, line(one, two), Far(one, 1).start() as a, Far(two, 2).start() as b:
        os.chmod(a.folder, 0o755)
        disks = [f"{a.folder}/{name}.img" for name in "ab"]
        for disk in disks:
            with open(disk, "wb") as file:
                file.truncate(1 << 20)
        a.create("one", managed=True, start=True, memory_kib=81920, kernel=KERNEL, ramdisk=RAMDISK, engine="translate",
                 cpu_model="x86-64-v2", cmdline="console=ttyS0 quiet panic=-1",
                 disks=[{"target": disk, "vdev": "xvd" + n, "writable": True} for disk, n in zip(disks, "ab")])
        nonce = ask(a, a.one(), "who 1", "WHO 1 ")
        a.knows(b)
        here, there = a, b
        for n in range(1, 2 * TRIPS + 1):
            ask(here, here.one(), f"put {n}", f"PUT {n}")
            done = here.migrate_known(there)
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            here, there = there, here
            said = ask(here, here.one(), f"get {n}", f"HAS {n} ").split()
            assert said == [nonce, "right"] + [str(n)] * 3, said
            assert there.one() is None
            print(f"went in {told['time'] / 1e9:.1f} s, {told['bytes'] >> 20} MiB, stood {told['pause'] / 1e6:.0f} ms, {told['rounds']} rounds",
                  flush=True)
        print(f"DONE {2 * TRIPS} times over a line of {sys.argv[5]} Mbit/s, {sys.argv[6]} ms late, {sys.argv[7]} of 1000 frames lost")


main()
