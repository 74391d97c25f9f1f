#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots, with monitors that only play guest: the tree, files, what the store keeps, and kill -9 of daemon and monitor
while one is made, gone back to and deleted. DACH_KILLS says how often, DACH_SEED where the dice begin."""
import json
import os
import random
import signal
import socket
import threading
import time

from harness import DISK_SIZE, Daemon, Refused, backing, eventually, main, make_disks, refused

KILLS = int(os.environ.get("DACH_KILLS", "24"))
SEED = int(os.environ.get("DACH_SEED", "1"))
ONE = "/v1/guests/one"


def chain(d, path):
    """The images of ours that a disk is made of."""
    found = set()
    while path.endswith(".qcow2"):
        found.add(os.path.basename(path))
        path = os.path.join(d.folder, backing(path))
    assert os.path.exists(path)
    return found


def images(d):
    return {name for name in os.listdir(d.folder) if name.endswith(".qcow2")}


def snapshots(d):
    return {s["name"]: s for s in d.get(ONE + "/snapshots")["snapshots"]}


def tree(d):
    return {name: s["parent"] for name, s in snapshots(d).items()}


def current(d):
    return [name for name, s in snapshots(d).items() if s["current"]]


def needed(d):
    """What guest and snapshots are made of; all of it is there."""
    found = set()
    for disk in d.get(ONE)["disks"] + [disk for s in snapshots(d).values() for disk in s["disks"]]:
        found |= chain(d, disk["path"])
    return found


def memory(d, uuid):
    folder = f"{d.state}/snapshots/{uuid}"
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def tidy(d, uuid):
    return images(d) == needed(d) and memory(d, uuid) == {n for n, s in snapshots(d).items() if s["memory"]} and \
        not [top for top, _, names in os.walk(d.run) if {"layering", "saving"} & set(names)]


def count(d):
    """Something in the guest's memory changes."""
    d.post(ONE + "/sysrq", {"key": "n"})


def counted(d, guest):
    return counted_of(d, "one")


def counted_of(d, name):
    """What it remembers, by a file that it is saved to."""
    path = d.folder + "/look"
    d.post(f"/v1/guests/{name}/save", {"path": path, "then": "run"})
    with open(path, "rb") as file:
        file.seek(2 << 20)
        number = int(file.read(20).strip(b"\0") or 0)
    os.unlink(path)
    return number


def ask_monitor(d, guest):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{d.run}/guests/{guest['uuid']}/control")
        s.sendall(b'{"id": 1, "do": "info"}\n')
        return json.loads(s.makefile().readline())


def create(d, words="", **more):
    return d.create("one", words, managed=True, start=True, disks=make_disks(d, "a.img", "b.img"), **more)


