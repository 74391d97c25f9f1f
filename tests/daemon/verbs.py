#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon does when it is asked, with monitors that only play guest."""
import contextlib
import glob
import json
import os
import socket
import subprocess
import threading
import time

from harness import HERE, Connection, Daemon, eventually, main, open_files, refused


def test_a_guest_lives():
    with Daemon().start() as d:
        events = d.events()
        guest = d.create("one", vcpus=2, vifs=[{}], disks=[])
        assert guest["domid"] == 1 and guest["state"] == "running", guest
        assert guest["flags"] == "-b----" and len(guest["vcpu"]) == 2
        assert guest["networks"][0]["tx_bytes"] == 120
        events.next("started", name="one", domid=1)
        assert d.post("/v1/guests/one/pause")["flags"] == "--p---"
        events.next("paused")
        assert d.get("/v1/guests/1")["state"] == "paused"
        assert d.post(f"/v1/guests/{guest['uuid']}/unpause")["state"] == "running"
        assert d.put("/v1/guests/1/memory", {"memory": 32768})["memory"] == 32768
        assert "maximum" in refused(400, d.put, "/v1/guests/1/memory", {"memory": 99999999})
        d.post("/v1/guests/1/shutdown")
        assert events.next("ended")["reason"] == "poweroff"
        events.next("removed")
        assert not d.guests() and not os.listdir(d.run + "/guests")
        assert d.create("one")["domid"] == 2
        events.close()


def test_refusals():
    with Daemon().start() as d:
        d.create("one")
        assert "already" in refused(409, d.create, "one")
        assert "Domain-0" in refused(400, d.create, "Domain-0")
        assert "does not exist" in refused(404, d.get, "/v1/guests/two")
        refused(404, d.get, "/v1/guests/0")
        refused(404, d.get, "/v1/guests/99999999999999999999")
        refused(400, d.post, "/v1/guests", {"config": {"name": "x", "no": 1}})
        refused(400, d.post, "/v1/guests", {"config": []})
        refused(400, d.post, "/v1/guests", {"name": "x"})
        refused(400, d.post, "/v1/guests", [])
        refused(400, d.post, "/v1/guests")
        refused(400, d.create, "x" * 200)
        refused(400, d.create, "two", start=False)
        assert "/nowhere" in refused(422, d.post, "/v1/guests", {"config": {
            "name": "two", "kernel": "/nowhere", "memory_kib": 65536}})
        assert "was to fail" in refused(400, d.create, "two", "fail")
        refused(500, d.create, "two", "fall")  # not a word, as one that was killed
        refused(400, d.post, "/v1/guests/one/trigger", {"trigger": "sleep"})
        refused(400, d.post, "/v1/guests/one/sysrq", {"key": "no"})
        refused(400, d.put, "/v1/guests/one/autostart", {"autostart": True})
        refused(409, d.call, "DELETE", "/v1/guests/one")
        refused(426, d.get, "/v1/guests/one/console")
        refused(405, d.call, "PATCH", "/v1/guests/one")
        assert list(d.guests()) == ["one"]


def test_affinity_and_shares():
    with Daemon().start() as d:
        guest = d.create("one", vcpus=2)
        last = d.get("/v1/host")["nr_cpus"] - 1
        d.put("/v1/guests/one/vcpus/1/affinity", {"cpus": "0", "soft": "all"})
        vcpus = d.get("/v1/guests/one")["vcpu"]
        assert [v["affinity"] for v in vcpus] == ["all", "0" if last else "all"], vcpus
        assert os.sched_getaffinity(guest["pid"]) == {0}  # the fake's only thread is every vCPU's
        d.put("/v1/guests/one/vcpus/all/affinity", {"cpus": "all"})
        assert os.sched_getaffinity(guest["pid"]) == set(range(last + 1))
        for vcpu, cpus in ("2", "0"), ("x", "0"), ("-1", "0"), ("0", "9999"), ("0", "^0,"), ("0", ""):
            refused(400, d.put, f"/v1/guests/one/vcpus/{vcpu}/affinity", {"cpus": cpus})
        assert d.put("/v1/guests/one/scheduler", {"weight": 512})["scheduler"] == \
            {"weight": 512, "cap": 0}
        for shares in glob.glob(f"/sys/fs/cgroup/*/dach/{guest['uuid']}/cpu.shares"):
            assert int(open(shares).read()) == 2048  # twice everybody's
            tasks = open(os.path.dirname(shares) + "/cgroup.procs").read().split()
            assert str(guest["pid"]) in tasks, tasks
        assert d.put("/v1/guests/one/scheduler", {"cap": 50})["scheduler"]["weight"] == 512
        refused(400, d.put, "/v1/guests/one/scheduler", {"weight": 0})
        refused(400, d.put, "/v1/guests/one/scheduler", {"weight": 65536})


