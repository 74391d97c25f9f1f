#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and what the daemon says when it cannot go on. Needs root for other users and a
small tmpfs; without, only what needs neither is tried."""
import json
import os
import pwd
import socket
import sqlite3
import subprocess
import tempfile
import traceback

from harness import BUILD, Connection, Daemon, Refused, eventually, main, refused

NOBODY = 65534
ROOT = os.geteuid() == 0


def as_nobody(action):
    """Runs it in a child that is the user nobody; what it returned, or raised."""
    end, begin = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            said = {"value": action()}
        except Refused as no:
            said = {"refused": no.status, "text": no.text}
        except BaseException:
            said = {"failed": traceback.format_exc()}
        os.write(begin, json.dumps(said).encode())
        os._exit(0)
    os.close(begin)
    with os.fdopen(end) as pipe:
        said = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "failed" not in said, said["failed"]
    return said


def policy(d, **rule):
    with open(d.folder + "/policy", "w") as out:
        json.dump({"users": {"nobody": rule}}, out)


def fill(folder):
    """Files until there is room for no more."""
    for n in range(1000):
        try:
            fd = os.open(f"{folder}/filler{n}", os.O_WRONLY | os.O_CREAT)
        except OSError:
            return
        try:
            while os.write(fd, bytes(4096)):
                pass
        except OSError:
            return
        finally:
            os.close(fd)


def unfill(folder):
    for name in os.listdir(folder):
        if name.startswith("filler"):
            os.unlink(f"{folder}/{name}")


def test_it_tells_when_it_answers():
    with Daemon() as d, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(d.folder + "/notify")
        listener.settimeout(20)
        d.env["NOTIFY_SOCKET"] = d.folder + "/notify"
        d.start(wait=False)
        assert listener.recv(100) == b"READY=1"
        assert d.guests() == {}


def test_strangers_may_not_even_read():
    if not ROOT:
        return
    with Daemon().start() as d:
        d.create("secret")
        for method, path in ("GET", "/v1/guests"), ("GET", "/v1/host"), ("GET", "/v1/events"), \
                ("POST", "/v1/guests/secret/destroy"), ("GET", "/v1/nothing"):
            said = as_nobody(lambda: d.call(method, path))
            assert said.get("refused") == 403, said
        assert "secret" in d.guests()


def test_users_have_their_own_guests_only():
    if not ROOT:
        return
    with Daemon() as d:
        own, other = d.folder + "/own/", d.folder + "/other/"
        for folder in own, other:
            os.mkdir(folder)
            open(folder + "kernel", "w").close()
        os.chown(own + "kernel", NOBODY, NOBODY)
        open(own + "closed", "w").close()
        os.chmod(own + "closed", 0o600)
        os.symlink(other + "kernel", own + "link")
        os.chmod(own, 0o777)
        policy(d, guests=2, memory=200, vcpus=3, paths=[own])
        d.start()
        d.create("roots")

        def make(name="mine", kernel=own + "kernel", memory=65536, **config):
            return as_nobody(lambda: d.post("/v1/guests", {"config": {
                "name": name, "kernel": kernel, "memory_kib": memory, **config}}))

        for kernel in other + "kernel", own + "link", own + "closed", own + "../other/kernel", \
                "/proc/self/root" + own + "kernel":
            assert make(kernel=kernel).get("refused") == 403, kernel
        assert "memory" in make(memory=300000)["text"]
        assert "processors" in make(vcpus=4)["text"]
        mine = make()["value"]
        assert mine["owner"] == NOBODY
        assert "value" in make("second")
        assert "2 guests" in make("third")["text"]
        assert {g["name"] for g in as_nobody(lambda: d.get("/v1/guests"))["value"]["guests"]} == \
            {"mine", "second"}
        # what has been accounted is not lowered while it is used
        as_nobody(lambda: d.put("/v1/guests/mine/memory", {"memory": 8192}))
        assert "off" in as_nobody(lambda: d.put("/v1/guests/mine/memory-max",
                                                {"memory": 8192}))["text"]
        assert d.get("/v1/guests/mine")["memory_max"] == 65536
        d.post("/v1/guests/second/destroy")
        for forward, why in ("tcp:127.0.0.1:87-:80", "1024"), ("udp::53-:53", "1024"), \
                ("tcp:0.0.0.0:8080-:80", "loopback"), ("tcp:127.0.0.1:99999-:80", "form"), \
                ("tcp:127.0.0.1: 80-:80", "form"), ("tcp:localhost:8080-:80", "form"):
            assert why in make("net", vifs=[{"forward": [forward]}])["text"], forward
        assert "value" in make("second", vifs=[{"forward": ["tcp:127.0.0.1:18080-:80"]}])
        for verb in "pause", "destroy", "shutdown":
            assert as_nobody(lambda: d.post(f"/v1/guests/roots/{verb}")).get("refused") == 404
        assert as_nobody(lambda: d.get("/v1/guests/1")).get("refused") == 404
        assert as_nobody(lambda: d.get("/v1/host/log")).get("refused") == 403
        assert as_nobody(lambda: d.post("/v1/guests/mine/dump-core", {
            "path": other + "core"})).get("refused") == 403
        assert "value" in as_nobody(lambda: d.post("/v1/guests/mine/dump-core", {
            "path": own + "core"}))
        assert os.stat(own + "core").st_uid == NOBODY
        saved_by_a_user(d, own, other)
        assert as_nobody(lambda: d.put("/v1/guests/mine/memory-max", {
            "memory": 999424})).get("refused") in (400, 403)
        assert set(d.guests()) == {"roots", "mine", "second"}
        d.post("/v1/guests/mine/destroy")
        os.unlink(d.folder + "/policy")
        d.process.send_signal(1)
        eventually(lambda: as_nobody(lambda: d.get("/v1/guests")).get("refused") == 403)


def saved_by_a_user(d, own, other):
    """His guests are saved where he may write, as his files, and only what he may have goes on."""
    def save(path, **more):
        return as_nobody(lambda: d.post("/v1/guests/mine/save", {"path": path, "then": "run", **more}))

    def restore(path, **more):
        return as_nobody(lambda: d.post("/v1/restore", {"path": path, **more}))

    os.symlink(other, own + "folder")
    os.mkdir(own + "roots", 0o755)
    for path in other + "save", own + "../other/save", own + "folder/save", own + "roots/save", \
            "/proc/self/root" + own + "save":
        assert save(path).get("refused") == 403, path
    assert save(own + "link").get("refused") == 409  # a link is no file
    assert "value" in save(own + "save", then="end")
    assert os.stat(own + "save").st_uid == NOBODY and not [n for n in os.listdir(own) if ".new" in n]
    assert "memory" in restore(own + "save", config={"name": "mine", "kernel": own + "kernel",
                                                     "memory_kib": 300000})["text"]
    os.chmod(own + "save", 0)
    os.chown(own + "save", 0, 0)
    assert restore(own + "save").get("refused") == 403
    os.chown(own + "save", NOBODY, NOBODY)
    os.chmod(own + "save", 0o600)
    assert restore(own + "save")["value"]["owner"] == NOBODY
    d.post("/v1/guests/roots/save", {"path": other + "roots", "then": "run"})
    assert restore(other + "roots").get("refused") == 403


def test_what_else_the_policy_bounds():
    if not ROOT:
        return
    with Daemon() as d:
        own = d.folder + "/own/"
        os.mkdir(own)
        open(own + "kernel", "w").close()
        os.chmod(own + "kernel", 0o644)
        os.chmod(own, 0o755)
        bounds = {"guests": 9, "memory": 900, "vcpus": 9, "paths": [own]}
        policy(d, **bounds)
        d.start()

        def make(name, **config):
            return as_nobody(lambda: d.post("/v1/guests", {"config": {
                "name": name, "kernel": own + "kernel", "memory_kib": 65536, **config}}))

        def change(what, **body):
            return as_nobody(lambda: d.put("/v1/guests/mine/" + what, body))

        assert "value" in make("mine", cpu_weight=256, io_weight=100, cpus=["all"])
        wanted = [("cpu_weight", 257), ("io_weight", 101), ("cpus", ["0"]), ("cpus_soft", ["0"])]
        for key, value in wanted:
            assert make("other", **{key: value}).get("refused") == 403, key
        asked = [("scheduler", {"weight": 257}), ("vcpus/0/affinity", {"cpus": "0"}),
                 ("vcpus/0/affinity", {"soft": "0"})]
        for what, body in asked:
            assert change(what, **body).get("refused") == 403, body
        assert d.get("/v1/guests/mine")["scheduler"]["weight"] == 256
        assert "value" in change("scheduler", weight=1)
        assert "longer" in make("long", kept={f"k{n}": "x" * 4000 for n in range(20)})["text"]
        long = {"kept": {f"k{n}": "x" * 4000 for n in range(16)}, "cmdline": "x" * 2000}
        assert "config: longer" in make("long", **long)["text"]
        assert "config: longer" in as_nobody(lambda: bool(d.migration("POST", "/v1/receive", {"config": {
            "name": "long", "kernel": own + "kernel", "memory_kib": 65536, **long}})))["text"]
        policy(d, **bounds, cpu_weight=257, io_weight=101, affinity=True)
        d.process.send_signal(1)
        eventually(lambda: "policy read" in d.said())
        for n, (key, value) in enumerate(wanted):
            assert "value" in make(f"other{n}", **{key: value}), key
        for what, body in asked:
            assert "value" in change(what, **body), body


def test_a_policy_of_somebody_elses():
    if not ROOT:
        return
    with Daemon() as d:
        policy(d, guests=1)
        os.chown(d.folder + "/policy", NOBODY, NOBODY)
        status, text = d.try_start()
        assert status == 1 and "belongs to" in text, text


def hold_connections(d, uid, count):
    """As that user: how many were let in of so many that stay open. They are closed with the pipe."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    if not os.fork():
        os.close(go)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(uid, uid, uid)
        held, good = [], 0
        for _ in range(count):
            held.append(Connection(d.run + "/dachd.sock"))
            held[-1].request("GET", "/v1/guests")
            answer = held[-1].getresponse()
            answer.read()
            good += answer.status == 200
        os.write(tell, b"%d" % good)
        os.close(tell)
        os.read(wait, 1)
        os._exit(0)
    os.close(tell)
    os.close(wait)
    with os.fdopen(told) as pipe:
        return int(pipe.read()), go