def test_tree():
    with Daemon().start() as d:
        guest = create(d)
        uuid = guest["uuid"]
        made = d.post(ONE + "/snapshots", {"name": "s1", "comment": "the first"})
        assert made["pause"] == 1000 and made["memory"] and made["current"] and made["parent"] is None
        assert [disk["path"] for disk in made["disks"]] == [f"{d.folder}/a.img", f"{d.folder}/b.img"]
        assert [disk["path"] for disk in d.get(ONE)["disks"]] == [f"{d.folder}/{x}.1.qcow2" for x in "ab"]
        count(d)
        d.post(ONE + "/snapshots", {"name": "s2"})
        count(d)
        assert tree(d) == {"s1": None, "s2": "s1"} and current(d) == ["s2"] and tidy(d, uuid)
        refused(409, d.post, ONE + "/snapshots", {"name": "s2"})
        # Back, and on: a branch. The image that nobody needs any more is gone.
        assert d.post(ONE + "/snapshots/s1/revert")["state"] == "running"
        assert counted(d, guest) == 0 and current(d) == ["s1"] and tidy(d, uuid)
        count(d)
        count(d)
        d.post(ONE + "/snapshots", {"name": "s3"})
        assert tree(d) == {"s1": None, "s2": "s1", "s3": "s1"} and tidy(d, uuid)
        # All of it lasts.
        d.stop()
        d.start()
        assert tree(d) == {"s1": None, "s2": "s1", "s3": "s1"} and current(d) == ["s3"]
        assert d.get(ONE + "/snapshots/s1")["comment"] == "the first"
        d.post(ONE + "/snapshots/s2/revert", {"paused": True})
        assert d.get(ONE)["state"] == "paused" and counted(d, guest) == 1
        # What was paused is paused when it comes back.
        d.post(ONE + "/snapshots", {"name": "s4"})
        d.post(ONE + "/unpause")
        d.post(ONE + "/snapshots/s4/revert")
        assert d.get(ONE)["state"] == "paused"
        # One in the middle.
        d.call("DELETE", ONE + "/snapshots/s1")
        assert tree(d) == {"s2": None, "s3": None, "s4": "s2"} and tidy(d, uuid)
        d.post(ONE + "/snapshots/s3/revert")
        assert counted(d, guest) == 2 and tidy(d, uuid)
        d.call("DELETE", ONE + "/snapshots/s2", {"children": True})
        assert tree(d) == {"s3": None} and tidy(d, uuid)
        # Of a guest that runs, what nothing else needs becomes one.
        d.post(ONE + "/snapshots", {"name": "s5"})
        below = [os.path.join(d.folder, backing(disk["path"])) for disk in d.get(ONE)["disks"]]
        d.call("DELETE", ONE + "/snapshots/s5")
        now = [disk["path"] for disk in d.get(ONE)["disks"]]
        assert tidy(d, uuid) and now == below, (below, now)
        # A guest with snapshots stays, also while it is off; its snapshot is gone back to from there.
        d.post(ONE + "/destroy")
        assert "snapshot" in refused(409, d.call, "DELETE", ONE)
        d.post(ONE + "/snapshots/s3/revert")
        assert counted(d, guest) == 2
        d.post(ONE + "/destroy")
        d.call("DELETE", ONE + "/snapshots/s3")
        assert tidy(d, uuid) and not os.path.exists(f"{d.state}/snapshots/{uuid}")
        d.call("DELETE", ONE)
        # What it was at last is still on its disks.
        assert images(d)


def test_without_memory():
    with Daemon().start() as d:
        uuid = create(d)["uuid"]
        made = d.post(ONE + "/snapshots", {"name": "disks", "disk_only": True})
        assert not made["memory"] and made["state"] == "running"
        d.post(ONE + "/destroy")
        made = d.post(ONE + "/snapshots", {"name": "off"})
        assert not made["memory"] and made["state"] == "off" and made["parent"] == "disks"
        assert tidy(d, uuid)
        assert d.post(ONE + "/snapshots/disks/revert", {"start": True})["state"] == "running"
        assert d.post(ONE + "/snapshots/off/revert")["state"] == "off"
        assert tidy(d, uuid) and current(d) == ["off"]
        # Its configuration comes back, too, but for its name.
        d.put(ONE + "/memory-max", {"memory": 32768})
        d.post(ONE + "/rename", {"name": "other"})
        d.post("/v1/guests/other/snapshots/disks/revert")
        assert d.get("/v1/guests/other")["memory_max"] == 65536
        d.post("/v1/guests/other/rename", {"name": "one"})
        # A guest that is suspended is gone back from.
        d.post(ONE + "/start")
        d.post(ONE + "/suspend")
        refused(409, d.post, ONE + "/snapshots", {"name": "x"})
        d.post(ONE + "/snapshots/disks/revert")
        assert not os.listdir(d.state + "/saved") and d.get(ONE)["state"] == "off"


