#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The networks that the daemon keeps: who reaches whom in each mode, addresses and names, what is refused, and that
nothing stays and nothing foreign changes. In network namespaces of the test's own: the host's, the world's behind
it, and for each guest one in its place, with its MAC, since the monitors only play guest."""
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import Daemon, eventually, main, refused
from users import User

BUILT = "DACH_TEST_NETNS"
MACS = ["00:16:3e:00:00:0%d" % n for n in range(9)]


def sh(words, text=None, ok=True):
    done = subprocess.run(words, shell=True, input=text, capture_output=True, text=True, timeout=60)
    assert not ok or not done.returncode, (words, done)
    return done.stdout if ok else not done.returncode


def links():
    return {link["ifname"] for link in json.loads(sh("ip -j link"))}


def rules():
    return sh("nft list ruleset")


class Place:
    """A namespace on a bridge, or at the other end of a link, where a guest or the world would be."""
    count = 0

    def __init__(self, master=None, mac=None, addresses=(), routes=()):
        Place.count += 1
        self.link = f"p{Place.count}"
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        eventually(lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        sh(f"ip link add {self.link} type veth peer name eth0 netns {self.process.pid}; ip link set {self.link} up")
        if master:
            sh(f"ip link set {self.link} master {master}")
        self.sh("ip link set lo up; echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; "
                + (f"ip link set eth0 address {mac}; " if mac else "") + "ip link set eth0 up")
        for address in addresses:
            self.sh(f"ip addr replace {address} dev eth0")  # a router may have been quicker
        for route in routes:
            self.sh(f"ip route replace {route}")

    def sh(self, words, ok=True):
        return sh(f"nsenter -t {self.process.pid} -n sh -c '{words}'", ok=ok)

    def reaches(self, address):
        return self.sh(f"busybox ping{'6' if ':' in address else ''} -c 1 -W 2 {address}", ok=False)

    def dhcp(self):
        """What is offered, as the client would take it: address, router, names."""
        with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as script:
            script.write("#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip addr add $ip/$mask dev eth0\n"
                         "[ -z \"$router\" ] || ip route add default via $router\necho $ip $router $dns $domain\n")
        os.chmod(script.name, 0o755)
        said = self.sh(f"busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -s {script.name} 2>/dev/null", ok=False) and \
            self.sh("ip -4 -o addr show dev eth0").split()[3]
        os.unlink(script.name)
        return said

    def close(self):
        sh(f"ip link del {self.link}", ok=False)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def world():
    place = Place(addresses=["10.200.0.2/24", "fd99::2/64"],
                  routes=["10.66.0.0/24 via 10.200.0.1", "fd66::/64 via fd99::1"])
    sh(f"ip addr add 10.200.0.1/24 dev {place.link}; ip addr add fd99::1/64 dev {place.link} nodad")
    return place


def resolve(server, name, kind=1):
    """The last address of a name, asked of that server by hand; kind 28: of IPv6."""
    code = ("import socket,sys,struct\nq=b'\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0'+b''.join(bytes([len(l)])+l.encode() "
            "for l in sys.argv[2].split('.'))+struct.pack('>BHH',0,int(sys.argv[3]),1)\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            "s.settimeout(5)\ns.sendto(q,(sys.argv[1],53))\nr=s.recv(512)\n"
            "print((socket.inet_ntop(socket.AF_INET,r[-4:]) if sys.argv[3]=='1' else socket.inet_ntop(socket.AF_INET6,r[-16:])) "
            "if struct.unpack('>H',r[6:8])[0] else 'none')")
    return subprocess.run([sys.executable, "-c", code, server, name, str(kind)], capture_output=True, text=True,
                          timeout=20).stdout.strip()


def test_who_reaches_whom():
    sh("ip link set lo up")
    out, before = world(), rules()
    try:
        for mode, seen in (("nat", {"world": True, "world6": True, "back": False}),
                           ("route", {"world": True, "world6": True, "back": True}),
                           ("isolated", {"world": False, "world6": False, "back": False})):
            there = links()
            with Daemon().start() as d:
                made = d.post("/v1/networks", {"config": {"name": "lan", "mode": mode, "subnet": "10.66.0.0/24",
                                                          "subnet6": "fd66::/64", "domain": "test"}})
                assert made["active"] and made["link"] == "lan" and not made["warnings"], made
                guests = [d.create(f"g{n}.example", vifs=[{"bridge": "lan", "mac": MACS[n]}]) for n in (0, 1)]
                leases = {lease["mac"]: lease for lease in d.get("/v1/networks/lan")["leases"]}
                assert leases[MACS[0]] == {"mac": MACS[0], "guest": "g0.example", "address": "10.66.0.2",
                                           "address6": "fd66::216:3eff:fe00:0"}, leases
                chain = sh("nft list table netdev dach-" + guests[0]["networks"][0]["link"])
                assert "10.66.0.2" in chain and "10.66.0.3" not in chain, chain
                one, two = (Place("lan", MACS[n]) for n in (0, 1))
                try:
                    assert one.dhcp() == "10.66.0.2/24" and two.dhcp() == "10.66.0.3/24"
                    eventually(lambda: "fd66::216:3eff:fe00:0" in one.sh("ip -6 addr show dev eth0"))
                    eventually(lambda: "fd66::216:3eff:fe00:1" in two.sh("ip -6 addr show dev eth0"))
                    if mode != "isolated":
                        eventually(lambda: "default" in one.sh("ip -6 route"))
                    table = {"neighbour": one.reaches("10.66.0.3"), "neighbour6": one.reaches("fd66::216:3eff:fe00:1"),
                             "host": one.reaches("10.66.0.1"), "host6": one.reaches("fd66::1"),
                             "world": one.reaches("10.200.0.2"), "world6": one.reaches("fd99::2"),
                             "back": out.reaches("10.66.0.2"), "metadata": one.reaches("169.254.169.254")}
                    expected = {"neighbour": True, "neighbour6": True, "host": True, "host6": True,
                                "metadata": False, **seen}
                    print(mode, table)
                    assert table == expected, (mode, table, expected)
                    assert resolve("10.66.0.1", "g1.test") == "10.66.0.3"
                    assert resolve("10.66.0.1", "g1") == "10.66.0.3"
                    assert resolve("10.66.0.1", "nobody.test") == "none"
                finally:
                    one.close()
                    two.close()
                for guest in guests:
                    d.post(f"/v1/guests/{guest['name']}/destroy")
                eventually(lambda: not d.guests())
                d.call("DELETE", "/v1/networks/lan")
                assert links() == there and rules() == before, (links(), rules())
                assert not os.listdir(d.run + "/networks"), os.listdir(d.run + "/networks")
    finally:
        out.close()


def test_edit():
    """What changes while guests are on it and what does not; what guests reach by a list of destinations."""
    sh("ip link set lo up; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.70.0.1/24 dev br0")
    out, before, there = world(), rules(), links()
    out.sh("ip addr add 10.201.0.2/24 dev eth0; ip addr add 169.254.169.254/32 dev eth0")
    sh(f"ip route add 10.201.0.0/24 dev {out.link}; ip route add 169.254.169.254/32 dev {out.link}")

    def edit(**config):
        return d.call("PUT", "/v1/networks/lan", {"config": config})

    def own_rules():
        return sh("nft list table inet dach-lan")

    def connects():
        """To what listens on the host."""
        return one.sh(f"echo | busybox nc -w 3 10.70.0.1 {listener.server_port}", ok=False)

    def reached():
        asked = {"world": "10.200.0.2", "other": "10.201.0.2", "metadata": "169.254.169.254", "world6": "fd99::2",
                 "own": "10.66.0.1"}
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(one.reaches, asked.values()))
        return [name for name, answer in zip(asked, answers) if answer] + ["host"] * connects()
    one = None
    listener = http.server.ThreadingHTTPServer(("10.70.0.1", 0), http.server.SimpleHTTPRequestHandler)
    listener.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        with Daemon().start() as d:
            d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24", "subnet6": "fd66::/64"}})
            d.create("g", vifs=[{"bridge": "lan", "mac": MACS[0]}])
            one = Place("lan", MACS[0], ["10.66.0.2/24", "fd66::216:3eff:fe00:0/64"],
                        ["default via 10.66.0.1", "default via fd66::1"])
            assert reached() == ["world", "other", "world6", "own", "host"], reached()
            unlisted = own_rules()
            said = edit(allow=["10.200.0.0/24", "169.254.169.254", "fd99::2"], autostart=False)
            assert said["config"]["allow"][1] == "169.254.169.254" and not said["config"]["autostart"]
            assert reached() == ["world", "metadata", "world6", "own"], reached()
            # What a guest that is there would miss, or nobody can have: all is as it was.
            config, listed = d.get("/v1/networks/lan")["config"], own_rules()
            for status, text, change in ((409, "'g' is on the network", {"subnet": "10.67.0.0/24"}),
                                         (409, "'g' is on the network", {"domain": "x"}),
                                         (400, "a network keeps its name", {"name": "two"}),
                                         (400, "allow: 'a;drop' is neither", {"allow": ["a;drop"]}),
                                         (400, "allow: '10.0.0.0/33'", {"allow": ["10.0.0.0/33"]}),
                                         (400, "allow: only for", {"mode": "isolated"}), (400, "", {"nonsense": 1})):
                assert text in refused(status, edit, **change), change
                assert d.get("/v1/networks/lan")["config"] == config and own_rules() == listed, change
            d.stop(signal.SIGKILL)
            d.start()
            assert d.get("/v1/networks/lan")["config"] == config and own_rules() == listed
            edit(allow=None, autostart=True)
            assert own_rules() == unlisted
            d.post("/v1/guests/g/destroy")
            eventually(lambda: not d.guests())
            assert edit(subnet="10.67.0.0/24", subnet6=None, mode="route")["active"]
            assert "10.67.0.1/24" in sh("ip addr show dev lan") and "fd66::" not in sh("ip addr show dev lan")
            # Its own may grow; another's may not be taken. One that cannot come up is the old one again.
            edit(subnet="10.67.0.0/16")
            assert "overlaps 10.70.0.0/24" in refused(409, edit, subnet="10.70.0.0/25")
            assert "no bridge" in refused(422, edit, mode="bridge", bridge="br9", subnet=None)
            assert "10.67.0.1/16" in sh("ip addr show dev lan") and d.get("/v1/networks/lan")["active"]
            assert edit(mode="bridge", bridge="br0", subnet=None)["link"] == "br0" and "lan" not in links()
            assert edit(mode="nat", bridge=None)["config"]["subnet"].startswith("192.168.1")
            d.call("DELETE", "/v1/networks/lan")
            one.close()
            one = None
            assert links() == there and rules() == before
    finally:
        out.close()
        if one:
            one.close()
        listener.shutdown()
        sh("ip link del br0")


def test_whatever_is_killed():
    before, there = rules(), links()
    with Daemon().start() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24"}})
        d.post("/v1/networks", {"config": {"name": "off", "subnet": "10.67.0.0/24", "autostart": False}})
        d.create("kept", managed=True, start=True, vifs=[{"bridge": "lan", "mac": MACS[3], "ip": "10.66.0.77"}])
        with open(d.run + "/networks/lan/pid") as pid:
            served = int(pid.read())
        d.stop(signal.SIGKILL)
        assert sh(f"kill -0 {served}", ok=False), "names end with the daemon"
        with_rules = rules()
        d.start()
        with open(d.run + "/networks/lan/pid") as pid:
            assert int(pid.read()) == served
        assert rules() == with_rules
        # All of it goes, while the daemon is away, and comes again; addresses are as they were.
        d.stop(signal.SIGKILL)
        sh(f"kill -9 {served}; nft delete table inet dach-lan; ip link del off; nft delete table inet dach-off")
        with open(d.run + "/networks/off/pid") as pid:
            sh(f"kill -9 {pid.read()}")
        os.unlink(d.run + "/autostarted")  # as after the host's start
        d.start()
        networks = {n["config"]["name"]: n for n in d.get("/v1/networks")["networks"]}
        assert networks["lan"]["active"] and not networks["lan"]["warnings"], networks
        assert not networks["off"]["active"], networks
        assert networks["lan"]["leases"][0]["address"] == "10.66.0.77", networks
        assert "off" not in links() and "dach-off" not in rules()
        assert "'kept' is on the network" in refused(409, d.post, "/v1/networks/lan/stop")
        assert "'kept' is on the network" in refused(409, d.call, "DELETE", "/v1/networks/lan")
        d.post("/v1/guests/kept/destroy")
        eventually(lambda: d.guests()["kept"]["state"] == "off")
        assert not d.post("/v1/networks/lan/stop")["active"]
        assert "is off: dach network start lan" in refused(409, d.post, "/v1/guests/kept/start")
        d.stop()
        d.start()  # what was stopped stays so until the host's next start
        assert not d.get("/v1/networks/lan")["active"]
        assert d.post("/v1/networks/lan/start")["active"]
        for name in "lan", "off":
            d.call("DELETE", f"/v1/networks/{name}")
        refused(422, d.get, "/v1/networks/lan")
        assert links() == there and rules() == before


def test_networks_that_come_late():
    """After the host's start: a bridge that somebody makes later, and a network that cannot be started at first."""
    sh("ip link add br0 type bridge; ip link set br0 up")
    before = rules()
    with Daemon() as d:
        d.env["PATH"] = d.folder + "/bin:" + os.environ["PATH"]
        os.mkdir(d.folder + "/bin")
        with open(d.folder + "/bin/dnsmasq", "w") as out:
            out.write(f"#!/bin/sh\n[ -e {d.folder}/never ] && {{ echo dnsmasq: not yet >&2; exit 1; }}\nPATH=${{PATH#*:}} exec dnsmasq \"$@\"\n")
        os.chmod(d.folder + "/bin/dnsmasq", 0o755)
        d.start()
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24"}})
        for name, bridge in (("one", "br0"), ("two", "lan"), ("three", "br0"), ("four", "br0")):
            d.create(name, managed=True, vifs=[{"bridge": bridge}])
            d.put(f"/v1/guests/{name}/autostart", {"autostart": True})
        # What no time mends.
        d.create("five", managed=True, vifs=[{"bridge": "lan", "script": "vif-nat"}])
        d.put("/v1/guests/five/autostart", {"autostart": True})
        d.call("PUT", "/v1/networks/lan", {"config": {"mode": "route"}})
        d.stop()
        # As the host comes up.
        open(d.folder + "/never", "w").close()
        with open(d.run + "/networks/lan/pid") as pid:
            sh(f"kill {pid.read()}")
        sh("ip link del lan; nft delete table inet dach-lan; ip link del br0")
        os.unlink(d.run + "/autostarted")
        d.start()
        assert all(guest["state"] == "off" for guest in d.guests().values()), d.guests()
        assert d.said().count("cannot be started yet: ") == 4 and "this host has no bridge 'br0'" in d.said(), d.said()
        assert "five: cannot be started: vifs[0]: vif-nat is a network here" in d.said(), d.said()
        # A daemon that is started anew meanwhile goes on with them.
        d.stop(signal.SIGKILL)
        d.start()
        # What somebody does with one meanwhile counts.
        d.put("/v1/guests/three/autostart", {"autostart": False})
        refused(422, d.post, "/v1/guests/four/start")
        sh("ip link add br0 type bridge; ip link set br0 up")
        eventually(lambda: d.guests()["one"]["state"] == "running")
        assert d.guests()["two"]["state"] == "off"
        os.unlink(d.folder + "/never")
        eventually(lambda: d.guests()["two"]["state"] == "running")
        assert d.get("/v1/networks/lan")["warnings"] == [] and "network lan: is started" in d.said()
        assert d.guests()["three"]["state"] == d.guests()["four"]["state"] == "off"
        assert d.said().count("cannot be started yet: ") == 4
        for name in "one", "two":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: d.guests()["two"]["state"] == "off")
        d.call("DELETE", "/v1/networks/lan")
        assert rules() == before
    sh("ip link del br0")


