#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that come to guests and go, with monitors that only play guest: files, claims, what the store keeps, and the
daemon killed in the middle."""
import os
import signal
import subprocess
import threading

from harness import Daemon, Refused, eventually, main, open_files, refused

GUEST = "/v1/guests/one"


def disk(d, name, vdev, writable=True, **more):
    path = f"{d.folder}/{name}"
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.truncate(1 << 20)
    return {"target": path, "vdev": vdev, "writable": writable, **more}


def attach(d, *args, guest=GUEST, **more):
    return d.post(guest + "/disk-attach", {"disk": disk(d, *args, **more)})


def detach(d, vdev, guest=GUEST, **more):
    return d.post(guest + "/disk-detach", {"disk": vdev, **more})


def disks(d, guest=GUEST):
    return [(at["vdev"], os.path.basename(at["path"] or "")) for at in d.get(guest)["disks"]]


def modes(d, guest):
    """What the guest's life has of which files: name -> letter."""
    with open(f"{d.run}/guests/{guest['uuid']}/disks") as file:
        lines = dict(line.split() for line in file)
    names = {}
    for name in os.listdir(d.folder):
        st = os.stat(f"{d.folder}/{name}")
        mode = lines.get(f"{st.st_dev:x}:{st.st_ino:x}")
        if mode:
            names[name] = mode
    return names


def notes(d):
    return [top for top, _, names in os.walk(d.run) if "plugging" in names]


def files_of(guest):
    return {os.path.basename(name) for name in open_files(guest["pid"])}


def test_disks_come_and_go():
    with Daemon().start() as d:
        events = d.events()
        guest = d.create("one", managed=True, start=True, disks=[disk(d, "a", "xvda")])
        said = attach(d, "b", "xvdb")
        assert [at["vdev"] for at in said["disks"]] == ["xvda", "xvdb"]
        assert said["disks"][1]["wr_bytes"] == 1024, said["disks"][1]
        events.next("changed")
        attach(d, "c", "xvdc", False)
        assert modes(d, guest) == {"a": "w", "b": "w", "c": "r"} and not notes(d)
        assert files_of(guest) >= {"a", "b", "c"}
        detach(d, "xvdb")
        assert disks(d) == [("xvda", "a"), ("xvdc", "c")] and "b" not in files_of(guest)
        assert modes(d, guest) == {"a": "w", "b": "d", "c": "r"}
        # It lasts; the claims of a life end with it.
        d.stop()
        d.start()
        assert disks(d) == [("xvda", "a"), ("xvdc", "c")]
        attach(d, "b", "xvdb")
        assert modes(d, guest)["b"] == "w" and disks(d)[2] == ("xvdb", "b")
        detach(d, "xvda", force=True)
        d.post(GUEST + "/destroy")
        # One that is off.
        attach(d, "a", "xvdx")
        detach(d, "xvdc")
        assert disks(d) == [("xvdb", "b"), ("xvdx", "a")]
        guest = d.post(GUEST + "/start")
        assert modes(d, guest) == {"a": "w", "b": "w"}
        events.close()


def test_chains():
    with Daemon().start() as d:
        for name, words in ("base", []), ("top", ["-b", "base", "-F", "qcow2"]):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, f"{d.folder}/{name}", "1M"], check=True)
        guest = d.create("one")
        attach(d, "top", "xvda", format="qcow2")
        assert modes(d, guest) == {"top": "w", "base": "r"} and files_of(guest) >= {"top", "base"}
        detach(d, "xvda")
        assert modes(d, guest) == {"top": "d", "base": "e"}
        attach(d, "base", "xvda", format="qcow2")
        assert modes(d, guest)["base"] == "w"


def test_whose_files():
    """What another guest has, and what one had, by its owner's leave."""
    with Daemon().start() as d:
        d.create("one", disks=[disk(d, "a", "xvda")])
        two = d.create("two")
        assert "in use by the guest 'one'" in refused(409, attach, d, "a", "xvda", False, guest="/v1/guests/two")
        assert "has it already" in refused(409, attach, d, "a", "xvdb")
        attach(d, "b", "xvdb")
        detach(d, "xvdb")
        attach(d, "b", "xvdb", guest="/v1/guests/two")
        refused(409, attach, d, "b", "xvdb")
        d.post("/v1/guests/two/destroy")
        attach(d, "b", "xvdb")
        assert two and disks(d) == [("xvda", "a"), ("xvdb", "b")]


