#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hundred networks and twenty guests on them, or as many as are named, come and go, with a daemon that is killed in
between: how long it takes, and that nothing stays. No part of tests/run: it is for its figures."""
import os
import signal
import sys
import time

from harness import Daemon, eventually, main
from networks import BUILT, links, rules, sh

NETWORKS, GUESTS = (int(word) for word in sys.argv[1:] or (100, 20))


def cpu(d):
    """Seconds of processor time that the daemon has taken."""
    with open(f"/proc/{d.process.pid}/stat") as file:
        user, kernel = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def told(d, what, begun=None):
    now = time.monotonic(), cpu(d)
    if begun:
        took = [end - start for end, start in zip(now, begun)]
        print("%s: %.1f s; the daemon took %.1f s of processor time" % (what, *took), flush=True)
    return now



def test_many():
    sh("ip link set lo up")
    before, there = rules(), links()
    with Daemon().start() as d:
        at = told(d, "")
        for n in range(NETWORKS):
            mode = ("nat", "route", "isolated")[n % 3]
            d.post("/v1/networks", {"config": {"name": f"n{n}", "mode": mode, "subnet": f"10.{100 + n}.0.0/24",
                                               "subnet6": f"fd{n:02x}::/64"}})
        at = told(d, f"{NETWORKS} networks are made", at)
        for n in range(GUESTS):
            d.create(f"g{n}", vifs=[{"bridge": f"n{(8 * n + k) % NETWORKS}"} for k in range(8)])
        at = told(d, f"{GUESTS} guests with 8 interfaces each have started", at)
        assert len(links()) == len(there) + NETWORKS + 8 * GUESTS
        d.stop(signal.SIGKILL)
        d.start()
        at = at[0], 0
        eventually(lambda: all(d.get(f"/v1/guests/g{n}")["state"] == "running" for n in range(GUESTS)))
        at = told(d, "a daemon that was killed has all of them again", at)
        assert len(links()) == len(there) + NETWORKS + 8 * GUESTS and len(d.get("/v1/networks")["networks"]) == NETWORKS
        for n in range(GUESTS):
            d.post(f"/v1/guests/g{n}/destroy")
        eventually(lambda: not d.guests())
        at = told(d, "the guests have gone", at)
        for n in range(NETWORKS):
            d.call("DELETE", f"/v1/networks/n{n}")
        told(d, "the networks have gone", at)
        assert links() == there and rules() == before
        assert not os.listdir(d.run + "/networks")


if __name__ == "__main__":
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    main(globals().copy())
