#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""script= of an interface: an administrator's own program gets what Xen's toolstack would give it, whoever may not name one is
refused, and what ends runs it again; vif-route has routes instead of a bridge, vif-nat is a network. In a network namespace of
the test's own."""
import os
import signal
import subprocess
import sys

from harness import Daemon, eventually, main, refused
from links import BUILT, links, rules, sh, tables
from users import User

# As Xen's own begin: bash, the system's folders first in PATH, and the words of the interface asked of the xenstore.
OWN = """#!/bin/bash
export PATH="/usr/bin:/usr/sbin:/bin:/sbin:$PATH"
fatal() {
	xenstore-write "$XENBUS_PATH/hotplug-error" "$*" "$XENBUS_PATH/hotplug-status" error
	exit 1
}
bridge=$(xenstore-read "$XENBUS_PATH/bridge") || fatal "no bridge"
echo "$1 $2 $vif $(xenstore-read "$XENBUS_PATH/mac") $bridge $(xenstore-read "$XENBUS_PATH/ip" || echo none)" \\
	"$(xenstore-read "$XENBUS_PATH/vifname" || echo unnamed) $XENBUS_PATH $XENBUS_TYPE $script" >>"${0%/*}/said"
! [ -e "${0%/*}/broken" ] || fatal "nothing works today"
[ "$1" = online ] || exit 0
ip link set "$vif" master "$bridge" mtu 1400 2>/dev/null || fatal "$vif cannot be put on $bridge"
ip link set "$vif" up
xenstore-write "$XENBUS_PATH/hotplug-status" connected
"""


def make_own(d):
    folder = d.folder + "/scripts"
    os.mkdir(folder)
    with open(folder + "/vif-own", "w") as script:
        script.write(OWN)
    os.chmod(folder + "/vif-own", 0o755)
    return folder + "/vif-own"


def said(own):
    with open(os.path.dirname(own) + "/said") as file:
        return file.read().splitlines()


def test_own():
    sh("ip link set lo up; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.7.0.1/24 dev br0")
    before, there = rules(), set(links())
    with Daemon().start() as d:
        own = make_own(d)
        guest = d.create("one", vifs=[{"bridge": "br0", "script": own, "mac": "00:16:3e:00:00:01", "ip": "10.7.0.2 10.7.0.3"}])
        assert guest["networks"][0]["link"] == "vif1.0", guest
        bus = "/local/domain/0/backend/vif/1/0"
        line = f"online type_if=vif vif1.0 00:16:3e:00:00:01 br0 10.7.0.2 10.7.0.3 unnamed {bus} vif {own}"
        assert said(own) == [line], said(own)
        link = links()["vif1.0"]
        assert link["master"] == "br0" and "UP" in link["flags"] and link["mtu"] == 1400, link
        assert link["address"] == "fe:ff:ff:ff:ff:ff" and "10.7.0.3" in sh("nft list table netdev dach-vif1.0")
        # One that comes and goes; and an end that no daemon of that life is there for.
        d.create("two", managed=True, start=True, vifs=[{"bridge": "br0"}])
        d.post("/v1/guests/two/network-attach", {"network": {"bridge": "br0", "script": own}})
        assert said(own)[1].startswith("online type_if=vif vif2.1 ") and " none unnamed " in said(own)[1]
        d.post("/v1/guests/two/network-detach", {"network": 1})
        assert said(own)[2].startswith("offline type_if=vif vif2.1 ") and len(said(own)) == 3
        d.stop(signal.SIGKILL)
        os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)
        d.start()
        eventually(lambda: len(said(own)) == 4)
        assert said(own)[3] == line.replace("online", "offline"), said(own)
        d.post("/v1/guests/two/destroy")
        eventually(lambda: set(links()) == there and rules() == before)
        assert len(said(own)) == 4


def test_bridge_of_others():
    """One that the kernel does not have (Open vSwitch's): what is others' there is told by its name."""
    before, there = rules(), set(links())
    with Daemon().start() as d:
        own = d.folder + "/vif-switch"
        with open(own, "w") as script:
            script.write("#!/bin/sh\n")
        os.chmod(own, 0o755)
        for name, vif in (("one", {"bridge": "ovs0", "ip": "10.7.0.2"}), ("two", {"bridge": "ovs0"}),
                          ("three", {"bridge": "ovs1"})):
            d.create(name, vifs=[{"script": own, **vif}])
        assert "10.7.0.2" in sh("nft list table netdev dach-vif2.0"), "it may say that it is its neighbour"
        assert "10.7.0.2" not in sh("nft list table netdev dach-vif3.0")
        for name in "one", "two", "three":
            d.post(f"/v1/guests/{name}/destroy")
        eventually(lambda: set(links()) == there and rules() == before)


