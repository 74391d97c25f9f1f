#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that are saved and go on, with monitors that only play guest: files, jobs, and kill -9 of daemon
and monitor in the middle. DACH_KILLS says how often, DACH_SEED where the dice begin. What a guest remembers
is how often it was told to count (sysrq n)."""
import contextlib
import glob
import json
import os
import random
import signal
import struct
import threading
import time

from harness import Daemon, Refused, eventually, main, refused

KILLS = int(os.environ.get("DACH_KILLS", "24"))
SEED = int(os.environ.get("DACH_SEED", "1"))


def count(d, name):
    d.post(f"/v1/guests/{name}/sysrq", {"key": "n"})


def remembered(path):
    """What is in the file of a guest's memory."""
    with open(path, "rb") as file:
        file.seek(2 << 20)
        return int(file.read(20).strip(b"\0"))


def left(d):
    """Files that are nobody's: half written, or notes."""
    return [os.path.join(top, name) for top, _, names in os.walk(d.folder) for name in names
            if name.endswith(".new") or name == "saving" or name.endswith(".state")]


def test_a_guest_is_saved_and_goes_on():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        events = d.events()
        uuid = d.create("one", "saving=0.1", vcpus=2)["uuid"]
        count(d, "one")
        assert d.post("/v1/guests/one/save", {"path": file})["name"] == "one"
        job = events.next("job")
        assert job["uuid"] == uuid and job["job"]["job"] == "save" and job["job"]["total"], job
        ended = events.next("ended")
        assert (ended["reason"], ended["action"]) == ("saved", "destroy"), ended
        assert not d.guests() and not left(d) and remembered(file) == 1
        os.unlink(d.kernel)  # of a guest that goes on nothing but its file is needed
        back = d.post("/v1/restore", {"path": file, "paused": True})
        assert (back["uuid"], back["state"], back["config"]["vcpus"]) == (uuid, "paused", 2), back
        d.post("/v1/guests/one/unpause")
        count(d, "one")
        assert "already" in refused(409, d.post, "/v1/restore", {"path": file})
        d.post("/v1/guests/one/save", {"path": file})
        assert remembered(file) == 2
        # With another configuration: another name, and a UUID of its own.
        config = {"name": "two", "kernel": "/no/kernel", "memory_kib": 65536, "vcpus": 2}
        assert d.post("/v1/restore", {"path": file, "config": config})["name"] == "two"
        events.close()


def test_its_group_has_room_for_the_file():
    """Where that is in memory (tmpfs) it counts as the guest's, whose group would end it when it is full."""
    with Daemon().start() as d:
        guest = d.create("one")
        limit = glob.glob(f"/sys/fs/cgroup/*/dach/{guest['uuid']}/memory.limit_in_bytes") + \
            glob.glob(f"/sys/fs/cgroup/*/{guest['uuid']}/memory.max")
        d.post("/v1/guests/one/save", {"path": d.folder + "/file", "then": "run"})
        if not limit:
            print("# skipped: this host gives the daemon no control groups for memory")
            return
        assert int(open(limit[0]).read()) == (2 * guest["memory_max"] + (512 << 10)) << 10, open(limit[0]).read()


def test_a_guest_that_stays():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        d.create("one")
        for then, state in ("run", "running"), ("pause", "paused"):
            assert d.post("/v1/guests/one/save", {"path": file, "then": then})["state"] == state
            count(d, "one")
        assert remembered(file) == 1 and d.guests()["one"]["state"] == "paused" and not left(d)


def test_what_cannot_be_saved_goes_on():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        with open(file, "w") as before:
            before.write("what was there")
        pid = d.create("one", "nospace")["pid"]
        assert "No space left" in refused(500, d.post, "/v1/guests/one/save", {"path": file})
        d.create("two", "saving=60")
        saving = threading.Thread(target=refused, args=(503, d.post, "/v1/guests/two/save",
                                                        {"path": file}))
        saving.start()
        eventually(lambda: d.get("/v1/guests/two/jobs")["jobs"])
        assert "already" in refused(409, d.post, "/v1/guests/two/save", {"path": file + "2"})
        d.post("/v1/guests/two/cancel", {"job": d.get("/v1/guests/two/jobs")["jobs"][0]["id"]})
        saving.join()
        assert d.guests()["one"]["pid"] == pid and d.guests()["two"]["state"] == "running"
        assert open(file).read() == "what was there" and not left(d)
        refused(400, d.post, "/v1/guests/one/save", {"path": "state"})
        refused(422, d.post, "/v1/guests/one/save", {"path": "/nowhere/state"})
        refused(400, d.post, "/v1/guests/one/save", {"path": file, "then": "wait"})
        for odd in "/dev/null", d.folder, d.folder + "/..":
            try:
                d.post("/v1/guests/two/save", {"path": odd})
                raise AssertionError(odd + " was taken")
            except Refused:
                pass
        assert not left(d)


