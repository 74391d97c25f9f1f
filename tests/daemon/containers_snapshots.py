#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots of containers, and copies of those: layers of what they have written over their template. As root."""
import contextlib
import os
import signal
import sqlite3

from containers import TEMPLATE, TOP, as_root, create, dach, daemon, eventually, inside, make_root, off, refused, up


def folders(d):
    return {name for name in os.listdir(d.state + "/containers") if not name.endswith(".gone")}


def stop(d, name="web"):
    d.post(f"/v1/guests/{name}/destroy")
    off(d, name)


def begin(d, name="web"):
    d.post(f"/v1/guests/{name}/start")
    up(d, name)


def snapshot(d, name, guest="web"):
    return d.post(f"/v1/guests/{guest}/snapshots", {"name": name})


def revert(d, name, **more):
    return d.post(f"/v1/guests/web/snapshots/{name}/revert", more)


def test_back_and_forth():
    with daemon() as d:
        create(d, managed=True)
        up(d)
        said = refused(409, snapshot, d, "early")
        assert "while it is off" in said and "\n" not in said, said
        # Of whatever kind: what is new, what is gone, what has taken the place of something else.
        inside(d, "echo one > /etc/one; rm /etc/inittab; rm -r /mnt; echo file > /mnt; rm -r /root; mkdir -m 700 /root; "
                  "chown 1000:1000 /root; ln -s one /etc/link; ln /etc/one /etc/same")
        stop(d)
        told = snapshot(d, "first")
        assert told["state"] == "off" and not told["memory"] and told["current"], told
        begin(d)
        inside(d, "cat /mnt; rm /mnt; mkdir /mnt; echo two > /mnt/two; rm /etc/one /etc/passwd; echo back > /etc/inittab; echo x >> /etc/same")
        stop(d)
        snapshot(d, "second")
        revert(d, "first", start=True)
        up(d)
        assert inside(d, "cat /etc/one /etc/same /mnt; ls -A /root; stat -c %u /root; readlink /etc/link; ls /etc").split() == \
            "one one file 1000 one fstab link one passwd same".split(), inside(d, "ls /etc")
        # While it runs: what it is now is lost.
        inside(d, "echo lost > /etc/lost")
        revert(d, "second", start=True)
        up(d)
        assert inside(d, "cat /mnt/two /etc/inittab; ls /etc; cat /etc/same").split() == "two back fstab inittab link same one x".split()
        assert {at["name"]: at["parent"] for at in d.get("/v1/guests/web/snapshots")["snapshots"]} == {"first": None, "second": "first"}
        # Off again, with what it has written since.
        inside(d, "echo three > /etc/three")
        stop(d)
        begin(d)
        inside(d, "cat /etc/three /mnt/two")
        stop(d)
        assert "snapshots" in refused(409, d.call, "DELETE", "/v1/guests/web")
        # What nothing stands on any more goes; the rest when the guest does.
        before = folders(d)
        d.call("DELETE", "/v1/guests/web/snapshots/first")
        d.call("DELETE", "/v1/guests/web/snapshots/second")
        begin(d)
        inside(d, "cat /etc/three /mnt/two")
        assert folders(d) == before, (before, folders(d))
        stop(d)
        d.call("DELETE", "/v1/guests/web")
        eventually(lambda: not os.listdir(d.state + "/containers"))
    assert os.path.exists(TEMPLATE + "/etc/inittab") and not os.path.exists(TEMPLATE + "/etc/one")


def test_what_is_gone_back_from_is_gone():
    with daemon() as d:
        create(d, managed=True)
        stop(d)
        snapshot(d, "first")
        for n in range(3):
            begin(d)
            inside(d, f"echo {n} > /etc/n; ls /etc/lost && exit 1; echo x > /etc/lost")
            revert(d, "first")
            assert d.guests()["web"]["state"] == "off"
        # One before whom it never ran costs nothing.
        count = len(folders(d))
        snapshot(d, "again")
        snapshot(d, "and-again")
        assert len(folders(d)) == count
        for name in "first", "again", "and-again":
            d.call("DELETE", f"/v1/guests/web/snapshots/{name}")