def test_refusals():
    with Daemon().start() as d:
        guest = d.create("one", "noplug", managed=True, start=True, disks=[disk(d, "a", "xvda")])
        before = d.get(GUEST)["config"]

        def no(status, what, *args, **more):
            text = refused(status, what, d, *args, **more)
            assert d.get(GUEST)["config"] == before and not notes(d), text
            return text
        assert "has not let go" in no(503, detach, "xvda")
        assert "has not let go" in no(503, attach, "b", "xvdb")
        assert modes(d, guest) == {"a": "w", "b": "d"}
        assert "xvdz" in no(400, detach, "xvdz")
        assert "already" in no(409, attach, "b", "xvda")
        no(400, attach, "b", "nonsense")
        no(409, attach, "b", "xvdb", format="vhd")
        for body in ({"disk": {"target": "/nowhere", "vdev": "xvdb"}}, {"disk": {"target": d.folder, "vdev": "xvdb"}},
                     {"disk": {"vdev": "xvdb"}}, {"disk": {"target": "here", "vdev": "xvdb"}},
                     {"disk": {"target": d.folder + "/b", "vdev": "xvdb", "more": 1}}):
            try:
                d.post(GUEST + "/disk-attach", body)
            except Refused:
                pass
            else:
                raise AssertionError(body)
            assert d.get(GUEST)["config"] == before
        d.stop()
        d.start()
        assert d.get(GUEST)["config"] == before


def test_how_many():
    with Daemon().start() as d:
        most = 0
        d.create("one")
        try:
            for n in range(40):
                attach(d, f"disk{n}", f"xvd{chr(97 + n)}" if n < 26 else f"xvda{chr(97 + n - 26)}")
                most = n + 1
        except Refused as error:
            assert "disks at most" in str(error), error
        assert most == len(disks(d)) >= 8
        detach(d, "xvdc")
        attach(d, "disk2", "xvdc")
        assert len(disks(d)) == most


def medium(d, name=None, **more):
    if name:
        more["path"] = disk(d, name, "x")["target"]
    return d.post(GUEST + "/disk-medium", {"disk": "hdc", **more})


def test_drives():
    with Daemon().start() as d:
        guest = d.create("one", managed=True, start=True, disks=[
            disk(d, "a", "xvda"), {"vdev": "hdc", "format": "empty", "cdrom": True}, disk(d, "b", "xvdb")])
        assert disks(d) == [("xvda", "a"), ("hdc", ""), ("xvdb", "b")]
        medium(d, "cd1")
        assert disks(d)[1] == ("hdc", "cd1") and modes(d, guest)["cd1"] == "r"
        assert [at["wr_bytes"] for at in d.get(GUEST)["disks"]] == [1024] * 3
        medium(d, "cd2")
        assert disks(d)[1] == ("hdc", "cd2") and modes(d, guest)["cd1"] == "e" and not notes(d)
        assert "no CD drive" in refused(400, d.post, GUEST + "/disk-medium", {"disk": "xvda"})
        refused(422, d.post, GUEST + "/disk-medium", {"disk": "hdc", "path": "/nowhere"})
        assert disks(d)[1] == ("hdc", "cd2"), "what cannot be opened takes nothing out"
        medium(d)
        assert disks(d)[1] == ("hdc", "") and "cd2" not in files_of(guest)
        medium(d)
        d.post(GUEST + "/destroy")
        medium(d, "cd2")
        assert disks(d)[1] == ("hdc", "cd2")
        detach(d, "hdc")
        assert disks(d) == [("xvda", "a"), ("xvdb", "b")]


def test_old_drives():
    """Of an IDE or AHCI controller: the medium comes and goes, the drive stays."""
    with Daemon().start() as d:
        d.create("one", kernel=None, cmdline="", firmware="bios", managed=True, start=True, disks=[
            disk(d, "a", "hda"), {"vdev": "hdc", "format": "empty", "cdrom": True}, disk(d, "b", "sda")])
        medium(d, "cd1")
        assert disks(d)[1] == ("hdc", "cd1")
        before = d.get(GUEST)["config"]
        for vdev in "hda", "sda":
            assert "goes only while the guest is off" in refused(409, detach, d, vdev)
        assert "cd-eject takes the CD out" in refused(409, detach, d, "hdc")
        for vdev, cdrom in ("hdb", False), ("hdd", True), ("sdb", False), ("xvdc", True):
            text = refused(409, attach, d, "c", vdev, not cdrom, cdrom=cdrom)
            assert "comes only while the guest is off" in text, text
        assert d.get(GUEST)["config"] == before and not notes(d)
        attach(d, "c", "xvdc")
        medium(d)
        assert disks(d)[1] == ("hdc", "")
        d.post(GUEST + "/destroy")
        detach(d, "hdc")
        attach(d, "d", "sdb")
        assert disks(d) == [("hda", "a"), ("sda", "b"), ("xvdc", "c"), ("sdb", "d")]


def begin(d, *args, **more):
    """In the background: it never comes back, or says so."""
    def ask():
        try:
            d.post(*args, **more)
        except (Refused, OSError):
            pass
    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: notes(d))
    return thread


