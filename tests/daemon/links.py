#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests on bridges: what the daemon makes, who may, what it refuses, and that nothing of it stays, whatever
is killed. In a network namespace of the test's own, beside a thousand rules that are not ours."""
import json
import os
import signal
import subprocess
import sys
import threading

from harness import Daemon, Refused, eventually, main, refused
from users import User, launched

BUILT = "DACH_TEST_NETNS"


def sh(words, text=None):
    done = subprocess.run(words, shell=True, input=text, capture_output=True, text=True, timeout=30)
    assert not done.returncode, (words, done)
    return done.stdout


def links():
    return {link["ifname"]: link for link in json.loads(sh("ip -j link"))}


def tables():
    return sorted(line.split()[-1] for line in sh("nft list tables netdev").splitlines())


def rules():
    return sh("nft list ruleset")


def foreign():
    """What a host may have: a firewall of its own, Docker's policy, another's tables and bridges."""
    sh("ip link set lo up; for n in 0 1; do ip link add br$n type bridge; ip link set br$n up; done; "
       "ip link add docker0 type bridge; ip link set docker0 up; ip addr add 10.7.0.1/24 dev br0")
    many = "".join(f"tcp dport {n} counter packets 0 bytes 0 drop\n" for n in range(1, 1001))
    sh("nft -f -", "table ip filter {\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n"
       "iifname \"docker0\" accept\n}\n}\n table inet fw {\n chain in {\n type filter hook input priority 0;\n"
       f"{many}}}\n}}\ntable netdev other {{\n}}\n")
    return rules()


def net(d, name, **vif):
    return d.create(name, vifs=[{"bridge": "br0", **vif}])


def test_a_life_on_a_bridge():
    before, there = foreign(), set(links())
    with Daemon().start() as d:
        guest = net(d, "one", ip="10.7.0.2 fd07::2")
        assert guest["networks"][0]["link"] == "vif1.0" and guest["networks"][0]["bridge"] == "br0", guest
        link = links()["vif1.0"]
        assert link["master"] == "br0" and "UP" in link["flags"] and link["address"] == "fe:ff:ff:ff:ff:ff", link
        assert tables() == ["dach-vif1.0", "other"], tables()
        chain = sh("nft list table netdev dach-vif1.0")
        assert guest["networks"][0]["mac"] in chain and "10.7.0.2" in chain and "fd07::2" in chain, chain
        # The next one knows whose that is, and the bridge's.
        net(d, "two", vifname="web.0", mtu=1400)
        chain = sh("nft list table netdev dach-web.0")
        assert "10.7.0.2" in chain and "10.7.0.1" in chain, chain
        assert links()["web.0"]["mtu"] == 1400
        net(d, "open", filter=False)
        assert tables() == ["dach-vif1.0", "dach-web.0", "other"] and "vif3.0" in links()
        for name in "one", "two", "open":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before
        many = [d.create(f"g{n}", vifs=[{"bridge": "br0"}, {"bridge": "br1"}]) for n in range(20)]
        assert len(links()) == len(there) + 40
        for guest in many:
            d.post(f"/v1/guests/{guest['name']}/destroy")
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before


def test_one_that_comes_is_announced():
    """By its addresses of IPv6, as far as they are known; where it begins nobody has to hear of it."""
    with Daemon().start() as d:
        network = [{"bridge": "br0", "ip": "10.7.0.2 fd07::2 fd07:0::3"}, {"bridge": "br0"}]
        d.create("one", vifs=network)
        d.migration("POST", "/v1/receive", {"config": {"name": "two", "kernel": d.kernel, "memory_kib": 65536,
                                                       "vifs": [{**network[0], "ip": "10.7.0.4 fd07::4 fd07:0::5"}, network[1]]}}).close()
        eventually(lambda: len(d.monitors()) == 2 and len(launched(d)) == 2)
        told = {name: [net.get("announced") for net in launched(d)[guest["uuid"]]["networks"]] for name, guest in d.guests().items()}
        assert told == {"one": [None, None], "two": [["fd07::4", "fd07::5"], None]}, told
        for name in d.guests():
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: not d.guests() and tables() == ["other"])


