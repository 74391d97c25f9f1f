#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What comes to containers that run, and goes: networks and folders. As root."""
import os
import signal
import tempfile

from containers import DHCP, TEMPLATE, TOP, as_root, children, create, dach, daemon, eventually, fails, inside, links, off, refused, sh, up


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


def make_data(name):
    folder = f"{TOP}/{name}"
    os.makedirs(folder + "/below")
    with open(folder + "/said", "w") as file:
        file.write(name + "\n")
    return folder


def test_folders():
    data, more = make_data("data"), make_data("more data")
    with daemon() as d:
        create(d, managed=True, shares=[{"folder": data, "path": "/srv/da ta", "readonly": True}, {"folder": data, "path": "/rw"}])
        up(d)
        assert inside(d, "cat '/srv/da ta/said'") == "data\n"
        fails(d, "echo x > '/srv/da ta/new'")
        fails(d, "mount -o remount,rw,bind '/srv/da ta'; echo x > '/srv/da ta/new'")
        # Root there is the host's root in the folder; others are whom they are there.
        inside(d, "echo x > /rw/new; chmod 777 /rw")
        assert not dach(d, "exec", "--user", "ann", "web", "--", "/bin/sh", "-c", "echo y > /rw/anns").returncode
        assert os.stat(data + "/new").st_uid == 0 and os.stat(data + "/anns").st_uid == 1000
        # While it runs.
        done = dach(d, "share-attach", "web", more + ":/mnt/new/place")
        assert not done.returncode, done
        inside(d, "cat /mnt/new/place/said; echo z > /mnt/new/place/z")
        assert os.stat(more + "/z").st_uid == 0 and not os.path.exists(TEMPLATE + "/mnt/new")
        assert not dach(d, "share-attach", "web", more + ":/ro,ro").returncode
        fails(d, "echo x > /ro/x")
        fails(d, "mount -o remount,rw,bind /ro; echo x > /ro/x")
        fails(d, "mknod /mnt/new/place/m c 1 1 && head -c 1 /mnt/new/place/m")
        fails(d, "cat /mnt/new/place/../said")
        assert len(d.get("/v1/guests/web")["config"]["shares"]) == 4
        # It stays through a new daemon, and a new start.
        d.stop(signal.SIGKILL)
        d.start()
        eventually(lambda: d.guests()["web"]["state"] == "running")
        inside(d, "cat /ro/said")
        # However it is written, it is the same place.
        assert "already" in dach(d, "share-attach", "web", data + "://./ro/").stderr
        assert not dach(d, "share-detach", "web", "//ro/.").returncode
        fails(d, "cat /ro/said")
        d.post("/v1/guests/web/destroy")
        off(d)
        d.post("/v1/guests/web/start")
        up(d)
        assert inside(d, "cat /mnt/new/place/said /rw/said; ls /ro").split() == ["more", "data", "data"]
        # What the container has unmounted itself goes from the configuration all the same.
        inside(d, "umount /mnt/new/place")
        assert not dach(d, "share-detach", "web", "/mnt/new/place").returncode
        assert len(d.get("/v1/guests/web")["config"]["shares"]) == 2
        # The host's /run is not in reach of who would mount it.
        with tempfile.TemporaryDirectory(dir="/run") as folder:
            done = dach(d, "share-attach", "web", folder + ":/mnt/run")
            assert done.returncode and "below /run" in done.stderr and done.stderr.count("\n") == 1, done
        # What it only has under another name has not gone.
        assert not dach(d, "share-attach", "web", more + ":/mnt/here/place").returncode
        inside(d, "mv /mnt/here /mnt/there")
        done = dach(d, "share-detach", "web", "/mnt/here/place")
        assert done.returncode and "has moved" in done.stderr and done.stderr.count("\n") == 1, done
        assert inside(d, "cat /mnt/there/place/said") and len(d.get("/v1/guests/web")["config"]["shares"]) == 3
        inside(d, "mv /mnt/there /mnt/here")
        assert not dach(d, "share-detach", "web", "/mnt/here/place").returncode
        assert len(d.get("/v1/guests/web")["config"]["shares"]) == 2
        d.post("/v1/guests/web/destroy")
        off(d)
        # While it is off.
        assert not dach(d, "share-detach", "web", "/rw").returncode
        assert not dach(d, "share-attach", "web", more + ":/rw").returncode
        d.post("/v1/guests/web/start")
        up(d)
        assert inside(d, "cat /rw/said") == "more data\n"
    assert TOP + "/data" not in open("/proc/self/mountinfo").read()


