#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is not ours stays as it is, byte for byte: a thousand rules of nftables, Docker's FORWARD that drops and firewalld's table among
them, bridges, and a dnsmasq that serves one of them; while networks and guests come and go, and a daemon is killed. And our guests
work beside them, or it is said why not. In a network namespace of the test's own."""
import difflib
import os
import re
import signal
import subprocess
import sys

from harness import Daemon, eventually, main, refused
from networks import BUILT, MACS, Place, links, resolve, rules, sh, world

DOCKER = """table ip filter {
	chain DOCKER-USER { return; }
	chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; iifname "docker0" accept; }
}
table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname != "docker0" masquerade; }
}
"""
FIREWALLD = """table inet firewalld {
	set trusted { type ipv4_addr; flags interval; elements = { 10.250.0.0/16, 10.251.0.1 } }
	map zones { type ifname : verdict; elements = { "eth7" : accept } }
	chain filter_INPUT { type filter hook input priority filter + 10; ct state { established, related } accept; iifname "lo" accept;
		ip saddr @trusted accept; iifname vmap @zones; }
}
table bridge mine { chain in { type filter hook prerouting priority -300; ether saddr 02:00:00:00:00:99 drop; }
}
table netdev dach { }
"""


def thousand():
    return "table inet many { chain many { type filter hook output priority 50; policy accept;\n" + "".join(
        f"ip daddr 203.0.113.{n % 256} tcp dport {n + 1} counter packets {n} bytes {n * n} drop comment \"rule {n}\"\n"
        for n in range(1000)) + "}\n}\n"


def foreign_rules():
    """With their handles: what is the same is not there anew."""
    return re.sub(r"^table \S+ dach-.*?^}\n", "", sh("nft -a list ruleset"), flags=re.M | re.S)


def foreign(*links_of):
    """Bridges, their addresses, routes to them, and the process that serves one."""
    parts = [foreign_rules()]
    for link in links_of:
        parts += [sh(f"ip -j addr show dev {link}"), sh(f"ip route show dev {link}"), sh(f"ip -6 route show dev {link}"),
                  sh(f"ip -o link show master {link} | grep -v vif")]
    return parts


def as_before(before, *links_of):
    now = foreign(*links_of)
    changed = [line for pair in zip(before, now) for line in difflib.unified_diff(*(part.splitlines() for part in pair), n=0)]
    assert now == before, changed[:20]
    assert resolve("10.250.0.1", "theirs.example") == "10.250.0.7", "their dnsmasq is not what it was"


def come_and_go(d, before):
    d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24", "subnet6": "fd66::/64"}})
    d.post("/v1/networks", {"config": {"name": "theirs", "mode": "bridge", "bridge": "virbr9"}})
    guests = [("g0", "lan", MACS[0]), ("g1", "theirs", MACS[1]), ("g2", "docker0", MACS[2])]
    for name, bridge, mac in guests:
        d.create(name, vifs=[{"bridge": bridge, "mac": mac}])
    as_before(before, "virbr9", "docker0")
    warnings = d.get("/v1/networks/lan")["warnings"]
    assert len(warnings) == 1 and "table ip filter, chain FORWARD drops" in warnings[0], warnings
    return [name for name, *_ in guests]


def gone(d, names):
    for name in names:
        d.post(f"/v1/guests/{name}/destroy")
    eventually(lambda: not d.guests())
    for name in "lan", "theirs":
        d.call("DELETE", f"/v1/networks/{name}")


