#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clones, with monitors that only play guest: names, identities, what a monitor hands over, and kill -9 of the
daemon in the middle. DACH_KILLS says how often, DACH_SEED where the dice begin."""
import glob
import os
import random
import signal
import threading
import time

from harness import Daemon, Refused, eventually, main, refused

KILLS = int(os.environ.get("DACH_KILLS", "12"))
SEED = int(os.environ.get("DACH_SEED", "1"))


def clone(d, **arguments):
    return d.post("/v1/guests/one/clone", arguments)["clones"]


def test_clones_are_guests_of_their_own():
    with Daemon().start() as d:
        one = d.create("one", managed=True, start=True, vcpus=2, vifs=[
            {"mode": "user", "forward": ["tcp:127.0.0.1:20022-:22"]}])
        clones = clone(d, count=3)
        assert [g["name"] for g in clones] == ["one-1", "one-2", "one-3"], clones
        for what in "uuid", "domid", "pid":
            assert len({g[what] for g in clones + [one]}) == 4, what
        assert len({g["config"]["vifs"][0]["mac"] for g in clones + [one]}) == 4
        assert all("forward" not in g["config"]["vifs"][0] for g in clones)
        assert all(g["config"]["vcpus"] == 2 and not g["managed"] for g in clones)
        assert {g["state"] for g in clone(d, count=2, name="a%b", paused=True)} == {"paused"}
        assert [g["name"] for g in clone(d, name="alone")] == ["alone"]
        assert clone(d)[0]["name"] == "one-4"
        # The guest ends, and those that were made of it do not.
        d.post("/v1/guests/one/destroy")
        d.post("/v1/guests/one-1/clone", {"name": "grandchild"})
        assert d.guests()["grandchild"]["state"] == "running"
        # One that has ended is no more.
        d.post("/v1/guests/one-2/destroy")
        assert "one-2" not in d.guests()


def test_the_limit_grows():
    """What is frozen is there beside what the guest changes from then on."""
    with Daemon().start() as d:
        one = d.create("one")
        limit = glob.glob(f"/sys/fs/cgroup/*/dach/{one['uuid']}/memory.limit_in_bytes") + glob.glob(f"/sys/fs/cgroup/*/{one['uuid']}/memory.max")
        clone(d)
        clone(d)
        kib = d.get("/v1/guests/one")["memory_max"]
        if not limit:
            print("# skipped: this host gives the daemon no control groups for memory")
            return
        # Itself, and each time that it was frozen.
        assert int(open(limit[0]).read()) == (3 * kib + (512 << 10)) << 10, open(limit[0]).read()


def test_disks():
    with Daemon().start() as d:
        with open(d.folder + "/a.img", "wb") as file:
            file.truncate(4 << 20)
        open(d.folder + "/ro", "wb").write(bytes(512))
        d.create("one", disks=[{"target": d.folder + "/a.img", "vdev": "xvda", "writable": True},
                               {"target": d.folder + "/ro", "vdev": "xvdb", "writable": False}])
        clones = clone(d, count=2)
        tops = [g["config"]["disks"][0]["target"] for g in clones + [d.guests()["one"]]]
        assert len(set(tops)) == 3 and tops[2] == d.folder + "/a.1.qcow2", tops
        assert all(os.path.exists(top) for top in tops)
        assert all(g["config"]["disks"][0]["temporary"] for g in clones)
        assert all(g["config"]["disks"][1]["target"] == d.folder + "/ro" for g in clones)
        assert "goes when" in refused(400, d.post, "/v1/guests/one-1/clone", {})
        # One that reboots has its disks; one that ends takes them along, and nothing else.
        d.post("/v1/guests/one-1/reboot")
        eventually(lambda: d.guests()["one-1"]["domid"] != clones[0]["domid"])
        assert os.path.exists(tops[0])
        d.post("/v1/guests/one-1/destroy")
        d.post("/v1/guests/one-2/destroy")
        assert [os.path.exists(top) for top in tops] == [False, False, True]
        # What cannot be leaves the guest as it was.
        before = d.guests()["one"]["config"], sorted(os.listdir(d.folder))
        refused(422, d.post, "/v1/guests/one/clone", {"folder": "/nowhere"})
        assert (d.guests()["one"]["config"], sorted(os.listdir(d.folder))) == before
        d.post("/v1/guests/one/destroy")
        assert os.path.exists(tops[2])


def test_what_cannot_be_cloned():
    with Daemon().start() as d:
        d.create("one")
        d.create("off", managed=True, start=False)
        refused(409, d.post, "/v1/guests/off/clone", {})
        refused(404, d.post, "/v1/guests/nobody/clone", {})
        refused(409, d.post, "/v1/guests/one/clone", {"name": "off"})
        assert "%" in refused(400, d.post, "/v1/guests/one/clone", {"name": "x", "count": 2})
        for odd in {"count": 0}, {"count": 1001}, {"name": "x" * 200}, {"name": "a/b"}, {"what": 1}:
            refused(400, d.post, "/v1/guests/one/clone", odd)
        for gives in "none", "pipe":
            d.create(gives, "gives=" + gives)
            assert "handed over" in refused(500, d.post, f"/v1/guests/{gives}/clone", {"count": 2})
        d.create("no", "refuse")
        try:
            d.post("/v1/guests/no/clone", {})
            raise AssertionError("it was cloned")
        except Refused:
            pass
        assert set(d.guests()) == {"one", "off", "none", "pipe", "no"}, d.guests()


def test_a_daemon_that_is_killed():
    """Each clone then runs, or there is none."""
    dice = random.Random(SEED)
    with Daemon().start() as d:
        with open(d.folder + "/a.img", "wb") as file:
            file.truncate(4 << 20)
        pid = d.create("one", disks=[{"target": d.folder + "/a.img", "vdev": "xvda", "writable": True}])["pid"]
        for n in range(min(KILLS, 7)):  # a chain has no more files
            asked = threading.Thread(target=try_clone, args=(d, f"k{n}-%"))
            asked.start()
            time.sleep(dice.uniform(0, 0.3))
            d.process.send_signal(signal.SIGKILL)
            d.process.wait()
            asked.join()
            d.start()
            eventually(lambda: all(g["state"] == "running" for g in d.guests().values()), 30)
            guests = d.guests()
            assert guests["one"]["pid"] == pid, "the guest did not go on"
            assert {g["uuid"] for g in guests.values()} == set(d.monitors())
            for name in guests.keys() - {"one"}:
                d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: len(d.monitors()) == 1)
        top = d.guests()["one"]["config"]["disks"][0]["target"]
        stands = {os.path.basename(f["path"]) for f in d.guests()["one"]["disks"]}
        left = {f for f in os.listdir(d.folder) if f.endswith(".qcow2") and len(f) > 30}
        assert not left, f"{left} beside {top} {stands}"
        assert not [f for f in os.listdir(d.run + "/guests") if f.endswith(".state")]


def try_clone(d, name):
    try:
        clone(d, count=12, name=name)
    except (OSError, Refused):
        pass


main(globals().copy())