def test_folders_that_lead_elsewhere():
    """Where the container says that a folder is, there may be a link of its own."""
    data = make_data("secret")
    target = TOP + "/target"
    os.makedirs(target + "/below")
    with daemon() as d:
        create(d, managed=True)
        up(d)
        inside(d, f"mkdir -p /a /d; ln -s {target} /a/abs; ln -s ../../../../../..{target} /a/up; ln -s /proc/1/root /a/proc; echo x > /a/file; "
                  "ln -s /d /a/own")
        before = open("/proc/self/mountinfo").read()
        for path in "/a/abs", "/a/abs/below", "/a/up/below", "/a/proc/tmp", "/proc/1/root/tmp", "/proc/self/cwd", "/a/file", "/a/file/x", "/a/own":
            done = dach(d, "share-attach", "web", f"{data}:{path}")
            assert done.returncode and "leads elsewhere" in done.stderr and done.stderr.count("\n") == 1, (path, done)
        assert os.listdir(target) == ["below"] and not os.listdir(target + "/below") and open("/proc/self/mountinfo").read() == before
        for words, said in ((data, "DIR:PATH"), (data + ":/x/../y", "without '..'"), (data + ":/x,overlay", "overlay"),
                            (TOP + "/nowhere:/x", "No such file"), (data + "/said:/x", "Not a directory"), (data + ":/" + "x" * 300, "too long"),
                            (data + ":/" + "x/" * 250, "400 bytes")):
            done = dach(d, "share-attach", "web", words)
            assert done.returncode and said in done.stderr, (words, done)
        assert not d.get("/v1/guests/web")["config"].get("shares")
        assert "no folder at" in dach(d, "share-detach", "web", "/mnt").stderr
        # As one that comes with the start.
        d.post("/v1/guests/web/destroy")
        off(d)
        dach(d, "share-attach", "web", data + ":/a/abs")
        said = refused(400, d.post, "/v1/guests/web/start")
        assert said.startswith("the container cannot be started: "), said
        assert open("/proc/self/mountinfo").read() == before and os.listdir(target) == ["below"]


def test_what_comes_late():
    """What a keeper that does not answer in time does afterwards is not taken for what is asked for next, nor left."""
    data = make_data("late")
    with daemon() as d:
        create(d, managed=True)
        up(d)
        monitor = d.guests()["web"]["pid"]
        keeper = next(pid for pid in children(monitor) if open(f"/proc/{pid}/comm").read() == "dach-keeper\n")
        for ask in (lambda: dach(d, "share-attach", "web", data + ":/late").returncode, lambda: dach(d, "pause", "web").returncode):
            os.kill(keeper, signal.SIGSTOP)
            try:
                assert ask()
            finally:
                os.kill(keeper, signal.SIGCONT)
            # It says what is true of this one; and it runs.
            eventually(lambda: "no folder at" in dach(d, "share-detach", "web", "/none").stderr, 30)
            eventually(lambda: "leads elsewhere" in dach(d, "share-attach", "web", data + ":/proc/1/root/tmp").stderr)
            fails(d, "cat /late/said")
        assert d.guests()["web"]["state"] == "running" and not d.get("/v1/guests/web")["config"].get("shares")
        assert not dach(d, "share-attach", "web", data + ":/late").returncode
        assert inside(d, "cat /late/said") == "late\n"


def test_devices():
    """Those that are listed, and no others."""
    with daemon() as d:
        create(d, "none")
        up(d, "none")
        fails(d, "mknod /tmp/k c 1 11 && echo no > /tmp/k", "none")
        create(d, devices=["/dev/kmsg"])
        up(d)
        inside(d, f"echo dach-test-{os.getpid()} > /dev/kmsg")
        # By that path alone, and no other device; and it is its root's.
        fails(d, "mknod /tmp/k c 1 11 && echo no > /tmp/k")
        fails(d, "mknod /tmp/m c 1 1 && head -c 1 /tmp/m")
        assert dach(d, "exec", "--user", "ann", "web", "--", "/bin/sh", "-c", "echo no > /dev/kmsg").returncode
        fails(d, "umount /dev/kmsg && echo no > /dev/kmsg && test -c /dev/kmsg")
        for device, said in (("/dev/no-such", "No such file"), ("/dev/shm", "is no device"), ("/etc/passwd", "no path in /dev")):
            done = dach(d, "create", "type=container", "name=two", f"template={TEMPLATE}", "memory=64", f"devices=['{device}']")
            assert done.returncode and said in done.stderr and done.stderr.count("\n") == 1, (device, done)


if __name__ == "__main__":
    as_root(dict(globals()))