def test_what_is_not_ours():
    sh("ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward")
    # With addresses of their own, as who makes such gives them, and something on them.
    for n, (bridge, address) in enumerate((("virbr9", "10.250.0.1/24"), ("docker0", "172.17.0.1/16"))):
        sh(f"ip link add {bridge} address 02:00:00:00:01:0{n} type bridge; ip addr add {address} dev {bridge}; ip link set {bridge} up; "
           f"ip link add {bridge}-nic type veth peer name nic{n}; ip link set {bridge}-nic master {bridge} up; ip link set nic{n} up")
    there, out, one = links(), world(), None
    with_world = links()
    sh("nft -f -", DOCKER + FIREWALLD + thousand())
    served = subprocess.Popen(["dnsmasq", "--conf-file=/dev/null", "--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces",
                               "--interface=virbr9", "--except-interface=lo", "--pid-file=", "--user=root", "--dhcp-leasefile=/dev/null",
                               "--dhcp-range=10.250.0.10,10.250.0.20", "--host-record=theirs.example,10.250.0.7"],
                              stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: resolve("10.250.0.1", "theirs.example") == "10.250.0.7")
        for bridge in "virbr9", "docker0":
            eventually(lambda on=bridge: "tentative" not in (shown := sh(f"ip -6 addr show dev {on}")) and "fe80" in shown)
        before = foreign("virbr9", "docker0")
        with Daemon().start() as d:
            names = come_and_go(d, before)
            one = Place("lan", MACS[0], ["10.66.0.2/24"], ["default via 10.66.0.1"])
            assert one.reaches("10.66.0.1") and not one.reaches("10.200.0.2"), "Docker's policy is overruled"
            d.stop(signal.SIGKILL)
            as_before(before, "virbr9", "docker0")
            d.start()
            assert len(d.guests()) == 3
            as_before(before, "virbr9", "docker0")
            # What the sentence says mends it.
            sh('nft insert rule ip filter DOCKER-USER iifname "lan" accept; nft insert rule ip filter DOCKER-USER oifname "lan" accept')
            assert not d.get("/v1/networks/lan")["warnings"] and one.reaches("10.200.0.2")
            sh("nft flush chain ip filter DOCKER-USER; nft add rule ip filter DOCKER-USER return")
            before[0] = foreign_rules()
            d.stop()
            as_before(before, "virbr9", "docker0")
            d.start()
            one.close()
            one = None
            gone(d, names)
            as_before(before, "virbr9", "docker0")
            assert foreign_rules() == sh("nft -a list ruleset") and links() == with_world
            # Taken names and ports are said, and nothing of anybody's is left or changed.
            for text, config in (("already", {"name": "docker0"}), ("overlaps 172.17.0.0/16", {"subnet": "172.17.5.0/24"}),
                                 ("overlaps 10.250.0.0/24", {"subnet": "10.250.0.0/24"})):
                assert text in refused(409, d.post, "/v1/networks", {"config": {"name": "lan", **config}})
            as_before(before, "virbr9", "docker0")
            assert links() == with_world and rules() and "dach-" not in rules()
    finally:
        served.kill()
        served.wait()
        if one:
            one.close()
        out.close()
        sh("nft flush ruleset; for bridge in virbr9 docker0; do ip link del $bridge-nic; ip link del $bridge; done")
    assert links() == there - {"virbr9", "docker0", "virbr9-nic", "docker0-nic", "nic0", "nic1"}


def test_a_dnsmasq_that_has_all():
    """A dnsmasq that binds every address leaves ours no port: one line, and nothing is left."""
    served = subprocess.Popen(["dnsmasq", "--conf-file=/dev/null", "--no-daemon", "--no-resolv", "--no-hosts", "--pid-file=",
                               "--user=root", "--host-record=theirs.example,10.250.0.7"], stderr=subprocess.DEVNULL)
    sh("ip link set lo up")
    try:
        eventually(lambda: resolve("127.0.0.1", "theirs.example") == "10.250.0.7")
        before, there = rules(), links()
        with Daemon().start() as d:
            said = refused(500, d.post, "/v1/networks", {"config": {"name": "two", "subnet": "10.67.0.0/24"}})
            assert said.startswith("two: no addresses and names for its guests: dnsmasq: failed: ") and "in use" in said, said
            assert "\n" not in said and links() == there and rules() == before and not d.get("/v1/networks")["networks"]
        assert resolve("127.0.0.1", "theirs.example") == "10.250.0.7"
    finally:
        served.kill()
        served.wait()


if __name__ == "__main__":
    need = "nft --version && dnsmasq --version && busybox nc --help && unshare -n true"
    if os.geteuid() or not os.access("/dev/net/tun", os.R_OK) or \
            subprocess.run(need, shell=True, capture_output=True).returncode:
        print("ok foreign: not tried: not root, no /dev/net/tun, nft, dnsmasq, busybox or network of its own")
        sys.exit(0)
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    main(globals().copy())