def test_kept_without_a_life():
    there = set(links())
    with Daemon().start() as d:
        assert d.create("kept", managed=True, vifs=[{"bridge": "br0"}])["state"] == "off"
        assert set(links()) == there and tables() == ["other"]
        refused(422, d.create, "astray", managed=True, vifs=[{"bridge": "nowhere"}])
        d.post("/v1/guests/kept/start")
        assert "vif1.0" in links()
        d.post("/v1/guests/kept/destroy")
        eventually(lambda: set(links()) == there)


def attach(d, **vif):
    return d.post("/v1/guests/one/network-attach", {"network": {"bridge": "br0", **vif}})


def detach(d, network, **more):
    return d.post("/v1/guests/one/network-detach", {"network": network, **more})


def indices(d):
    return [net["index"] for net in d.get("/v1/guests/one")["networks"]]


def test_networks_come_and_go():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        events = d.events()
        d.create("one", managed=True, start=True, vifs=[{"bridge": "br0"}])
        said = attach(d, ip="10.7.0.5", mtu=1300)["networks"]
        assert [at["link"] for at in said] == ["vif1.0", "vif1.1"] and said[1]["rx_bytes"] == 60, said
        events.next("changed")
        assert links()["vif1.1"]["mtu"] == 1300 and "10.7.0.5" in sh("nft list table netdev dach-vif1.1")
        attach(d, bridge="br1", mac="00:16:3e:00:00:77")
        assert links()["vif1.2"]["master"] == "br1"
        # A number stays what it is, and the next takes the lowest.
        detach(d, 1)
        assert indices(d) == [0, 2] and set(links()) == there | {"vif1.0", "vif1.2"}
        assert tables() == ["dach-vif1.0", "dach-vif1.2", "other"], tables()
        attach(d)
        assert indices(d) == [0, 1, 2] and "vif1.1" in links()
        detach(d, 0, force=True)
        d.stop()
        d.start()
        assert indices(d) == [1, 2] and tables() == ["dach-vif1.1", "dach-vif1.2", "other"]
        # As many as there can be; what is in use; what comes only at a start.
        for _ in range(6):
            attach(d)
        assert "8 networks at most" in refused(400, attach, d)
        assert indices(d) == list(range(8)), indices(d)
        for n in range(3, 8):
            detach(d, n)
        assert "already" in refused(409, attach, d, mac="00:16:3e:00:00:77")
        assert "start" in refused(409, attach, d, mode="user")
        assert "br7" in refused(422, attach, d, bridge="br7")
        assert indices(d) == [0, 1, 2] and len(tables()) == 4
        detach(d, 1)
        d.post("/v1/guests/one/destroy")
        assert set(links()) == there and rules() == before
        # One that is off, and what it starts with.
        attach(d, mac="00:16:3e:00:00:78")
        detach(d, 0)
        d.post("/v1/guests/one/start")
        assert indices(d) == [1, 2] and set(links()) == there | {"vif2.1", "vif2.2"}
        d.post("/v1/guests/one/destroy")
        events.close()
    assert set(links()) == there and rules() == before


def test_killed_while_a_network_comes_or_goes():
    """What the monitor has is what the store has afterwards, and nothing else is on the host."""
    before, there = rules(), set(links())

    def killed(d, done, *args):
        thread = threading.Thread(target=ask, args=(d, *args))
        thread.start()
        eventually(done)
        d.stop(signal.SIGKILL)
        thread.join()
        d.start()
        eventually(lambda: d.get("/v1/guests/one")["state"] == "running")

    def ask(d, what, *args):
        try:
            what(d, *args)
        except (Refused, OSError):
            pass

    def noted(d):
        return any("plugging" in names for _, _, names in os.walk(d.run))

    for word, does in ("deafplug", True), ("lostplug", False):
        with Daemon().start() as d:
            d.create("one", word, managed=True, start=True, vifs=[{"bridge": "br0"}])
            # With a monitor that does it, its answer is all that is missing.
            killed(d, lambda: noted(d) and (not does or d.get("/v1/guests/one")["networks"][-1]["rx_bytes"]), attach)
            eventually(lambda: not noted(d))
            assert indices(d) == ([0, 1] if does else [0]), (word, indices(d))
            assert set(links()) == there | {f"vif1.{n}" for n in indices(d)}
            killed(d, lambda: noted(d) and (not does or "vif1.0" not in links()), detach, 0)
            eventually(lambda: not noted(d))
            assert indices(d) == ([1] if does else [0]), (word, indices(d))
            assert set(links()) == there | {f"vif1.{n}" for n in indices(d)}
            assert tables() == [f"dach-vif1.{n}" for n in indices(d)] + ["other"]
            d.post("/v1/guests/one/destroy")
        assert set(links()) == there and rules() == before
    with Daemon().start() as d:
        d.create("one", "noplug", managed=True, start=True, vifs=[{"bridge": "br0"}])
        config = d.get("/v1/guests/one")["config"]
        refused(503, attach, d)
        refused(503, detach, d, 0)
        assert d.get("/v1/guests/one")["config"] == config and not noted(d)
        assert set(links()) == there | {"vif1.0"} and tables() == ["dach-vif1.0", "other"]
        d.post("/v1/guests/one/destroy")