def test_refusals():
    with Daemon().start() as d:
        d.create("loose", disks=make_disks(d, "l.img"))
        assert "managed" in refused(400, d.post, "/v1/guests/loose/snapshots", {"name": "x"})
        guest = create(d, "nosnap snapping=0.3")
        uuid = guest["uuid"]
        for name in "", "-x", ".", "..", "a/b", "ä", "x" * 65, "a b":
            refused(400, d.post, ONE + "/snapshots", {"name": name})
        refused(422, d.get, ONE + "/snapshots/x")
        # Its disks have new images by then: it is the same guest, and they are noted.
        at_work = threading.Thread(target=lambda: refused(500, d.post, ONE + "/snapshots", {"name": "x"}))
        at_work.start()
        eventually(lambda: memory(d, uuid))
        assert "being made" in refused(409, d.post, ONE + "/snapshots", {"name": "y"})
        refused(409, d.post, ONE + "/suspend")
        refused(409, d.post, ONE + "/disk-layer", {})
        refused(409, d.post, ONE + "/clone", {})
        at_work.join()
        assert not snapshots(d)
        # They become one with the old ones again.
        eventually(lambda: [disk["path"] for disk in d.get(ONE)["disks"]] == [f"{d.folder}/{x}.img" for x in "ab"])
        assert tidy(d, uuid) and not images(d)
        info = ask_monitor(d, guest)
        assert [disk["name"] for disk in info["disks"]] == [disk["path"] for disk in d.get(ONE)["disks"]]
        # A base that a snapshot needs.
        d.post(ONE + "/snapshots", {"name": "x", "disk_only": True})
        assert "snapshot" in refused(409, d.post, ONE + "/disk-commit", {"disk": "xvda"})
        # Files that went from under it: the guest goes on.
        name = snapshots(d)["x"]["disks"][0]["path"]
        os.rename(name, name + ".away")
        refused(422, d.post, ONE + "/snapshots/x/revert")
        assert d.get(ONE)["state"] == "running"
        os.rename(name + ".away", name)
        # As many on top of each other as a disk can be made of, and no more.
        d.post(ONE + "/destroy")
        while len(chain(d, d.get(ONE)["disks"][0]["path"])) < 15:
            d.post(ONE + "/snapshots", {"name": f"s{len(snapshots(d))}"})
        assert "which are the most" in refused(400, d.post, ONE + "/snapshots", {"name": "last"})
        d.post(ONE + "/start")
        assert tidy(d, uuid)


def line(d, path):
    """A disk's images, from the top."""
    found = [os.path.basename(path)]
    while path.endswith(".qcow2"):
        path = os.path.join(d.folder, backing(path))
        found.append(os.path.basename(path))
    return found


def test_images_between_become_one():
    with Daemon().start() as d:
        uuid = create(d)["uuid"]
        for n in range(1, 6):
            d.post(ONE + "/snapshots", {"name": f"s{n}"})
        st = os.stat(f"{d.folder}/a.2.qcow2")
        d.call("DELETE", ONE + "/snapshots/s3")
        assert tidy(d, uuid)
        # Its number may be another file's now, which the guest does not have.
        with open(f"{d.run}/guests/{uuid}/disks") as file:
            assert [mode for number, mode in map(str.split, file) if number == f"{st.st_dev:x}:{st.st_ino:x}"] == ["-"]
        assert line(d, f"{d.folder}/a.5.qcow2") == ["a.5.qcow2", "a.4.qcow2", "a.3.qcow2", "a.1.qcow2", "a.img"]
        # The oldest: the disk that it was made of is not one of ours, and stays.
        d.call("DELETE", ONE + "/snapshots/s1")
        assert tidy(d, uuid) and line(d, f"{d.folder}/b.4.qcow2") == ["b.4.qcow2", "b.3.qcow2", "b.1.qcow2", "b.img"]
        # Several at once: a guest that is off keeps them until it runs.
        d.post(ONE + "/destroy")
        d.call("DELETE", ONE + "/snapshots/s2")
        d.call("DELETE", ONE + "/snapshots/s4")
        assert len(line(d, f"{d.folder}/a.5.qcow2")) == 5
        d.stop()
        d.start()
        d.post(ONE + "/start")
        eventually(lambda: line(d, f"{d.folder}/b.5.qcow2") == ["b.5.qcow2", "b.4.qcow2", "b.img"] and tidy(d, uuid))
        # And the last one of all, into which the top comes.
        d.call("DELETE", ONE + "/snapshots/s5")
        eventually(lambda: [disk["path"] for disk in d.get(ONE)["disks"]] == [f"{d.folder}/{x}.img" for x in "ab"] and tidy(d, uuid))