def test_files_that_are_no_guest():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        d.create("one")
        d.post("/v1/guests/one/save", {"path": file})
        good = open(file, "rb").read()

        def says(what, data, status=400):
            with open(file, "wb") as out:
                out.write(data)
            text = refused(status, d.post, "/v1/restore", {"path": file})
            assert what in text and "\n" not in text, text

        def changed(at, data):
            return good[:at] + data + good[at + len(data):]

        says("not a saved guest", b"")
        says("not a saved guest", b"dachsave" + bytes(5000))
        says("ends too early", good[:-1])
        says("damaged", changed(20, b"x"))
        says("damaged", changed(4096 + 30, b"x"))
        says("not a guest that was saved here", changed(4096, b"x"))
        says("newer", changed(4104, struct.pack("<I", 2)), 409)
        says("damaged", changed(4108, struct.pack("<I", 1 << 31)))
        refused(422, d.post, "/v1/restore", {"path": "/nowhere"})
        refused(400, d.post, "/v1/restore", {"path": "/dev/zero"})
        refused(400, d.post, "/v1/restore", {"path": d.folder})
        assert not d.guests()
        with open(file, "wb") as out:
            out.write(good)
        d.post("/v1/restore", {"path": file})


def test_suspend():
    with Daemon().start() as d:
        d.create("one", managed=True, start=True, on_crash="restart")
        d.create("two")
        assert "managed" in refused(400, d.post, "/v1/guests/two/suspend")
        assert "not suspended" in refused(400, d.post, "/v1/guests/one/resume")
        count(d, "one")
        d.post("/v1/guests/one/suspend")
        assert d.guests()["one"]["state"] == "suspended"
        # Whoever starts the daemon anew finds it so.
        d.stop()
        d.start()
        one = d.guests()["one"]
        assert (one["state"], one["last_end"]["reason"]) == ("suspended", "saved"), one
        # Its state has its folders as they are.
        assert "suspended" in refused(409, d.post, "/v1/guests/one/share-attach", {"share": {"folder": "/srv"}})
        assert not d.get("/v1/guests/one")["config"].get("shares")
        kept = f"{d.state}/saved/{one['uuid']}"
        assert remembered(kept) == 1
        assert d.post("/v1/guests/one/resume", {"paused": True})["state"] == "paused"
        assert not os.path.exists(kept)
        d.post("/v1/guests/one/unpause")
        count(d, "one")
        d.post("/v1/guests/one/suspend")
        assert remembered(kept) == 2
        # start goes on from there, too; destroy has it begin anew.
        d.post("/v1/guests/one/start")
        count(d, "one")
        d.post("/v1/guests/one/suspend")
        assert remembered(kept) == 3
        d.post("/v1/guests/one/destroy")
        assert d.guests()["one"]["state"] == "off" and not os.path.exists(kept)
        d.post("/v1/guests/one/start")
        d.post("/v1/guests/one/suspend")
        assert remembered(kept) == 0
        d.call("DELETE", "/v1/guests/one")
        assert not os.path.exists(kept) and not left(d)


def test_a_managed_guest_goes_on_from_a_file():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        uuid = d.create("one", managed=True, start=True)["uuid"]
        count(d, "one")
        d.post("/v1/guests/one/save", {"path": file})
        assert d.guests()["one"]["state"] == "off"
        back = d.post("/v1/restore", {"path": file})
        assert back["managed"] and back["uuid"] == uuid
        d.post("/v1/guests/one/suspend")
        assert remembered(f"{d.state}/saved/{uuid}") == 1


def test_where_it_is_saved_is_gone():
    """The daemon is killed, and the folder is out of reach when the next one looks: nothing says that the
    state is whole, so the guest goes on."""
    with Daemon().start() as d:
        os.mkdir(d.folder + "/disk")
        pid = d.create("one", "saving=1")["pid"]
        asking = threading.Thread(target=lambda: _quietly(d.post, "/v1/guests/one/save",
                                                          {"path": d.folder + "/disk/one.save"}))
        asking.start()
        eventually(lambda: d.get("/v1/guests/one/jobs")["jobs"])
        d.stop(signal.SIGKILL)
        asking.join()
        time.sleep(1.5)  # the monitor has written it, and waits for who says what becomes of the guest
        os.rename(d.folder + "/disk", d.folder + "/elsewhere")
        d.start()
        eventually(lambda: d.guests()["one"]["state"] == "running")
        assert d.guests()["one"]["pid"] == pid and "cannot be reached" in d.said()
        os.unlink(d.folder + "/elsewhere/one.save.new")
        assert not left(d)