def test_rules_of_before():
    """A daemon takes no table for its own that it has not loaded: somebody may have changed it meanwhile."""
    with Daemon() as d:
        d.start()
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24"}})
        ours, path = rules(), d.env["PATH"]
        d.stop(signal.SIGKILL)
        sh("nft insert rule inet dach-lan forward accept")
        # nft refuses all at once, and each by itself; then the network is started.
        os.mkdir(d.folder + "/bin")
        with open(d.folder + "/bin/nft", "w") as out:
            out.write(f"#!/bin/sh\n[ -e {d.folder}/twice ] && PATH={path} exec nft \"$@\"\n[ -e {d.folder}/once ] && : "
                      f">{d.folder}/twice\n: >{d.folder}/once\necho no >&2\nexit 1\n")
        os.chmod(d.folder + "/bin/nft", 0o755)
        d.env["PATH"] = d.folder + "/bin:" + path
        d.start()
        assert "its rules cannot be loaded: nft: failed: no" in d.said() and rules() == ours
        d.call("DELETE", "/v1/networks/lan")
        assert not rules()


def test_a_flush():
    """Whoever reloads his firewall flushes everybody's rules: ours come back, and no others."""
    with Daemon().start() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24"}})
        guest = d.create("g", vifs=[{"bridge": "lan", "mac": MACS[5]}])
        ours = rules()
        sh("nft add table ip mine")
        for _ in range(2):
            sh("nft flush ruleset")
            eventually(lambda: rules() == ours)
        assert guest["networks"][0]["link"] in ours
        eventually(lambda: d.said().count("loaded again") == 2)  # it says so once all are there
        d.post("/v1/guests/g/destroy")
        eventually(lambda: not d.guests())
        d.call("DELETE", "/v1/networks/lan")
        eventually(lambda: not rules())