def test_refused():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        own = make_own(d)

        def fails(what, status, **vif):
            answer = refused(status, d.create, "one", vifs=[{"bridge": "br0", **vif}])
            assert what in answer and set(links()) == there and rules() == before, (answer, links())

        open(os.path.dirname(own) + "/broken", "w").close()
        fails("vif-own: failed: nothing works today", 500, script=own)
        assert [line.split()[0] for line in said(own)] == ["online", "offline"]
        os.unlink(os.path.dirname(own) + "/broken")
        fails("cannot be put on nowhere", 500, script=own, bridge="nowhere")
        fails("there is no vif-none in /etc/dach/scripts/ or /etc/xen/scripts/", 422, script="vif-none")
        fails("a name, or a path from / on", 400, script="../vif-own")
        fails("control character", 400, script="/tmp/a\nb")
        os.chmod(own, 0o775)
        fails("others than root may write to it", 403, script=own)
        os.chmod(own, 0o644)
        fails("not a program", 403, script=own)
        fails("not a program", 403, script=os.path.dirname(own))
        fails("vif-nat is a network here: 'dach network create NAME'", 400, script="vif-nat")
        fails("for links of this host", 409, script=own, mode="user")


def test_who_may():
    there = set(links())
    with Daemon() as d:
        with open(d.folder + "/policy", "w") as policy:
            policy.write('{"users": {"nobody": {"guests": 9, "memory": 4096, "vcpus": 9, "paths": ["%s/"], '
                         '"bridges": ["br0"]}}}' % d.folder)
        d.start()
        own = make_own(d)
        user = User(d.run, 65534, 65534)
        try:
            for script in own, "vif-route":
                status, answer = user.ask("POST", "/v1/guests", {"config": {
                    "name": "a", "kernel": d.kernel, "memory_kib": 65536,
                    "vifs": [{"bridge": "br0", "ip": "10.7.0.9", "script": script}]}})
                assert status == 403 and "script is only for who manages this host" in answer["error"], answer
        finally:
            user.close()
        assert set(links()) == there and not os.path.exists(os.path.dirname(own) + "/said")


def routes(family=""):
    return sh(f"ip {family} route")


def test_route():
    sh("ip link add out0 type bridge; ip link set out0 up; ip addr add 10.60.0.1/24 dev out0; ip addr add 10.60.0.9/24 dev out0; "
       "ip route add default via 10.60.0.254")
    before, there, way = rules(), set(links()), routes()
    with Daemon().start() as d:
        guest = d.create("one", vifs=[{"script": "vif-route", "ip": "10.61.0.5 fd61::5", "gatewaydev": "out0"}])
        assert guest["networks"][0]["link"] == "vif1.0" and not guest["networks"][0].get("bridge"), guest
        link = links()["vif1.0"]
        assert "master" not in link and "UP" in link["flags"] and link["address"] == "fe:ff:ff:ff:ff:ff", link
        assert "10.60.0.1/32" in sh("ip addr show dev vif1.0")
        assert "10.61.0.5 dev vif1.0" in routes() and "fd61::5 dev vif1.0" in routes("-6")
        assert sh("cat /proc/sys/net/ipv4/conf/vif1.0/proxy_arp /proc/sys/net/ipv4/ip_forward").split() == ["1", "1"]
        assert "10.61.0.5" in sh("nft list table netdev dach-vif1.0")
        # As the file of a Xen host has it, and by the way out.
        d.create("two", vifs=[{"script": "/etc/xen/scripts/vif-route", "ip": "10.61.0.6"}])
        assert "10.61.0.6 dev vif2.0" in routes() and "10.60.0.1/32" in sh("ip addr show dev vif2.0")
        for what, vif in (("this host has a route to 10.61.0.5 already", {"ip": "10.61.0.5"}),
                          ("ip= has to say what is routed", {}), ("nowhere0: No such device", {"ip": "10.61.0.7", "gatewaydev": "nowhere0"})):
            try:
                d.create("three", vifs=[{"script": "vif-route", **vif}])
                raise AssertionError(vif)
            except Exception as answer:
                assert what in str(answer), answer
            assert set(links()) == there | {"vif1.0", "vif2.0"} and len(tables()) == 2, links()
        d.stop(signal.SIGKILL)
        os.kill(d.monitors()[guest["uuid"]], signal.SIGKILL)
        d.start()
        d.post("/v1/guests/two/destroy")
        eventually(lambda: set(links()) == there and rules() == before and routes() == way)


def test_nat():
    before, there = rules(), set(links())
    with Daemon().start() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "mode": "nat", "subnet": "10.66.0.0/24"}})
        d.create("one", vifs=[{"script": "vif-nat", "bridge": "lan"}])
        assert links()["vif1.0"]["master"] == "lan" and "10.66.0.2" in sh("nft list table netdev dach-vif1.0")
        d.post("/v1/guests/one/destroy")
        eventually(lambda: not d.guests())
        d.call("DELETE", "/v1/networks/lan")
        assert set(links()) == there and rules() == before


if __name__ == "__main__":
    if os.geteuid() or not os.access("/dev/net/tun", os.R_OK) or \
            subprocess.run("nft --version && dnsmasq --version && unshare -n true", shell=True, capture_output=True).returncode:
        print("ok vif_scripts: not tried: not root, no /dev/net/tun, no nft, no dnsmasq or no network of its own for a test")
        sys.exit(0)
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    main(globals().copy())
