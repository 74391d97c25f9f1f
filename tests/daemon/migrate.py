#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that move, with monitors that only play guest: what does not move, and what the daemon does with one that may run on
the other host. How they move is told by tests/guest/migrate.py."""
import contextlib
import os
import resource
import signal
import threading

from harness import Daemon, Refused, begun, eventually, main, make_disks, refused


def test_disks_that_go_do_not_move():
    with Daemon().start() as d:
        d.create("one", disks=make_disks(d, "a.img"))
        clone, = d.post("/v1/guests/one/clone", {})["clones"]
        disk = clone["config"]["disks"][0]["target"]
        assert "goes when" in refused(409, d.migration, "GET", f"/v1/guests/{clone['name']}/migration")
        config = {**clone["config"], "name": "comes"}
        del config["uuid"]
        assert "goes when" in refused(409, d.migration, "POST", "/v1/receive", {"config": config})
        assert sorted(d.guests()) == ["one", clone["name"]] and os.path.exists(disk)


def elsewhere(d, name):
    guest = d.get("/v1/guests/" + name)
    return guest["state"] == "off" and "may run on the other host" in guest["last_end"]["text"]


def test_one_that_stands_is_not_started_again():
    """Whatever its monitor says of its end."""
    with Daemon().start() as d:
        guest = d.create("one", "stands", managed=True, start=True, on_reboot="restart")
        with d.migration("GET", "/v1/guests/one/migration"):
            refused(500, d.post, "/v1/guests/one/migrate", {})
        assert d.get("/v1/guests/one")["state"] == "paused"
        d.tell_monitor(guest, "reboot")
        eventually(lambda: elsewhere(d, "one"))
        # Who has looked there starts it, and then it is one like others.
        d.post("/v1/guests/one/start")
        d.post("/v1/guests/one/reboot")
        eventually(lambda: "then restart" in d.said())


def test_one_that_the_daemon_leaves_is_not_started_again():
    """A daemon that ends in an orderly way knows no more of it than one that is killed."""
    with Daemon().start() as d:
        guest = d.create("one", "moves", managed=True, start=True, on_crash="restart")

        def migrate():
            with contextlib.suppress(OSError, Refused):
                d.post("/v1/guests/one/migrate", {})

        with d.migration("GET", "/v1/guests/one/migration"):
            asking = threading.Thread(target=migrate)
            asking.start()
            eventually(lambda: "is being migrated" in d.said())
            d.stop()
            asking.join(30)
        os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)
        d.start()
        eventually(lambda: elsewhere(d, "one"))


def test_one_that_goes_on_is_started_again():
    """Cancelled, and known to be here."""
    with Daemon().start() as d:
        guest = d.create("one", "moves=125", managed=True, start=True, on_crash="restart")
        with d.migration("GET", "/v1/guests/one/migration"):
            assert "cancelled" in refused(503, d.post, "/v1/guests/one/migrate", {})
        os.kill(guest["pid"], signal.SIGKILL)
        eventually(lambda: "ended (crash), then restart" in d.said())


def test_one_that_has_left_is_forgotten():
    """Also if it was to end here meanwhile: what it is is the other host's to know."""
    with Daemon().start() as d:
        d.create("one", "went", managed=True, start=True)
        d.post("/v1/guests/one/destroy")
        eventually(lambda: not d.guests())


class There(Daemon):
    """Guests come to it when they are told (say())."""
    def __init__(self):
        super().__init__()
        self.env["DACH_FAKE_COMES"] = self.folder + "/word"


def receive(d, disk_sizes=None, **config):
    """One that brings two disks, and comes when it is told: where they are."""
    disks = [f"{d.folder}/a.img", f"{d.folder}/b.qcow2"]
    config = {"name": "one", "kernel": d.kernel, "memory_kib": 65536,
              "disks": [{"target": disks[0], "vdev": "xvda", "writable": True},
                        {"target": disks[1], "vdev": "xvdb", "writable": True, "format": "qcow2"}], **config}
    config = {key: value for key, value in config.items() if value is not None}
    d.migration("POST", "/v1/receive", {"config": config, "managed": True,
                                        "disk_sizes": disk_sizes or {"xvda": 1 << 20, "xvdb": 1 << 20}}).close()
    assert all(os.path.exists(disk) for disk in disks)
    eventually(lambda: begun(d), 60)
    return disks


def say(d, word):
    with open(d.folder + "/saying", "w") as file:
        file.write(word)
    os.rename(d.folder + "/saying", d.folder + "/word")


def is_off(d):
    return d.guests()["one"]["state"] == "off"


def test_one_that_has_come_keeps_its_disks():
    """Also where that it has come could not be noted."""
    with There().start() as d:
        disks = receive(d)
        limits = resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        say(d, "")
        eventually(lambda: d.guests()["one"]["state"] == "running")
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, limits)
        d.post("/v1/guests/one/shutdown")
        eventually(lambda: is_off(d))
        assert all(os.path.exists(disk) for disk in disks)


def test_disks_stay_unless_it_surely_never_ran():
    for word, watched in ("4", False), ("4", True), ("1", False), ("1", True):
        with There().start() as d:
            disks = receive(d)
            if not watched:
                d.stop(signal.SIGKILL)
            say(d, word)
            eventually(lambda d=d: not d.monitors())
            if not watched:
                d.start()
            eventually(lambda d=d, word=word: not d.guests() if word == "1" else is_off(d))
            assert [os.path.exists(disk) for disk in disks] == [word == "4"] * 2, (word, watched)


def test_disks_of_a_start_that_was_cut_off():
    """As a daemon leaves it that is killed before the monitor is there: nothing of it stays."""
    with There().start() as d:
        disks = receive(d)
        uuid = d.guests()["one"]["uuid"]
        d.stop(signal.SIGKILL)
        os.kill(d.monitors()[uuid], signal.SIGKILL)
        eventually(lambda: not d.monitors())
        os.unlink(f"{d.run}/guests/{uuid}/lock")
        open(f"{d.run}/guests/{uuid}.state", "w").close()
        d.start()
        eventually(lambda: not d.guests())
        assert not any(os.path.exists(disk) for disk in disks)


def test_what_has_taken_their_names_stays():
    with There().start() as d:
        disks = receive(d)
        with open(d.folder + "/mine", "w") as file:
            file.write("mine")
        os.rename(d.folder + "/mine", disks[0])
        say(d, "1")
        eventually(lambda: not d.guests())
        assert open(disks[0]).read() == "mine" and not os.path.exists(disks[1])
        assert "it is another file now" in d.said()


def test_a_receive_that_fails_leaves_nothing():
    with There().start() as d:
        disks = [{"target": f"{d.folder}/a.img", "vdev": "xvda", "writable": True},
                 {"target": f"{d.folder}/none.img", "vdev": "xvdb"}]
        text = refused(422, receive, d, {"xvda": 1 << 20}, kernel=None, firmware="uefi", disks=disks)
        assert "none.img" in text, text
        assert not d.guests() and not os.path.exists(disks[0]["target"])
        assert not os.listdir(d.state + "/nvram")


main(globals().copy())
