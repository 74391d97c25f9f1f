#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that go on in a new monitor, with monitors that only play guest: what the daemon makes of an old one that lies, is silent
or does not end, and of a disk that is another file now. How they go on is told by tests/guest/live_update.py."""
import fcntl
import os
import signal
import subprocess

from harness import BUILD, Daemon, Refused, eventually, main, make_disks, refused


def stays(d, guest, why):
    """It is refused, and all is as it was."""
    before = d.monitors()
    try:
        d.post("/v1/guests/one/live-update")
        raise AssertionError("was not refused")
    except Refused as no:
        assert why in no.text, no.text
    assert d.monitors() == before and d.get("/v1/guests/one")["state"] == "running"
    assert not [name for name in os.listdir(f"{d.run}/guests/{guest['uuid']}") if name.endswith(".next") or name == "updating"]


def test_what_a_monitor_should_not_offer_is_not_handed_on():
    for what in "lie", "pipe", "twice", "far":
        with Daemon().start() as d:
            stays(d, d.create("one", "offers=" + what), "has not offered what it should")


def test_one_that_is_not_handed_over_stays():
    with Daemon().start() as d:
        stays(d, d.create("one", "moves=16"), "cancelled")


def test_a_second_one_does_not_disturb_the_first():
    with Daemon().start() as d:
        guest = d.create("one", "moves")
        first = subprocess.Popen([BUILD + "/dach", "live-update", "one"], env=d.env, stderr=subprocess.PIPE)
        folder = f"{d.run}/guests/{guest['uuid']}/"
        eventually(lambda: os.path.exists(folder + "updating") and os.path.exists(folder + "lock.next"))
        before = sorted(os.listdir(folder))
        refused(409, d.post, "/v1/guests/one/live-update")
        refused(409, d.post, "/v1/guests/one/migrate", {})
        refused(409, d.post, "/v1/guests/one/suspend")
        assert sorted(os.listdir(folder)) == before and first.poll() is None
        first.kill()
        first.communicate()
        d.post("/v1/guests/one/destroy")


def test_uefis_variables_go_along():
    """Its own file, and no other; the lock on it stays."""
    for offers, why in ("offers=none", "cannot pass UEFI's variables on"), ("offers=other", "has not offered what it should"), ("", None):
        d = Daemon()
        d.env["DACH_FAKE_WORDS"] = offers
        with d.start():
            guest = d.create("one", kernel=None, firmware="uefi")
            if why:
                stays(d, guest, why)
                continue
            d.post("/v1/guests/one/live-update")
            assert d.get("/v1/guests/one")["pid"] != guest["pid"]
            eventually(lambda: not os.path.exists(f"/proc/{guest['pid']}"))
            with open(f"{d.state}/nvram/{guest['uuid']}", "r+b") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    raise AssertionError("nobody has locked it")
                except BlockingIOError:
                    pass
            d.post("/v1/guests/one/destroy")


def test_a_disk_that_is_another_file_now_is_refused():
    with Daemon().start() as d:
        guest = d.create("one", disks=make_disks(d, "a.img"))
        os.rename(d.folder + "/a.img", d.folder + "/was.img")
        make_disks(d, "a.img")
        stays(d, guest, "is another file now")


def test_an_old_one_that_does_not_end_is_ended():
    """And the guest is the new one's meanwhile, which another daemon finds."""
    with Daemon().start() as d:
        guest = d.create("one", managed=True, start=True, on_crash="destroy")
        old = guest["pid"]
        d.post("/v1/guests/one/live-update")
        new = d.get("/v1/guests/one")["pid"]
        assert new != old and d.monitors() == {guest["uuid"]: new}
        eventually(lambda: not os.path.exists(f"/proc/{old}"), 20)
        assert d.get("/v1/guests/one")["state"] == "running"
        # Also one that is killed before the new one's files have taken the places of the old one's, or some of them have.
        for renamed in [], ["lock"], ["control", "console", "status", "lock"]:
            d.stop(signal.SIGKILL)
            folder = f"{d.run}/guests/{guest['uuid']}/"
            for name in renamed:
                os.rename(folder + name, folder + name + ".next")
                open(folder + "updating", "w").close()
            d.start()
            eventually(lambda: d.get("/v1/guests/one")["state"] == "running")
            eventually(lambda: not [name for name in os.listdir(folder) if name.endswith(".next") or name == "updating"])
            found = d.get("/v1/guests/one")
            assert (found["pid"], found["domid"]) == (new, guest["domid"])
            d.post("/v1/guests/one/pause")
            d.post("/v1/guests/one/unpause")
        d.post("/v1/guests/one/destroy")
        eventually(lambda: d.get("/v1/guests/one")["state"] == "off")


main(globals().copy())
