#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Daemons of two hosts that get to know each other, and others that are not who they say, speak nonsense or too much.
How guests move between them is told by tests/guest/migrate.py."""
import contextlib
import hashlib
import json
import os
import pwd
import resource
import signal
import socket
import ssl
import subprocess
import termios
import threading
import time

from harness import BUILD, Daemon, Refused, eventually, main, refused
from users import User


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Host(Daemon):
    """One that listens, where no other test does."""
    def __init__(self, listens=True):
        super().__init__()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        if listens:
            self.listen(self.address)

    def listen(self, where, **more):
        with open(self.folder + "/policy", "w") as file:
            json.dump({**({"listen": where} if where else {}), **more}, file)
        os.chmod(self.folder + "/policy", 0o600)

    def fingerprint(self):
        return self.get("/v1/hosts")["self"]["fingerprint"]

    def knows(self):
        return {host["name"]: host for host in self.get("/v1/hosts")["hosts"]}

    def token(self, name):
        return self.post("/v1/host/token", {"name": name})["token"]

    def add(self, name, address, **by):
        return self.post("/v1/hosts", {"name": name, "address": address, **by})


@contextlib.contextmanager
def two():
    with Host().start() as a, Host().start() as b:
        a.add("b", b.address, token=b.token("a"))
        yield a, b


class Stranger:
    """With a certificate of its own, where it has one."""
    def __init__(self, folder, certificate=True):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.fingerprint = None
        if certificate:
            name = folder + "/stranger"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", name, "-out", name + ".pem", "-subj", "/CN=stranger"], check=True, capture_output=True)
            self.context.load_cert_chain(name + ".pem", name)
            with open(name + ".pem") as pem:
                self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read())).hexdigest()

    def call(self, host):
        return self.context.wrap_socket(socket.create_connection(("127.0.0.1", host.port), 30))

    def says(self, host, line):
        """What comes back; "": the connection was ended."""
        with contextlib.suppress(OSError), self.call(host) as line_to:
            line_to.sendall(line)
            data = b""
            while not data.endswith(b"\n"):
                part = line_to.recv(1 << 16)
                if not part:
                    break
                data += part
            return data.decode()
        return ""


class Other(Stranger):
    """A host that is called, and answers when the test does."""
    def __init__(self, folder):
        super().__init__(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder + "/stranger.pem", folder + "/stranger")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    @contextlib.contextmanager
    def asked(self, d, path, body):
        """While d waits for an answer to what it asks because of that request: what it asks, the way to answer, and how it ended."""
        ended = []

        def request():
            try:
                ended.append(d.call("POST", path, body, 120))
            except Refused as no:
                ended.append(no)
            except OSError:  # the daemon is gone
                ended.append(None)

        caller = threading.Thread(target=request)
        caller.start()
        try:
            sock, _ = self.listener.accept()
            with self.context.wrap_socket(sock, server_side=True) as line:
                line.settimeout(60)
                data = b""
                while not data.endswith(b"\n"):
                    data += line.recv(1 << 16)
                yield json.loads(data), lambda **said: line.sendall(json.dumps(said).encode() + b"\n"), ended
                caller.join(120)
        finally:
            caller.join(120)


def test_a_token_makes_them_known():
    with Host().start() as a, Host().start() as b:
        token = b.token("a")
        host = a.add("b", b.address, token=token)
        assert (host["name"], host["address"], host["fingerprint"]) == ("b", b.address, b.fingerprint())
        assert b.knows()["a"]["address"] == a.address and b.knows()["a"]["fingerprint"] == a.fingerprint()
        # They last, and so do their keys.
        before = a.get("/v1/hosts"), b.get("/v1/hosts")
        for d in a, b:
            d.stop()
            d.start()
        assert (a.get("/v1/hosts"), b.get("/v1/hosts")) == before
        assert oct(os.stat(a.state + "/peer.pem").st_mode & 0o777) == "0o600"
        a.call("DELETE", "/v1/hosts/b")
        assert not a.knows()


def test_a_token_is_for_one_host():
    with Host().start() as a, Host().start() as b, Host().start() as c:
        # What fails does not use it up.
        token = b.token("a")
        b.add("a", "192.0.2.7", fingerprint="0" * 64)
        assert "already" in refused(409, a.add, "b", b.address, token=token)
        b.call("DELETE", "/v1/hosts/a")
        a.add("b", b.address, token=token)
        # One that has not heard that it is known asks again.
        a.call("DELETE", "/v1/hosts/b")
        a.add("b", b.address, token=token)
        assert list(b.knows()) == ["a"]
        assert "has been used" in refused(409, c.add, "b", b.address, token=token)
        b.call("DELETE", "/v1/hosts/a")
        a.call("DELETE", "/v1/hosts/b")
        assert "has been used" in refused(409, a.add, "b", b.address, token=token)
        assert not a.knows() and not b.knows() and not c.knows()


def test_a_token_is_read():
    """From standard input: a terminal does not show it, and command lines are seen by all."""
    with Host().start() as a, Host().start() as b:
        for words in (), ("-",):
            add = [BUILD + "/dach", "host", "add", "b", b.address, *words]
            none = subprocess.run(add, env=a.env, timeout=60, input="\n", capture_output=True, text=True, check=False)
            assert none.returncode == 1 and "b: no token came" in none.stderr, none
            done = subprocess.run(add, env=a.env, timeout=60, input=b.token("a") + "\n", capture_output=True, text=True, check=False)
            assert done.returncode == 0 and list(a.knows()) == ["b"] and list(b.knows()) == ["a"], done
            a.call("DELETE", "/v1/hosts/b")
            b.call("DELETE", "/v1/hosts/a")
        ours, theirs = os.openpty()
        with subprocess.Popen([BUILD + "/dach", "host", "add", "b", b.address], env=a.env, stdin=theirs, stdout=theirs, stderr=theirs,
                              start_new_session=True) as asking:
            seen = b""
            while b"printed on b: " not in seen:
                seen += os.read(ours, 1000)
            eventually(lambda: not termios.tcgetattr(theirs)[3] & termios.ECHO)
            token = b.token("a").encode()
            os.write(ours, token + b"\n")
            assert asking.wait(60) == 0
            assert termios.tcgetattr(theirs)[3] & termios.ECHO
            os.close(theirs)
            with contextlib.suppress(OSError):
                while part := os.read(ours, 1000):
                    seen += part
            os.close(ours)
        assert list(b.knows()) == ["a"] and token not in seen, seen
        # One that is known has a new address.
        assert dach(a, "host", "add", "b", "192.0.2.7").returncode == 0 and a.knows()["b"]["address"] == "192.0.2.7"


def test_one_that_is_known_there_alone():
    with Host(listens=False).start() as a, Other(a.folder) as other:
        body = {"name": "b", "address": other.address, "token": other.fingerprint + "0" * 32}
        with other.asked(a, "/v1/hosts", body) as (asked, say, ended):
            assert asked["join"] == {"secret": "0" * 32, "port": 0}
            a.add("b", "192.0.2.7", fingerprint="0" * 64)
            say(ready=True)
            eventually(lambda: ended, 60)
            assert ended[0].status == 409 and "already; that host knows this one now" in ended[0].text, ended[0].text


def test_tokens_that_are_none():
    with Host().start() as a, Host().start() as b, Host(listens=False).start() as deaf:
        token = b.token("a")
        assert "no token" in refused(400, a.add, "b", b.address, token="x")
        wrong = token[:-1] + ("1" if token[-1] == "0" else "0")
        assert "none of this host's" in refused(409, a.add, "b", b.address, token=wrong)
        # That of another host: who answers is not the one who made it.
        assert "another certificate" in refused(503, a.add, "b", b.address, token="0" * 64 + token[64:])
        assert "certificate" in refused(503, a.add, "b", a.address, token=token)
        assert "this host's own" in refused(400, a.add, "a", a.address, token=a.token("b"))
        # The last one for a name counts.
        newer = b.token("a")
        assert "none of this host's" in refused(409, a.add, "b", b.address, token=token)
        a.add("b", b.address, token=newer)
        assert "already" in refused(409, b.post, "/v1/host/token", {"name": "a"})
        assert "does not listen" in refused(500, deaf.post, "/v1/host/token", {"name": "a"})
        # One who is called by nobody is known without an address, until it has one.
        deaf.add("b", b.address, token=b.token("deaf"))
        assert b.knows()["deaf"]["address"] == ""
        b.add("deaf", "192.0.2.7:1")
        assert b.knows()["deaf"]["address"] == "192.0.2.7:1"
        for name, address in (".x", "h"), ("a b", "h"), ("x" * 65, "h"), ("x", "h:0"), ("x", "-h"), ("x", "h:99999"), ("x", "[::1"), \
                ("x", "h;ls"):
            refused(400, a.add, name, address, fingerprint="0" * 64)
        refused(400, a.add, "x", "h", fingerprint="0" * 63)
        refused(400, a.add, "x", "h", fingerprint="0" * 64, token=token)
        refused(400, a.add, "x", "h")
        refused(422, a.call, "DELETE", "/v1/hosts/x")
        refused(422, a.get, "/v1/hosts/x")
        assert list(a.knows()) == ["b"]


def test_by_fingerprints():
    """Each has to know the other."""
    with Host().start() as a, Host().start() as b:
        a.create("one", managed=True, start=True)
        a.add("b", b.address, fingerprint=b.fingerprint().upper())
        assert "does not know yours" in refused(409, a.post, "/v1/guests/one/migrate", {"host": "b"})
        assert a.guests()["one"]["state"] == "running" and not b.guests()
        # Known, it is heard: what refuses the guest is something else.
        b.add("a", a.address, fingerprint=a.fingerprint())
        b.create("one", uuid=a.guests()["one"]["uuid"])
        assert "already" in refused(409, a.post, "/v1/guests/one/migrate", {"host": "b"})
        assert "there is no host" in refused(422, a.post, "/v1/guests/one/migrate", {"host": "c"})
        assert a.guests()["one"]["state"] == "running"


def test_a_guest_that_changes_while_it_is_asked_for():
    """The other host was told of one that is no more: what it makes of that would be wrong."""
    with Host(listens=False).start() as a, Other(a.folder) as other:
        a.add("other", other.address, fingerprint=other.fingerprint)
        guest = a.create("one", "moves=125", managed=True, start=True)
        path = f"/v1/guests/{guest['uuid']}"
        for change, body in ("/rename", {"name": "two"}), ("/pause", None):
            with other.asked(a, path + "/migrate", {"host": "other"}) as (_, say, ended):
                a.post(path + change, body)
                say(ready=True)
                eventually(lambda: ended, 60)
                assert ended[0].status == 409 and "has changed since other was told" in ended[0].text, ended[0].text
        a.post(path + "/unpause")
        # As it was told: its monitor is asked.
        with other.asked(a, path + "/migrate", {"host": "other"}) as (asked, say, ended):
            assert asked["migrate"]["config"]["name"] == "two"
            say(ready=True)
            eventually(lambda: ended, 60)
            assert "cancelled" in ended[0].text
        # And where somebody else carries.
        config = a.get(path)["config"]
        for told, why in ({**config, "name": "one"}, "has changed since"), (config, "cancelled"):
            with a.migration("GET", path + "/migration"):
                try:
                    a.post(path + "/migrate", {"told": told})
                    raise AssertionError("it has left")
                except Refused as no:
                    assert why in no.text, no.text


def test_another_certificate():
    """A host that has been made anew, or one that has taken its address."""
    with two() as (a, b):
        a.create("one", managed=True, start=True)
        b.stop()
        os.unlink(b.state + "/peer.pem")
        b.start()
        said = refused(503, a.post, "/v1/guests/one/migrate", {"host": "b"})
        assert "another certificate" in said and said.startswith("b: "), said
        assert a.guests()["one"]["state"] == "running" and not b.guests()
        b.stop()
        assert "refused" in refused(503, a.post, "/v1/guests/one/migrate", {"host": "b"})
        b.listen("")
        b.start()
        assert "does its dachd listen" in refused(503, a.post, "/v1/guests/one/migrate", {"host": "b"})


def ask(**what):
    return json.dumps({"dach-peer": 2, **what}).encode() + b"\n"


def test_who_is_not_known():
    with Host().start() as b:
        nobody, stranger = Stranger(b.folder, certificate=False), Stranger(b.folder)
        guest = {"config": {"name": "one", "kernel": b.kernel, "memory_kib": 65536}}
        assert nobody.says(b, ask(migrate=guest)) == ""
        eventually(lambda: "no certificate" in b.said())
        assert "does not know yours" in stranger.says(b, ask(migrate=guest))
        assert "does not know yours" in stranger.says(b, ask(fetch={"uuid": "x"}))
        assert "none of this host's" in stranger.says(b, ask(join={"secret": "0" * 32, "port": 1}))
        # It is not heard for long either.
        assert stranger.says(b, b"x" * 5000 + b"\n") == ""
        eventually(lambda: "too long" in b.said())
        assert not b.guests() and not b.knows()


def test_what_is_no_question():
    with Host().start() as b:
        peer = Stranger(b.folder)
        b.add("peer", "192.0.2.7", fingerprint=peer.fingerprint)
        guest = {"name": "one", "kernel": b.kernel, "memory_kib": 65536}
        for line, word in ((b'{"dach-peer": 1}\n', "version 1"), (b"\n", "error"), (b"[1]\n", "error"), (b"\xff\xfe\n", "error"),
                           (b'{"dach-peer": 2, "dach-peer": 2}\n', "error"), (b"[" * 100000 + b"\n", "error"),
                           (ask(), "not known here"), (ask(migrate=[]), "not known here"), (ask(fetch={"uuid": 7}), "not known here"),
                           (ask(fetch={"uuid": "7" * 40}), "not known here"),
                           (ask(fetch={"uuid": "x", "pause": -1}), "not known here"),
                           (ask(fetch={"uuid": "x", "pause": 1 << 32}), "not known here"), (ask(join={"secret": "x", "port": 1}), "is none"),
                           (ask(join={"secret": "0" * 32, "port": 70000}), "is none"), (ask(migrate={}), "config"),
                           (ask(migrate={"config": {"no": 1}}), "no"), (ask(migrate={"config": guest, "no": 1}), "no"),
                           (ask(migrate={"config": guest}, owner="nobody-of-this-name"), "no user"),
                           (ask(fetch={"uuid": "x"}), "no such guest")):
            said = peer.says(b, line)
            assert word in json.loads(said)["error"] or word == "error", (line[:60], said)
        assert peer.says(b, b"x" * (2 << 20)) == ""
        assert not b.guests()
        # A guest of this host's that did not come from there is not its to have.
        own = b.create("one")
        assert "no such guest" in peer.says(b, ask(fetch={"uuid": own["uuid"]}))
        assert b.guests()["one"]["state"] == "running"


def test_a_line_that_breaks_leaves_nothing():
    """The monitor there waits for a guest that does not come."""
    with Host().start() as b:
        peer = Stranger(b.folder)
        b.add("peer", "192.0.2.7", fingerprint=peer.fingerprint)
        guest = {"name": "one", "uuid": "d4c3b2a1-0000-4000-8000-000000000001", "kernel": b.kernel, "memory_kib": 65536}
        b.env["DACH_FAKE_COMES"] = b.folder + "/word"
        b.stop()
        b.start()
        with peer.call(b) as line:
            line.sendall(ask(migrate={"config": guest}))
            assert json.loads(line.recv(1000)) == {"ready": True}
            eventually(lambda: b.guests())
        with open(b.folder + "/saying", "w") as file:
            file.write("1")
        os.rename(b.folder + "/saying", b.folder + "/word")
        eventually(lambda: not b.guests() and not b.monitors())


def children(d):
    pid = d.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as children_of:
        return children_of.read().split()


def test_noise_holds_nobody_up():
    """Connections that say nothing, and bytes that are no TLS."""
    with Host().start() as b, Host().start() as a:
        silent = [socket.create_connection(("127.0.0.1", b.port)) for _ in range(40)]
        a.add("b", b.address, token=b.token("a"))
        eventually(lambda: len(children(b)) <= 16, 60)
        assert b.said().count("do not say who they are") == 1
        for noise in b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70000, bytes(range(256)) * 300:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", b.port), 30) as sock:
                sock.sendall(noise)
                while sock.recv(1000):
                    pass
        eventually(lambda: "no TLS" in b.said())
        # Who says nothing is not waited for longer than others, and who has left not at all.
        for sock in silent:
            sock.settimeout(60)
            with contextlib.suppress(ConnectionError):
                assert sock.recv(1000) == b""
            sock.close()
        eventually(lambda: not children(b), 60)


def test_walls_that_the_policy_wants():
    """Where the host lacks one, the process that has a connection does nothing."""
    walls = ["namespaces", "landlock"]
    with Host().start() as a, Host() as b:
        b.listen(b.address, walls=walls)
        b.start()
        token = b.token("a")
        if set(b.get("/v1/host")["walls"]) == set(walls):
            a.add("b", b.address, token=token)
        else:
            refused(503, a.add, "b", b.address, token=token)
            eventually(lambda: "the policy wants them" in b.said())


def test_many_of_one_address_make_way_for_others():
    with Host().start() as b:
        peer = Stranger(b.folder)
        slow = socket.create_connection(("127.0.0.1", b.port), 60)
        many = [socket.create_connection(("127.0.0.1", b.port), 60, ("127.0.0.2", 0)) for _ in range(40)]
        eventually(lambda: 1 < len(children(b)) <= 16, 60)
        # Late, and heard all the same.
        with peer.context.wrap_socket(slow) as line:
            line.sendall(ask(fetch={"uuid": "x"}))
            assert b"does not know yours" in line.recv(1000)
        for sock in many:
            sock.close()


def test_where_it_listens_can_change():
    with Host(listens=False).start() as b:
        assert b.get("/v1/hosts")["self"]["listen"] == ""

        def reload(where):
            b.listen(where)
            b.process.send_signal(signal.SIGHUP)
        reload(b.address)
        eventually(lambda: b.get("/v1/hosts")["self"]["listen"] == b.address)
        socket.create_connection(("127.0.0.1", b.port)).close()
        # What is wrong changes nothing.
        reload("everywhere")
        eventually(lambda: "not an address of this host" in b.said())
        assert b.get("/v1/hosts")["self"]["listen"] == b.address
        reload("")
        eventually(lambda: b.get("/v1/hosts")["self"]["listen"] == "")
        try:
            socket.create_connection(("127.0.0.1", b.port)).close()
            raise AssertionError("it listens still")
        except ConnectionRefusedError:
            pass


def dach(d, *words):
    return subprocess.run([BUILD + "/dach", *words], env=d.env, timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)


def coming(d):
    """Whatever comes to it, comes."""
    d.as_another_host()
    d.env["DACH_FAKE_COMES"] = d.folder + "/word"
    open(d.folder + "/word", "w").close()
    return d


def no_mounts():
    if os.getuid() or not subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        return False
    print("# guests that move: skipped: two daemons of root's on one host need mounts of their own")
    return True


def test_all_go_and_come_back():
    if no_mounts():
        return
    with coming(Host()).start() as a, coming(Host()).start() as b:
        a.add("b", b.address, token=b.token("a"))
        for name in "one", "two", "three":
            a.create(name, "leaves", managed=True, start=True)
        a.create("here", managed=True, start=False)
        # There is one of that name there.
        a.create("stays", "leaves")
        b.create("stays")
        done = dach(a, "evacuate", "--parallel", "3", "b")
        assert done.returncode == 1 and done.stdout.splitlines()[-1] == "3 of 4 guests are on b", (done.stdout, done.stderr)
        assert sorted(done.stdout.splitlines()[:3]) == ["one: is on b", "three: is on b", "two: is on b"]
        assert done.stderr.startswith("stays: stays: b: ") and "already" in done.stderr, done.stderr
        assert sorted(a.guests()) == ["here", "stays"]
        eventually(lambda: sorted(name for name, guest in b.guests().items() if guest["managed"]) == ["one", "three", "two"], 60)
        assert [guest["name"] for guest in sorted(a.knows()["b"]["away"], key=lambda g: g["name"])] == ["one", "three", "two"]
        # Which are away lasts, as does who may have them back; one is no more.
        b.post("/v1/guests/two/destroy")
        b.call("DELETE", "/v1/guests/two")
        for d in a, b:
            d.stop()
            d.start()
        shown = dach(a, "host", "show", "b").stdout
        assert shown.count("evacuated: ") == 3, shown
        done = dach(a, "--json", "evacuate", "--back", "b")
        assert done.returncode == 1, done
        told = json.loads(done.stdout)
        assert sorted(told["moved"]) == ["one", "three"] and [stayed["name"] for stayed in told["stayed"]] == ["two"], told
        assert "no such guest" in told["stayed"][0]["why"]
        assert sorted(a.guests()) == ["here", "one", "stays", "three"] and a.guests()["one"]["managed"]
        eventually(lambda: list(b.guests()) == ["stays"], 60)
        assert not a.knows()["b"]["away"]
        # A host that knows nothing of it.
        assert "there is no host 'c'" in dach(a, "evacuate", "c").stderr


def test_a_users_guest_stays_his():
    """By his name; and what he may there is what that host's policy says. Only who manages a host moves guests to others."""
    if os.getuid() or no_mounts():
        return
    user = pwd.getpwnam("daemon")
    with coming(Host()) as a, coming(Host()) as b:
        rule = {"daemon": {"guests": 2, "memory": 1000, "vcpus": 4, "paths": [a.folder + "/"]}}
        a.listen(a.address, users=rule)
        b.listen(b.address)
        a.start()
        b.start()
        a.add("b", b.address, token=b.token("a"))
        asker = User(a.run, user.pw_uid, user.pw_gid)
        status, guest = asker.ask("POST", "/v1/guests", {"managed": True, "start": True, "config": {
            "name": "his", "kernel": a.kernel, "memory_kib": 65536, "cmdline": "leaves"}})
        assert status == 201, guest
        for method, path, body in ("POST", "/v1/guests/his/migrate", {"host": "b"}), ("GET", "/v1/hosts", None), \
                ("POST", "/v1/host/token", {"name": "c"}), ("DELETE", "/v1/hosts/b", None), ("GET", "/v1/hosts/b", None), \
                ("POST", "/v1/hosts/b/fetch", {"guest": guest["uuid"]}), ("POST", "/v1/hosts", {"name": "b", "address": "h"}):
            status, said = asker.ask(method, path, body)
            assert status == 403 and "other hosts are for" in said["error"], (path, status, said)
        asker.close()
        assert "may no longer" in refused(409, a.post, "/v1/guests/his/migrate", {"host": "b"})
        assert a.guests()["his"]["state"] == "running" and not b.guests()
        b.listen(b.address, users=rule)
        b.process.send_signal(signal.SIGHUP)
        eventually(lambda: "policy read" in b.said())
        a.post("/v1/guests/his/migrate", {"host": "b", "evacuate": True})
        eventually(lambda: b.guests()["his"]["managed"], 60)
        assert b.guests()["his"]["owner"] == user.pw_uid
        # Off, it does not come, and is not given a way for later.
        b.post("/v1/guests/his/destroy")
        assert "does not run" in refused(409, a.post, "/v1/hosts/b/fetch", {"guest": guest["uuid"]})
        assert a.knows()["b"]["away"]
        b.post("/v1/guests/his/start")
        assert "no connection" in refused(500, b.post, "/v1/guests/his/migrate", {})
        assert dach(a, "evacuate", "--back", "--rate", "100", "--pause", "20", "b").returncode == 0
        assert a.guests()["his"]["owner"] == user.pw_uid


