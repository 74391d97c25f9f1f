#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""New images on the disks of guests that run, with monitors that only play guest: files, what the store keeps, and
kill -9 of daemon and monitor in the middle. DACH_KILLS says how often, DACH_SEED where the dice begin."""
import json
import os
import random
import resource
import signal
import socket
import threading
import time

from harness import DISK_SIZE, Daemon, Refused, backing, eventually, main, make_disks, refused

KILLS = int(os.environ.get("DACH_KILLS", "24"))
SEED = int(os.environ.get("DACH_SEED", "1"))


def disks(d, name):
    return [(disk["path"], disk["format"]) for disk in d.get("/v1/guests/" + name)["disks"]]


def images(d):
    return {name for name in os.listdir(d.folder) if name.endswith(".qcow2")}


def claims(d, guest):
    with open(f"{d.run}/guests/{guest['uuid']}/disks") as file:
        return dict(line.split() for line in file)


def claim_of(path):
    st = os.stat(path)
    return f"{st.st_dev:x}:{st.st_ino:x}"


def notes(d):
    return [top for top, _, names in os.walk(d.run) if "layering" in names]


def test_layers():
    with Daemon().start() as d:
        folder = d.folder
        os.mkdir(folder + "/other")
        one = make_disks(d, "a.img", "b")
        one.append({"target": folder + "/ro", "vdev": "xvdc", "writable": False})
        open(folder + "/ro", "wb").write(bytes(512))
        guest = d.create("one", managed=True, start=True, disks=one)
        d.post("/v1/guests/one/disk-layer", {})
        assert disks(d, "one") == [(folder + "/a.1.qcow2", "qcow2"), (folder + "/b.1.qcow2", "qcow2"),
                                   (folder + "/ro", "raw")]
        assert backing(folder + "/a.1.qcow2") == "a.img" and backing(folder + "/b.1.qcow2") == "b"
        assert os.stat(folder + "/a.1.qcow2").st_mode & 0o777 == 0o600
        has = claims(d, guest)
        assert [has[claim_of(f"{folder}/{name}")] for name in ("a.img", "b", "ro", "a.1.qcow2", "b.1.qcow2")] == \
            ["b", "b", "r", "w", "w"]
        assert not notes(d)
        # One of them, elsewhere; the name goes on with the next number.
        d.post("/v1/guests/one/disk-layer", {"disks": ["xvdb"], "folder": folder + "/other"})
        d.post("/v1/guests/one/disk-layer", {"disks": ["xvda"]})
        assert disks(d, "one")[:2] == [(folder + "/a.2.qcow2", "qcow2"), (folder + "/other/b.1.qcow2", "qcow2")]
        assert backing(folder + "/other/b.1.qcow2") == folder + "/b.1.qcow2"
        # It lasts, and the next life has the chain.
        d.stop()
        d.start()
        assert disks(d, "one")[0][0] == folder + "/a.2.qcow2"
        d.post("/v1/guests/one/destroy")
        guest = d.post("/v1/guests/one/start")
        assert claims(d, guest)[claim_of(folder + "/a.img")] == "r"
        # Another of the same owner may stand on what is only read, and not on what is written to.
        d.post("/v1/guests/one/disk-layer", {"disks": ["xvda"]})
        d.create("two", disks=[{"target": folder + "/a.2.qcow2", "format": "qcow2", "vdev": "xvda",
                                "writable": False}])
        d.post("/v1/guests/two/destroy")
        refused(409, d.create, "three", disks=[{"target": folder + "/a.3.qcow2", "format": "qcow2", "vdev": "xvda",
                                                "writable": False}])


def test_refusals():
    with Daemon().start() as d:
        folder = d.folder
        d.create("one", "nolayer", managed=True, start=True, disks=make_disks(d, "a", "b"))
        before = d.get("/v1/guests/one")["config"]

        def no(status, body):
            text = refused(status, d.post, "/v1/guests/one/disk-layer", body)
            assert d.get("/v1/guests/one")["config"] == before and not images(d) and not notes(d)
            return text
        assert "in time" in no(503, {})
        assert "xvdx" in no(400, {"disks": ["xvdx"]}) and "xvdx" in no(400, {"disks": ["xvda", "xvdx"]})
        no(422, {"folder": folder + "/nowhere"})
        no(400, {"folder": "."})
        d.stop()
        d.start()
        assert d.get("/v1/guests/one")["config"] == before
        d.post("/v1/guests/one/destroy")
        no(409, {})
        d.create("none")
        refused(400, d.post, "/v1/guests/none/disk-layer", {})
        d.create("slow", "layering=1 saving=1", disks=make_disks(d, "c"))
        at_work = threading.Thread(target=d.post, args=("/v1/guests/slow/disk-layer", {}))
        at_work.start()
        eventually(lambda: notes(d))
        refused(409, d.post, "/v1/guests/slow/disk-layer", {})
        refused(409, d.post, "/v1/guests/slow/save", {"path": folder + "/state"})
        at_work.join()
        assert disks(d, "slow") == [(folder + "/c.1.qcow2", "qcow2")] and not notes(d)


def test_kills():
    """Whatever is killed when: the store names what the monitor writes to, all of the disks or none have a new one,
    and what the guest wrote is in what it would start with."""
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with Daemon().start() as d:
        names = ("a.img", "b.img")
        guest = d.create("one", "layering=0.05", managed=True, start=True, disks=make_disks(d, *names))
        done = 0
        for n in range(KILLS):
            def ask():
                try:
                    d.post("/v1/guests/one/disk-layer", {})
                except (Refused, OSError):
                    pass
            at_work = threading.Thread(target=ask)
            at_work.start()
            time.sleep(dice.uniform(0, 0.12))
            monitor = dice.random() < 0.3
            if monitor:
                os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)
                eventually(lambda: d.guests()["one"]["state"] == "off", 20)
            else:
                d.process.send_signal(signal.SIGKILL)
                d.process.wait()
            at_work.join()
            if not monitor:
                d.start()
            eventually(lambda: not notes(d))
            now = disks(d, "one")
            rounds = {int(path.split(".")[-2]) if form == "qcow2" else 0 for path, form in now}
            assert len(rounds) == 1, now
            if not monitor:
                info = json.loads(ask_monitor(d, guest))
                assert [disk["name"] for disk in info["disks"]] == [path for path, _ in now], (info, now)
            # Nothing lies about that is not in the chain, and all of the chain is there.
            chain = set()
            for path, form in now:
                while form == "qcow2":
                    chain.add(os.path.basename(path))
                    path = os.path.join(d.folder, backing(path))
                    form = "qcow2" if path.endswith(".qcow2") else "raw"
                assert os.path.basename(path) in names
            assert chain == images(d), chain ^ images(d)
            if max(rounds) >= 6:
                if not monitor:
                    d.post("/v1/guests/one/destroy")
                d.call("DELETE", "/v1/guests/one")
                done += max(rounds)
                for name in images(d):
                    os.unlink(f"{d.folder}/{name}")
                guest = d.create("one", "layering=0.05", managed=True, start=True, disks=make_disks(d, *names))
            elif monitor:
                d.post("/v1/guests/one/start")
        print(f"{KILLS} kills, {done + max(rounds)} layers")
        assert done + max(rounds)


def test_copies():
    """What becomes of files and of the configuration; that bytes are copied is for others to see."""
    with Daemon().start() as d:
        folder = d.folder
        guest = d.create("one", managed=True, start=True, disks=make_disks(d, "a.img"))
        # It has written to the base in this life, and may do so again.
        d.post("/v1/guests/one/disk-layer", {})
        d.post("/v1/guests/one/disk-commit", {"disk": "xvda"})
        assert disks(d, "one") == [(folder + "/a.img", "raw")] and not images(d)
        assert "w" in [mode for file, mode in lines_of(d, guest) if file == claim_of(folder + "/a.img")]
        d.post("/v1/guests/one/disk-layer", {})
        d.post("/v1/guests/one/destroy")
        guest = d.post("/v1/guests/one/start")
        before = d.get("/v1/guests/one")["config"]
        commit = "/v1/guests/one/disk-commit"
        assert "--into " + folder + "/a.img" in refused(400, d.post, commit, {"disk": "xvda"})
        refused(400, d.post, commit, {"disk": "xvda", "into": folder + "/a.1.qcow2"})
        refused(400, d.post, commit, {"disk": "xvdb", "into": folder + "/a.img"})
        # Somebody else stands on it.
        d.create("two", disks=[{"target": folder + "/a.img", "vdev": "xvda", "writable": False}])
        refused(409, d.post, commit, {"disk": "xvda", "into": folder + "/a.img"})
        d.post("/v1/guests/two/destroy")
        assert d.get("/v1/guests/one")["config"] == before
        d.post(commit, {"disk": "xvda", "into": folder + "/a.img"})
        assert disks(d, "one") == [(folder + "/a.img", "raw")] and not images(d)
        d.post("/v1/guests/one/disk-stream", {"disk": "xvda", "rate": 1 << 20})
        resize = "/v1/guests/one/disk-resize"
        refused(400, d.post, resize, {"disk": "xvda", "size": DISK_SIZE - 512})
        refused(400, d.post, resize, {"disk": "xvda", "size": DISK_SIZE + 1})
        refused(400, d.post, resize, {"disk": "xvdb", "size": DISK_SIZE})
        assert os.path.getsize(folder + "/a.img") == DISK_SIZE
        d.post(resize, {"disk": "xvda", "size": DISK_SIZE + 512})
        assert os.path.getsize(folder + "/a.img") == DISK_SIZE + 512
        os.truncate(folder + "/a.img", DISK_SIZE)
        # Backups
        backup = "/v1/guests/one/disk-backup"
        d.post(backup, {"disk": "xvda", "path": folder + "/backup"})
        assert os.stat(folder + "/backup").st_mode & 0o777 == 0o600 and os.path.getsize(folder + "/backup") == DISK_SIZE
        assert "already" in refused(409, d.post, backup, {"disk": "xvda", "path": folder + "/backup"})
        refused(400, d.post, backup, {"disk": "xvda", "path": "backup"})
        refused(422, d.post, backup, {"disk": "xvda", "path": folder + "/nowhere/backup"})
        d.post(backup, {"disk": "xvda", "path": folder + "/other", "format": "qcow2"})
        assert backing(folder + "/other") == ""
        # Of what has changed since a checkpoint, on the one before.
        d.post("/v1/guests/one/disk-checkpoint", {"disk": "xvda", "checkpoint": "monday"})
        assert d.get("/v1/guests/one")["disks"][0]["checkpoints"] == [
            {"name": "monday", "lost": False, "granularity": 65536, "changed": 131072}]
        assert "qcow2" in refused(400, d.post, backup, {"disk": "xvda", "path": folder + "/since", "since": "monday"})
        since = {"disk": "xvda", "format": "qcow2", "since": "monday", "checkpoint": "tuesday"}
        d.post(backup, {**since, "path": folder + "/since", "base": folder + "/backup"})
        assert backing(folder + "/since") == "backup"
        d.post(backup, {**since, "path": folder + "/since2", "base": folder + "/since", "base_format": "qcow2"})
        assert backing(folder + "/since2") == "since"
        d.post(backup, {**since, "path": folder + "/since3"})
        assert backing(folder + "/since3") == ""
        whole = {"disk": "xvda", "format": "qcow2", "path": folder + "/none"}
        refused(400, d.post, backup, {**whole, "base": folder + "/backup"})
        refused(400, d.post, backup, {**whole, "since": "monday", "base": "backup"})
        refused(400, d.post, backup, {**whole, "since": "monday", "base": folder + "/backup", "base_format": "qcow2"})
        refused(422, d.post, backup, {**whole, "since": "monday", "base": folder + "/nowhere"})
        with open(folder + "/large", "wb") as file:
            file.truncate(DISK_SIZE + 512)
        assert "more than the disk" in refused(400, d.post, backup, {**whole, "since": "x", "base": folder + "/large"})
        d.create("no", "refuse", disks=make_disks(d, "n.img"))
        refused(400, d.post, "/v1/guests/no/disk-backup", {"disk": "xvda", "path": folder + "/none"})
        refused(400, d.post, "/v1/guests/no/disk-layer", {})
        assert not [name for name in os.listdir(folder) if "none" in name or name.endswith(".new") or "n.1" in name]


def test_commits_killed():
    """A daemon that is killed while its monitor ends a commit: the next one finds that the disk is the base."""
    with Daemon().start() as d:
        folder = d.folder

        def kill_in_commit(name, monitor=False):
            guest = d.create(name, "deafcopy", managed=True, start=True, disks=make_disks(d, name + ".img"))
            d.post(f"/v1/guests/{name}/disk-layer", {})
            assert disks(d, name) == [(f"{folder}/{name}.1.qcow2", "qcow2")]
            at_work = threading.Thread(target=ask_commit, args=(d, name))
            at_work.start()
            eventually(lambda: f"commit {guest['uuid']}" in open(d.journal).read())
            d.process.send_signal(signal.SIGKILL)
            d.process.wait()
            at_work.join()
            if monitor:
                os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)

        kill_in_commit("one")
        d.start()
        eventually(lambda: disks(d, "one") == [(folder + "/one.img", "raw")])
        kill_in_commit("two", monitor=True)
        d.start()
        eventually(lambda: d.guests()["two"]["state"] == "off" and disks(d, "two") == [(folder + "/two.img", "raw")])
        assert not images(d)
        # A top that has something still is the disk.
        kill_in_commit("three", monitor=True)
        with open(folder + "/three.1.qcow2", "r+b") as top:
            top.seek(3 << 16)
            top.write(b"\x80")
        d.start()
        eventually(lambda: d.guests()["three"]["state"] == "off")
        assert disks(d, "three") == [(folder + "/three.1.qcow2", "qcow2")] and images(d) == {"three.1.qcow2"}


def ask_commit(d, name):
    try:
        d.post(f"/v1/guests/{name}/disk-commit", {"disk": "xvda"})
    except (Refused, OSError):
        pass


def test_moves():
    """A disk goes on in another file; the store names what the monitor has, or will find whole."""
    with Daemon().start() as d:
        folder = d.folder
        guest = d.create("one", managed=True, start=True, disks=make_disks(d, "a.img"))
        move = "/v1/guests/one/disk-move"
        d.post(move, {"disk": "xvda", "path": folder + "/b.qcow2", "format": "qcow2"})
        assert disks(d, "one") == [(folder + "/b.qcow2", "qcow2")] and backing(folder + "/b.qcow2") == ""
        has = claims(d, guest)
        assert has[claim_of(folder + "/b.qcow2")] == "w" and has[claim_of(folder + "/a.img")] == "d"
        d.post(move, {"disk": "xvda", "path": folder + "/c.img"})
        assert disks(d, "one") == [(folder + "/c.img", "raw")] and os.path.getsize(folder + "/c.img") == DISK_SIZE
        before = d.get("/v1/guests/one")["config"]
        refused(409, d.post, move, {"disk": "xvda", "path": folder + "/a.img"})
        refused(400, d.post, move, {"disk": "xvda", "path": "x"})
        refused(400, d.post, move, {"disk": "xvdb", "path": folder + "/x"})
        refused(422, d.post, move, {"disk": "xvda", "path": folder + "/nowhere/x"})
        assert d.get("/v1/guests/one")["config"] == before and not os.path.exists(folder + "/x")
        d.create("no", "nopivot", disks=make_disks(d, "n.img"))
        refused(400, d.post, "/v1/guests/no/disk-move", {"disk": "xvda", "path": folder + "/x"})
        assert disks(d, "no") == [(folder + "/n.img", "raw")] and not os.path.exists(folder + "/x")

        def kill_in_pivot(name, how, monitor=False):
            guest = d.create(name, how, managed=True, start=True, disks=make_disks(d, name + ".img"))
            at_work = threading.Thread(target=ask_move, args=(d, name))
            at_work.start()
            eventually(lambda: f"pivot {guest['uuid']}" in open(d.journal).read())
            d.process.send_signal(signal.SIGKILL)
            d.process.wait()
            at_work.join()
            if monitor:
                os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)
            d.start()

        kill_in_pivot("did", "deafpivot")
        eventually(lambda: disks(d, "did") == [(folder + "/did.new", "raw")])
        kill_in_pivot("lost", "lostpivot")
        eventually(lambda: disks(d, "lost") == [(folder + "/lost.img", "raw")])
        assert not os.path.exists(folder + "/lost.new")
        # It is in step, so that both are the disk; the store has the new one.
        kill_in_pivot("gone", "lostpivot", monitor=True)
        eventually(lambda: d.guests()["gone"]["state"] == "off")
        assert disks(d, "gone") == [(folder + "/gone.new", "raw")] and os.path.exists(folder + "/gone.new")


def test_a_move_that_cannot_be_undone_in_the_store():
    """Neither file goes while the store may name either; once it is written again it names the right one."""
    with Daemon().start() as d:
        old, new, go = (f"{d.folder}/{name}" for name in ("one.img", "one.new", "go"))
        d.create("one", "nopivot=" + go, managed=True, start=True, disks=make_disks(d, "one.img"))
        at_work = threading.Thread(target=ask_move, args=(d, "one"))
        at_work.start()
        eventually(lambda: disks(d, "one") == [(new, "raw")])
        limits = resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        open(go, "w").close()
        at_work.join()
        assert disks(d, "one") == [(old, "raw")] and os.path.exists(old) and os.path.exists(new)
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, limits)
        d.post("/v1/guests/one/destroy")
        eventually(lambda: d.guests()["one"]["state"] == "off")
        assert os.path.exists(old) and not os.path.exists(new)
        d.stop()
        d.start()
        assert disks(d, "one") == [(old, "raw")]


def ask_move(d, name):
    try:
        d.post(f"/v1/guests/{name}/disk-move", {"disk": "xvda", "path": f"{d.folder}/{name}.new"})
    except (Refused, OSError):
        pass


def lines_of(d, guest):
    with open(f"{d.run}/guests/{guest['uuid']}/disks") as file:
        return [line.split() for line in file]


def ask_monitor(d, guest):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{d.run}/guests/{guest['uuid']}/control")
        s.sendall(b'{"id": 1, "do": "info"}\n')
        return s.makefile().readline()


main(globals().copy())
