#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Monitors that were taken over: they lie about their end, let go of what shows that they are there,
flood. A guest has ended when no process of it is left, and only then are its disks and its owner's
share somebody else's."""
import contextlib
import os
import signal
import time

from harness import Daemon, Refused, begun, eventually, main, refused, runs, without_groups


def processes(d, guest):
    """All that were begun for the guest and are still there."""
    return {process for process in begun(d).get(guest["uuid"], ()) if runs(process)}


def grows(path):
    before = os.stat(path).st_mtime_ns
    time.sleep(0.2)
    return os.stat(path).st_mtime_ns != before


def make_disk(d):
    with open(d.folder + "/disk", "wb") as disk:
        disk.truncate(1 << 20)
    return [{"target": d.folder + "/disk", "vdev": "xvda", "writable": True}]


def check_end(d, guest):
    """Told to end, it is gone when the daemon says so; its disk is still, and another guest's to have."""
    assert processes(d, guest), "nothing ran: this shows nothing"
    d.post(f"/v1/guests/{guest['name']}/destroy")
    assert not processes(d, guest), "it is called ended, and a process goes on"
    assert guest["name"] not in d.guests()
    assert not os.path.exists(d.run + "/guests/" + guest["uuid"])
    if guest["config"]["disks"]:
        assert not grows(guest["config"]["disks"][0]["target"])
        other = d.create("other", disks=guest["config"]["disks"])
        d.post("/v1/guests/other/destroy")
        assert not processes(d, other)


def test_it_lies_about_its_end():
    with Daemon().start() as d:
        for words in "stay", "desert":
            check_end(d, d.create("liar", words, disks=make_disk(d)))


def test_a_child_goes_on():
    with Daemon().start() as d:
        # Without control groups nothing would show a child that has not even the lock.
        for words in ["heir"] + ["linger=60"] * (d.get("/v1/host")["cgroup"] != "none"):
            check_end(d, d.create("liar", words, disks=make_disk(d)))


def check_heir(d):
    guest = d.create("liar", "heir=sysrq", disks=make_disk(d))
    with contextlib.suppress(Refused):  # it has ended before the answer came
        d.post("/v1/guests/liar/sysrq", {"key": "n"})
    eventually(lambda: "liar" not in d.guests())
    assert not processes(d, guest)


def test_it_ends_and_leaves_all_to_a_child():
    """Nobody asked for its end: the daemon sees it, though a child answers in its place."""
    with Daemon().start() as d:
        check_heir(d)


def test_a_child_where_there_are_no_control_groups():
    if os.geteuid():
        return  # a user cannot take them away
    d = Daemon()
    d.program = without_groups(d.program)
    with d.start():
        assert d.get("/v1/host")["cgroup"] == "none"
        check_end(d, d.create("liar", "heir", disks=make_disk(d)))
        check_heir(d)


def test_its_disk_is_nobody_elses():
    """A guest whose monitor dropped its locks, and cannot be ended yet: it is stopped."""
    with Daemon().start() as d:
        disks = make_disk(d)
        guest = d.create("liar", "desert", managed=True, start=True, disks=disks)
        assert "in use" in refused(409, d.create, "other", disks=disks)
        read_only = [{**disks[0], "writable": False}]
        assert "in use" in refused(409, d.create, "other", disks=read_only)
        os.kill(guest["pid"], signal.SIGSTOP)
        d.stop()
        assert guest["uuid"] in d.monitors()
        d.start()
        assert "in use" in refused(409, d.create, "other", disks=disks)
        d.post("/v1/guests/liar/destroy")
        assert not processes(d, guest)
        d.create("one", disks=read_only)
        d.create("two", disks=read_only)
        refused(409, d.post, "/v1/guests/liar/start")


def test_a_daemon_finds_a_monitor_without_its_lock():
    with Daemon().start() as d:
        guest = d.create("liar", "desert", disks=make_disk(d))
        pid = guest["pid"]
        d.post("/v1/guests/liar/unpause")
        d.tell_monitor(guest, "destroy")  # by somebody else; the daemon sees a socket that closes
        d.stop(signal.SIGKILL)
        assert {p for p, _ in processes(d, guest)} == {pid} and not d.monitors()
        d.start()
        eventually(lambda: "liar" not in d.guests())
        assert not processes(d, guest)


def test_one_that_was_preserved_goes_on():
    """It is asked to end while the daemon still waits for the rest of its monitor."""
    with Daemon().start() as d:
        for restart in False, True:
            guest = d.create("liar", "desert", disks=make_disk(d), on_crash="preserve")
            d.post("/v1/guests/liar/sysrq", {"key": "c"})
            eventually(lambda: d.guests()["liar"]["state"] == "shutdown")
            if restart:
                d.stop(signal.SIGKILL)
            d.tell_monitor(guest, "destroy")
            if restart:
                d.start()
            check_end(d, guest)


def test_a_preserved_guest_stays_one():
    """Its monitor is killed under a daemon that was not there when it ended."""
    with Daemon().start() as d:
        guest = d.create("kept", managed=True, start=True, on_poweroff="preserve", on_crash="restart")
        d.post("/v1/guests/kept/shutdown")
        eventually(lambda: d.guests()["kept"]["state"] == "shutdown")
        d.stop()
        d.start()
        os.kill(guest["pid"], signal.SIGKILL)
        eventually(lambda: not processes(d, guest) and guest["uuid"] not in d.monitors())
        eventually(lambda: not os.path.exists(d.run + "/guests/" + guest["uuid"]))
        assert d.guests()["kept"]["state"] == "shutdown"
        d.post("/v1/guests/kept/destroy")
        assert d.guests()["kept"]["state"] == "off"


def test_it_hangs():
    """Whoever asks for the list waits for it once at most."""
    with Daemon().start() as d:
        guests = [d.create(f"hung{n}", vcpus=2) for n in range(4)]
        for guest in guests:
            os.kill(guest["pid"], signal.SIGSTOP)
        d.guests()  # waits
        begin = time.monotonic()
        for _ in range(20):
            assert len(d.guests()) == 4 and len(d.get("/v1/guests/hung0")["vcpu"]) == 2
        assert time.monotonic() - begin < 20, "each question waits for those that hang"
        os.kill(guests[0]["pid"], signal.SIGCONT)
        eventually(lambda: d.post("/v1/guests/hung0/pause")["state"] == "paused")
        assert d.guests()["hung0"]["state"] == "paused"
        for guest in guests:
            d.post(f"/v1/guests/{guest['name']}/destroy")
            assert not processes(d, guest)


def test_it_floods():
    with Daemon().start() as d:
        guest = d.create("loud", "flood")
        d.create("quiet")
        before, worst = len(d.said()), 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            begin = time.monotonic()
            d.get("/v1/guests/quiet")
            worst = max(worst, time.monotonic() - begin)
        assert worst < 1, f"an answer took {worst:.3f} s"
        assert len(d.said()) - before < 20000, "the log grows without bound"
        d.post("/v1/guests/loud/destroy")
        assert not processes(d, guest)


main(globals().copy())