def raw(d, data, timeout=10):
    """Bytes on the socket, and the status that comes back (None: closed without one)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(d.run + "/dachd.sock")
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        head = s.recv(4096)
        return int(head.split()[1]) if head else None


def test_no_http():
    with Daemon().start() as d:
        for garbage in b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"", bytes(range(256)) * 100:
            with contextlib.suppress(TimeoutError, ConnectionError):
                raw(d, garbage, 0.2)
        assert raw(d, b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{") == 400
        assert raw(d, b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" +
                   b" " * 2000000) == 413
        assert raw(d, b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\n\r\n") in (None, 414, 431, 500)
        deep = b"[" * 100000
        assert raw(d, b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" %
                   len(deep) + deep) == 400
        assert d.create("one")["domid"] == 1


def test_what_is_not_read_is_not_taken():
    """Arguments of what takes none, and words behind a path; HEAD is GET without the body."""
    with Daemon().start() as d:
        d.create("one")
        for verb in "pause", "destroy":
            assert "no arguments" in refused(400, d.post, f"/v1/guests/one/{verb}", {"no": 1})
            for body in [], 7, "x":
                refused(400, d.post, f"/v1/guests/one/{verb}", body)
        assert d.post("/v1/guests/one/pause", {})["state"] == "paused"
        for path in "/v1/guests?name=one", "/v1/guests/one?x", "/v1/events?since=1":
            assert "'?'" in refused(400, d.get, path), path
        for path, status in ("/v1/guests", 200), ("/v1/guests/one", 200), ("/v1/guests/two", 404), ("/v1/events", 405):
            connection = Connection(d.run + "/dachd.sock")
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (status, b""), (path, answer.status)
            connection.close()


def test_who_never_asks_is_not_waited_for():
    with Daemon().start() as d, socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)  # an idle connection may stay for a minute
        s.connect(d.run + "/dachd.sock")
        s.sendall(b"\x00\xff what is this")
        while s.recv(4096):
            pass


def test_a_control_group_goes_with_its_guest():
    with Daemon().start() as d:
        uuid = d.create("one", "linger=0.7")["uuid"]

        def groups():
            return glob.glob(f"/sys/fs/cgroup/*/dach/{uuid}") + \
                glob.glob(f"/sys/fs/cgroup/dach/{uuid}")
        if not groups():
            return  # a host that gives us none
        d.post("/v1/guests/one/destroy")
        assert not groups(), "the guest is gone, and its control group is not"


def test_a_saved_guest_is_gone():
    """Its state goes on elsewhere or later: it is no crash, and nothing is started in its place."""
    with Daemon().start() as d:
        events = d.events()
        restart = {"on_" + end: "restart" for end in ("poweroff", "reboot", "crash", "watchdog")}
        d.create("one", "life=0.2 end=saved", **restart)
        ended = events.next("ended")
        assert (ended["reason"], ended["action"], ended["text"]) == ("saved", "destroy", ""), ended
        events.next("removed")
        assert not d.guests()
        d.create("two", "life=0.2 end=saved", managed=True, **restart)
        d.post("/v1/guests/two/start")
        eventually(lambda: d.guests()["two"]["state"] == "off")
        assert d.guests()["two"]["last_end"]["reason"] == "saved"
        events.close()


def test_chains_of_disks():
    """Backing files are found, and opened with no more rights than the owner of the image that names them."""
    with Daemon().start() as d:
        def image(name, *words):
            path = f"{d.folder}/{name}.qcow2"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, path, "1M"], check=True)
            return path

        def disk(path):
            return [{"target": path, "vdev": "xvda", "format": "qcow2"}]
        base = image("base")
        top = image("top", "-b", "base.qcow2", "-F", "qcow2")
        d.create("one", disks=disk(top))
        for status, path, says in ((422, image("gone", "-u", "-b", "none.raw", "-F", "raw"), "/none.raw"),
                                   (409, image("json", "-u", "-b", "json:{}", "-F", "raw"), "given as 'json:'"),
                                   (400, image("circle", "-u", "-b", "circle.qcow2", "-F", "qcow2"), "in a circle"),
                                   (400, d.kernel, "not a qcow2 image")):
            assert says in refused(status, d.create, "two", disks=disk(path)), path
        if not os.geteuid():
            os.chmod(base, 0o600)
            os.chown(top, 65534, 65534)
            assert "not for the owner" in refused(403, d.create, "two", disks=disk(top))
        assert list(d.guests()) == ["one"]


def test_what_cannot_start_is_not_kept():
    with Daemon().start() as d:
        def disks(count, **more):
            return [{"target": d.kernel, "vdev": f"xvd{chr(97 + i)}", **more} for i in range(count)]
        empty = [{"format": "empty", "vdev": "hdc", "cdrom": True}]
        for text, fields in (("disks[16]: a guest can have 16", {"disks": disks(17)}),
                             ("vifs[8]: a guest can have 8", {"vifs": [{}] * 9}),
                             ("vifs[0]: fwd=tcp:1", {"vifs": [{"forward": ["tcp:1"]}]}),
                             ("vcpus: a guest can have 64", {"vcpus": 65}),
                             ("maxmem_kib: a guest can have 4096 GiB", {"maxmem_kib": (4 << 30) + 1024})):
            for how in {"managed": True}, {}:
                assert text in refused(400, d.create, "one", **how, **fields), fields
        disk = {"target": d.folder + "/gone", "vdev": "xvda"}
        for status, text, fields in ((409, "disks[0]: format vhd is not there yet", {"disks": [{**disk, "format": "vhd"}]}),
                                     (422, disk["target"], {"disks": [disk]}), (422, "/gone", {"kernel": "/gone"}),
                                     (400, "neither a file nor", {"ramdisk": d.folder}), (400, "no kernel", {"kernel": None})):
            for how in {"managed": True}, {}:
                assert text in refused(status, d.create, "one", **how, **fields), fields
        assert not d.guests()
        d.create("one", vcpus=64, vifs=[{}] * 4, disks=disks(8) + empty)
        assert list(d.guests()) == ["one"]


def test_a_file_that_another_guest_has():
    """Which guest that is; its monitor alone could not tell."""
    with Daemon().start() as d:
        def disk(name, writable=True, vdev="xvda"):
            return {"target": f"{d.folder}/{name}", "vdev": vdev, "writable": writable}
        for name in "one", "two":
            open(f"{d.folder}/{name}", "w").close()
        os.link(d.folder + "/one", d.folder + "/link")
        d.create("first", disks=[disk("one")])
        for config in {"disks": [disk("one")]}, {"disks": [disk("link", False)]}:
            assert "in use by the guest 'first'" in refused(409, d.create, "second", **config)
        twice = [disk("two"), disk("two", False, "xvdb")]
        assert "the guest has it twice, as xvda and xvdb" in refused(409, d.create, "second", disks=twice)
        d.create("second", disks=[disk("two", False), disk("two", False, "xvdb")])
        d.create("third", disks=[disk("two", False)])
        # one that is off holds nothing, and is told at its start
        d.create("kept", managed=True, disks=[disk("one")])
        assert "in use by the guest 'first'" in refused(409, d.post, "/v1/guests/kept/start")


def test_managed():
    with Daemon().start() as d:
        guest = d.create("kept", managed=True)
        assert guest["state"] == "off" and guest["domid"] is None
        assert d.put("/v1/guests/kept/autostart", {"autostart": True})["autostart"]
        assert d.put("/v1/guests/kept/memory-max", {"memory": 131072})["memory_max"] == 131072
        assert d.post("/v1/guests/kept/start", {"paused": True})["state"] == "paused"
        refused(409, d.post, "/v1/guests/kept/start")
        d.post("/v1/guests/kept/destroy")
        assert d.guests()["kept"]["state"] == "off"
        assert d.guests()["kept"]["last_end"]["reason"] == "killed"
        refused(409, d.post, "/v1/guests/kept/destroy")
        refused(409, d.post, "/v1/guests/kept/pause")
        assert d.post("/v1/guests/kept/start")["domid"] == 2
        d.post("/v1/guests/kept/destroy")
        d.post("/v1/guests/kept/rename", {"name": "other"})
        d.stop()
        d.start()
        assert d.guests()["other"]["autostart"] and d.guests()["other"]["state"] == "off"
        os.unlink(d.run + "/autostarted")  # as a boot of the host would
        d.stop()
        d.start()
        eventually(lambda: d.guests()["other"]["state"] == "running")
        d.post("/v1/guests/other/destroy")
        d.call("DELETE", "/v1/guests/other")
        assert not d.guests()


def end_of(d, events, action, managed=False, how="crash"):
    """A guest that ends as told; the event that says what follows."""
    d.create("g", managed=managed, start=True, **{f"on_{how}": action})
    if how == "crash":
        d.post("/v1/guests/g/sysrq", {"key": "c"})
    else:
        d.post(f"/v1/guests/g/{'shutdown' if how == 'poweroff' else how}")
    event = events.next("ended", reason=how)
    assert event["action"] == action, event
    return event


# What changes a guest, with words that are refused: by a monitor that refuses all, or by the daemon.
REFUSALS = {
    ("POST", "/pause"): [(400, None)],
    ("POST", "/unpause"): [(400, None)],
    ("POST", "/shutdown"): [(400, None)],
    ("POST", "/reboot"): [(400, None)],
    ("POST", "/trigger"): [(400, {"trigger": "nmi"}), (400, {"trigger": "no"}), (400, {})],
    ("POST", "/sysrq"): [(400, {"key": "h"}), (400, {"key": ""})],
    ("PUT", "/memory"): [(400, {"memory": 32768}), (400, {"memory": 1}), (400, {"memory": 1 << 30})],
    ("PUT", "/memory-max"): [(400, {"memory": 1 << 30}), (400, {"memory": 1024}), (400, {"memory": 0})],
    ("PUT", "/scheduler"): [(400, {"weight": 0}), (400, {"cap": -1}), (400, {"weight": 512, "cap": 1 << 30}), (400, {"no": 1})],
    ("PUT", "/autostart"): [(400, {"autostart": 7}), (400, {})],
    ("PUT", "/vcpus/{vcpu}/affinity"): [(400, {"cpus": "no"}), (400, {"cpus": "0", "soft": "^"}), (400, {})],
    ("POST", "/rename"): [(400, {"name": "a b"}), (409, {"name": "firm"}), (409, {"name": "Domain-0"}), (400, {})],
    ("POST", "/migrate"): [(400, {"no": 1}), (400, {"pause": -1}), (422, {"host": "nowhere"}), (400, {"host": ""}),
                           (400, {"told": 7}), (409, {"told": {}})],
    ("POST", "/live-update"): [(400, None), (400, {"no": 1})],
    ("POST", "/dump-core"): [(400, {"path": "FOLDER/core"}), (400, {"path": "core"}), (422, {"path": "/nowhere/core"})],
    ("POST", "/clone"): [(400, {}), (409, {"name": "firm"}), (400, {"name": "x", "count": 2}), (400, {"count": 0}),
                         (422, {"from": "x"})],
    ("POST", "/snapshots"): [(400, {}), (400, {"name": "x"}), (400, {"name": ".x"}), (400, {"name": "a/b"}),
                             (400, {"name": "x", "disk_only": True}), (400, {"name": "x" * 65})],
    ("DELETE", "/snapshots/{snapshot}"): [(422, None), (400, {"children": 1})],
    ("POST", "/snapshots/{snapshot}/revert"): [(422, None), (400, {"paused": 1})],
    ("POST", "/disk-layer"): [(400, {}), (400, {"folder": "here"}), (400, {"disks": "xvda"})],
    ("POST", "/disk-stream"): [(400, {"disk": "xvda"}), (400, {}), (400, {"disk": "xvda", "rate": -1})],
    ("POST", "/disk-commit"): [(400, {"disk": "xvda"}), (400, {"disk": 1})],
    ("POST", "/disk-resize"): [(400, {"disk": "xvda", "size": 1024}), (400, {"disk": "xvda"})],
    ("POST", "/disk-attach"): [(400, {}), (400, {"disk": {}}), (400, {"disk": {"target": "FOLDER/x", "vdev": "no"}}),
                               (422, {"disk": {"target": "/nowhere/x", "vdev": "xvdz"}})],
    ("POST", "/disk-detach"): [(400, {}), (400, {"disk": "xvdz"}), (400, {"disk": "xvdz", "force": 1})],
    ("POST", "/network-attach"): [(400, {}), (400, {"network": {"mac": "no"}}), (400, {"network": {"nonsense": 1}}),
                                  (400, {"network": {"bridge": "a name that is too long"}})],
    ("POST", "/network-detach"): [(400, {}), (400, {"network": 7}), (400, {"network": 8}), (400, {"network": 7, "force": 1})],
    ("POST", "/convert"): [(400, {}), (400, {"config": {}}), (409, {"config": {}, "told": {}, "ended": 0}),
                           (409, {"config": {"name": "x", "kind": "container", "root": "/"}, "told": {}, "ended": 0})],
    ("POST", "/share-attach"): [(400, {}), (400, {"share": {"folder": "x"}}), (400, {"share": {"folder": "/x", "path": "/y", "z": 1}}),
                                (400, {"share": {"folder": "/x", "path": "/../y"}})],
    ("POST", "/share-detach"): [(400, {}), (400, {"path": "/nowhere"}), (400, {"path": ""})],
    ("POST", "/network-forward"): [(400, {}), (400, {"forward": "tcp:1"}), (400, {"network": 7, "forward": "tcp::8080-:80"}),
                                   (400, {"forward": "tcp::8080-:80", "remove": 1})],
    ("POST", "/disk-medium"): [(400, {}), (400, {"disk": "xvdz"}), (400, {"disk": "xvdz", "path": ""})],
    ("POST", "/disk-export"): [(400, {"disk": "xvda", "socket": "/nowhere/socket"}), (400, {}), (400, {"disk": "xvda", "listen": ""})],
    ("POST", "/disk-backup"): [(400, {"disk": "xvda", "path": "FOLDER/core"}), (400, {"disk": "xvda"})],
    ("POST", "/disk-move"): [(400, {"disk": "xvda", "path": "FOLDER/moved"}), (400, {"disk": "xvda"})],
    ("POST", "/disk-checkpoint"): [(400, {"disk": "xvda", "checkpoint": "a"}), (400, {"disk": "xvda"}),
                                   (400, {"disk": "xvda", "checkpoint": "x" * 64})],
    ("POST", "/save"): [(400, {"path": "FOLDER/core"}), (400, {"path": "core"}), (422, {"path": "/nowhere/state"})],
    ("POST", "/suspend"): [(400, None)],
    ("POST", "/resume"): [(400, None)],
    ("POST", "/cancel"): [(400, {"job": 1}), (400, {"job": 0}), (400, {})],
    ("POST", "/start"): [(409, None), (409, {"paused": True}), (400, {"paused": 1})],
    ("DELETE", ""): [(409, None)],
    # Nothing can refuse the end of a guest that runs; of one that is off it is refused below.
    ("POST", "/destroy"): [],
}
OFF = {("POST", "/destroy"): (409, None), ("POST", "/pause"): (409, None), ("PUT", "/memory"): (400, {"memory": 1}),
       ("PUT", "/memory-max"): (400, {"memory": 1}), ("PUT", "/scheduler"): (400, {"cap": -1}),
       ("PUT", "/autostart"): (400, {"autostart": "on"}), ("POST", "/rename"): (400, {"name": ""}),
       ("PUT", "/vcpus/{vcpu}/affinity"): (400, {"cpus": "9999"})}


def kept(d):
    """All of a guest that does not change by itself."""
    guest = d.get("/v1/guests/firm")
    return {key: value for key, value in guest.items() if key not in (
        "uptime", "cpu_time", "networks", "pid", "last_end", "vcpu")}


def test_a_refusal_changes_nothing():
    """Whoever refuses, what the store keeps is as before, also after the daemon has read it again."""
    with open(HERE + "/../../doc/openapi.json", encoding="utf-8") as text:
        paths = json.load(text)["paths"]
    prefix = "/v1/guests/{ref}"
    there = {(method.upper(), path[len(prefix):]) for path, methods in paths.items() if path.startswith(prefix)
             for method in methods if method not in ("parameters", "get")}
    assert there == set(REFUSALS), there ^ set(REFUSALS)
    with Daemon().start() as d:
        def refuse(verb, status, body):
            method, path = verb
            if body and isinstance(body.get("path"), str):
                body = {**body, "path": body["path"].replace("FOLDER", d.folder)}
            for vcpu in ("0", "all") if "{vcpu}" in path else ("",):
                refused(status, d.call, method, "/v1/guests/firm" + path.replace("{vcpu}", vcpu), body)

        d.create("firm", "refuse", managed=True, start=True)
        d.create("Domain-1")
        before = kept(d)
        for verb, ways in REFUSALS.items():
            for status, body in ways:
                refuse(verb, status, body)
                assert kept(d) == before, (verb, body)
        assert not os.path.exists(d.folder + "/core")
        d.stop()
        d.start()
        eventually(lambda: kept(d) == before)
        d.post("/v1/guests/firm/destroy")
        # a guest that is off has the same limits
        before = kept(d)
        for verb, (status, body) in OFF.items():
            refuse(verb, status, body)
            assert kept(d) == before, (verb, body)


def test_ended_lives_are_few():
    with Daemon().start() as d:
        d.create("g", "life=2.1 end=crash", on_crash="rename-restart")
        for n in range(1, 9):
            d.create(f"g-{n}", managed=True, start=False)
        eventually(lambda: "kept already" in d.said(), 20)
        assert len(d.guests()) == 9
        d.post("/v1/guests/g/destroy")
        cores = d.state + "/cores"
        d.create("c", "life=2.1 end=crash", on_crash="coredump-restart")
        uuid = d.get("/v1/guests/c")["uuid"]
        os.makedirs(cores, exist_ok=True)
        for n in range(5):
            open(f"{cores}/2001-0101-000{n}.00-{uuid}.7.core", "w").close()
        open(f"{cores}/2001-0101-0000.00-other.7.core", "w").close()
        eventually(lambda: any("2001" not in name for name in os.listdir(cores)), 20)
        d.post("/v1/guests/c/destroy")
        names = sorted(os.listdir(cores))
        assert len([name for name in names if uuid in name]) == 3, names
        assert len(names) == 4, names


def test_what_follows_an_end():
    with Daemon().start() as d:
        events = d.events()
        end_of(d, events, "destroy")
        events.next("removed")
        assert not d.guests()
        for how in "poweroff", "reboot", "crash":
            old = end_of(d, events, "restart", how=how)["domid"]
            assert events.next("started")["domid"] == old + 1
            assert d.post("/v1/guests/g/destroy")["uuid"]
        old = end_of(d, events, "preserve")
        eventually(lambda: d.guests()["g"]["state"] == "shutdown")
        assert d.guests()["g"]["flags"] == "---sc-" and d.guests()["g"]["domid"] == old["domid"]
        d.post("/v1/guests/g/destroy")
        old = end_of(d, events, "rename-restart", how="reboot")
        new = events.next("started")
        assert new["uuid"] == old["uuid"] and new["domid"] == old["domid"] + 1
        was = d.guests()["g-1"]
        assert was["domid"] == old["domid"] and was["uuid"] != new["uuid"]
        assert was["flags"] == "---sr-", was["flags"]
        d.post("/v1/guests/g/destroy")
        d.post("/v1/guests/g-1/destroy")
        end_of(d, events, "coredump-restart")
        events.next("started")
        d.post("/v1/guests/g/destroy")
        end_of(d, events, "coredump-destroy")
        events.next("removed")
        assert len(os.listdir(d.state + "/cores")) == 2
        end_of(d, events, "preserve", managed=True, how="poweroff")
        d.post("/v1/guests/g/destroy")
        assert d.guests()["g"]["state"] == "off"
        pid = d.process.pid
        eventually(lambda: not open(f"/proc/{pid}/task/{pid}/children").read())
        events.close()


def test_a_guest_that_cannot_live_is_given_up():
    with Daemon().start() as d:
        events = d.events()
        begin = time.monotonic()
        d.create("mayfly", "life=0.1 end=crash", on_crash="restart")
        d.create("kept", "life=0.1 end=crash", on_crash="restart", managed=True, start=True)
        ends = [events.next("ended", name="mayfly") for _ in range(5)]
        assert [e["action"] for e in ends] == ["restart"] * 4 + ["destroy"], ends
        assert "not started again: it ended within 30 seconds of its start 5 times in a row" in ends[-1]["text"]
        assert time.monotonic() - begin > 7  # 0, 1, 2 and 4 seconds between them
        eventually(lambda: list(d.guests()) == ["kept"] and d.guests()["kept"]["state"] == "off", 30)
        assert "not started again" in d.guests()["kept"]["last_end"]["text"]
        assert "5 times" in d.said()
        # while it is left in peace it can be ended, and is not off
        d.post("/v1/guests/kept/start")
        eventually(lambda: d.guests()["kept"]["state"] == "starting" and not d.monitors(), 30)
        assert "is on already" in refused(409, d.post, "/v1/guests/kept/start")
        assert "the guest is on" in refused(409, d.call, "DELETE", "/v1/guests/kept")
        d.post("/v1/guests/kept/destroy")
        assert d.guests()["kept"]["state"] == "off"
        events.close()
        assert len(open(d.journal).readlines()) >= 10  # more where a life took long


def test_a_ramdisk_is_the_monitors_to_read():
    """However long it is: the daemon only opens it."""
    with Daemon().start() as d:
        ramdisk, disk = d.folder + "/initrd", d.folder + "/disk"
        for path, size in (ramdisk, 1 << 30), (disk, 1 << 20):
            with open(path, "wb") as out:
                out.truncate(size)
        pid = d.create("one", ramdisk=ramdisk, disks=[{"target": disk, "vdev": "xvda"}])["pid"]
        names = open_files(pid)
        assert ramdisk in names, names
        assert sum("memfd:names" in name for name in names) == 1, names


def test_console():
    with Daemon().start() as d:
        d.create("one")
        readers = []
        for _ in range(2):
            c = Connection(d.run + "/dachd.sock")
            c.connect()
            c.sock.sendall(b"GET /v1/guests/one/console HTTP/1.1\r\nHost: x\r\n"
                           b"Connection: Upgrade\r\nUpgrade: dach-console\r\n\r\n")
            data = b""
            while not data.endswith(b"fake console\r\n"):
                more = c.sock.recv(1000)
                assert more, data
                data += more
            assert data.startswith(b"HTTP/1.1 101"), data
            readers.append(c.sock)
        text = bytes(range(256)) * 400
        threading.Thread(target=readers[0].sendall, args=(text,)).start()
        for reader in readers:
            data = b""
            while len(data) < len(text):
                data += reader.recv(100000)
            assert data == text
        d.post("/v1/guests/one/destroy")
        assert readers[0].recv(10) == b"" and readers[1].recv(10) == b""
        for reader in readers:
            reader.close()


def upgrade(d, path, protocol):
    """The connection and what comes first, up to its end or a line's."""
    c = Connection(d.run + "/dachd.sock")
    c.connect()
    c.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode())
    data = b""
    while not data.endswith(b"agent\r\n") and b"}" not in data:
        more = c.sock.recv(1000)
        assert more, data
        data += more
    return c, data


