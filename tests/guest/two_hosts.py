# SPDX-License-Identifier: Apache-2.0
"""Two daemons of one host, as two hosts: what the tests of guests that move share. Line carries what their monitors say to
each other frame by frame (src/migrate/wire.h)."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import BUILD, Daemon, Refused  # noqa: E402 pylint: disable=wrong-import-position

HELLO, STATE, READY, GO, RUNNING, FAILED, DISK, MARK = range(1, 9)


class Host(Daemon):
    def __init__(self):
        super().__init__(vmm=None)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.listen("127.0.0.1:%d" % free.getsockname()[1])
        self.as_another_host()

    def listen(self, address):
        self.address = address
        with open(self.folder + "/policy", "w") as policy:
            json.dump({"listen": address}, policy)
        os.chmod(self.folder + "/policy", 0o600)

    def one(self):
        return self.guests().get("one")

    def knows(self, there):
        """Each other, from now on."""
        token = there.post("/v1/host/token", {"name": "here"})["token"]
        self.post("/v1/hosts", {"name": "there", "address": there.address, "token": token})

    def name_of(self, there):
        return next(host["name"] for host in self.get("/v1/hosts")["hosts"] if host["address"] == there.address)

    def dach(self, *words):
        return subprocess.run([BUILD + "/dach", *words], env=self.env, timeout=600, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)

    def migrate_known(self, there, *words):
        """The guest "one" goes there over TLS, daemon to daemon."""
        return self.dach("--json", "migrate", *words, "one", self.name_of(there))

    def migrate(self, there, *words):
        """The same over a program's standard input and output, as it is with ssh."""
        receive = f"env DACH_RUN={there.run} DACH_STATE={there.state} {BUILD}/dach migrate-receive"
        return self.dach("--json", "migrate", *words, "-s", "", "one", receive)

    def children(self, name):
        """Processes of that program whose parent is the daemon."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            found = children.read().split()
        return [int(child) for child in found if open(f"/proc/{child}/comm").read().strip() == name]

    def runs(self):
        guest = self.one()
        return guest is not None and guest["state"] == "running"


def get_all(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return data


class Line:
    """From the source to the destination and back, frame by frame; at one of them something happens."""
    def __init__(self, source, destination, guest, at=None, act=None, storage=None, config=None):
        self.source, self.act, self.at, self.seen = source, act, at, {}
        self.body = {"storage": True} if storage else {}
        self.near = source.migration("GET", "/v1/guests/one/migration")
        self.far = destination.migration("POST", "/v1/receive", {
            "config": config or guest["config"], "managed": guest["managed"], "autostart": guest["autostart"],
            **({"disk_sizes": storage} if storage else {})})
        self.lock, self.answer = threading.Lock(), None
        self.threads = [threading.Thread(target=self.carry, args=words, daemon=True)
                        for words in ((self.near, self.far, True), (self.far, self.near, False))]
        self.asking = threading.Thread(target=self.ask, daemon=True)

    def cut(self):
        for sock in self.near, self.far:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def happens(self, kind, away, when):
        with self.lock:
            if when == "before":
                self.seen[kind, away] = self.seen.get((kind, away), 0) + 1
            if self.at and self.at == ((kind, away, self.seen[kind, away]), when):
                self.at = None
                self.act(self)

    def carry(self, origin, to, away):
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = get_all(origin, 8)
                kind, size = struct.unpack("<II", head)
                data = head + get_all(origin, size)
                self.happens(kind, away, "before")
                to.sendall(data)
                self.happens(kind, away, "behind")
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def ask(self):
        try:
            self.answer = self.source.call("POST", "/v1/guests/one/migrate", self.body, timeout=120)
        except (Refused, OSError) as why:
            self.answer = why

    def run(self):
        for thread in self.threads + [self.asking]:
            thread.start()
        self.asking.join(150)
        assert not self.asking.is_alive(), "no answer to the migration"
        for thread in self.threads:
            thread.join(30)
        for sock in self.near, self.far:
            sock.close()
        return self.answer
