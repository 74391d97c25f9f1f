#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What comes to containers that run, and goes: networks and folders. As root."""
import os
import signal

from containers import DHCP, TEMPLATE, TOP, as_root, create, dach, daemon, eventually, fails, inside, links, make_root, off, refused, sh, up


def test_networks():
    there, rules = links(), sh("nft list ruleset")
    with daemon() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.77.0.1/24"}})
        guest = create(d, managed=True)
        up(d)
        done = dach(d, "network-attach", "web", "bridge=lan")
        assert not done.returncode, (done, d.said())
        vif = d.get("/v1/guests/web")["networks"][0]
        assert vif["link"] in links() and "UP" in inside(d, "ip link show eth0") and vif["mac"] in inside(d, "ip link show eth0")
        address, router = inside(d, DHCP).split()
        inside(d, f"ping -c 1 -W 2 {router}")
        # As somebody else it is not heard, as one that came with the start.
        inside(d, "ip addr add 10.77.0.99/24 dev eth0")
        fails(d, f"ping -c 1 -W 1 -I 10.77.0.99 {router}")
        dach(d, "network-attach", "web", "bridge=lan")
        assert not dach(d, "network-detach", "web", "0").returncode
        assert "eth0" not in inside(d, "ip link") and vif["link"] not in links() and "eth1" in inside(d, "ip link")
        assert not dach(d, "network-attach", "web", "bridge=lan").returncode and "eth0" in inside(d, "ip link")
        assert not dach(d, "network-detach", "web", "0").returncode
        # What is refused leaves nothing.
        d.post("/v1/guests/web/pause")
        assert "paused" in dach(d, "network-attach", "web", "bridge=lan").stderr
        d.post("/v1/guests/web/unpause")
        for words, said in (("bridge=no", "no bridge 'no'"), ("mode=user", "user mode"), ("bridge=lan,rate=1MB/s", "rate")):
            assert said in dach(d, "network-attach", "web", words).stderr, dach(d, "network-attach", "web", words)
        # Its own eth0 is in the way.
        inside(d, "ip link add eth0 type veth peer name own || true")
        if "own" in inside(d, "ip link"):
            assert "liblxc does not" in dach(d, "network-attach", "web", "bridge=lan").stderr
            inside(d, "ip link del eth0")
        assert len(d.get("/v1/guests/web")["networks"]) == 1 and len(links()) == len(there) + 2, links()
        # The same again when it is started again; and while it is off.
        d.post("/v1/guests/web/destroy")
        off(d)
        assert not dach(d, "network-attach", "web", "bridge=lan").returncode
        d.post("/v1/guests/web/start")
        up(d)
        assert {"eth0", "eth1"} <= set(inside(d, "ls /sys/class/net").split())
        d.stop(signal.SIGKILL)
        d.start()
        eventually(lambda: d.guests()["web"]["state"] == "running")
        assert not dach(d, "network-detach", "web", "1").returncode
        d.post("/v1/guests/web/destroy")
        off(d)
        eventually(lambda: links() == there | {"lan"})
        assert guest["uuid"] == d.guests()["web"]["uuid"]
        d.post("/v1/networks/lan/stop")
        d.call("DELETE", "/v1/networks/lan")
    assert links() == there and sh("nft list ruleset") == rules


if __name__ == "__main__":
    as_root(dict(globals()))