def test_connections_are_shared():
    """Users who take all that they may leave some to each other, and to root."""
    users = [u for u in pwd.getpwall() if 0 < u.pw_uid < 1000][:12]
    if not ROOT or len(users) < 12:
        return
    with Daemon() as d:
        with open(d.folder + "/policy", "w") as out:
            json.dump({"users": {u.pw_name: {"guests": 1} for u in [*users, pwd.getpwnam("nobody")]}},
                      out)
        d.start()
        held = []
        try:
            for user in users:
                held.append(hold_connections(d, user.pw_uid, 40))
            assert [n for n, _ in held[:7]] == [32] * 7, held
            assert all(n >= 4 for n, _ in held) and sum(n for n, _ in held) < 300, held
            held.append(hold_connections(d, NOBODY, 4))
            assert held[-1][0] == 4, "nothing is left for one more user"
            held.append(hold_connections(d, 0, 45))
            assert held[-1][0] == 45, "nothing is left for root"
        finally:
            for _, go in held:
                os.close(go)
            for _ in held:
                os.wait()


def test_a_bad_policy_is_told():
    with Daemon() as d:
        with open(d.folder + "/policy", "w") as out:
            out.write('{"users": {"ann": {"guest": 3}}}')
        status, text = d.try_start()
        assert status == 1 and "ann" in text and "guest" in text and text.count("\n") == 1, text
        os.unlink(d.folder + "/policy")
        d.start()
        with open(d.folder + "/policy", "w") as out:
            out.write("{")
        d.process.send_signal(1)
        eventually(lambda: "stays as it was" in d.said())
        d.create("one")