def test_exec():
    with Daemon().start() as d:
        d.create("one")
        d.create("two", "noagent")
        refused(426, d.get, "/v1/guests/one/exec")
        for path, protocol, status in ("/v1/guests/one/exec", "dach-exec", b"101"), \
                ("/v1/guests/one/exec", "dach-console", b"426"), ("/v1/guests/two/exec", "dach-exec", b"409"), \
                ("/v1/guests/three/exec", "dach-exec", b"404"):
            c, data = upgrade(d, path, protocol)
            assert data.startswith(b"HTTP/1.1 " + status), (path, data)
            if status == b"101":
                assert data.endswith(b"fake agent\r\n") and c.sock.recv(10) == b"", data
            c.close()
        d.post("/v1/guests/one/pause")  # nothing is left of it
        assert not d.get("/v1/guests/two")["state"] == "ended"


def test_monitors_that_misbehave():
    with Daemon().start() as d:
        events = d.events()
        d.create("rude", "rude")
        refused(503, d.post, "/v1/guests/rude/pause")
        assert events.next("ended", name="rude")["reason"] == "crash"
        guest = d.create("deaf", "deaf")
        d.post("/v1/guests/deaf/destroy")  # killed after three seconds
        assert guest["uuid"] not in d.monitors() and not d.guests()
        guest = d.create("shot", on_crash="restart")
        os.kill(guest["pid"], 9)
        assert events.next("ended", name="shot")["text"] == "its monitor was killed or failed"
        assert events.next("started", name="shot")["domid"] == guest["domid"] + 1
        events.close()


