# SPDX-License-Identifier: Apache-2.0
"""For reverts.sh: reverts.py KERNEL RAMDISK REVERTS SEED

A guest writes files to two disks, and keeps in its memory which there are. It is kept in snapshots at random moments, and
goes back to one of them at random moments: then all three agree, each file is what its name says (its MD5 sum), and the
file systems are sound: each snapshot's, and in the end the guest's."""
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import Daemon  # noqa: E402 pylint: disable=wrong-import-position
from keeper import ask  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, REVERTS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
SNAPSHOTS = 3


class Rounds:
    def __init__(self, d):
        self.d, self.dice, self.asked, self.took = d, random.Random(SEED), 0, []
        self.kept = {}  # how many files each snapshot has had written
        for name in "a", "b":
            subprocess.run(["mke2fs", "-q", "-t", "ext4", f"{d.folder}/{name}.img", "24M"], check=True)
        d.create("one", managed=True, start=True, memory_kib=98304, kernel=KERNEL, ramdisk=RAMDISK,
                 engine="translate", cmdline="console=ttyS0 quiet panic=-1",
                 disks=[{"target": f"{d.folder}/{n}.img", "vdev": "xvd" + n, "writable": True} for n in "ab"])
        self.nonce = self.ask("who")[0]

    def ask(self, word):
        self.asked += 1
        return ask(self.d, self.d.guests()["one"], f"{word} {self.asked}", f"SAYS {self.asked} ").split()

    def wait(self):
        time.sleep(self.dice.uniform(0.1, 1.2))

    def keep(self, name):
        self.wait()
        self.d.post("/v1/guests/one/snapshots", {"name": name})
        snapshot = self.d.get(f"/v1/guests/one/snapshots/{name}")
        for disk in snapshot["disks"]:
            self.sound(disk["path"])

    def sound(self, path):
        """The file system, once its journal is replayed and orphans are gone, as a mount does."""
        raw = self.d.folder + "/raw"
        subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", path, raw], check=True)
        mounted = subprocess.run(["e2fsck", "-p", raw], capture_output=True, text=True, check=False)
        # Repaired it would be, too: but not before it has said that it checks.
        assert mounted.returncode in (0, 1) and "forced" not in mounted.stdout, f"{path}: {mounted}"
        done = subprocess.run(["e2fsck", "-fn", raw], capture_output=True, text=True, check=False)
        assert not done.returncode, f"{path}: {done.stdout}{done.stderr}"
        os.unlink(raw)

    def verify(self):
        nonce, wrong, count, *why = self.ask("verify")
        assert (nonce, wrong) == (self.nonce, "0"), f"{wrong} wrong, of {count}: {why}"
        return int(count)

    def back(self):
        name = self.dice.choice(sorted(self.kept))
        self.wait()
        start = time.monotonic()
        self.d.post(f"/v1/guests/one/snapshots/{name}/revert", {"start": True})
        self.took.append(time.monotonic() - start)
        count = self.verify()
        # Each time it is found where it was, as far as it has not gone on since.
        assert self.kept[name] is None or abs(count - self.kept[name]) < 200, f"{name}: {count}, {self.kept[name]}"
        self.kept[name] = count


def main():
    with Daemon(vmm=None).start() as d:
        rounds = Rounds(d)
        for n in range(SNAPSHOTS):
            rounds.keep(f"s{n}")
            rounds.kept[f"s{n}"] = None
        for n in range(REVERTS):
            rounds.back()
        rounds.wait()
        d.post("/v1/guests/one/destroy")
        for disk in d.guests()["one"]["config"]["disks"]:
            rounds.sound(disk["target"])
        took = sorted(rounds.took)
        print(f"DONE {REVERTS} reverts, half of them within {took[len(took) // 2] * 1000:.0f} ms")


main()
