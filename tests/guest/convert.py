# SPDX-License-Identifier: Apache-2.0
"""For convert.sh: convert.py IMAGE

A web server in a container answers, then the same as a machine, then as a container again, each with what all before it have
written. IMAGE: whose kernel the machine gets."""
import os
import signal
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from containers import BUILD, TEMPLATE, TOP, create, daemon, make_root, off, refused, tidy, up  # noqa: E402 pylint: disable=wrong-import-position
from harness import eventually  # noqa: E402 pylint: disable=wrong-import-position

RC = """#!/bin/sh
export PATH=/bin
mkdir -p /proc /sys /dev
busybox mount -t proc proc /proc 2>/dev/null
busybox mount -t sysfs sysfs /sys 2>/dev/null
(cat /proc/1/environ | busybox tr '\\0' '\\n' | busybox grep -q ^container= && echo container || echo machine) >> /srv/www/log
busybox sync
busybox modprobe virtio_net 2>/dev/null
busybox ip link set eth0 up
busybox udhcpc -i eth0 -n -q -t 20 -T 1 -s /bin/bound
"""


def make_server():
    make_root(TEMPLATE)
    os.makedirs(TEMPLATE + "/srv/www")
    for applet in "sync", "grep", "tr", "tar":
        os.symlink("busybox", f"{TEMPLATE}/bin/{applet}")
    # The image's kernel has its driver of networks as a module.
    subprocess.run(f"zstd -qdc {sys.argv[1]}/run.img | cpio -i --quiet -d -D {TEMPLATE}", shell=True, check=True)
    with open(TEMPLATE + "/etc/rc", "w") as file:
        file.write(RC)
    os.chmod(TEMPLATE + "/etc/rc", 0o755)
    with open(TEMPLATE + "/etc/inittab", "w") as file:
        file.write("::sysinit:/etc/rc\n::respawn:/bin/busybox httpd -f -p 80 -h /srv/www\n")
    with open(TEMPLATE + "/srv/www/hard", "w") as file:
        file.write("linked\n")
    os.link(TEMPLATE + "/srv/www/hard", TEMPLATE + "/srv/www/link")
    os.chown(TEMPLATE + "/srv/www/hard", 1000, 1000)


def log():
    try:
        return urllib.request.urlopen("http://10.77.0.2/log", timeout=5).read().decode().split()
    except OSError:
        return None


def dach(d, *words, good=True):
    done = subprocess.run([BUILD + "/dach", *words], env=d.env, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL)
    assert good is None or (not done.returncode) == good, done
    return done


def end(d):
    d.post("/v1/guests/web/destroy")
    off(d, "web")


def test_back_and_forth():
    store = TOP + "/images"
    os.makedirs(store)
    os.symlink(sys.argv[1], store + "/kernel")
    with daemon() as d:
        d.env["DACH_IMAGES"] = store
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.77.0.1/24"}})
        first = create(d, managed=True, memory_kib=131072, vifs=[{"bridge": "lan"}])
        eventually(lambda: log() == ["container"], 30)
        said = dach(d, "convert", "web", "--to", "machine", good=False).stderr
        assert "the guest is on" in said and said.count("\n") == 1, said
        end(d)
        assert "a container already" in dach(d, "convert", "web", "--to", "container", good=False).stderr
        assert "--to: machine or container" in dach(d, "convert", "web", good=False).stderr
        # Where its files are the daemon knows, and it alone.
        state, d.env["DACH_STATE"] = d.env["DACH_STATE"], TOP + "/elsewhere"
        done = dach(d, "convert", "web", "--to", "machine", "--size", "128M", "--kernel", "kernel")
        d.env["DACH_STATE"] = state
        print("#", done.stderr.replace("\n", ";"))
        guest = d.get("/v1/guests/web")
        assert guest["kind"] == "machine" and guest["uuid"] == first["uuid"], guest
        assert guest["config"]["vifs"][0]["mac"] == first["networks"][0]["mac"]
        eventually(lambda: not os.listdir(d.state + "/containers"))  # all of it is in the image
        d.post("/v1/guests/web/start")
        console = open(TOP + "/console", "wb")
        reader = subprocess.Popen([BUILD + "/dach", "console", "web"], env=d.env, stdin=subprocess.PIPE, stdout=console, stderr=console)
        try:
            eventually(lambda: log() == ["container", "machine"], 120)
        except AssertionError:
            raise AssertionError(open(TOP + "/console", errors="replace").read()[-4000:], log()) from None
        finally:
            reader.kill()
            reader.wait()
            reader.stdin.close()
            console.close()
        end(d)
        # A name that is taken, and nothing has changed; then a daemon that is another by then.
        assert "an image web already" in dach(d, "convert", "web", "--to", "container", good=False).stderr
        assert d.get("/v1/guests/web")["kind"] == "machine"
        with subprocess.Popen([BUILD + "/dach", "convert", "web", "--to", "container", "--image", "web-again", "--size", "128M"],
                              env=d.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as at_it:
            assert "packing" in at_it.stderr.readline()
            # Whatever becomes of it, what it packs is not left there.
            assert not [name for name in os.listdir(store + "/web") if name.startswith(".root")]
            print("#", at_it.stderr.read().replace("\n", ";"))
        assert not at_it.returncode
        d.stop(signal.SIGKILL)
        d.start()
        d.post("/v1/guests/web/start")
        eventually(lambda: log() == ["container", "machine", "container"], 60)
        up(d)
        root = store + "/web-again/root"
        linked = os.stat(root + "/srv/www/link")
        assert linked.st_uid == 1000 and linked.st_ino == os.stat(root + "/srv/www/hard").st_ino
        end(d)
        d.post("/v1/networks/lan/stop")


def test_what_is_refused():
    root = TOP + "/bare"
    make_root(root)
    os.unlink(root + "/sbin/init")
    with daemon() as d:
        d.env["DACH_IMAGES"] = TOP + "/images"
        create(d, managed=True, template=root, init=["/bin/sleep", "1000"])
        end(d)
        assert "no /sbin/init" in dach(d, "convert", "web", "--to", "machine", "--image", "bare", good=False).stderr
        seen = d.get("/v1/guests/web")
        uuid, of = seen["uuid"], {"told": seen["config"], "ended": seen["last_end"]["time"]}
        for said, config in (("kind: ", {"kind": "container", "template": root}), ("name: ", {"kind": "machine", "name": "x", "kernel": "/k"}),
                             ("no kernel", {"kind": "machine"})):
            whole = {"name": "web", "uuid": uuid, **config}
            assert said in refused(400, d.post, "/v1/guests/web/convert", {**of, "config": whole})
        refused(422, d.post, "/v1/guests/web/convert", {**of, "config": {"name": "web", "uuid": uuid, "kind": "machine", "kernel": "/nowhere"}})
        d.post("/v1/guests/web/snapshots", {"name": "s"})
        whole = {"name": "web", "uuid": uuid, "kind": "machine", "kernel": d.kernel}
        assert "snapshots" in refused(409, d.post, "/v1/guests/web/convert", {**of, "config": whole})
        assert d.get("/v1/guests/web")["kind"] == "container"
        dach(d, "convert", "nobody", "--to", "machine", good=False)


make_server()
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
tidy({name: test for name, test in dict(globals()).items() if name.startswith(sys.argv[2] if sys.argv[2:] else "test_")})