def test_copies():
    with daemon() as d:
        create(d, managed=True)
        up(d)
        assert "--from" in refused(409, d.post, "/v1/guests/web/clone", {"count": 1})
        inside(d, "echo ready > /etc/ready")
        stop(d)
        snapshot(d, "ready")
        begin(d)
        inside(d, "echo later > /etc/ready")
        made = d.post("/v1/guests/web/clone", {"count": 3, "name": "copy%", "from": "ready"})["clones"]
        assert [one["name"] for one in made] == ["copy1", "copy2", "copy3"], made
        for one in made:
            up(d, one["name"])
            assert inside(d, "cat /etc/ready; hostname", one["name"]).split() == ["ready", one["name"]]
            inside(d, f"echo {one['name']} > /etc/ready", one["name"])
        # They outlive the snapshot and its guest, and leave nothing.
        stop(d)
        d.call("DELETE", "/v1/guests/web/snapshots/ready")
        d.call("DELETE", "/v1/guests/web")
        d.stop(signal.SIGKILL)
        d.start()
        eventually(lambda: all(d.guests()[one["name"]]["state"] == "running" for one in made))
        for one in made:
            assert inside(d, "cat /etc/ready; cat /etc/passwd | head -1", one["name"]).split()[0] == one["name"]
        d.post("/v1/guests/copy1/reboot")
        up(d, "copy1")
        assert inside(d, "cat /etc/ready", "copy1") == "copy1\n"
        for one in made:
            stop(d, one["name"])
        eventually(lambda: not os.listdir(d.state + "/containers"))
        assert not d.guests()


def test_killed_daemons():
    """Whatever the daemon has begun, the next one finds what the store has, and nothing else."""
    with daemon() as d:
        create(d, managed=True)
        up(d)
        inside(d, "echo one > /etc/n")
        stop(d)
        snapshot(d, "one")
        begin(d)
        inside(d, "echo two > /etc/n")
        d.stop(signal.SIGKILL)
        os.makedirs(d.state + "/containers/11111111-2222-4333-8444-777777777777/upper/x")
        d.start()
        eventually(lambda: d.guests()["web"]["state"] == "running")
        assert inside(d, "cat /etc/n") == "two\n"
        eventually(lambda: "11111111-2222-4333-8444-777777777777" not in folders(d))
        # In the middle of going back: the guest ends, and then it is what it was.
        revert(d, "one", start=True)
        d.stop(signal.SIGKILL)
        d.start()
        up(d)
        assert inside(d, "cat /etc/n") == "one\n"


def test_a_guest_that_cannot_be_read():
    """An older daemon, say, does not know what a newer one has kept; what the guest has written stays."""
    def kept(config):
        with contextlib.closing(sqlite3.connect(d.state + "/dach.db")) as db:
            [(was,)] = db.execute("SELECT config FROM guests WHERE name = 'web'").fetchall()
            db.execute("UPDATE guests SET config = ? WHERE name = 'web'", (config,))
            db.commit()
        return was
    with daemon() as d:
        create(d, managed=True)
        up(d)
        inside(d, "echo mine > /etc/mine")
        stop(d)
        snapshot(d, "one")
        begin(d)
        stop(d)
        there = folders(d)
        d.stop()
        was = kept('{"nonsense": 1}')
        d.start()
        assert "cannot be read" in d.said() and not d.guests()
        # One that goes meanwhile takes its own along, and no more.
        create(d, "two", managed=True)
        stop(d, "two")
        assert len(folders(d)) == 3
        d.call("DELETE", "/v1/guests/two")
        assert folders(d) == there
        d.stop()
        kept(was)
        d.start()
        begin(d)
        assert inside(d, "cat /etc/mine") == "mine\n"


def test_what_is_refused():
    root = TOP + "/own"
    make_root(root)
    with daemon() as d:
        create(d, "own", managed=True, template=None, root=root)
        stop(d, "own")
        assert "a container of a template" in refused(409, snapshot, d, "s", "own")
        for field, value in (("layers", ["11111111-2222-4333-8444-777777777777"]), ("layers", ["../../x"]),
                             ("upper", "11111111-2222-4333-8444-777777777777")):
            assert refused(400, create, d, "evil", **{field: value}).startswith("layers: ")
        create(d, managed=True)
        up(d)
        inside(d, "echo x > /etc/x")
        stop(d)
        snapshot(d, "s")
        # A layer that somebody has taken away is told, and nothing is changed.
        [layer] = folders(d)
        os.rename(f"{d.state}/containers/{layer}", TOP + "/taken")
        assert layer in refused(422, revert, d, "s") and layer in refused(422, d.post, "/v1/guests/web/start")
        assert layer in refused(422, d.post, "/v1/guests/web/clone", {"from": "s"})
        os.rename(TOP + "/taken", f"{d.state}/containers/{layer}")
        begin(d)
        assert inside(d, "cat /etc/x") == "x\n"
        # As many as there may be.
        for n in range(31):
            stop(d)
            snapshot(d, f"s{n}")
            d.post("/v1/guests/web/start")
        up(d)
        assert inside(d, "cat /etc/x") == "x\n"
        stop(d)
        assert "are the most" in refused(403, snapshot, d, "more"), d.said()
        assert dach(d, "snapshot", "list", "web").returncode == 0


if __name__ == "__main__":
    as_root(dict(globals()))