def test_walls_that_the_policy_wants():
    """The real monitor: where the host lacks a wall, no guest starts that is to have it."""
    with Daemon(vmm=BUILD + "/dach-vmm") as d:
        d.start()
        has, words = d.get("/v1/host")["walls"], ["namespaces", "landlock"]
        assert set(has) <= set(words)
        for wall in words:
            assert (f"no {wall}" in d.said()) == (wall not in has), d.said()
        with open(d.folder + "/policy", "w") as out:
            json.dump({"walls": words}, out)
        d.process.send_signal(1)
        eventually(lambda: "policy read" in d.said())
        why = refused(400, d.create, "one")
        assert ("is empty" in why) == (set(has) == set(words)), why
        assert ("the policy wants" in why) == (set(has) != set(words)), why
        os.unlink(d.folder + "/policy")
        d.process.send_signal(1)
        eventually(lambda: d.said().count("policy read") == 2)
        assert "is empty" in refused(400, d.create, "one")


def test_two_daemons():
    with Daemon().start() as d:
        d.create("one")
        status, text = d.try_start()
        assert status == 75 and "another dachd" in text and text.count("\n") == 1, text
        d.env["DACH_STATE"] = d.folder + "/state2"
        status, text = d.try_start()
        assert status == 75 and "another dachd" in text and text.count("\n") == 1, text
        assert "one" in d.guests()