def test_what_is_refused():
    sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.70.0.1/24 dev br0; ip link add mine type bridge")
    before, there = rules(), links()

    def network(**config):
        return d.post("/v1/networks", {"config": {"name": "lan", **config}})
    with Daemon().start() as d:
        for status, text, config in (
                (409, "overlaps 10.70.0.0/24, to which this host has a route", {"subnet": "10.70.0.128/25"}),
                (400, "subnet: '10.0.0.0/31' is not", {"subnet": "10.0.0.0/31"}),
                (400, "subnet: '127.0.0.0/24' is not", {"subnet": "127.0.0.0/24"}),
                (400, "subnet: 'fd00::/64' is not", {"subnet": "fd00::/64"}),
                (400, "subnet6: 'fd00::/48' is not", {"subnet6": "fd00::/48"}),
                (400, "subnet6: 'fe80::/64' is not", {"subnet6": "fe80::/64"}),
                (400, "name: ", {"name": "a b"}), (400, "name", {"name": "abcdefghijklmnop"}),
                (400, "domain: ", {"domain": "a\"b"}), (400, "domain: ", {"domain": "-a"}),
                (400, "mtu: 500 is less", {"mtu": 500}), (400, "mode", {"mode": "bridged"}),
                (400, "mode bridge needs the bridge", {"mode": "bridge"}),
                (400, "bridge: only for mode bridge", {"bridge": "br0"}),
                (400, "subnet: not in mode bridge", {"mode": "bridge", "bridge": "br0", "subnet": "10.0.0.0/24"}),
                (422, "this host has no bridge 'br9'", {"mode": "bridge", "bridge": "br9"}),
                (409, "mine: this host has a link of that name already", {"name": "mine", "subnet": "10.71.0.0/24"})):
            said = refused(status, network, **config)
            assert text in said, (config, said)
            assert not d.get("/v1/networks")["networks"] and links() == there and rules() == before, config
        chosen = network()
        assert chosen["config"]["subnet"].startswith("192.168.1"), chosen
        assert "already" in refused(409, network)
        assert "overlaps" in refused(409, network, name="two", subnet=chosen["config"]["subnet"])
        one = network(name="two", mode="bridge", bridge="br0")
        assert one["link"] == "br0" and not one["leases"], one
        assert d.create("g", vifs=[{"bridge": "two"}])["networks"][0]["bridge"] == "br0"
        mac, address = MACS[4], chosen["config"]["subnet"].rsplit(".", 1)[0]
        d.create("a", vifs=[{"bridge": "lan", "mac": mac, "ip": address + ".9"}])
        for other, text in ((address + ".9", "another guest's"), (address + ".1", "this host's")):
            assert text in refused(500, d.create, "b", vifs=[{"bridge": "lan", "ip": other}])
        # Docker's policy is told of.
        sh("nft -f -", "table ip filter {\nchain FORWARD {\ntype filter hook forward priority 0; policy drop;\n}\n}\n")
        warnings = d.get("/v1/networks/lan")["warnings"]
        assert len(warnings) == 1 and "table ip filter, chain FORWARD drops" in warnings[0], warnings
        sh("nft add rule ip filter FORWARD iifname lan accept")
        assert not d.get("/v1/networks/lan")["warnings"]
        sh("nft delete table ip filter")
        for name in "g", "a":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: not d.guests())
        for name in "lan", "two":
            d.call("DELETE", f"/v1/networks/{name}")
        assert links() == there and rules() == before
    sh("ip link del br0; ip link del mine")