def is_isolated(name):
    return json.loads(sh(f"ip -j -d link show dev {name}"))[0]["linkinfo"]["info_slave_data"]["isolated"]


def vlans(name):
    found = json.loads(sh(f"bridge -j vlan show dev {name}"))[0]["vlans"]
    return [(at["vlan"], sorted(at.get("flags", []))) for at in found]


def test_isolated_ports():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        d.post("/v1/networks", {"config": {"name": "dmz", "mode": "bridge", "bridge": "br0", "isolated": True}})
        d.create("one", vifs=[{"bridge": "br0"}, {"bridge": "br0", "isolated": True}, {"bridge": "dmz"}])
        assert [is_isolated(f"vif1.{n}") for n in range(3)] == [False, True, True]
        assert "on the network" in refused(409, d.call, "PUT", "/v1/networks/dmz", {"config": {"isolated": False}})
        for status, text, vif in ((409, "ip link set br0 type bridge vlan_filtering 1", {"bridge": "br0", "vlan": 5}),
                                  (400, "vlan", {"bridge": "br0", "vlan": 4095})):
            assert text in refused(status, d.create, "three", vifs=[vif]), vif
        assert "vlan: only for mode bridge" in refused(400, d.post, "/v1/networks", {"config": {"name": "x", "vlan": 5}})
        d.post("/v1/guests/one/destroy")
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before


def test_vlans():
    if subprocess.run("ip link add trunk type bridge vlan_filtering 1", shell=True, stderr=subprocess.DEVNULL).returncode:
        print("not tried: this host's kernel has no VLANs on bridges")
        return
    sh("ip link set trunk up")
    before, there = rules(), set(links())
    whole = ["Egress Untagged", "PVID"]
    with Daemon().start() as d:
        d.post("/v1/networks", {"config": {"name": "dmz", "mode": "bridge", "bridge": "trunk", "vlan": 30}})
        d.create("one", vifs=[{"bridge": "trunk"}, {"bridge": "trunk", "vlan": 20}, {"bridge": "trunk", "vlan": 1},
                              {"bridge": "dmz"}, {"bridge": "dmz", "vlan": 31}])
        assert [vlans(f"vif1.{n}") for n in range(5)] == [[(vlan, whole)] for vlan in (1, 20, 1, 30, 31)]
        d.post("/v1/guests/one/destroy")
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before
    sh("ip link del trunk")


def test_what_is_refused():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        assert "vifs[0]: this host has no bridge 'br9'; it has br0, br1, docker0" in \
            refused(422, net, d, "a", bridge="br9"), "names those that there are"
        assert "a link, but no bridge 'lo'" in refused(400, net, d, "a", bridge="lo")
        assert "16 characters long" in refused(400, net, d, "a", vifname="abcdefghijklmnop")
        assert "no name for a link" in refused(400, net, d, "a", vifname="a;drop")
        assert "no name for a link" in refused(400, net, d, "a", bridge="a/b")
        assert "br1: this host has a link of that name already" in refused(409, net, d, "a", vifname="br1")
        assert "'10.0.0' is not an address" in refused(400, net, d, "a", ip="10.7.0.3 10.0.0")
        # The first interface was made already.
        assert "no bridge 'br9'" in refused(422, d.create, "a", vifs=[{"bridge": "br0"}, {"bridge": "br9"}])
        mac = "00:16:3e:00:00:01"
        net(d, "one", mac=mac)
        said = refused(409, net, d, "a", mac=mac)
        assert mac in said and "'one'" in said, said
        d.create("elsewhere", vifs=[{"bridge": "br1", "mac": mac}])
        assert "same bridge" in refused(409, d.create, "a", vifs=[{"bridge": "br1"}, {"bridge": "br1", "mac": mac}])
        assert sorted(tables()) == ["dach-vif%d.0" % d.guests()[n]["domid"] for n in ("one", "elsewhere")] + ["other"]
        for name in "one", "elsewhere":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before
        # xl's own bridge is what an interface is on that says nothing, where there is one.
        assert not d.create("plain", vifs=[{}])["networks"][0]["link"]
        refused(422, d.create, "b", vifs=[{"mode": "bridge"}])
        sh("ip link add xenbr0 type bridge; ip link set xenbr0 up")
        assert d.create("xen", vifs=[{}])["networks"][0]["bridge"] == "xenbr0"
        assert not d.create("user", vifs=[{"mode": "user"}])["networks"][0]["link"]
        for name in "plain", "xen", "user":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: not d.guests())
        sh("ip link del xenbr0")


