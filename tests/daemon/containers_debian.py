#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian with systemd as a container, from the same root as a machine's: no unit fails, it has an address, apt works, it shuts down
by itself, and a second one of the same template begins anew. tests/run does not run it: it wants an image of the store and minutes.

  tests/daemon/containers_debian.py IMAGE

IMAGE: a folder that dach image create has made. As root; the image's disk is mounted, read-only, and copied."""
import os
import subprocess
import sys
import time

from containers import BUILT, TOP, create, dach, daemon, eventually, inside, off, sh, tidy

ROOT = TOP + "/debian"


def boot(d, name):
    began = time.monotonic()
    create(d, name, template=ROOT, memory_kib=512 << 10, vifs=[{"bridge": "lan"}])
    eventually(lambda: dach(d, "exec", name, "--", "systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 120)
    return time.monotonic() - began


def test_debian():
    with daemon() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.77.0.1/24"}})
        seconds = boot(d, "one")
        assert not inside(d, "systemctl --failed --no-legend", "one"), inside(d, "systemctl --failed", "one")
        masked = inside(d, "systemctl list-unit-files --state=masked --no-legend", "one")
        print(f"# up after {seconds:.1f} s, {inside(d, 'systemd-analyze', 'one').splitlines()[0]}; masked: {masked.split()}")
        assert "10.77.0." in inside(d, "ip -4 addr show dev eth0", "one")
        eventually(lambda: not dach(d, "exec", "one", "--", "ping", "-c", "1", "10.77.0.1").returncode or
                   "not found" in dach(d, "exec", "one", "--", "ping", "-c", "1", "10.77.0.1").stderr, 20)
        package = TOP + "/package"
        os.makedirs(package + "/DEBIAN")
        os.makedirs(package + "/usr/share/local-package")
        with open(package + "/DEBIAN/control", "w") as file:
            file.write("Package: local-package\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: one\n")
        sh(f"dpkg-deb --root-owner-group -b {package} {TOP}/local.deb")
        assert not dach(d, "cp", TOP + "/local.deb", "one:/root/local.deb").returncode
        inside(d, "DEBIAN_FRONTEND=noninteractive apt-get install -y /root/local.deb", "one")
        assert "install ok installed" in inside(d, "dpkg -s local-package", "one")
        boot(d, "two")
        assert dach(d, "exec", "two", "--", "dpkg", "-s", "local-package").returncode
        began = time.monotonic()
        for name in "one", "two":
            d.post(f"/v1/guests/{name}/shutdown")
            off(d, name)
        print(f"# both off after {time.monotonic() - began:.1f} s")
        assert d.said().count("(poweroff)") == 2, d.said()
        d.post("/v1/networks/lan/stop")


if __name__ == "__main__":
    if BUILT not in os.environ:
        os.environ[BUILT] = "1"
        os.rmdir(TOP)
        os.execvp("unshare", ["unshare", "-m", "-n", sys.executable, *sys.argv])
    os.makedirs(TOP + "/image")
    subprocess.run(["mount", "-o", "loop,ro,noload", sys.argv[1] + "/disk.raw", TOP + "/image"], check=True)
    subprocess.run(["cp", "-a", TOP + "/image", ROOT], check=True)
    subprocess.run(["umount", TOP + "/image"], check=True)
    tidy({"test_debian": test_debian})
