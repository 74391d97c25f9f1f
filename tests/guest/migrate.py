# SPDX-License-Identifier: Apache-2.0
"""For migrate.sh: migrate.py KERNEL RAMDISK STEPS TRIPS

A guest goes between two daemons, which have its disks in one place. Here are the bytes carried, frame by frame
(src/migrate/wire.h), so that a monitor, a daemon or the line can be ended exactly before or behind each of them: afterwards
the guest runs on one side or stands on one, never on two, and what is said tells which. STEPS: how many of those cases
there are; 70 are all, and a slow one. TRIPS: how often it goes there and back with a monitor's own carrying (dach migrate)."""
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import Refused, eventually, refused  # noqa: E402 pylint: disable=wrong-import-position
from keeper import ask  # noqa: E402 pylint: disable=wrong-import-position
from two_hosts import FAILED, GO, HELLO, MARK, READY, RUNNING, STATE, Host, Line  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, STEPS, TRIPS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
LINE, HERE, THERE, HERE_D, THERE_D = "line", "source monitor", "destination monitor", "source daemon", "destination daemon"
VICTIMS = [LINE, HERE, THERE, HERE_D, THERE_D]
# (frame, from the source?, which of them), before it is passed on and behind it
FRAMES = [(HELLO, True, 1), (HELLO, False, 1), (STATE, True, 3), (MARK, False, 1), (READY, False, 1), (GO, True, 1), (RUNNING, False, 1)]
CASES = [(frame, when, victim) for frame in FRAMES for when in ("before", "behind") for victim in VICTIMS]