def test_whatever_is_killed():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        one, two = net(d, "one", ip="10.7.0.2"), net(d, "two")
        filtered = rules()
        os.kill(one["pid"], signal.SIGKILL)
        eventually(lambda: list(d.guests()) == ["two"])
        assert tables() == ["dach-vif2.0", "other"] and "vif1.0" not in links()
        one = net(d, "one", ip="10.7.0.2")
        # The daemon, and while it is gone: somebody flushes our rules, and a guest ends.
        d.stop(signal.SIGKILL)
        sh("nft delete table netdev dach-vif3.0")
        os.kill(two["pid"], signal.SIGKILL)
        eventually(lambda: "vif2.0" not in links())
        d.start()
        eventually(lambda: list(d.guests()) == ["one"])
        assert tables() == ["dach-vif3.0", "other"], tables()
        assert "10.7.0.2" in sh("nft list table netdev dach-vif3.0")
        # All of them.
        d.stop(signal.SIGKILL)
        os.kill(one["pid"], signal.SIGKILL)
        eventually(lambda: "vif3.0" not in links())
        d.start()
        eventually(lambda: not d.guests())
        assert set(links()) == there and rules() == before and filtered != before


def test_without_nft():
    """A guest that could pretend to be another is not started, unless that is wanted."""
    there = set(links())
    with Daemon() as d:
        bin_ = d.folder + "/bin"
        os.mkdir(bin_)
        with open(bin_ + "/nft", "w") as out:
            out.write("#!/bin/sh\necho no such table >&2\nexit 1\n")
        os.chmod(bin_ + "/nft", 0o755)
        d.env["PATH"] = bin_ + ":" + os.environ["PATH"]
        d.start()
        said = refused(500, net, d, "one")
        assert "vifs[0]: vif1.0: nothing would keep" in said and "nft: failed: no such table" in said, said
        assert set(links()) == there and not d.guests()
        assert net(d, "one", filter=False)["networks"][0]["link"]
        d.post("/v1/guests/one/destroy")
        eventually(lambda: not d.guests())


def test_users():
    with Daemon() as d:
        policy = {"users": {"nobody": {"guests": 4, "memory": 1024, "vcpus": 4, "paths": ["/"], "bridges": ["br1"]}}}
        with open(d.folder + "/policy", "w") as out:
            json.dump(policy, out)
        os.chmod(d.folder + "/policy", 0o644)
        d.start()
        user = User(d.run, 65534, 65534)

        def ask(name, **vif):
            return user.ask("POST", "/v1/guests", {"config": {
                "name": name, "kernel": d.kernel, "memory_kib": 65536, "vifs": [vif]}})
        try:
            status, answer = ask("a", bridge="br0")
            assert status == 403 and "gives you no bridge 'br0'" in answer["error"], answer
            for what in {"vifname": "mine"}, {"filter": False}:
                status, answer = ask("a", bridge="br1", **what)
                assert status == 403 and "only for who manages this host" in answer["error"], answer
            status, answer = ask("a", bridge="br1")
            assert status < 300 and answer["networks"][0]["bridge"] == "br1", answer
            sh("ip link add xenbr0 type bridge")
            status, answer = ask("b")
            assert status < 300 and not answer["networks"][0]["link"], answer
            sh("ip link del xenbr0")
        finally:
            user.close()


if __name__ == "__main__":
    if os.geteuid() or not os.access("/dev/net/tun", os.R_OK) or \
            subprocess.run("nft --version && unshare -n true", shell=True, capture_output=True).returncode:
        print("ok links: not tried: not root, no /dev/net/tun, no nft or no network of its own for a test")
        sys.exit(0)
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    main(globals().copy())