def test_dump_core():
    with Daemon().start() as d:
        d.create("one")
        d.post("/v1/guests/one/dump-core", {"path": d.folder + "/core"})
        assert open(d.folder + "/core", "rb").read() == b"\x7fELF"
        refused(409, d.post, "/v1/guests/one/dump-core", {"path": d.folder + "/core"})
        refused(400, d.post, "/v1/guests/one/dump-core", {"path": "core"})


def test_the_daemon_ends_and_guests_go_on():
    with Daemon().start() as d:
        before = d.create("one", managed=True, start=True)
        d.create("two", paused=True)
        pids = d.monitors()
        d.stop()
        assert d.monitors() == pids and len(pids) == 2
        d.start()
        eventually(lambda: all(g["flags"] in ("-b----", "--p---") for g in d.guests().values()))
        assert d.guests()["one"]["pid"] == before["pid"]
        assert d.guests()["two"]["state"] == "paused"
        d.stop()
        os.kill(before["pid"], 9)
        eventually(lambda: len(d.monitors()) == 1)
        d.start()
        assert d.guests()["one"]["state"] == "off"
        assert d.guests()["one"]["last_end"]["reason"] == "crash"
        d.post("/v1/guests/two/destroy")
        lines = [line["text"] for line in d.call("DELETE", "/v1/host/log")["lines"]]
        assert any("found again" in line for line in lines), lines
        assert not d.get("/v1/host/log")["lines"]


def test_the_end_while_somebody_waits():
    with Daemon().start() as d:
        d.create("one", "deaf")
        told = []

        def ask():
            told.append(refused(503, d.post, "/v1/guests/one/pause"))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)  # its question is with the monitor, which does not answer
        d.stop()
        asking.join(10)
        assert told and "dachd ends" in told[0], told
        assert d.start().guests()["one"]["state"] == "running"


def test_many_listeners_and_slow_ones():
    with Daemon().start() as d:
        streams = [d.events() for _ in range(20)]
        d.create("one")
        for _ in range(30):
            d.post("/v1/guests/one/pause")
            d.post("/v1/guests/one/unpause")
        for stream in streams[:10]:
            for _ in range(30):
                stream.next("unpaused")
            stream.close()
        for stream in streams[10:]:
            stream.connection.sock.close()
        d.post("/v1/guests/one/destroy")
        assert d.get("/v1/host")["guests"] == 0


main(globals().copy())