def test_a_newer_store():
    with Daemon().start() as d:
        d.create("one", managed=True)
        d.stop()
        with sqlite3.connect(d.state + "/dach.db") as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        before = open(d.state + "/dach.db", "rb").read()
        status, text = d.try_start()
        assert status == 1 and "newer" in text and text.count("\n") == 1, text
        assert open(d.state + "/dach.db", "rb").read() == before


def test_a_full_disk():
    if not ROOT:
        return
    with Daemon() as d:
        os.mkdir(d.state)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "none", d.state],
                          stderr=subprocess.DEVNULL).returncode:
            return  # a container that may not mount
        try:
            d.start()
            d.create("one", managed=True, start=True)
            fill(d.state)
            before = d.guests()
            for n in range(3):
                text = refused(500, d.create, "x" * 100 + str(n), managed=True,
                               cmdline="y" * 2000)
                assert "no space" in text, text
            assert d.guests().keys() == before.keys()
            assert d.guests()["one"]["state"] == "running"
            d.stop()
            d.start()  # what needs no room still works
            assert d.guests()["one"]["state"] == "running"
            fill(d.state)  # its end gave back what it had for changes
            # A reboot needs a new domain ID, for which there is no room: it is made up for later.
            events = d.events()
            d.post("/v1/guests/one/reboot")
            assert events.next("ended")["action"] == "restart"
            eventually(lambda: "cannot be started again" in d.said())
            assert "one" in d.guests()
            unfill(d.state)
            events.next("started", name="one")
            events.close()
            d.create("two", managed=True)
        finally:
            d.stop()
            subprocess.run(["umount", d.state], check=False)


def test_a_user_without_root_has_a_daemon_of_his_own():
    if not ROOT:
        return
    with Daemon() as d:
        home = d.folder + "/home"
        os.mkdir(home)
        os.chown(home, NOBODY, NOBODY)

        subprocess.run(["cp", BUILD + "/dachd", d.vmm, home], check=True)
        d.env["DACH_VMM"] = home + "/fakevmm"
        for program in "/dachd", "/fakevmm":
            os.chmod(home + program, 0o755)  # the umask may be 077

        def own():
            d.program = [home + "/dachd"]
            d.run, d.state = home + "/run", home + "/state"
            d.env.update(DACH_RUN=d.run, DACH_STATE=d.state, DACH_FAKE_JOURNAL=home + "/journal")
            d.folder = home
            d.start()
            guest = d.create("mine")
            host = d.get("/v1/host")
            socket = os.stat(d.run + "/dachd.sock").st_mode & 0o777
            d.post("/v1/guests/mine/destroy")
            d.stop()
            return guest["owner"], host["dach_user"], socket

        assert as_nobody(own)["value"] == [NOBODY, NOBODY, 0o600]


def test_a_stranger_cannot_pretend_to_be_the_daemon():
    if not ROOT:
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        listener = socket.socket(socket.AF_UNIX)

        def pretend():
            listener.bind(folder + "/dachd.sock")
            listener.listen()
            os.chmod(folder + "/dachd.sock", 0o777)

        as_nobody(pretend)  # the credentials are those of who listens
        said = subprocess.run([BUILD + "/dach", "list"], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "DACH_RUN": folder, "DACH_NO_START": "1"})
        listener.close()
        assert said.returncode != 0 and "another user's program" in said.stderr, said


main(globals().copy())
