#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three users do whatever comes up with their guests and each other's, guests crash and the daemon is
killed: nobody ever has more than the policy gives him, neither by what the daemon says nor by what its
monitors were really started with. Needs root. DACH_OPERATIONS says how many, DACH_SEED where the dice
begin."""
import glob
import json
import os
import pwd
import random
import signal
import sys

from harness import Daemon, Refused, main
from users import User, launched

OPERATIONS = int(os.environ.get("DACH_OPERATIONS", "500"))
SEED = int(os.environ.get("DACH_SEED", "1"))
RULES = {
    "daemon": {"guests": 3, "memory": 200, "vcpus": 4},
    "bin": {"guests": 2, "memory": 128, "vcpus": 2, "addresses": True, "cpu_weight": 512},
    "nobody": {"guests": 4, "memory": 300, "vcpus": 6, "low_ports": True, "affinity": True},
}
ANY = "0.0.0.0"


class World:
    """The daemon, its users, and what is known of each guest by its UUID."""
    def __init__(self, d):
        self.d, self.dice = d, random.Random(SEED)
        self.rules, self.users, self.owner = {}, [], {}
        self.counts, self.ports, self.most = {}, 20000, 0
        for name, rule in RULES.items():
            folder = f"{d.folder}/{name}/"
            os.mkdir(folder)
            for file, size in ("kernel", 0), ("disk0", 1 << 20), ("disk1", 1 << 20):
                with open(folder + file, "wb") as out:
                    out.truncate(size)
                os.chmod(folder + file, 0o666)
            os.chmod(folder, 0o777)
            uid = pwd.getpwnam(name).pw_uid
            self.rules[uid] = {**rule, "paths": [folder]}
        with open(d.folder + "/policy", "w") as out:
            json.dump({"users": {pwd.getpwuid(uid).pw_name: rule
                                 for uid, rule in self.rules.items()}}, out)
        d.start()
        self.users = [User(d.run, uid, pwd.getpwuid(uid).pw_gid) for uid in self.rules]

    def close(self):
        for user in self.users:
            user.close()

    def pick(self, *what):
        return self.dice.choice(what)

    def folder(self, uid):
        """Mostly one's own."""
        return self.rules[uid if self.dice.random() < 0.95 else self.pick(*self.rules)]["paths"][0]

    def config(self, user):
        dice = self.dice
        config = {"name": f"g{dice.randrange(12)}", "kernel": self.folder(user.uid) + "kernel",
                  "memory_kib": dice.randrange(1, 12) << 14, "vcpus": self.pick(1, 1, 1, 2, 3),
                  "on_crash": self.pick("restart", "rename-restart", "rename-restart", "preserve",
                                        "coredump-restart", "destroy")}
        if dice.random() < 0.3:
            config["maxmem_kib"] = config["memory_kib"] + (dice.randrange(0, 6) << 14)
        if dice.random() < 0.3:
            config["maxvcpus"] = config["vcpus"] + dice.randrange(2)
        if dice.random() < 0.3:
            config["disks"] = [{"target": self.folder(user.uid) + self.pick("disk0", "disk1"),
                                "vdev": "xvda", "writable": self.pick(True, False)}]
        if dice.random() < 0.3:
            self.ports = 20000 + (self.ports + 1) % 10000
            config["vifs"] = [{"forward": [
                f"tcp:{self.pick('127.0.0.1', '127.0.0.1', ANY)}:"
                f"{self.pick(self.ports, self.ports, 80)}-:80"]}]
        if dice.random() < 0.1:
            config["cpu_weight"] = self.pick(1, 256, 257, 512, 513)
        if dice.random() < 0.1:
            config["cpus"] = ["0"]
        if dice.random() < 0.05 and self.owner:
            config["uuid"] = self.pick(*self.owner)
        return config

    def one(self):
        """Something that somebody does; the answer to it."""
        user, dice = self.pick(*self.users), self.dice
        what = self.pick("create", "create", "create", "start", "destroy", "destroy", "delete", "delete",
                         "memory", "memory-max", "rename", "scheduler", "affinity", "crash", "reboot",
                         "shutdown", "pause", "unpause", "look", "config")
        own = [uuid for uuid, uid in self.owner.items() if uid == user.uid]
        guest = self.pick(*own) if own and dice.random() < 0.7 else \
            self.pick(*self.owner) if self.owner and dice.random() < 0.8 else f"g{dice.randrange(12)}"
        path = "/v1/guests/" + guest
        memory = {"memory": self.pick(1024, 8192, 16384, 65536, 131072, 1 << 20)}
        ask = {
            "create": ("POST", "/v1/guests", {"config": self.config(user), "managed": self.pick(True, True, False),
                                              "start": dice.random() < 0.25}),
            "start": ("POST", path + "/start"), "destroy": ("POST", path + "/destroy"),
            "delete": ("DELETE", path), "memory": ("PUT", path + "/memory", memory),
            "memory-max": ("PUT", path + "/memory-max", memory),
            "rename": ("POST", path + "/rename", {"name": f"g{dice.randrange(12)}"}),
            "scheduler": ("PUT", path + "/scheduler", {"weight": self.pick(1, 256, 257, 512, 513)}),
            "affinity": ("PUT", path + "/vcpus/all/affinity", {"cpus": self.pick("0", "all")}),
            "crash": ("POST", path + "/sysrq", {"key": "c"}), "look": ("GET", path),
            "config": ("GET", "/v1/guests"),
        }.get(what, ("POST", f"{path}/{what}"))
        status, answer = user.ask(*ask)
        key = f"{what} {'done' if status < 300 else 'refused'}"
        self.counts[key] = self.counts.get(key, 0) + 1
        assert status, answer
        if status < 300 and what == "create":
            self.owner[answer["uuid"]] = user.uid
        elif status < 300 and what == "config":
            assert {g["owner"] for g in answer["guests"]} <= {user.uid}, "sees other people's"
        elif status < 300:
            owner = self.owner.get(guest, self.owner.get(answer.get("uuid")))
            assert owner in (None, user.uid), f"{ask} of a guest of {owner}'s by {user.uid}"

    def check(self):
        listed = self.d.get("/v1/guests")["guests"]
        running = launched(self.d)
        self.most = max(self.most, len(running))
        self.owner = {g["uuid"]: g["owner"] for g in listed}
        for uid, rule in self.rules.items():
            mine = [g for g in listed if g["owner"] == uid]
            really = [running[u] for u in running if self.owner.get(u) == uid]
            for what, said in ("said", [(g["memory_max"], g["vcpus_max"]) for g in mine]), \
                    ("run", [(m.get("maxmem", m["memory"]), m.get("vcpus", 1)) for m in really]):
                assert len(said) <= rule["guests"], f"{what}: {len(said)} guests of {uid}'s"
                assert sum(m for m, _ in said) <= rule["memory"] << 10, f"{what}: memory of {uid}: {said}"
                assert sum(v for _, v in said) <= rule["vcpus"], f"{what}: processors of {uid}: {said}"
            for guest in mine:
                assert guest["scheduler"]["weight"] <= rule.get("cpu_weight", 256), guest
                affinity = guest["config"].get("cpus") or []
                assert rule.get("affinity") or set(affinity) <= {"all"}, affinity
            for monitor in really:
                self.check_monitor(monitor, rule)
        assert {g["owner"] for g in listed} <= set(self.rules)
        writers = [os.stat(d["files"][0]["name"]).st_ino for m in running.values()
                   for d in m.get("disks", []) if not d.get("readonly")]
        assert len(writers) == len(set(writers)), "a disk is two guests'"

    @staticmethod
    def check_monitor(monitor, rule):
        for disk in monitor.get("disks", []):
            assert disk["files"][0]["name"].startswith(rule["paths"][0]), disk
        for network in monitor.get("networks", []):
            for forward in network["forwards"]:
                assert rule.get("low_ports") or forward["host_port"] >= 1024, forward
                assert rule.get("addresses") or forward["host_addr"] >> 24 == 127, forward
        for path in glob.glob(f"/sys/fs/cgroup/*/dach/{monitor['uuid']}/memory.limit_in_bytes"):
            limit = int(open(path).read())
            assert limit <= (monitor.get("maxmem", monitor["memory"]) + (512 << 10)) << 10, limit

    def restart(self):
        self.d.stop(self.pick(signal.SIGKILL, signal.SIGTERM))
        self.d.start()
        self.counts["restart"] = self.counts.get("restart", 0) + 1


def test_nobody_has_more_than_the_policy_gives():
    if os.geteuid():
        return
    with Daemon() as d:
        world = World(d)
        try:
            for n in range(OPERATIONS):
                world.one()
                if n % 5 == 0:
                    world.check()
                if world.dice.random() < 0.004:
                    world.restart()
            world.check()
        except (AssertionError, Refused):
            print(f"operation {n} of seed {SEED}; {d.said()[-2000:]}")
            raise
        finally:
            world.close()
        for what in "create", "start", "destroy", "memory", "rename", "scheduler", "delete":
            assert world.counts.get(what + " done"), f"no {what} was done: this shows nothing"
            assert world.counts.get(what + " refused"), f"no {what} was refused: this shows nothing"
        assert world.most > 2, "hardly a guest ran: this shows nothing"
        starts = sum(line.startswith("start") for line in open(d.journal))
        print(f"{OPERATIONS} operations, {starts} lives:",
              ", ".join(f"{count} {what}" for what, count in sorted(world.counts.items())))


sys.stdout.reconfigure(line_buffering=True)
main(globals().copy())