def test_users():
    """Who does not manage the host sees no networks and changes none, and is on those that the policy gives him."""
    with Daemon() as d:
        rule = {"guests": 4, "memory": 1024, "vcpus": 4, "paths": ["/"], "bridges": ["lan"]}
        with open(d.folder + "/policy", "w") as out:
            json.dump({"users": {"nobody": rule}}, out)
        os.chmod(d.folder + "/policy", 0o644)
        d.start()
        for name in "lan", "dmz":
            d.post("/v1/networks", {"config": {"name": name}})
        user = User(d.run, 65534, 65534)
        try:
            assert user.ask("GET", "/v1/networks") == [200, {"networks": []}]
            for method, path, body in (("POST", "", {"config": {"name": "his"}}), ("GET", "/lan", None), ("DELETE", "/lan", None),
                                       ("POST", "/lan/start", None), ("POST", "/lan/stop", None)):
                status, answer = user.ask(method, "/v1/networks" + path, body)
                assert status == 403 and "for who manages this host" in answer["error"], (method, path, answer)
            for name, status in ("lan", 201), ("dmz", 403):
                got, answer = user.ask("POST", "/v1/guests", {"config": {
                    "name": name, "kernel": d.kernel, "memory_kib": 65536, "vifs": [{"bridge": name}]}})
                assert got == status, answer
        finally:
            user.close()
        d.post("/v1/guests/lan/destroy")
        eventually(lambda: not d.guests())
        for name in "lan", "dmz":
            d.call("DELETE", f"/v1/networks/{name}")


def test_without_dnsmasq():
    before, there = rules(), links()
    with Daemon() as d:
        bin_ = d.folder + "/bin"
        os.mkdir(bin_)
        with open(bin_ + "/dnsmasq", "w") as out:
            out.write("#!/bin/sh\necho dnsmasq: no >&2\nexit 2\n")
        os.chmod(bin_ + "/dnsmasq", 0o755)
        d.env["PATH"] = bin_ + ":" + os.environ["PATH"]
        d.start()
        said = refused(500, d.post, "/v1/networks", {"config": {"name": "lan"}})
        assert "lan: no addresses and names for its guests: dnsmasq: failed: dnsmasq: no" in said, said
        assert not d.get("/v1/networks")["networks"] and links() == there and rules() == before


if __name__ == "__main__":
    need = "nft --version && dnsmasq --version && busybox udhcpc --help && unshare -n true"
    if os.geteuid() or not os.access("/dev/net/tun", os.R_OK) or \
            subprocess.run(need, shell=True, capture_output=True).returncode:
        print("ok networks: not tried: not root, no /dev/net/tun, nft, dnsmasq, busybox or network of its own")
        sys.exit(0)
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    main(globals().copy())
