#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers of an ordinary user's own daemon: started as root this gives nobody IDs of his own, for itself alone, and goes on as
nobody."""
import os
import subprocess
import sys
import tempfile

USER, FIRST = 65534, 0x68000000
STAGE = "DACH_TEST_STAGE"


def begin_as_user():
    """In mounts of its own: subuid(5), subgid(5), and a /dev/net/tun as hosts with udev have it."""
    if os.environ.get(STAGE) == "user" or os.geteuid():
        return
    if STAGE not in os.environ:
        os.environ[STAGE] = "mounts"
        os.execvp("unshare", ["unshare", "-m", "-n", sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory(prefix="dach-ids-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        with open(folder + "/ids", "w") as file:
            file.write(f"nobody:{FIRST}:65536\n")
        os.chmod(folder + "/ids", 0o644)
        for file in "/etc/subuid", "/etc/subgid":
            subprocess.run(["mount", "--bind", folder + "/ids", file], check=True)
        if os.path.exists("/dev/net/tun"):
            os.mknod(folder + "/tun", 0o20666, os.makedev(10, 200))
            os.chmod(folder + "/tun", 0o666)
            subprocess.run(["mount", "--bind", folder + "/tun", "/dev/net/tun"], check=True)
        os.environ[STAGE] = "user"
        done = subprocess.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", sys.executable, *sys.argv])
        subprocess.run(["umount", "-l", folder], check=True)
    sys.exit(done.returncode)


begin_as_user()

import contextlib  # noqa: E402
import glob  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402

from containers import BUILD, DHCP, TEMPLATE, TOP, children, create, dach, daemon, eventually, fails, inside, make_root, off, refused, \
    tidy, up  # noqa: E402


def test_his_own():
    with daemon() as d:
        guest = create(d, managed=True)
        assert any("control groups" in warning for warning in guest["warnings"]) or d.get("/v1/host")["cgroup"] != "none", guest
        up(d)
        assert inside(d, "id -u; hostname; cat /proc/self/uid_map").split() == ["0", "web", "0", "0", "1", "1", "1", "65535"]
        assert dach(d, "exec", "--user", "ann", "web", "--", "/bin/sh", "-c", "id -u; exit 7").returncode == 7
        # Root's files are the user's own, others' are those of his IDs: and the template stays as it is.
        inside(d, "echo mine > /etc/mine; rm -r /mnt; mkdir /mnt; chmod 777 /mnt; ls -A /mnt")
        assert not dach(d, "exec", "--user", "ann", "web", "--", "/bin/sh", "-c", "mkdir -m 700 /mnt/d; echo x > /mnt/d/f").returncode
        own = f"{d.state}/containers/{guest['uuid']}/upper"
        assert os.stat(own + "/etc/mine").st_uid == os.geteuid() and os.stat(own + "/mnt/d").st_uid not in (os.geteuid(), 1000)
        assert not os.path.exists(TEMPLATE + "/etc/mine") and os.path.exists(TEMPLATE + "/mnt")
        d.post("/v1/guests/web/reboot")
        eventually(lambda: d.guests()["web"]["domid"] > guest["domid"], 20)
        up(d)
        assert inside(d, "cat /etc/mine; cat /mnt/d/f; rm /etc/mine; ls /etc/mine || echo none 2>&1").split() == ["mine", "x", "none"]
        if d.get("/v1/host")["cgroup"] != "none":
            d.post("/v1/guests/web/pause")
            d.post("/v1/guests/web/destroy")
        else:
            assert "cannot be paused" in refused(409, d.post, "/v1/guests/web/pause") and d.guests()["web"]["state"] == "running"
            inside(d, "true")
            d.post("/v1/guests/web/shutdown")
        off(d)
        # All of it goes, with what is not the user's to delete.
        d.call("DELETE", "/v1/guests/web")
        eventually(lambda: not os.listdir(d.state + "/containers"), 20)


def test_a_command():
    with daemon() as d:
        create(d, command=["sh", "-c", "id -u > /tmp/said; sleep 1000"], user="ann")
        up(d)
        assert inside(d, "cat /proc/1/comm; cat /tmp/said").split() == ["dach-init", "1000"]
        d.post("/v1/guests/web/shutdown")
        off(d)


def test_snapshots():
    with daemon() as d:
        create(d, managed=True)
        up(d)
        inside(d, "echo one > /etc/n; rm -r /mnt; mkdir /mnt; rm /etc/passwd")
        d.post("/v1/guests/web/destroy")
        off(d)
        d.post("/v1/guests/web/snapshots", {"name": "one"})
        d.post("/v1/guests/web/start")
        up(d)
        inside(d, "echo two > /etc/n; echo x > /etc/passwd; echo y > /mnt/y")
        d.post("/v1/guests/web/snapshots/one/revert", {"start": True})
        up(d)
        assert inside(d, "cat /etc/n; ls /etc; ls -A /mnt").split() == ["one", "fstab", "inittab", "n"]
        d.post("/v1/guests/web/clone", {"from": "one", "name": "two"})
        up(d, "two")
        assert inside(d, "cat /etc/n; ls -A /mnt", "two") == "one\n"
        # What is left of it is not all the user's to delete.
        for name in "web", "two":
            d.post(f"/v1/guests/{name}/destroy")
            off(d, name)
        d.call("DELETE", "/v1/guests/web/snapshots/one")
        d.call("DELETE", "/v1/guests/web")
        eventually(lambda: not os.listdir(d.state + "/containers"), 30)


def test_folders():
    """His own are root's there, also when they come later; others' are nobody's."""
    data = TOP + "/data"
    os.mkdir(data)
    with daemon() as d:
        create(d, shares=[{"folder": data, "path": "/data"}])
        up(d)
        inside(d, "echo one > /data/one")
        assert not dach(d, "share-attach", "web", data + ":/more,ro").returncode
        assert inside(d, "cat /more/one") == "one\n" and os.stat(data + "/one").st_uid == USER
        fails(d, "echo x > /more/one || { mount -o remount,rw,bind /more && echo x > /more/one; }")
        assert not dach(d, "share-detach", "web", "/more").returncode
        fails(d, "cat /more/one")


