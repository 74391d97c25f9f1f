#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers of images (OCI) without an init: what the image runs, as whom, with what; and what becomes of it. As root."""
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
import urllib.request

from containers import BUILD, TEMPLATE, TOP, as_root, create, dach, daemon, eventually, inside, make_root, off, sh, up

STORE = TOP + "/images"
SERVE = "#!/bin/sh\nsleep 1000 &\nexec busybox httpd -f -p 8080 -h \"$WEB\"\n"


def part(top, data, kind, **more):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{top}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data), **more}


def make_image(name, **config):
    """An image in the store, by way of an OCI layout of one layer: the template, and /srv/serve."""
    top = f"{TOP}/oci-{name}"
    os.makedirs(top + "/blobs/sha256")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(TEMPLATE, ".")
        for path, data, mode in (("srv/serve", SERVE, 0o755), ("srv/web/index.html", "hello\n", 0o644)):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data.encode()))
    text = json.dumps({"architecture": "amd64", "os": "linux", "config": config}).encode()
    manifest = part(top, json.dumps({"schemaVersion": 2, "config": part(top, text, "config.v1+json"),
                                     "layers": [part(top, layer.getvalue(), "layer.v1.tar")]}).encode(), "manifest.v1+json")
    with open(top + "/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
    with open(top + "/oci-layout", "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)
    done = subprocess.run([BUILD + "/dach", "image", "import", "--oci", top, "--size", "64M", "--keep-root", name],
                          env={**os.environ, "DACH_IMAGES": STORE}, capture_output=True, text=True, timeout=120)
    assert not done.returncode, done
    return f"{STORE}/{name}/root"


def has_ended(d, words, name="web"):
    off(d, name)
    assert words in d.said(), d.said()


def test_what_the_image_runs():
    root = make_image("app", Entrypoint=["/bin/sh", "-c", 'id -un > /tmp/said; pwd >> /tmp/said; echo "$GREETING $HOME $*" >> /tmp/said; '
                                         "(sleep 0.1 &); sleep 1000", "-"], Cmd=["the", "words"],
                      User="ann:1000", WorkingDir="/srv/new/app", Env=["GREETING=hello", "PATH=/bin"])
    with daemon() as d:
        create(d, template=root, env=["MORE=x", "GREETING=good day"])
        up(d)
        eventually(lambda: inside(d, "cat /tmp/said || true").count("\n") == 3)
        assert inside(d, "cat /tmp/said").split("\n") == ["ann", "/srv/new/app", "good day /tmp the words", ""]
        assert inside(d, "cat /proc/1/comm; ls /proc/1/fd | wc -l").split() == ["dach-init", "3"], inside(d, "ls -l /proc/1/fd")
        # Orphans do not stay, the loopback is there, and so are names for it.
        eventually(lambda: " Z " not in inside(d, "cat /proc/[0-9]*/stat"))
        inside(d, "ping -c 1 -W 2 127.0.0.1 && ping -c 1 -W 2 localhost && echo x > /dev/shm/x")
        # Who asks for its end has it at once, though its shell waits for a child.
        began = time.monotonic()
        d.post("/v1/guests/web/shutdown")
        has_ended(d, "(poweroff)")
        assert time.monotonic() - began < 10
        # Something else in the same image; the user of it stays.
        create(d, template=root, command=["sh", "-c", "id -u > /tmp/said; sleep 1000"])
        up(d)
        eventually(lambda: inside(d, "cat /tmp/said || true") == "1000\n")
        d.post("/v1/guests/web/destroy")
        off(d)
        # Its own init, if that is said.
        create(d, template=root, init=["/sbin/init"])
        up(d)
        assert inside(d, "cat /proc/1/comm") == "init\n"


def test_how_it_ends():
    root = make_image("ends", Entrypoint=["/bin/sh", "-c", "exit 7"])
    with daemon() as d:
        create(d, template=root)
        has_ended(d, "its command ended with status 7")
        create(d, template=root, command=["nothing-such"])
        has_ended(d, "status 127, as one that cannot be run")
        create(d, template=root, user="nobody-such")
        has_ended(d, "status 126")
        create(d, template=root, command=["true"])
        has_ended(d, "(poweroff)")
        # It gets what its init is told, and its end is the container's.
        create(d, template=root, command=["sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.1; done"])
        up(d)
        inside(d, "kill -USR1 1")
        has_ended(d, "its command ended with status 9")


def test_an_init_of_its_own():
    root = make_image("init", Entrypoint=["/sbin/init"], Env=["A=b"])
    with daemon() as d:
        create(d, template=root)
        up(d)
        assert inside(d, "cat /proc/1/comm") == "init\n"


def test_a_web_server():
    """On a network that the daemon keeps: its address is there without anybody who asks for it."""
    root = make_image("web", Entrypoint=["/srv/serve"], Env=["WEB=/srv/web"])
    with daemon() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.77.0.1/24"}})
        create(d, template=root, vifs=[{"bridge": "lan"}])
        up(d)

        def answers():
            try:
                return urllib.request.urlopen("http://10.77.0.2:8080/", timeout=2).read()
            except OSError:
                return None
        eventually(lambda: answers() == b"hello\n", 20)
        assert inside(d, "cat /etc/resolv.conf") == "nameserver 10.77.0.1\n"
        inside(d, "ping -c 1 -W 2 10.77.0.1")
        d.post("/v1/guests/web/destroy")
        off(d)
        d.post("/v1/networks/lan/stop")
        d.call("DELETE", "/v1/networks/lan")


def test_whose_word_counts():
    """What somebody else has left beside a folder is nothing that a container runs; nor is what was not written so."""
    folder = TOP + "/common"
    os.makedirs(folder)
    make_root(folder + "/root")
    with open(folder + "/start.json", "w") as file:
        json.dump({"entrypoint": ["/bin/sh", "-c", "exit 3"], "env": [], "user": "", "workdir": ""}, file)
    os.chown(folder + "/start.json", 65534, 65534)
    with daemon() as d:
        create(d, template=folder + "/root")
        up(d)
        assert inside(d, "cat /proc/1/comm") == "init\n"
        d.post("/v1/guests/web/destroy")
        off(d)
        os.chown(folder + "/start.json", 0, 0)
        for text in '{"entrypoint": [1]}', '{"env": ["=x"]}', '{"entrypoint": "x"}', "[", json.dumps({"entrypoint": ["x"] * 65}), \
                json.dumps({"entrypoint": ["a\nb"]}), json.dumps({"entrypoint": ["x"], "user": "u" * 500}):
            with open(folder + "/start.json", "w") as file:
                file.write(text)
            done = dach(d, "create", "type=container", "name=web", f"template={folder}/root", "memory=64")
            assert done.returncode and done.stderr.count("\n") == 1, (text, done)
        assert not d.guests()


def make_store():
    """With an image whose kernel others get."""
    os.makedirs(STORE + "/first")
    for file in "vmlinuz", "initrd.img", "run.img", "disk.raw":
        open(f"{STORE}/first/{file}", "w").close()
    with open(STORE + "/first/image.conf", "w") as conf:
        conf.write("dist bookworm\nhostname first\ncreated 2026-01-01T00:00:00Z\ncmdline root=/dev/vda\n")
    sh("ip link set lo up")


if __name__ == "__main__":
    as_root(dict(globals()), prepare=make_store)
