#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Destinations by name on a network that the daemon keeps: what is reached is what the network's own name server has
answered, and nothing else is resolved or reached, whatever is killed, flushed or changed. In namespaces of the test's own, with a
name server in the place of the host's."""
import os
import signal
import subprocess
import sys
import tempfile

from harness import Daemon, eventually, main, refused
from networks import BUILT, MACS, Place, links, resolve, rules, sh, world

A, AAAA = 1, 28
NAMES = {"ok.example": ["10.200.0.2", "fd99::2"], "meta.ok.example": ["169.254.169.254", "fd00:ec2::254"], "host.ok.example": ["10.70.0.1"],
         "other.example": ["10.201.0.2"], "notok.example": ["10.201.0.2"]}


class Names:
    """The host's name server: /etc/resolv.conf, in mounts of our own, leads to it. An administrator's dnsmasq, for all that ours knows."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name + "/resolv.conf"
        with open(path, "w") as out:
            out.write("nameserver 127.0.0.1\n")
        sh(f"mount --bind {path} /etc/resolv.conf")
        self.process = subprocess.Popen(
            ["dnsmasq", "--conf-file=/dev/null", "--no-daemon", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1",
             "--bind-interfaces", "--pid-file=", "--user=root", "--local-ttl=86400", "--cname=alias.ok.example,other.example",
             *(f"--host-record={name},{','.join(addresses)}" for name, addresses in NAMES.items())], stderr=subprocess.DEVNULL)
        eventually(lambda: resolve("127.0.0.1", "ok.example") == "10.200.0.2")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        sh("umount /etc/resolv.conf")
        self.folder.cleanup()


def test_names():
    sh("ip link set lo up; ip addr add 10.70.0.1/24 dev lo")
    out = world()
    out.sh("ip addr add 10.201.0.2/24 dev eth0; ip addr add 10.202.0.2/24 dev eth0; ip addr add 169.254.169.254/32 dev eth0; "
           "ip addr add fd00:ec2::254/128 dev eth0")
    for to in "10.201.0.0/24", "10.202.0.0/24", "169.254.169.254", "fd00:ec2::254":
        sh(f"ip route add {to} dev {out.link}" if ":" not in to else f"ip route add {to} via fd99::2")
    before, there, one = rules(), links(), None
    try:
        with Names(), Daemon().start() as d:
            config = {"name": "lan", "subnet": "10.66.0.0/24", "subnet6": "fd66::/64"}
            d.post("/v1/networks", {"config": config})
            d.create("g", vifs=[{"bridge": "lan", "mac": MACS[0]}])
            one = Place("lan", MACS[0], ["10.66.0.2/24", "fd66::216:3eff:fe00:0/64"],
                        ["default via 10.66.0.1", "default via fd66::1"])

            def answer(name, kind=A):
                return resolve("10.66.0.1", name, kind)

            # Without a list all is reached, but what is the host's own business.
            assert one.reaches("10.201.0.2") and not one.reaches("169.254.169.254") and not one.reaches("fd00:ec2::254")
            assert answer("other.example") == "10.201.0.2"
            said = d.call("PUT", "/v1/networks/lan", {"config": {"allow": ["ok.example", "10.202.0.0/24"]}})
            assert said["config"]["allow"] == ["ok.example", "10.202.0.0/24"] and not said["warnings"], said
            assert not one.reaches("10.200.0.2") and not one.reaches("fd99::2"), "reached before anybody asked"
            assert one.reaches("10.202.0.2")
            assert answer("ok.example") == "10.200.0.2" and one.reaches("10.200.0.2")
            assert not one.reaches("fd99::2")
            assert answer("ok.example", AAAA) == "fd99::2" and one.reaches("fd99::2")
            d.call("PUT", "/v1/networks/lan", {"config": {"autostart": False}})
            assert one.reaches("fd99::2"), "a change of something else forgets"
            # Its own names, and none but those that are listed.
            assert answer("g.lan") == "10.66.0.2"
            others = [answer(name) for name in ("other.example", "notok.example", "example")]
            assert others == ["none"] * 3, others
            assert not one.reaches("10.201.0.2")
            # What a name says opens neither the metadata nor the host.
            assert answer("meta.ok.example") == "169.254.169.254" and answer("meta.ok.example", AAAA) == "fd00:ec2::254"
            assert answer("host.ok.example") == "10.70.0.1"
            assert not any(one.reaches(address) for address in ("169.254.169.254", "fd00:ec2::254"))
            assert not one.sh("echo | busybox nc -w 2 10.70.0.1 53", ok=False)
            # A name below it, which is another's alias.
            assert answer("alias.ok.example") == "10.201.0.2" and one.reaches("10.201.0.2")
            with open(d.run + "/networks/lan/pid") as pid:
                served = pid.read()
            d.stop(signal.SIGKILL)
            assert one.reaches("10.200.0.2"), "names end with the daemon"
            d.start()
            assert one.reaches("10.200.0.2") and one.reaches("fd99::2"), "a daemon's start forgets"
            # Somebody's flush takes them along: they are as not yet asked for, also of dnsmasq, which has had the answer.
            sh("nft flush ruleset")
            eventually(lambda: "named4a" in rules())
            eventually(lambda: answer("ok.example") == "10.200.0.2" and one.reaches("10.200.0.2"))
            with open(d.run + "/networks/lan/pid") as pid:
                assert pid.read() == served, "dnsmasq was started anew"
            # Other names: what was reached by the former is not.
            d.call("PUT", "/v1/networks/lan", {"config": {"allow": ["other.example"]}})
            assert not one.reaches("10.200.0.2") and not one.reaches("10.202.0.2") and not one.reaches("10.201.0.2")
            assert answer("ok.example") == "none" and answer("other.example") == "10.201.0.2" and one.reaches("10.201.0.2")
            assert "nor a name" in refused(400, d.call, "PUT", "/v1/networks/lan", {"config": {"allow": ["*.example"]}})
            d.call("PUT", "/v1/networks/lan", {"config": {"allow": None}})
            assert "named" not in rules() and one.reaches("10.200.0.2") and answer("ok.example") == "10.200.0.2"
            d.post("/v1/guests/g/destroy")
            eventually(lambda: not d.guests())
            d.call("DELETE", "/v1/networks/lan")
            one.close()
            one = None
            assert links() == there and rules() == before
            assert not os.listdir(d.run + "/networks")
    finally:
        out.close()
        if one:
            one.close()
        sh("ip addr del 10.70.0.1/24 dev lo")


def test_names_of_before():
    """What the former dnsmasq puts into the new sets, while it still runs, goes: its names are no more on the list."""
    with Names(), Daemon() as d:
        bin_, late = d.folder + "/bin", d.folder + "/late"
        os.mkdir(bin_)
        with open(bin_ + "/nft", "w") as out:
            out.write(f"#!/bin/sh\nPATH={os.environ['PATH']}\nnft \"$@\" || exit\n"
                      f"[ ! -e {late} ] || nft add element inet dach-lan named4b '{{ 10.200.0.2 }}'\n")
        os.chmod(bin_ + "/nft", 0o755)
        d.env["PATH"] = bin_ + ":" + os.environ["PATH"]
        d.start()
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24", "allow": ["ok.example"]}})
        open(late, "w").close()
        d.call("PUT", "/v1/networks/lan", {"config": {"allow": ["other.example"]}})
        assert "named4b" in rules() and "10.200.0.2" not in rules()
        d.call("PUT", "/v1/networks/lan", {"config": {"autostart": False}})
        assert "10.200.0.2" in rules(), "the same list forgets"
        d.call("DELETE", "/v1/networks/lan")


def test_dnsmasq_that_cannot():
    """It says so, and the network is as it was."""
    with Names(), Daemon() as d:
        bin_ = d.folder + "/bin"
        os.mkdir(bin_)
        with open(bin_ + "/dnsmasq", "w") as out:
            out.write("#!/bin/sh\ngrep -q nftset \"${1#--conf-file=}\" && { echo dnsmasq: recompile >&2; exit 1; }\n"
                      "exec /usr/sbin/dnsmasq \"$@\"\n")
        os.chmod(bin_ + "/dnsmasq", 0o755)
        d.env["PATH"] = bin_ + ":" + os.environ["PATH"]
        d.start()
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.66.0.0/24"}})
        was = rules()
        said = refused(500, d.call, "PUT", "/v1/networks/lan", {"config": {"allow": ["ok.example"]}})
        assert "lan: no addresses and names for its guests: dnsmasq: failed: dnsmasq: recompile" in said, said
        assert rules() == was and not d.get("/v1/networks/lan")["warnings"] and "allow" not in d.get("/v1/networks/lan")["config"]
        d.call("DELETE", "/v1/networks/lan")


if __name__ == "__main__":
    need = "nft --version && dnsmasq --version | grep ' nftset' && busybox nc --help && unshare -n -m true"
    if os.geteuid() or not os.access("/dev/net/tun", os.R_OK) or \
            subprocess.run(need, shell=True, capture_output=True).returncode:
        print("ok allowed_names: not tried: not root, no /dev/net/tun, nft, dnsmasq with nftset, busybox or namespaces of its own")
        sys.exit(0)
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", "-m", sys.executable, *sys.argv])
    main(globals().copy())