def test_an_image_that_others_have_stays():
    with Daemon().start() as d:
        uuid = create(d)["uuid"]
        for n in range(1, 4):
            d.post(ONE + "/snapshots", {"name": f"s{n}"})
        d.post(ONE + "/clone", {"from": "s3", "name": "copy"})
        d.call("DELETE", ONE + "/snapshots/s2")
        assert len(line(d, f"{d.folder}/a.3.qcow2")) == 4
        # And a branch: two images stand on it.
        d.post("/v1/guests/copy/destroy")
        d.post(ONE + "/snapshots", {"name": "s4"})
        d.post(ONE + "/snapshots/s3/revert")
        d.post(ONE + "/snapshots", {"name": "s5"})
        d.call("DELETE", ONE + "/snapshots/s3")
        assert tidy(d, uuid) and set(tree(d)) == {"s1", "s4", "s5"}


def test_a_monitor_that_only_says_that_images_are_one():
    """Nothing is removed that is still needed, and it is not asked for ever."""
    with Daemon().start() as d:
        uuid = create(d, "lazycopy")["uuid"]
        for n in range(1, 4):
            d.post(ONE + "/snapshots", {"name": f"s{n}"})
        d.call("DELETE", ONE + "/snapshots/s2")
        assert tidy(d, uuid) and len(line(d, f"{d.folder}/a.3.qcow2")) == 4
        d.call("DELETE", ONE + "/snapshots/s1")
        assert tidy(d, uuid)


def test_a_monitor_that_ends_while_images_become_one():
    """The second disk's turn comes when the monitor has gone already."""
    with Daemon().start() as d:
        create(d, "nocopy")
        d.post(ONE + "/snapshots", {"name": "s1"})
        d.call("DELETE", ONE + "/snapshots/s1")
        eventually(lambda: d.get(ONE)["state"] == "off")
        assert d.process.poll() is None and not snapshots(d)


def test_full_memory_file():
    """A snapshot whose memory is not a saved guest's any more ends nothing."""
    with Daemon().start() as d:
        uuid = create(d)["uuid"]
        d.post(ONE + "/snapshots", {"name": "s"})
        os.truncate(f"{d.state}/snapshots/{uuid}/s", 4096)
        refused(400, d.post, ONE + "/snapshots/s/revert")
        assert d.get(ONE)["state"] == "running"
        os.unlink(f"{d.state}/snapshots/{uuid}/s")
        refused(422, d.post, ONE + "/snapshots/s/revert")
        d.call("DELETE", ONE + "/snapshots/s")
        assert tidy(d, uuid)


def test_clones():
    """What stands on an image of the guest's keeps it."""
    with Daemon().start() as d:
        create(d)
        d.post(ONE + "/snapshots", {"name": "s"})
        d.post(ONE + "/clone", {"name": "copy"})
        d.post(ONE + "/snapshots/s/revert")
        for disk in d.get("/v1/guests/copy")["disks"]:
            assert len(chain(d, disk["path"])) == 2


def test_clones_of_a_snapshot():
    """What the guest is now does not matter."""
    with Daemon().start() as d:
        guest = create(d)
        count(d)
        d.post(ONE + "/snapshots", {"name": "s"})
        d.post(ONE + "/snapshots", {"name": "disks", "disk_only": True})
        count(d)
        refused(422, d.post, ONE + "/clone", {"from": "x"})
        assert "no memory" in refused(400, d.post, ONE + "/clone", {"from": "disks"})
        d.post(ONE + "/destroy")
        made = d.post(ONE + "/clone", {"from": "s", "count": 3, "name": "c%"})["clones"]
        assert [c["name"] for c in made] == ["c1", "c2", "c3"] and len({c["uuid"] for c in made}) == 3
        for c in made:
            assert [chain(d, disk["path"]) for disk in c["disks"]] == \
                [{os.path.basename(disk["path"])} for disk in c["disks"]]
        assert counted_of(d, "c2") == 1
        # The snapshot goes, and what they stand on stays.
        d.call("DELETE", ONE + "/snapshots/s")
        for c in made:
            for disk in c["disks"]:
                chain(d, disk["path"])
            d.post(f"/v1/guests/{c['name']}/destroy")
        assert tidy(d, guest["uuid"])


