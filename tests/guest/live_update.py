# SPDX-License-Identifier: Apache-2.0
"""For live_update.sh: live_update.py KERNEL RAMDISK UPDATES KILLS SEED [BRIDGE]

A guest goes on in new monitors, and says each time what it has in memory and on two disks; on the bridge it is pinged each
millisecond meanwhile. Then one of the two monitors or the daemon is killed while it goes, at random moments."""
import contextlib
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import Daemon, Refused, eventually, make_disks  # noqa: E402 pylint: disable=wrong-import-position
from keeper import ask  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, UPDATES, KILLS, SEED = sys.argv[1], sys.argv[2], *(int(word) for word in sys.argv[3:6])
BRIDGE = sys.argv[6] if len(sys.argv) > 6 else None
OLD, NEW, DAEMON = "old monitor", "new monitor", "daemon"
ADDRESS = "10.9.0.2"


class Pings:
    """One each millisecond; when each was sent, and answered."""
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.settimeout(0.2)
        self.sent, self.answered, self.over = [], {}, False
        self.threads = [threading.Thread(target=run) for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.over:
            n = len(self.sent)
            packet = struct.pack("!BBHHII", 8, 0, 0, os.getpid() & 0xffff, n, 0)
            total = sum(struct.unpack("!7H", packet))
            total = (total & 0xffff) + (total >> 16)
            packet = packet[:2] + struct.pack("!H", ~total & 0xffff) + packet[4:]
            self.sent.append(time.monotonic())
            self.socket.sendto(packet, (ADDRESS, 0))
            time.sleep(0.001)

    def receive(self):
        while not self.over:
            with contextlib.suppress(TimeoutError):
                data = self.socket.recv(256)[20:]
                if data[0] == 0 and struct.unpack("!H", data[4:6])[0] == os.getpid() & 0xffff:
                    self.answered.setdefault(struct.unpack("!I", data[6:10])[0], time.monotonic())

    def end(self, begin):
        """How many were sent and lost, and ms: the longest without an answer, the same before it began, and the longest that the
        test itself slept."""
        time.sleep(0.3)
        self.over = True
        for thread in self.threads:
            thread.join()
        self.socket.close()
        times = sorted(self.answered.values())
        before = max((b - a for a, b in zip(times, times[1:]) if b < begin), default=0)
        gap = max((b - a for a, b in zip(times, times[1:]) if b >= begin), default=-1)
        own = max(b - a for a, b in zip(self.sent, self.sent[1:]))
        return len(self.sent), len(self.sent) - len(self.answered), gap * 1000, before * 1000, own * 1000


class Table:
    def __init__(self, d):
        self.d, self.number, self.count, self.dice = d, 0, 0, random.Random(SEED)
        self.stood, self.silent = [], []
        os.chmod(d.folder, 0o755)
        more = {"vifs": [{"bridge": BRIDGE, "ip": ADDRESS}]} if BRIDGE else {}
        d.create("one", managed=True, start=True, memory_kib=81920, kernel=KERNEL, ramdisk=RAMDISK, engine="translate",
                 cmdline="console=ttyS0 quiet panic=-1", on_crash="destroy", disks=make_disks(d, "a", "b"), **more)
        self.begin()

    def one(self):
        return self.d.guests()["one"]

    def monitor(self):
        return self.d.monitors().get(self.one()["uuid"])

    def begin(self):
        if self.one()["state"] != "running":
            self.d.post("/v1/guests/one/start")
        self.nonce = ask(self.d, self.one(), "who 1", "WHO 1 ")
        self.put()

    def put(self):
        self.number += 1
        ask(self.d, self.one(), f"put {self.number}", f"PUT {self.number}")

    def check(self):
        self.count += 1
        said = ask(self.d, self.one(), f"get {self.count}", f"HAS {self.count} ").split()
        assert said == [self.nonce, "right"] + [str(self.number)] * 3, f"{said} instead of {self.number}"
        self.put()

    def update(self):
        before = self.monitor()
        pings = Pings() if BRIDGE else None
        if pings:
            eventually(lambda: pings.answered, 20)
            time.sleep(0.3)
        begin = time.monotonic()
        try:
            done = self.d.call("POST", "/v1/guests/one/live-update", timeout=120)
        finally:
            figures = pings.end(begin) if pings else None
        assert self.monitor() not in (None, before), f"{before} {self.monitor()}"
        eventually(lambda: not os.path.exists(f"/proc/{before}"), 30)
        self.check()
        self.stood.append(done["pause"] / 1e6)
        said = f"stood {done['pause'] / 1e6:.1f} ms, {done['bytes']} bytes sent"
        if figures:
            assert figures[1] < figures[0], figures
            self.silent.append(figures[2])
            said += ", {} pings, {} lost, {:.1f} ms without an answer (before: {:.1f}; the test's own longest sleep: {:.1f})".format(*figures)
        print(said, flush=True)
        return done["time"] / 1e9

    def others(self):
        """Monitors of this guest: by the folder's files that they have open."""
        found, folder = [], f"{self.d.run}/guests/{self.one()['uuid']}/"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").endswith("/dach-vmm") and any(
                        os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder) for fd in os.listdir(f"/proc/{pid}/fd")):
                    found.append(int(pid))
        return found

    def settled(self, killed):
        """It has one monitor, which is none of those that were killed, or none, and the daemon knows."""
        guest, monitors = self.one(), self.others()
        if guest["state"] == "running":
            return monitors == [guest["pid"]] and guest["pid"] not in killed
        return guest["state"] == "off" and not monitors

    def kill(self, victim, after):
        answer, before = [], self.monitor()

        def call():
            try:
                answer.append(self.d.call("POST", "/v1/guests/one/live-update", timeout=120))
            except (Refused, OSError) as why:
                answer.append(why)
        asking = threading.Thread(target=call)
        asking.start()
        time.sleep(after)
        pids = []
        if victim == DAEMON:
            self.d.stop(signal.SIGKILL)
            self.d.start()
        else:
            pids = [before] if victim == OLD else [pid for pid in self.others() if pid != before]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        asking.join(150)
        assert not asking.is_alive(), "no answer"
        eventually(lambda: self.settled(pids), 90)
        now = self.one()
        folder = f"{self.d.run}/guests/{now['uuid']}"
        if now["state"] == "running":
            self.check()
            assert not [name for name in os.listdir(folder) if name.endswith(".next")]
            return "goes on" if self.monitor() == before else "in the new one"
        assert now["state"] == "off" and victim != DAEMON, now
        text = now["last_end"]["text"]
        assert "killed" in text or "new monitor" in text, text
        self.begin()
        return "has ended: " + text


def main():
    with Daemon(vmm=None).start() as d:
        table = Table(d)
        took = [table.update() for _ in range(UPDATES)]
        for n in range(KILLS):
            victim = (OLD, NEW, DAEMON)[n % 3]
            after = table.dice.uniform(0, 2 * max(took) + 0.2)
            print(f"{victim} after {after * 1000:.0f} ms: {table.kill(victim, after)}", flush=True)
        table.update()
        silent = f", at most {max(table.silent):.0f} without an answer" if table.silent else ""
        print(f"DONE {UPDATES + 1} times in a new monitor, stood still for at most {max(table.stood):.0f} ms{silent}; {KILLS} kills")


main()