def after_kill(d, thread, done=lambda: True):
    eventually(done)
    os.kill(d.process.pid, signal.SIGKILL)
    d.process.wait()
    thread.join()
    d.start()
    eventually(lambda: d.get(GUEST)["state"] == "running")
    eventually(lambda: not notes(d))


def test_killed_in_the_middle():
    """What the monitor has is what the store has afterwards."""
    for word, there in ("deafplug", True), ("lostplug", False):
        with Daemon().start() as d:
            guest = d.create("one", word, managed=True, start=True, disks=[
                disk(d, "a", "xvda"), {"vdev": "hdc", "format": "empty", "cdrom": True}])
            thread = begin(d, GUEST + "/disk-attach", {"disk": disk(d, "b", "xvdb")})
            assert "comes or goes" in refused(409, detach, d, "xvda")
            for verb, body in ("disk-layer", {}), ("suspend", None), ("save", {"path": d.folder + "/state"}):
                refused(409, d.post, f"{GUEST}/{verb}", body)
            # With a monitor that does it, its answer is all that is missing.
            after_kill(d, thread, lambda: not there or d.get(GUEST)["disks"][-1]["wr_bytes"])
            assert disks(d) == [("xvda", "a"), ("hdc", "")] + [("xvdb", "b")] * there, (word, disks(d))
            after_kill(d, begin(d, GUEST + "/disk-medium", {"disk": "hdc", "path": disk(d, "cd", "x")["target"]}),
                       lambda: not there or d.get(GUEST)["disks"][1]["wr_bytes"])
            assert disks(d)[1] == ("hdc", "cd" if there else ""), (word, disks(d))
            after_kill(d, begin(d, GUEST + "/disk-detach", {"disk": "xvda"}),
                       lambda: not there or "a" not in files_of(guest))
            assert ("xvda", "a") in disks(d) if not there else ("xvda", "a") not in disks(d), (word, disks(d))


def forward(d, text, network=0, **more):
    return d.post(GUEST + "/network-forward", {"network": network, "forward": text, **more})


def forwards(d):
    return d.get(GUEST)["config"]["vifs"][0].get("forward", [])


def test_ports_come_and_go():
    with Daemon().start() as d:
        d.create("one", managed=True, start=True, vifs=[{"mode": "user", "forward": ["tcp::9001-:1"]}])
        forward(d, "udp:127.0.0.1:9001-:2")
        forward(d, "tcp:[::1]:9001-:3")
        assert forwards(d) == ["tcp::9001-:1", "udp:127.0.0.1:9001-:2", "tcp:[::1]:9001-:3"], forwards(d)
        for status, what, text, more in (
                (409, "is forwarded already", "tcp:127.0.0.1:9001-:7", {}), (400, "not of the form", "tcp:9", {}),
                (422, "nothing is forwarded from there", "tcp::9002-:1", {"remove": True}),
                (400, "no network 1", "tcp::9002-:1", {"network": 1})):
            assert what in refused(status, forward, d, text, **more)
        # By its end on the host, whatever it leads to.
        forward(d, "tcp:127.0.0.1:9001-:7", remove=True)
        kept = ["udp:127.0.0.1:9001-:2", "tcp:[::1]:9001-:3"]
        assert forwards(d) == kept
        d.stop(signal.SIGKILL)
        d.start()
        assert forwards(d) == kept
        d.post(GUEST + "/destroy")
        eventually(lambda: d.get(GUEST)["state"] == "off")
        forward(d, "tcp::9003-:3")
        assert forwards(d) == [*kept, "tcp::9003-:3"]
        d.create("two", "refuse", vifs=[{"mode": "user"}])
        before = d.get("/v1/guests/two")["config"]
        assert "was to refuse" in refused(400, d.post, "/v1/guests/two/network-forward", {"forward": "tcp::9004-:4"})
        assert d.get("/v1/guests/two")["config"] == before


def test_what_changes_while_a_port_comes():
    """It stays as it was changed, in memory and in the store."""
    with Daemon().start() as d:
        guest = d.create("one", "lateplug", managed=True, start=True, vifs=[{"mode": "user"}])
        one = "/v1/guests/" + guest["uuid"]
        thread = threading.Thread(target=forward, args=(d, "tcp::9001-:1"))
        thread.start()
        eventually(lambda: "forward " in open(d.journal).read())
        assert "comes or goes" in refused(409, forward, d, "tcp::9002-:2")
        d.post(one + "/rename", {"name": "new"})
        d.put(one + "/memory", {"memory": 32768})
        thread.join()

        def changed():
            config = d.get(one)["config"]
            return config["name"], config["memory_kib"], config["vifs"][0].get("forward")
        assert changed() == ("new", 32768, ["tcp::9001-:1"]), changed()
        d.stop(signal.SIGKILL)
        d.start()
        assert changed() == ("new", 32768, ["tcp::9001-:1"]), changed()


main(globals().copy())