def test_one_that_may_not_leave_is_not_away():
    if no_mounts():
        return
    with coming(Host()).start() as a, coming(Host()).start() as b:
        a.add("b", b.address, token=b.token("a"))
        a.create("one", "moves=125")
        done = dach(a, "evacuate", "b")
        assert done.returncode == 1 and "0 of 1 guests" in done.stdout and "cancelled" in done.stderr, done
        assert a.guests()["one"]["state"] == "running" and not a.knows()["b"]["away"]


def test_what_is_here_is_not_away():
    with Host(listens=False).start() as a, Other(a.folder) as other:
        a.add("other", other.address, fingerprint=other.fingerprint)
        guest = a.create("one", "moves=125", managed=True, start=True)
        path, leave = f"/v1/guests/{guest['uuid']}", {"host": "other", "evacuate": True}

        def away():
            return [at["name"] for at in a.knows()["other"]["away"]]
        # It cannot be noted.
        with other.asked(a, path + "/migrate", leave) as (_, say, ended):
            limits = resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
            say(ready=True)
            eventually(lambda: ended, 60)
            resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE, limits)
            assert ended[0].status == 500, ended[0].text
        assert a.get(path)["state"] == "running" and not away()
        # One that stands may be there until somebody says that it is not.
        a.post(path + "/pause")
        with other.asked(a, path + "/migrate", leave) as (_, say, ended):
            say(ready=True)
            eventually(lambda: ended, 60)
        assert away() == ["one"]
        a.post(path + "/unpause")
        assert not away()
        # The daemon ends while one leaves, which it then does not.
        path = "/v1/guests/" + a.create("two", "moves", managed=True, start=True)["uuid"]
        with other.asked(a, path + "/migrate", leave) as (_, say, _):
            say(ready=True)
            eventually(lambda: away() == ["two"], 60)
            a.stop()
        a.start()
        eventually(lambda: a.get(path)["state"] == "running" and not away(), 60)


main(globals().copy())