class Table:
    def __init__(self, a, b):
        self.sides, self.number, self.count = [a, b], 0, 0
        self.disks = a.folder + "/disks"
        os.mkdir(self.disks)
        for name in "a", "b":
            with open(f"{self.disks}/{name}.img", "wb") as file:
                file.truncate(1 << 20)
        self.begin()

    def here(self):
        return self.sides[0]

    def begin(self):
        side = self.here()
        if side.one() is None:
            side.create("one", managed=True, start=True, memory_kib=81920, kernel=KERNEL, ramdisk=RAMDISK,
                        engine="translate", cpu_model="x86-64-v2", cmdline="console=ttyS0 quiet panic=-1",
                        on_crash="restart", disks=[{"target": f"{self.disks}/{n}.img", "vdev": "xvd" + n, "writable": True}
                                                   for n in "ab"])
        elif not side.runs():
            side.post("/v1/guests/one/start")
        self.nonce = ask(side, side.one(), "who 1", "WHO 1 ")
        self.put(side)

    def put(self, side):
        self.number += 1
        ask(side, side.one(), f"put {self.number}", f"PUT {self.number}")

    def check(self, side):
        """It is the same one, with all of its memory, and its disks are as it knows them."""
        self.count += 1
        said = ask(side, side.one(), f"get {self.count}", f"HAS {self.count} ").split()
        assert said == [self.nonce, "right"] + [str(self.number)] * 3, f"{said} instead of {self.number}"
        self.put(side)

    def act(self, victim):
        def perform(line):
            here, there = self.sides
            if victim == LINE:
                line.cut()
            elif victim in (HERE_D, THERE_D):
                side = here if victim == HERE_D else there
                side.stop(signal.SIGKILL)
                side.start()
            else:
                side = here if victim == HERE else there
                pid = side.monitors().get(self.uuid)
                if pid:
                    os.kill(pid, signal.SIGKILL)
        return perform

    def settle(self, case, answer):
        """Who runs it now, and what was said."""
        here, there = self.sides
        eventually(lambda: not (here.runs() and there.runs()) and (there.one() is None or there.runs()), 30)
        assert not (here.runs() and there.runs()), f"{case}: two"
        if there.runs():
            eventually(lambda: here.one() is None or here.one()["state"] not in ("running", "dying"), 60)
            guest = here.one()
            if guest is not None:
                # The source has not heard of it: it stands, or was killed and is off, and neither starts again by itself.
                assert guest["state"] in ("paused", "off"), f"{case}: {guest['state']}"
                if guest["state"] == "paused":
                    assert isinstance(answer, Exception) and "'destroy' ends it here" in str(answer) or \
                        case[2] == HERE_D, f"{case}: {answer}"
                    with contextlib.suppress(Refused):
                        here.post("/v1/guests/one/unpause")
                        raise AssertionError(f"{case}: it runs twice")
                    here.post("/v1/guests/one/destroy")
                else:
                    assert "may run on the other host" in guest["last_end"]["text"], guest["last_end"]
                here.call("DELETE", "/v1/guests/one")
            self.sides.reverse()
            return "there"
        eventually(lambda: here.one() is None or here.one()["state"] != "dying", 60)
        guest = here.one()
        assert guest is not None, f"{case}: none"
        if guest["state"] == "paused":
            # Its end would be another life; nobody can say yet that it does not run there.
            assert "is being migrated" in refused(409, here.post, "/v1/guests/one/trigger", {"trigger": "reset"})
            here.post("/v1/guests/one/unpause")
            return "stood here"
        if guest["state"] == "off":
            assert case[2] == HERE, f"{case}: off"
            return "off"
        return "here"

    def case(self, case):
        frame, when, victim = case
        here, there = self.sides
        self.uuid = here.one()["uuid"]
        line = Line(here, there, here.one(), (frame, when), self.act(victim))
        answer = line.run()
        assert line.at is None, f"{case}: the frame never came: {answer} {here.said()[-300:]} {there.said()[-300:]}"
        where = self.settle(case, answer)
        # Where the monitor was killed in which it ran, another life begins.
        if (victim, where) in ((HERE, "off"), (HERE, "here"), (THERE, "there")):
            self.begin()
        else:
            self.check(self.here())
        return where

    def drips(self):
        """Who says byte by byte why the guest cannot run there has it stand no longer than who says nothing."""
        here, there = self.sides

        def drip(line):
            with contextlib.suppress(OSError):
                line.near.sendall(struct.pack("<II", FAILED, 480))
                while line.asking.is_alive():
                    line.near.sendall(b"x")
                    time.sleep(0.5)
            line.cut()
        answer = Line(here, there, here.one(), ((GO, True, 1), "before"), drip).run()
        assert "the other side does not answer, after it was told" in str(answer), answer
        eventually(lambda: there.one() is None, 20)
        here.post("/v1/guests/one/unpause")
        self.check(here)
        print("ok drips", flush=True)

    def loses_its_peer(self):
        """The process that speaks with the other host is killed, of either, while memory goes over."""
        here, there = self.sides
        for side in here, there:
            answers, told = [], here.said().count("is being migrated")
            asking = threading.Thread(target=lambda answers=answers: answers.append(here.migrate_known(there, "--rate", "1")))
            asking.start()
            eventually(lambda told=told: here.said().count("is being migrated") > told, 60)
            pids = side.children("dach-peer")
            assert len(pids) == 1, pids
            os.kill(pids[0], signal.SIGKILL)
            asking.join(60)
            assert answers[0].returncode == 1, answers
            eventually(lambda: there.one() is None and here.runs(), 60)
            self.check(here)
        print("ok loses its peer", flush=True)

    def trips(self, count):
        """By dach migrate, as people do it: to a host that is known, and to one that is not."""
        for trip in range(4 * count):
            here, there = self.sides
            done = here.migrate_known(there) if trip % 4 < 2 else here.migrate(there)
            assert done.returncode == 0, done.stderr
            assert here.one() is None and there.one()["managed"]
            self.sides.reverse()
            self.check(there)
            print("went " + " ".join(done.stdout.split()), flush=True)


def main():
    with Host().start() as a, Host().start() as b:
        os.chmod(a.folder, 0o755)
        table = Table(a, b)
        a.knows(b)
        table.trips(TRIPS)
        table.loses_its_peer()
        for n in range(STEPS):
            case, begin = CASES[(n * 17 + 25) % len(CASES)], time.monotonic()
            where = table.case(case)
            (kind, away, number), when, victim = case
            print(f"ok {when} frame {kind} {'->' if away else '<-'} {number}: {victim}: {where} ({time.monotonic() - begin:.1f} s)",
                  flush=True)
        if STEPS >= len(CASES):
            table.drips()
        print(f"DONE {4 * TRIPS} times moved, {STEPS} steps at which something was killed")


main()