def test_the_daemon_ends_while_it_saves():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        pid = d.create("one", "saving=60")["pid"]
        for how in signal.SIGTERM, signal.SIGKILL:
            asking = threading.Thread(target=lambda: _quietly(d.post, "/v1/guests/one/save",
                                                              {"path": file}))
            asking.start()
            eventually(lambda: d.get("/v1/guests/one/jobs")["jobs"])
            d.stop(how)
            asking.join()
            d.start()
            eventually(lambda: d.guests()["one"]["state"] == "running")
            assert d.guests()["one"]["pid"] == pid
            assert not left(d) and not os.path.exists(file)


def _quietly(call, *arguments):
    try:
        call(*arguments)
    except (Refused, OSError):
        pass


def test_its_monitor_is_killed_while_it_is_saved():
    with Daemon().start() as d:
        file = d.folder + "/one.save"
        pid = d.create("one", "saving=60", on_crash="restart")["pid"]
        asking = threading.Thread(target=lambda: _quietly(d.post, "/v1/guests/one/save",
                                                          {"path": file}))
        asking.start()
        eventually(lambda: d.get("/v1/guests/one/jobs")["jobs"])
        os.kill(pid, signal.SIGKILL)
        asking.join()
        eventually(lambda: d.guests()["one"]["state"] == "running")
        assert d.guests()["one"]["pid"] != pid and not left(d) and not os.path.exists(file)


def is_whole(d, name, path):
    """Either it runs, and there is nothing of it elsewhere; or it is in its file, and runs nowhere."""
    state = d.guests().get(name, {"state": "gone"})["state"]
    if os.path.exists(path):
        return state in ("suspended", "gone") and remembered(path) == 0
    return state == "running"


def test_killed_at_any_moment():
    """Of the daemon, while a managed guest is suspended and resumed, and another one saved and restored."""
    dice = random.Random(SEED)
    with Daemon().start() as d:
        file = d.folder + "/file"
        kept = f"{d.state}/saved/" + d.create("kept", "saving=0.02", managed=True, start=True)["uuid"]
        d.create("plain", "saving=0.02")
        ends = {"saved": 0, "as before": 0}
        for _ in range(KILLS):
            for name, away, body in (("kept", "suspend", None), ("plain", "save", {"path": file})):
                asking = threading.Thread(target=_quietly, args=(d.post, f"/v1/guests/{name}/{away}", body))
                asking.start()
                time.sleep(dice.uniform(0, 0.06))
                d.stop(signal.SIGKILL)
                asking.join()
                d.start()
                path = kept if name == "kept" else file
                try:
                    eventually(lambda: is_whole(d, name, path))
                except AssertionError:
                    print(d.guests().get(name), os.path.exists(path), d.said()[-1500:])
                    raise
                assert not left(d), left(d)
                ends["saved" if os.path.exists(path) else "as before"] += 1
                if os.path.exists(path):
                    d.post("/v1/guests/kept/resume") if name == "kept" else \
                        d.post("/v1/restore", {"path": file})
                    if name == "plain":
                        os.unlink(file)
                assert d.guests()[name]["state"] == "running"
        print(json.dumps(ends))


def test_its_monitor_is_killed_at_any_moment():
    """Its file is whole, and the guest is no more; or there is none, and it crashed as any other."""
    dice = random.Random(SEED)
    with Daemon().start() as d:
        file = d.folder + "/file"
        pid = d.create("one", "saving=0.02", on_crash="restart")["pid"]
        ends = {"saved": 0, "crashed": 0}
        for _ in range(KILLS):
            asking = threading.Thread(target=_quietly, args=(d.post, "/v1/guests/one/save", {"path": file}))
            asking.start()
            time.sleep(dice.uniform(0, 0.06))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            asking.join()
            eventually(lambda: is_whole(d, "one", file) and d.guests().get("one", {}).get("pid") != pid, 30)
            assert not left(d), left(d)
            ends["saved" if os.path.exists(file) else "crashed"] += 1
            if os.path.exists(file):
                d.post("/v1/restore", {"path": file})
                os.unlink(file)
            pid = d.guests()["one"]["pid"]
        print(json.dumps(ends))


def test_killed_while_it_resumes():
    """A guest that was to go on from its state never begins anew instead."""
    dice = random.Random(SEED)
    with Daemon().start() as d:
        kept = f"{d.state}/saved/" + d.create("one", managed=True, start=True)["uuid"]
        count(d, "one")
        d.post("/v1/guests/one/suspend")
        for _ in range(KILLS // 2):
            asking = threading.Thread(target=_quietly, args=(d.post, "/v1/guests/one/resume"))
            asking.start()
            time.sleep(dice.uniform(0, 0.08))
            d.stop(signal.SIGKILL)
            asking.join()
            d.start()
            eventually(lambda: d.guests()["one"]["state"] in ("running", "suspended"))
            assert not left(d)
            if d.guests()["one"]["state"] == "running":
                eventually(lambda: not os.path.exists(kept))
                d.post("/v1/guests/one/suspend")
            assert remembered(kept) == 1, "it began anew"


main(globals().copy())