def test_what_it_cannot_reach():
    secret = TOP + "/secret"
    with open(secret, "w") as file:
        file.write("secret\n")
    with daemon() as d:
        guest = create(d)
        create(d, "two")
        up(d), up(d, "two")
        assert inside(d, "ls -d /proc/[0-9]* | wc -l").strip() < "9"
        fails(d, f"kill -0 {os.getpid()}")
        fails(d, f"cat {secret}")
        fails(d, "mknod /tmp/m c 1 1 && head -c 1 /tmp/m")
        fails(d, "echo 1 > /proc/sys/kernel/panic")
        fails(d, "mount -t ext4 /dev/loop0 /mnt")
        assert inside(d, "ls /sys/class/net 2>/dev/null").split() == ["lo"]
        programs = [open(f"{os.path.dirname(os.environ['DACH'])}/{name}", "rb").read() for name in ("dach-agent", "dach-ct")] \
            if "DACH" in os.environ else []
        inside(d, "for p in /proc/[0-9]*; do (echo x >> $p/exe); done 2>/dev/null; true")
        if programs:
            assert programs == [open(f"{os.path.dirname(os.environ['DACH'])}/{name}", "rb").read() for name in ("dach-agent", "dach-ct")]
        # Nor through who is on his way into it: what he has open is not the container's to follow.
        look = "n=0; while [ $n -lt 1500 ]; do n=$((n + 1)); cat /proc/[0-9]*/fd/*/../secret 2>/dev/null && exit; done; echo none"
        looker = subprocess.Popen([BUILD + "/dach", "exec", "web", "--", "/bin/sh", "-c", look], env=d.env, stdout=subprocess.PIPE, text=True)
        while looker.poll() is None:
            inside(d, "true")
        assert looker.stdout.read() == "none\n"
        # Nothing of it stays, whatever is killed; and the other does.
        for who in range(3):
            monitor = d.monitors()[guest["uuid"]]
            chain = [monitor]
            while len(chain) < 4:
                chain.append(next(pid for pid in children(chain[-1]) if "line" not in open(f"/proc/{pid}/comm").read()))
            os.kill(chain[who], signal.SIGKILL)
            off(d)
            eventually(lambda: not any(os.path.exists(f"/proc/{pid}") and "Z" not in open(f"/proc/{pid}/stat").read().split(") ")[1][:1]
                                       for pid in chain), 20)
            guest = create(d)
            up(d)
        assert inside(d, "echo well", "two") == "well\n"


def test_devices():
    if not os.access("/dev/net/tun", os.W_OK):
        print("# no device: /dev/net/tun is not there")
        return
    with daemon() as d:
        create(d, devices=["/dev/net/tun"])
        create(d, "two", devices=["/dev/kmsg"])
        up(d), up(d, "two")
        inside(d, "exec 3<>/dev/net/tun")
        fails(d, "echo no > /dev/kmsg", "two")


def test_networks():
    if not os.access("/dev/net/tun", os.W_OK):
        print("# no network: /dev/net/tun is not there")
        return
    with daemon() as d:
        one = create(d, vifs=[{"bridge": "lan"}])
        create(d, "two", vifs=[{"bridge": "lan"}, {}])
        up(d), up(d, "two")
        assert one["networks"][0]["mac"] in inside(d, "ip link show eth0") and "eth1" in inside(d, "ip link", "two")
        address = inside(d, DHCP).split()[0]
        other, router = inside(d, DHCP, "two").split()
        assert address != other
        inside(d, f"ping -c 1 -W 5 {other}")
        inside(d, f"ping -c 1 -s 1400 -W 5 {address}", "two")
        # As somebody else it is not heard.
        inside(d, "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:00:99; ip link set eth0 up")
        fails(d, f"ping -c 1 -W 1 {other}")
        assert "forward" in refused(409, create, d, "three", vifs=[{"forward": ["tcp:127.0.0.1:8080-:80"]}])


def test_what_is_refused():
    with daemon() as d:
        assert "privileged" in refused(403, create, d, privileged=True)
        # A user without IDs, by a getsubids that knows of none.
        os.mkdir(TOP + "/bin")
        with open(TOP + "/bin/getsubids", "w") as file:
            file.write("#!/bin/sh\necho Error fetching ranges >&2\nexit 1\n")
        os.chmod(TOP + "/bin/getsubids", 0o755)
        d.stop()
        path = d.env["PATH"]
        d.env["PATH"] = TOP + "/bin:" + path
        d.start()
        said = refused(400, create, d)
        assert "65535 user IDs" in said and "usermod --add-subuids" in said and "\n" not in said, said
        eventually(lambda: not d.guests() and not os.listdir(d.state + "/containers"))


if __name__ == "__main__":
    make_root(TEMPLATE)
    wanted = sys.argv[1] if sys.argv[1:] else "test_"
    tidy({name: test for name, test in dict(globals()).items() if name.startswith(wanted)})
