#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Monitors and the daemon itself are killed, stopped for a while, and taken over at random while users
work: nothing is lost, nothing runs twice, nothing is left behind, and the daemon answers meanwhile.
DACH_CHAOS_SECONDS says for how long, DACH_SEED where the dice begin; how long answers took is printed, and
held against DACH_CHAOS_BOUND_MS if that is set (99 of 100 within it; for a host with nothing else to do)."""
import glob
import os
import random
import signal
import threading
import time

from harness import Daemon, Refused, begun, eventually, main, runs

SECONDS = float(os.environ.get("DACH_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("DACH_SEED", "1"))
BOUND = float(os.environ.get("DACH_CHAOS_BOUND_MS", "0"))
TAKEN_OVER = ["", "", "", "", "stay", "desert", "heir", "heir=now", "flood", "rude", "deaf", "fail", "fall",
              "linger=60", "life=0.3", "life=2.5 end=crash", "life=3"]
USERS = 3


class Worker(threading.Thread):
    """One who goes on whatever happens. kept: guests that must be there: he was told that they are kept, and
    nobody has asked for their end since."""
    def __init__(self, d, number):
        super().__init__(daemon=True)
        self.d, self.number, self.dice = d, number, random.Random(SEED * 100 + number)
        self.kept, self.count, self.done, self.failure = set(), 0, False, None

    def one(self):
        name = f"u{self.number}-{self.dice.randrange(4)}"
        path = "/v1/guests/" + name
        what = self.dice.choice(["new", "new", "start", "start", "destroy", "delete", "pause", "unpause",
                                 "reboot", "shutdown", "list", "crash", "weight"])
        if what == "new":
            self.d.create(name, self.dice.choice(TAKEN_OVER), managed=True, start=self.dice.random() < 0.7,
                          on_crash=self.dice.choice(["restart", "destroy", "preserve", "rename-restart"]),
                          disks=[{"target": f"{self.d.folder}/disk{self.dice.randrange(3)}", "vdev": "xvda"}])
            self.kept.add(name)
        elif what == "delete":
            was = self.kept & {name}
            self.kept.discard(name)
            try:
                self.d.call("DELETE", path)
            except Refused:
                self.kept |= was
        elif what == "weight":
            self.d.put(path + "/scheduler", {"weight": self.dice.randrange(1, 1000)})
        elif what == "list":
            assert self.kept <= set(self.d.guests()), "a guest is lost"
        elif what == "crash":
            self.d.post(path + "/sysrq", {"key": "c"})
        else:
            self.d.post(f"{path}/{what}")

    def run(self):
        while not self.done:
            try:
                self.one()
                self.count += 1
            except Refused:
                self.count += 1
            except OSError:
                time.sleep(0.05)  # the daemon is not there
            except AssertionError as why:
                self.failure = why
                return
            time.sleep(0.01)


class Clock(threading.Thread):
    """How long answers take to somebody whose own guest is well."""
    def __init__(self, d):
        super().__init__(daemon=True)
        self.d, self.took, self.done = d, [], False
        self.there = threading.Lock()  # held while the daemon is not, or is stopped

    def run(self):
        n = 0
        while not self.done:
            with self.there:
                begin = time.monotonic()
                n += 1
                if n % 3:
                    self.d.get("/v1/guests/well")
                else:
                    self.d.put("/v1/guests/well/scheduler", {"weight": 100 + n % 100})
                self.took.append(time.monotonic() - begin)
            time.sleep(0.02)

    def text(self):
        took = sorted(self.took)
        return (f"{len(took)} answers: half within {took[len(took) // 2] * 1000:.1f} ms, "
                f"99 of 100 within {self.share() * 1000:.1f} ms, the longest {took[-1] * 1000:.0f} ms")

    def share(self):
        return sorted(self.took)[len(self.took) * 99 // 100]


class Chaos:
    def __init__(self, d, clock):
        self.d, self.clock, self.dice = d, clock, random.Random(SEED)
        self.stopped, self.counts = [], {}

    def monitor(self):
        others = [pid for uuid, pid in self.d.monitors().items() if pid != self.well]
        return self.dice.choice(others) if others else None

    def one(self):
        what = self.dice.choice(["kill"] * 4 + ["stop"] * 4 + ["go on"] * 3 + ["daemon", "daemon hangs"])
        pid = self.monitor()
        self.counts[what] = self.counts.get(what, 0) + 1
        try:
            if what == "kill" and pid:
                os.kill(pid, self.dice.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
            elif what == "stop" and pid:
                os.kill(pid, signal.SIGSTOP)
                self.stopped.append(pid)
            elif what == "go on" and self.stopped:
                pid = self.stopped.pop(0)
                if pid in self.d.monitors().values():  # the number may be another's by now
                    os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        if what == "daemon":
            with self.clock.there:
                self.d.stop(self.dice.choice([signal.SIGKILL, signal.SIGTERM]))
                self.d.start()
        elif what == "daemon hangs":
            with self.clock.there:
                self.d.process.send_signal(signal.SIGSTOP)
                time.sleep(0.2)
                self.d.process.send_signal(signal.SIGCONT)


def check(d):
    """No guest has two monitors; what the daemon does not know of does not run."""
    guests = {g["uuid"]: g for g in d.get("/v1/guests")["guests"]}
    held = d.monitors()
    for uuid, pids in begun(d).items():
        alive = {pid for pid in pids if runs(pid)}
        assert len(alive) <= 2, f"{uuid} has {alive}"  # one may be about to end, or have an heir
        assert uuid in guests or uuid not in held or eventually(lambda: uuid not in d.monitors()) is None


def forget(d):
    """Each is ended and deleted; one may just have been between two lives."""
    for guest in d.guests().values():
        for method, path in ("POST", "/destroy"), ("DELETE", ""):
            try:
                d.call(method, "/v1/guests/" + guest["uuid"] + path)
            except Refused:
                pass
    return not d.guests()


def tidy(d):
    """Everything is ended; nothing of it may be left: no process, no folder, no control group."""
    try:
        eventually(lambda: forget(d), 30)
    except AssertionError as why:
        left = {g["name"]: (g["uuid"], g["state"], g["pid"]) for g in d.guests().values()}
        raise AssertionError(f"not to be ended: {left}; {d.said()[-3000:]}") from why
    uuids = begun(d)
    left = {u: [p for p in pids if runs(p)] for u, pids in uuids.items()}
    assert not any(left.values()), f"left: { {u: p for u, p in left.items() if p} }"
    assert not os.listdir(d.run + "/guests")
    for uuid in uuids:
        assert not glob.glob(f"/sys/fs/cgroup/*/dach/{uuid}") and not glob.glob(f"/sys/fs/cgroup/dach/{uuid}")


def test_chaos():
    with Daemon() as d:
        for n in range(3):
            with open(f"{d.folder}/disk{n}", "wb") as disk:
                disk.truncate(1 << 20)
        d.start()
        well = d.create("well", managed=True, start=True)
        clock = Clock(d)
        chaos = Chaos(d, clock)
        chaos.well = well["pid"]
        workers = [Worker(d, n) for n in range(USERS)]
        for thread in [clock, *workers]:
            thread.start()
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                chaos.one()
                with clock.there:
                    check(d)
                time.sleep(chaos.dice.uniform(0.05, 0.5))
        finally:
            for thread in [clock, *workers]:
                thread.done = True
            for thread in [clock, *workers]:
                thread.join(60)
        for pid in chaos.stopped:
            if pid in d.monitors().values():
                os.kill(pid, signal.SIGCONT)
        for worker in workers:
            assert not worker.is_alive(), "an answer never came"
            assert not worker.failure, worker.failure
        lost = set().union(*(w.kept for w in workers)) - set(d.guests())
        assert not lost, f"lost: {lost}"
        assert d.guests()["well"]["pid"] == well["pid"], "a guest that nobody touched did not go on"
        lives = sum(len(pids) for pids in begun(d).values())
        tidy(d)
        pid = d.process.pid
        files = len(os.listdir(f"/proc/{pid}/fd"))
        assert files < 40, f"the daemon has {files} files open"
        print(f"{sum(w.count for w in workers)} commands, {lives} lives, {chaos.counts}; {clock.text()}")
        assert not BOUND or clock.share() * 1000 <= BOUND, "answers take too long"


main(globals().copy())
