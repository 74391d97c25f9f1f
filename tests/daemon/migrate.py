#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that move, with monitors that only play guest: what does not move, and what the daemon does with one that may run on
the other host. How they move is told by tests/guest/migrate.py."""
import contextlib
import os
import signal
import threading

from harness import Daemon, Refused, eventually, main, make_disks, refused


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


main(globals().copy())
