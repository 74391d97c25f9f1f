# SPDX-License-Identifier: Apache-2.0
"""For killed.sh: killed.py KERNEL RAMDISK KILLS SEED

kill -9 of dachd, of the guest's monitor, or of both, at random moments while a guest is saved, suspended, kept in a
snapshot, put back into one, cloned, and while snapshots are deleted. Afterwards the guest is what it was before or what
it was to become, in memory and on both of its disks, and nothing else is left on this host's disks."""
import collections
import contextlib
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import Daemon, Refused, eventually  # noqa: E402 pylint: disable=wrong-import-position
from keeper import PATIENCE, ask, chain  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, KILLS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CHAIN = 9      # files of a disk, after which the guest goes back to its first snapshot
SNAPSHOTS = 4  # at most


class Rounds:
    def __init__(self, d):
        self.d, self.dice, self.count = d, random.Random(SEED), 0
        self.disks = d.folder + "/disks"
        self.number = 0     # that memory and disks have
        self.kept = {}      # that each snapshot has
        self.named = 0      # snapshots so far
        self.counts = collections.Counter()
        os.mkdir(self.disks)
        for name in "a", "b":
            with open(f"{self.disks}/{name}.img", "wb") as file:
                file.truncate(8 << 20)

    def one(self):
        return self.d.guests().get("one")

    def post(self, what, **body):
        return self.d.post("/v1/guests/one/" + what, body or None)

    def begin(self):
        self.d.create("one", managed=True, start=True, memory_kib=98304, kernel=KERNEL, ramdisk=RAMDISK,
                      engine="translate", cmdline="console=ttyS0 quiet panic=-1", on_crash="destroy",
                      disks=[{"target": f"{self.disks}/{n}.img", "vdev": "xvd" + n, "writable": True} for n in "ab"])
        self.nonce = ask(self.d, self.one(), "who 1", "WHO 1 ")
        self.put()
        self.post("snapshots", name="base")
        self.kept["base"] = self.number

    def put(self):
        self.number += 1
        ask(self.d, self.one(), f"put {self.number}", f"PUT {self.number}")

    def numbers(self, guest):
        """What memory and both disks say, if they agree and all of memory is right."""
        self.count += 1
        nonce, right, *numbers = ask(self.d, guest, f"get {self.count}", f"HAS {self.count} ").split()
        assert nonce == self.nonce, f"{guest['name']}: another life"
        assert right == "right" and len(set(numbers)) == 1, f"{guest['name']}: {right} {numbers}"
        return int(numbers[0])

    def perform(self, what):
        if what == "snapshot":
            self.post("snapshots", name=self.target)
        elif what == "revert":
            self.post(f"snapshots/{self.target}/revert", start=True)
        elif what == "delete":
            self.d.call("DELETE", f"/v1/guests/one/snapshots/{self.target}")
        elif what == "save":
            self.post("save", path=self.d.folder + "/saved/one", then=self.target)
        elif what == "suspend":
            self.post("suspend")
        elif what == "clone":
            self.post("clone", count=2, **self.target)

    def try_it(self, what):
        with contextlib.suppress(OSError, Refused):
            self.perform(what)

    def choose(self):
        what = self.dice.choice(["snapshot"] * 3 + ["revert"] * 2 + ["delete", "save", "suspend", "clone", "clone"])
        others = sorted(self.kept.keys() - {"base"})
        if what == "snapshot" and len(others) >= SNAPSHOTS:
            what = "delete"
        if what == "delete" and not others:
            others = [f"d{self.named}"]
            self.post("snapshots", name=others[0])
            self.kept[others[0]] = self.number
        self.named += 1
        self.target = {"snapshot": f"s{self.named}", "revert": self.dice.choice(sorted(self.kept)),
                       "delete": others and self.dice.choice(others),
                       "save": self.dice.choice(["run", "end"]),
                       "clone": self.dice.choice([{}, {"from": "base"}])}.get(what)
        return what

    def kill(self, whom):
        pid = self.d.monitors().get(self.uuid)
        if "monitor" in whom and pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: self.d.monitors().get(self.uuid) != pid, PATIENCE)
        if "daemon" in whom:
            self.d.process.send_signal(signal.SIGKILL)
            self.d.process.wait()

    def settled(self):
        live = self.d.monitors()
        return all(g["uuid"] in live if g["state"] == "running" else g["state"] in ("off", "suspended")
                   for g in self.d.guests().values())

    def expected_files(self):
        files = set()
        guest = self.one()
        for disk in guest["config"]["disks"]:
            files.update(chain(disk["target"]))
        for snapshot in self.snapshots():
            for disk in snapshot["disks"]:
                files.update(chain(disk["path"]))
        return {os.path.basename(f) for f in files}

    def snapshots(self):
        return self.d.get("/v1/guests/one/snapshots")["snapshots"]

    def nothing_else(self):
        memory = f"{self.d.state}/snapshots/{self.uuid}"
        self.left = (set(os.listdir(self.disks)) - {"a.img", "b.img"} ^ self.expected_files() - {"a.img", "b.img"},
                     set(os.listdir(memory)) ^ {s["name"] for s in self.snapshots()},
                     set(os.listdir(self.d.folder + "/saved")) - {"one"},
                     set(os.listdir(self.d.state + "/saved") if os.path.isdir(self.d.state + "/saved") else []),
                     [f for f in os.listdir(self.d.run + "/guests") if f.endswith(".state")])
        return not any(self.left)

    def back_to_base(self):
        self.post("snapshots/base/revert", start=True)
        self.number = self.kept["base"]
        self.check({self.number})

    def check(self, allowed):
        number = self.numbers(self.one())
        assert number in allowed, f"it has {number}, not {allowed}"
        self.number = number

    def look(self, what, whom):
        """After the kill, with a daemon that answers."""
        d, before = self.d, self.number
        eventually(self.settled, PATIENCE)
        names = {s["name"] for s in self.snapshots()}
        allowed = {before}
        if what == "snapshot" and self.target in names:
            self.kept[self.target] = before
        if what == "delete" and self.target not in names:
            del self.kept[self.target]
        if what == "revert":
            allowed.add(self.kept[self.target])
        assert names == set(self.kept), f"snapshots {names}, not {set(self.kept)}"
        for name, guest in list(d.guests().items()):
            if name not in ("one", "Domain-0"):
                assert self.numbers(guest) == (self.kept["base"] if self.target else before), "a clone of something else"
                d.post(f"/v1/guests/{name}/destroy")
        guest, saved = self.one(), self.d.folder + "/saved/one"
        if what == "save" and os.path.exists(saved) and guest["state"] != "running" and self.target == "end":
            d.post("/v1/restore", {"path": saved})
        elif guest["state"] != "running":
            assert what in ("suspend", "save", "revert") or "monitor" in whom, f"after {what} it is {guest['state']}"
            suspended = os.path.exists(f"{d.state}/saved/{self.uuid}")
            if not suspended:  # its life is over; its disks are checked by what comes next
                self.counts["ended"] += 1
                self.back_to_base()
                guest = None
            else:
                self.post("resume")
        if guest:
            self.check(allowed)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(saved)
        try:
            eventually(self.nothing_else, PATIENCE)
        except AssertionError as why:
            raise AssertionError(f"left behind: {self.left}") from why

    def round(self):
        what = self.choose()
        whom = self.dice.choice(["daemon"] * 3 + ["monitor"] + ["daemon and monitor"])
        after = self.dice.uniform(0, 0.5)
        self.counts[what] += 1
        doing = threading.Thread(target=self.try_it, args=(what,))
        doing.start()
        time.sleep(after)
        self.kill(whom)
        doing.join()
        if "daemon" in whom:
            self.d.start()
        self.said = f"{what} {self.target}, {whom} killed after {after * 1000:.0f} ms"
        self.look(what, whom)
        if max(len(chain(disk["target"])) for disk in self.one()["config"]["disks"]) > CHAIN:
            self.back_to_base()
        self.put()


def main():
    with Daemon(vmm=None).start() as d:
        os.mkdir(d.folder + "/saved")
        rounds = Rounds(d)
        rounds.uuid = None
        rounds.begin()
        rounds.uuid = rounds.one()["uuid"]
        for n in range(KILLS):
            rounds.said = "?"
            try:
                rounds.round()
            except Exception as why:  # pylint: disable=broad-exception-caught
                print(f"FAILED in round {n} of seed {SEED}: {rounds.said}: {type(why).__name__} {why}")
                print(d.said()[-1500:], file=sys.stderr)
                sys.exit(1)
            if os.environ.get("DACH_KILLED_SAYS"):
                print(f"{n}: {rounds.said}", flush=True)
        print(f"DONE {KILLS} kills: {dict(rounds.counts)}")


main()
