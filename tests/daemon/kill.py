#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of dachd at random moments under a stream of commands. After each: it comes up, no guest
is lost, none runs twice. DACH_KILLS says how often, DACH_SEED where the dice begin."""
import os
import random
import signal
import threading
import time

from harness import Daemon, Refused, eventually, main, runs

KILLS = int(os.environ.get("DACH_KILLS", "12"))
SEED = int(os.environ.get("DACH_SEED", "1"))


class Stream(threading.Thread):
    """Somebody who never stops asking. known: managed guests that are there for sure: the daemon has
    said so, and nobody has asked for their end since."""
    def __init__(self, daemon, number, seed):
        super().__init__()
        self.d, self.number, self.dice = daemon, number, random.Random(seed)
        self.known, self.done, self.count = set(), False, 0
        self.busy = threading.Lock()

    def one(self):
        name = f"g{self.number}-{self.dice.randrange(4)}"
        path = "/v1/guests/" + name
        what = self.dice.choice(["new", "start", "destroy", "reboot", "pause", "unpause", "delete",
                                 "scheduler", "list", "shutdown", "crash"])
        if what == "new":
            self.d.create(name, managed=True, on_crash="restart")
            self.known.add(name)
        elif what == "delete":
            was = self.known & {name}
            self.known.discard(name)
            try:
                self.d.call("DELETE", path)
            except Refused:
                self.known |= was
        elif what == "crash":
            self.d.post(path + "/sysrq", {"key": "c"})
        elif what == "scheduler":
            self.d.put(path + "/scheduler", {"weight": self.dice.randrange(1, 1000)})
        elif what == "list":
            self.d.get("/v1/guests")
        else:
            self.d.post(path + "/" + what)

    def run(self):
        while not self.done:
            with self.busy:
                try:
                    self.one()
                    self.count += 1
                except Refused:
                    self.count += 1
                except OSError:
                    pass
            time.sleep(0.002)  # or nobody else would get the lock


def living(journal):
    """Monitors by guest that have begun and not ended, of those that are still processes."""
    alive = {}
    for line in open(journal) if os.path.exists(journal) else []:
        what, uuid, domid, pid, begin = line.split()
        life = (int(domid), int(pid), int(begin))
        if what == "start":
            alive.setdefault(uuid, set()).add(life)
        else:
            alive.get(uuid, set()).discard(life)
    for uuid in alive:
        alive[uuid] = {life for life in alive[uuid] if runs(life[1:])}
    return alive


def domids(journal):
    return [int(line.split()[2]) for line in open(journal) if line.startswith("start")] \
        if os.path.exists(journal) else []


def check(d, streams, fixed):
    for stream in streams:
        stream.busy.acquire()
    try:
        guests = d.guests()
        lost = set().union(*(s.known for s in streams)) - set(guests)
    finally:
        for stream in streams:
            stream.busy.release()
    assert not lost, f"lost: {lost}"
    for name, uuid in fixed.items():
        assert guests[name]["uuid"] == uuid, f"{name} is another"
    twice = {u: who for u, who in living(d.journal).items() if len(who) > 1}
    assert not twice, f"runs twice: {twice}"
    once = domids(d.journal)
    assert len(once) == len(set(once)), "a domain ID was given twice"


def settled(d):
    return all(g["state"] in ("off", "running", "paused") for g in d.guests().values())


def test_killed_at_any_moment():
    dice = random.Random(SEED)
    with Daemon().start() as d:
        fixed = {n: d.create(n, managed=n == "fixed0", start=True)["uuid"]
                 for n in ("fixed0", "fixed1")}
        pids = {n: d.guests()[n]["pid"] for n in fixed}
        streams = [Stream(d, n, SEED + n) for n in range(3)]
        for stream in streams:
            stream.start()
        try:
            for n in range(KILLS):
                time.sleep(dice.uniform(0.02, 0.5))
                d.process.send_signal(signal.SIGKILL)
                d.process.wait()
                d.start()
                check(d, streams, fixed)
        finally:
            for stream in streams:
                stream.done = True
            for stream in streams:
                stream.join()
        eventually(lambda: settled(d), 20)
        check(d, streams, fixed)
        assert {n: d.guests()[n]["pid"] for n in fixed} == pids, "a guest did not go on"
        # What the daemon calls running has one monitor, and nothing else has one.
        running = {g["uuid"] for g in d.guests().values() if g["domid"]}
        assert {u for u, who in living(d.journal).items() if who} == running
        print(f"{KILLS} kills, {sum(s.count for s in streams)} commands, "
              f"{len(domids(d.journal))} lives")


main(globals().copy())
