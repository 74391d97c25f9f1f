#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The names of guests are their owner's: two users have guests of one name and neither learns of the other's;
who sees several says whose. Needs root for other users."""
import json
import os
import pwd
import signal
import subprocess

from harness import BUILD, Daemon, Refused, eventually, main
from users import User

ONE, TWO = "daemon", "bin"


class House:
    """A daemon with two users, each with a folder of his own."""
    def __init__(self, d):
        self.d, self.users = d, {}
        rules = {}
        for name in ONE, TWO:
            folder = f"{d.folder}/{name}/"
            os.mkdir(folder)
            open(folder + "kernel", "w").close()
            os.chmod(folder + "kernel", 0o644)
            os.chmod(folder, 0o755)
            rules[name] = {"guests": 6, "memory": 2048, "vcpus": 12, "paths": [folder]}
        with open(d.folder + "/policy", "w") as out:
            json.dump({"users": rules}, out)
        d.start()
        for name in ONE, TWO:
            entry = pwd.getpwnam(name)
            self.users[name] = User(d.run, entry.pw_uid, entry.pw_gid)

    def ask(self, user, *question):
        return self.users[user].ask(*question)

    def create(self, user, name, **more):
        config = {"name": name, "kernel": f"{self.d.folder}/{user}/kernel", "memory_kib": 16384, **more}
        return self.ask(user, "POST", "/v1/guests", {"config": config, "managed": True, "start": True})

    def root(self, method, path, body=None):
        """As User.ask(), by who manages all."""
        try:
            return [200, self.d.call(method, path, body)]
        except Refused as no:
            return [no.status, {"error": no.text}]

    def uid(self, user):
        return self.users[user].uid

    def dach(self, *words):
        done = subprocess.run([BUILD + "/dach", *words], env=self.d.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def close(self):
        for user in self.users.values():
            user.close()


def house(test):
    def run():
        if os.geteuid():
            return
        with Daemon() as d:
            it = House(d)
            try:
                test(d, it)
            finally:
                it.close()
    run.__name__ = test.__name__
    return run


@house
def test_two_users_give_their_guests_one_name(d, it):
    one, two = it.create(ONE, "web"), it.create(TWO, "web")
    assert one[0] == two[0] == 201, (one, two)
    one, two = one[1], two[1]
    assert one["uuid"] != two["uuid"] and one["ref"] == two["ref"] == "web"
    for user, own in (ONE, one), (TWO, two):
        assert it.ask(user, "GET", "/v1/guests/web")[1]["uuid"] == own["uuid"]
        assert it.ask(user, "GET", f"/v1/guests/{it.uid(user)}%2Fweb")[1]["uuid"] == own["uuid"]
        assert it.create(user, "web")[0] == 409
    assert it.ask(ONE, "POST", "/v1/guests/web/pause")[1]["uuid"] == one["uuid"]
    assert it.ask(TWO, "GET", "/v1/guests/web")[1]["state"] == "running"
    # A daemon that comes after finds both.
    d.stop(signal.SIGKILL)
    d.start()
    for user, own in (ONE, one), (TWO, two):
        assert it.ask(user, "GET", "/v1/guests/web")[1]["pid"] == own["pid"]
    assert it.ask(TWO, "POST", "/v1/guests/web/rename", {"name": "mail"})[0] == 200
    assert it.ask(ONE, "POST", "/v1/guests/web/rename", {"name": "mail"})[0] == 200
    assert it.ask(TWO, "POST", "/v1/guests/mail/destroy")[0] == 200
    assert it.ask(ONE, "GET", "/v1/guests/mail")[1]["state"] == "paused"


@house
def test_who_sees_several_says_whose(d, it):
    one, two = it.create(ONE, "web")[1], it.create(TWO, "mail")[1]
    # As long as there is one, it goes by its name.
    assert it.root("GET", "/v1/guests/web")[1]["uuid"] == one["uuid"]
    assert {g["ref"] for g in d.get("/v1/guests")["guests"]} == {"web", "mail"}
    assert it.ask(TWO, "POST", "/v1/guests/mail/rename", {"name": "web"})[0] == 200
    status, answer = it.root("POST", "/v1/guests/web/destroy")
    assert status == 409, answer
    refs = {f"{it.uid(ONE)}/web", f"{it.uid(TWO)}/web"}
    assert all(ref in answer["error"] for ref in refs), answer
    assert {g["ref"] for g in d.get("/v1/guests")["guests"]} == refs
    # One's own goes before others'.
    roots = d.create("web", managed=True, start=True)
    assert roots["ref"] == "web"
    assert it.root("GET", "/v1/guests/web")[1]["uuid"] == roots["uuid"]
    status, text = it.dach("list")
    names = {line.split()[0] for line in text.splitlines()[2:]}
    assert names == {"web", ONE + "/web", TWO + "/web"}, text
    status, text = it.dach("domname", str(two["domid"]))
    assert text == TWO + "/web\n", text
    status, text = it.dach("destroy", ONE + "/web")
    assert not status, text
    assert it.ask(ONE, "GET", "/v1/guests/web")[1]["state"] == "off"
    assert it.ask(TWO, "GET", "/v1/guests/web")[1]["state"] == "running"
    assert it.root("GET", "/v1/guests/web")[1]["state"] == "running"
    status, text = it.dach("destroy", "nobody-at-all/web")
    assert status and "invalid domain identifier" in text, text
    it.root("POST", "/v1/guests/web/destroy")
    it.root("DELETE", "/v1/guests/web")
    it.ask(ONE, "DELETE", "/v1/guests/web")
    status, text = it.dach("destroy", "web")
    assert not status and it.ask(TWO, "GET", "/v1/guests/web")[1]["state"] == "off", text


@house
def test_no_answer_tells_of_others_guests(d, it):
    """The same questions, while another has such guests and while nobody has."""
    def questions():
        config = {"name": "web", "kernel": f"{d.folder}/{TWO}/kernel", "memory_kib": 16384}
        yield "GET", "/v1/guests/web"
        yield "GET", f"/v1/guests/{it.uid(ONE)}%2Fweb"
        yield "GET", "/v1/guests/0%2Froots"
        yield "GET", f"/v1/guests/{domid}"
        yield "GET", f"/v1/guests/{uuid}"
        yield "POST", "/v1/guests/web/destroy"
        yield "POST", "/v1/guests/roots/rename", {"name": "web"}
        yield "DELETE", f"/v1/guests/{uuid}"
        yield "POST", "/v1/guests", {"config": config, "managed": True, "start": False}
        yield "POST", "/v1/guests/web/rename", {"name": "roots"}
        yield "POST", "/v1/guests/roots/rename", {"name": "web"}
        yield "POST", "/v1/guests", {"config": {**config, "name": "roots"}, "managed": True, "start": False}
        yield "GET", "/v1/guests"
        yield "DELETE", "/v1/guests/web"
        yield "DELETE", "/v1/guests/roots"

    def answers():
        found = []
        for question in questions():
            status, answer = it.ask(TWO, *question)
            text = json.dumps([status, answer], sort_keys=True)
            for own in [g["uuid"] for g in [answer, *answer.get("guests", [])] if "uuid" in g]:
                text = text.replace(own, "UUID")
            found.append((question[:2], text))
        return found

    guest = it.create(ONE, "web")[1]
    d.create("roots")
    domid, uuid = guest["domid"], guest["uuid"]
    with_them = answers()
    for name in "web", "roots":
        it.root("POST", f"/v1/guests/{name}/destroy")
    it.ask(ONE, "DELETE", "/v1/guests/web")
    assert not d.guests()
    for there, gone in zip(with_them, answers()):
        there, gone = [json.dumps(strip(json.loads(text[1]))) for text in (there, gone)]
        assert there == gone, f"{there}\n{gone}"


def strip(value):
    """Without what time and dice give: addresses of network cards, seconds."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("mac", "time", "domain0")}
    return [strip(v) for v in value] if isinstance(value, list) else value


@house
def test_kept_lives_of_one_name(d, it):
    for user in ONE, TWO:
        it.create(user, "web", on_crash="rename-restart")
        it.ask(user, "POST", "/v1/guests/web/sysrq", {"key": "c"})
        eventually(lambda: it.ask(user, "GET", "/v1/guests/web-1")[0] == 200)
    assert sorted(g["ref"] for g in d.get("/v1/guests")["guests"]) == sorted(
        f"{it.uid(user)}/{name}" for user in (ONE, TWO) for name in ("web", "web-1"))


main(globals().copy())