def test_kills():
    """Whatever is killed when: each snapshot is there whole or not at all, the guest is what it was or what it was to
    be, and nothing else is on the disk."""
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    done = {"create": 0, "revert": 0, "delete": 0}
    with Daemon().start() as d:
        guest = create(d, "snapping=0.04")
        uuid = guest["uuid"]
        has, at = {}, 0  # what each remembers, what the guest does
        for n in range(KILLS):
            before, was = tree(d), at
            what = dice.choice(["create", "create", "revert", "revert", "delete"]) if before else "create"
            if len(before) > 4:
                what = "delete"
            name = f"n{n}" if what == "create" else dice.choice(sorted(before))
            if d.get(ONE)["state"] == "off":
                d.post(ONE + "/start")
                at = was = 0
            elif d.get(ONE)["state"] == "suspended":
                d.post(ONE + "/start")
                at = was = counted(d, guest)
            for _ in range(dice.randrange(3)):
                count(d)
                at = was = at + 1

            answered = []

            def ask():
                try:
                    if what == "create":
                        d.post(ONE + "/snapshots", {"name": name})
                    elif what == "revert":
                        d.post(f"{ONE}/snapshots/{name}/revert")
                    else:
                        d.call("DELETE", f"{ONE}/snapshots/{name}")
                    answered.append(what)
                except (Refused, OSError):
                    pass
            at_work = threading.Thread(target=ask)
            at_work.start()
            if dice.random() < 0.4:
                at_work.join()
            else:
                time.sleep(dice.uniform(0, 0.25 if what == "revert" else 0.12))
            monitor = dice.random() < 0.3 and d.monitors().get(uuid)
            if monitor:
                try:
                    os.kill(monitor, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            else:
                d.process.send_signal(signal.SIGKILL)
                d.process.wait()
            at_work.join()
            if not monitor:
                d.start()
            eventually(lambda: d.guests()["one"]["state"] in ("off", "suspended", "running") and
                       d.guests()["one"]["pid"] != (monitor or 0), 20)
            eventually(lambda: tidy(d, uuid) and d.get(ONE)["state"] != "starting", 20)
            after = tree(d)
            state = d.get(ONE)["state"]
            assert set(after) - set(before) <= ({name} if what == "create" else set()), (what, before, after)
            assert set(before) - set(after) <= ({name} if what == "delete" else set()), (what, before, after)
            if name in after and what == "create":
                has[name] = at
                done[what] += 1
            done[what] += what == "delete" and name not in after
            # What was answered is so.
            assert not answered or (name in after) == (what != "delete"), (what, name, after)
            if state == "running":
                info = ask_monitor(d, guest)
                assert [disk["name"] for disk in info["disks"]] == [disk["path"] for disk in d.get(ONE)["disks"]]
                at = counted(d, guest)
                # A monitor that was killed is started anew by nobody, so one that runs remembers.
                assert at in ({was} if what != "revert" else {has[name]} if answered else {was, has[name]}), \
                    (what, at, was, has, answered)
                done[what] += what == "revert" and at == has[name]
            else:  # one that was gone back to, and whose new monitor was killed, is still what it was then
                assert monitor and (what == "revert" or state == "off"), (what, state)
        print(f"{KILLS} kills, {done}")
        for name in list(snapshots(d)):
            d.post(f"{ONE}/snapshots/{name}/revert")
            assert counted(d, guest) == has[name], name
        assert sum(done.values()), done


main(globals().copy())
