#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers of root's daemon: the verbs, what they cannot reach of the host, that nothing of them stays, whatever is killed.
Their root is busybox."""
import contextlib
import glob
import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time

from harness import BUILD, Daemon, Refused, eventually, main, refused, without_groups

TOP = tempfile.mkdtemp(prefix="dach-containers-")
TEMPLATE = TOP + "/template"
TOOLS = "sh ls cat echo mount ps sleep id stat readlink chown ln mknod kill mkdir tail stty chroot dd rm head wc true nsenter umount hostname udhcpc ping ip".split()
DEEP = ("/" + "a" * 200) * 19  # twice that is no path any more


BUILT = "DACH_TEST_NETNS"


def sh(words):
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=60)
    assert not done.returncode, (words, done)
    return done.stdout


def links():
    return {link["ifname"] for link in json.loads(sh("ip -j link"))}


def make_root(path):
    for folder in "bin sbin etc dev proc sys tmp run root mnt".split():
        os.makedirs(f"{path}/{folder}")
    os.chmod(path + "/tmp", 0o1777)
    shutil.copy("/bin/busybox", path + "/bin/busybox")
    for tool in TOOLS:
        os.symlink("busybox", f"{path}/bin/{tool}")
    os.symlink("../bin/busybox", path + "/sbin/init")
    with open(path + "/etc/inittab", "w") as file:
        file.write("::sysinit:/bin/echo it is up\nconsole::respawn:/bin/sh\n")
    with open(path + "/etc/fstab", "w") as file:
        file.write("/dev/vda / ext4 defaults 0 1\n")
    with open(path + "/bin/bound", "w") as file:
        file.write("#!/bin/sh\n[ $1 = bound ] || exit 0\nip addr add $ip/$mask dev eth0\nip route add default via $router\necho $ip $router\n")
    os.chmod(path + "/bin/bound", 0o755)
    with open(path + "/etc/passwd", "w") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/tmp:/bin/sh\n")


@contextlib.contextmanager
def daemon():
    with Daemon(vmm=None) as d:
        yield d.start()
        for guest in list(d.guests().values()):
            if guest["domid"]:
                d.post(f"/v1/guests/{guest['ref']}/destroy")
        # Their control groups go with their lives.
        eventually(lambda: not any(guest["domid"] for guest in d.guests().values()), 60)
        if os.geteuid():  # not all that they have written is the user's to remove: the daemon does it
            for guest in d.guests().values():
                d.call("DELETE", f"/v1/guests/{guest['ref']}")
            eventually(lambda: not glob.glob(d.state + "/containers/*"), 30)


def create(d, name="web", managed=False, paused=False, **config):
    config.setdefault("template", TEMPLATE)
    body = {"name": name, "kind": "container", "memory_kib": 65536, "vcpus": 2, **config}
    return d.post("/v1/guests", {"config": {k: v for k, v in body.items() if v is not None}, "managed": managed,
                                 "start": True, "paused": paused})


def dach(d, *words, **more):
    return subprocess.run([BUILD + "/dach", *words], env=d.env, capture_output=True, text=True, timeout=60,
                          **{"stdin": subprocess.DEVNULL, **more})


def inside(d, script, name="web", **more):
    """What the script says there; its status counts."""
    done = dach(d, "exec", name, "--", "/bin/sh", "-c", script, **more)
    assert not done.returncode, (script, done)
    return done.stdout


def fails(d, script, name="web"):
    """That it does not work there; its own shell does."""
    done = dach(d, "exec", name, "--", "/bin/sh", "-c", f"{{ {script}; }} >/dev/null 2>&1 && exit 40; exit 41")
    assert done.returncode == 41, (script, done)


def up(d, name="web"):
    eventually(lambda: not dach(d, "exec", name, "--", "/bin/true").returncode, 20)


def off(d, name="web"):
    eventually(lambda: not d.guests().get(name, {"domid": None})["domid"], 20)


def children(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in open(task).read().split()]
    return found


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def left(uuid):
    """Whatever there is still of a container."""
    found = [path for path in glob.glob(f"/sys/fs/cgroup/*/dach/{uuid}") + glob.glob(f"/sys/fs/cgroup/dach/{uuid}")]
    for file in glob.glob("/proc/[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if uuid in open(file).read():
                found.append(file)
    found += [line for line in open("/proc/net/unix").read().splitlines() if uuid in line]
    return found


def test_the_verbs():
    with daemon() as d:
        guest = create(d)
        assert guest["kind"] == "container" and guest["engine"] == "lxc" and guest["state"] == "running", guest
        up(d)
        assert dach(d, "list", "web").stdout.split()[-2] == "r-----"
        assert [line.split()[-1] for line in dach(d, "list", "--kind").stdout.splitlines()] == ["Kind", "host", "container"]
        assert inside(d, "id -u; hostname; cat /etc/fstab").split() == ["0", "web"]
        assert dach(d, "exec", "web", "--", "/bin/sh", "-c", "cat; echo no >&2; exit 7", stdin=subprocess.PIPE).returncode == 7
        done = dach(d, "exec", "--user", "ann", "--workdir", "/etc", "--env", "A=b", "web", "--", "/bin/sh", "-c",
                    "id -u; echo $PWD $A; kill -9 $$")
        assert done.stdout.split() == ["1000", "/etc", "b"] and done.returncode == 137, done
        assert dach(d, "exec", "web", "--", "/bin/nothing").returncode == 127
        assert dach(d, "cp", "/bin/busybox", "web:/tmp/busybox").returncode == 0
        assert inside(d, "/tmp/busybox wc -c < /tmp/busybox").strip() == str(os.path.getsize("/bin/busybox"))
        # It stands still, and so does what is in it.
        inside(d, "(while true; do echo x >> /tmp/n; sleep 0.01; done) >/dev/null 2>&1 & while [ ! -s /tmp/n ]; do sleep 0.01; done")
        d.post("/v1/guests/web/pause")
        assert d.guests()["web"]["flags"] == "--p---"
        assert "paused" in dach(d, "exec", "web", "--", "/bin/true").stderr
        own = f"{d.state}/containers/{guest['uuid']}/upper/tmp/n"
        size = os.path.getsize(own)
        time.sleep(0.2)
        assert os.path.getsize(own) == size
        d.post("/v1/guests/web/unpause")
        eventually(lambda: os.path.getsize(own) > size)
        assert d.post("/v1/guests/web/rename", {"name": "web2"})["name"] == "web2"
        assert dach(d, "uptime", "web2").returncode == 0
        assert d.get("/v1/guests/web2")["cpu_time"] > 0
        d.put("/v1/guests/web2/memory", {"memory": 32768})
        limits = glob.glob(f"/sys/fs/cgroup/*/dach/{guest['uuid']}/memory.limit_in_bytes") + \
            glob.glob(f"/sys/fs/cgroup/*/{guest['uuid']}/memory.max")
        assert not limits or int(open(limits[0]).read()) == 64 << 20, limits
        d.post("/v1/guests/web2/reboot")
        eventually(lambda: d.guests()["web2"]["domid"] > guest["domid"], 20)
        up(d, "web2")
        assert inside(d, "wc -l < /tmp/n", "web2").strip() != "0"  # what it wrote is there again
        d.post("/v1/guests/web2/shutdown")
        off(d, "web2")
        assert "poweroff" in d.said() and not left(guest["uuid"]), left(guest["uuid"])
        assert not os.path.exists(f"{d.state}/containers/{guest['uuid']}")


def test_what_only_machines_can():
    with daemon() as d:
        create(d)
        for path, body in (("/save", {"path": TOP + "/s"}), ("/suspend", None), ("/dump-core", {"path": TOP + "/c"}),
                           ("/clone", {"name": "w%"}), ("/sysrq", {"key": "h"})):
            said = refused(409, d.post, "/v1/guests/web" + path, body)
            assert "container" in said and "\n" not in said, said
        assert d.guests()["web"]["state"] == "running"


def test_kept_with_what_it_wrote():
    with daemon() as d:
        guest = create(d, managed=True, paused=True)
        own = f"{d.state}/containers/{guest['uuid']}"
        assert guest["state"] == "paused" and not dach(d, "exec", "web", "--", "/bin/true").stdout
        d.post("/v1/guests/web/unpause")
        up(d)
        inside(d, "echo mine > /etc/mine; rm /etc/inittab; mkdir /tmp/d /tmp/e; "
                  f"mkdir -p /tmp/d{DEEP} /tmp/e{DEEP} && mv /tmp/d /tmp/e{DEEP}")
        assert os.path.exists(TEMPLATE + "/etc/inittab") and not os.path.exists(TEMPLATE + "/etc/mine")
        # On the disk root's files are root's, whoever the container's root is here.
        assert os.stat(own + "/upper/etc/mine").st_uid == 0
        d.post("/v1/guests/web/destroy")
        off(d)
        d.post("/v1/guests/web/start")
        up(d)
        assert inside(d, "cat /etc/mine; ls /etc").split() == ["mine", "fstab", "mine", "passwd"]
        # Found again by another daemon, whatever becomes of the first.
        d.stop(signal.SIGKILL)
        d.start()
        eventually(lambda: d.guests()["web"]["state"] == "running")
        assert inside(d, "cat /etc/mine") == "mine\n"
        d.post("/v1/guests/web/destroy")
        off(d)
        d.call("DELETE", "/v1/guests/web")
        eventually(lambda: not os.listdir(d.state + "/containers"), 20)


def test_what_it_has_written_is_told():
    with daemon() as d:
        guest = create(d, managed=True, paused=True)
        d.post("/v1/guests/web/destroy")
        off(d)
        assert d.get("/v1/guests/web")["files"] == [f"{d.state}/containers/{guest['uuid']}/upper"]
        # What was made of it before it ran or was changed becomes nothing.
        seen = d.get("/v1/guests/web")
        body = {"config": {"name": "web"}, "told": seen["config"], "ended": seen["last_end"]["time"]}
        for other in {"ended": 0}, {"ended": body["ended"] + 1}, {"told": {**seen["config"], "upper": guest["uuid"]}}:
            assert "has run, or has been changed" in refused(409, d.post, "/v1/guests/web/convert", {**body, **other})
        assert "keeps its name and its UUID" in refused(400, d.post, "/v1/guests/web/convert", body)
        own = f"{d.state}/containers/{guest['uuid']}"
        shutil.rmtree(own)
        assert d.get("/v1/guests/web")["files"] == []
        # What cannot be looked at is not "nothing".
        open(own, "w").close()
        assert d.get("/v1/guests/web")["files"] == [own + "/upper"]
        os.unlink(own)


def test_what_is_deleted_is_gone():
    """Also where what one before it has left is still on its way out."""
    uuid = "11111111-2222-4333-8444-555555555555"
    with daemon() as d:
        create(d, managed=True, uuid=uuid)
        up(d)
        inside(d, "echo mine > /etc/mine")
        d.post("/v1/guests/web/destroy")
        off(d)
        for ending in ".gone", ".0.gone":
            os.makedirs(f"{d.state}/containers/{uuid}{ending}/x")
        d.call("DELETE", "/v1/guests/web")
        eventually(lambda: not os.path.exists(f"{d.state}/containers/{uuid}"))
        create(d, uuid=uuid)
        up(d)
        fails(d, "cat /etc/mine")
        d.post("/v1/guests/web/destroy")
        off(d)
        d.stop()
        d.start()
        eventually(lambda: not os.listdir(d.state + "/containers"))


def test_nobody_has_its_socket_first():
    """liblxc's is an abstract one, which any user of the host may take whose name he knows."""
    uuid = "11111111-2222-4333-8444-666666666666"
    with daemon() as d:
        create(d)
        up(d)
        [name] = {line.split("@")[1] for line in open("/proc/net/unix").read().splitlines() if line.endswith("/command")}
        d.post("/v1/guests/web/destroy")
        off(d)
        folder, own, _ = name.rsplit("/", 2)
        for taken in own, uuid:
            squatter = socket.socket(socket.AF_UNIX)
            squatter.bind(f"\0{folder}/{taken}/command")
            squatter.listen()
            create(d, uuid=uuid)
            up(d)
            d.post("/v1/guests/web/destroy")
            off(d)
            squatter.close()


def test_a_folder_as_its_root():
    root = TOP + "/own"
    make_root(root)
    with daemon() as d:
        create(d, template=None, root=root)
        up(d)
        inside(d, "echo x > /etc/written")
        assert os.stat(root + "/etc/written").st_uid == 0
        # Nobody else has it meanwhile.
        for config in {"template": None, "root": root}, {"template": root}:
            said = refused(409, create, d, "two", **config)
            assert "another container has it" in said, said
        d.post("/v1/guests/web/destroy")
        off(d)
        create(d, "two", template=root), create(d, "three", template=root)
        refused(409, create, d, template=None, root=root)


def test_an_image_of_the_store():
    store = TOP + "/images"
    os.makedirs(store + "/first")
    for file in "vmlinuz", "initrd.img", "run.img", "disk.raw":
        open(f"{store}/first/{file}", "w").close()
    with open(store + "/first/image.conf", "w") as file:
        file.write("dist bookworm\nhostname first\ncreated 2026-01-01T00:00:00Z\ncmdline root=/dev/vda\n")
    sh(f"tar -C {TEMPLATE} -cf {TOP}/root.tar .")
    with daemon() as d:
        d.env["DACH_IMAGES"] = store
        done = dach(d, "image", "import", "--from-tar", TOP + "/root.tar", "--size", "64M", "--keep-root", "both")
        assert not done.returncode, done
        # A machine's disk, and a container's template, whose programs no other user of the host reaches.
        assert os.path.getsize(store + "/both/disk.raw") == 64 << 20 and os.stat(store + "/both").st_mode & 0o777 == 0o700
        create(d, template=store + "/both/root")
        up(d)
        assert "a container uses it" in dach(d, "image", "delete", "both").stderr
        d.post("/v1/guests/web/destroy")
        off(d)
        eventually(lambda: not dach(d, "image", "delete", "both").returncode)
        assert not os.path.exists(store + "/both")


def says(process, words, seconds=30):
    said, end = b"", time.monotonic() + seconds
    while words not in said:
        assert select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0], said
        more = os.read(process.stdout.fileno(), 4096)
        assert more, said
        said += more


def test_privileged_when_asked():
    with daemon() as d:
        guest = create(d, privileged=True, template=TEMPLATE)
        assert any("privileged: " in warning for warning in guest["warnings"]), guest["warnings"]
        up(d)
        assert inside(d, "cat /proc/self/uid_map").split() == ["0", "0", "4294967295"]
        fails(d, "mknod /tmp/m c 1 1 && head -c 1 /tmp/m")
        fails(d, "ls " + d.folder)
        fails(d, "for f in /sys/fs/cgroup/*/devices.allow; do echo a > $f && exit 0; done; false")
        # The program that enters it is the host's, and root's to write to once it has ended: what can be held on to is a copy.
        programs = [open(f"{BUILD}/{name}", "rb").read() for name in ("dach-agent", "dach-ct")]
        inside(d, "for p in /proc/[0-9]*; do case $(cat $p/comm) in dach-*|memfd*|[0-9]*) (exec 9< $p/exe; echo held >> /tmp/held; "
                  "(sleep 1; echo x >> /proc/self/fd/9; echo tried >> /tmp/held) &) >/dev/null 2>&1;; esac; done")
        held = f"{d.state}/containers/{guest['uuid']}/upper/tmp/held"
        eventually(lambda: os.path.exists(held) and open(held).read().split()[-1] == "tried")
        assert [open(f"{BUILD}/{name}", "rb").read() for name in ("dach-agent", "dach-ct")] == programs
        d.post("/v1/guests/web/shutdown")
        off(d)


def test_console_for_several():
    with daemon() as d:
        create(d)
        readers = [subprocess.Popen([BUILD + "/dach", "console", "web"], env=d.env, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE) for _ in range(2)]
        for reader in readers:
            says(reader, b"/ # ")
        # What is typed before there is somebody to read it is lost, as on a line that nobody has opened yet.
        readers[0].stdin.write(b"echo so$((1+1))\n")
        readers[0].stdin.flush()
        for reader in readers:
            says(reader, b"so2")
        d.post("/v1/guests/web/destroy")
        for reader in readers:
            assert reader.wait(20) == 0
            reader.stdin.close()
            reader.stdout.close()


def test_what_is_killed_leaves_nothing():
    with daemon() as d:
        for who in "monitor", "keeper", "starter", "init":
            guest = create(d)
            up(d)
            monitor = d.monitors()[guest["uuid"]]
            keeper = children(monitor)[0]
            starter = children(keeper)[0]
            init = children(starter)[0]
            sleeper = subprocess.Popen([BUILD + "/dach", "exec", "web", "--", "/bin/sleep", "1000"], env=d.env,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda: "sleep 1000" in inside(d, "ps"))
            os.kill({"monitor": monitor, "keeper": keeper, "starter": starter, "init": init}[who], signal.SIGKILL)
            off(d)
            assert sleeper.wait(20) not in (0, None)
            eventually(lambda: not left(guest["uuid"]) and not any(map(alive, (monitor, keeper, starter, init))), 10)
            eventually(lambda: not os.listdir(d.state + "/containers"), 10)
        assert d.said().count("(crash)") == 4, d.said()


def test_sees_itself_alone():
    with daemon() as d:
        one, two = create(d), create(d, "two")
        up(d), up(d, "two")
        maps = [inside(d, "cat /proc/self/uid_map", name).split() for name in ("web", "two")]
        assert maps[0][0] == "0" and maps[0][2] == "65536" and int(maps[0][1]) > 1 << 30
        assert abs(int(maps[0][1]) - int(maps[1][1])) >= 65536, maps
        processes = inside(d, "ps").splitlines()
        assert len(processes) < 8, processes
        victim = subprocess.Popen(["sleep", "1000"])
        fails(d, f"kill -9 {victim.pid}")
        fails(d, f"ls /proc/{os.getpid()}")
        assert victim.poll() is None
        victim.kill()
        victim.wait()
        assert one["uuid"] not in inside(d, "cat /proc/1/cgroup")
        for what in ("kernel/panic", "vm/drop_caches", "kernel/core_pattern", "kernel/modprobe"):
            fails(d, f"echo 1 > /proc/sys/{what}")
        fails(d, "echo h > /proc/sysrq-trigger")
        fails(d, "head -c 1 /proc/kcore")
        fails(d, "nsenter -t 1 -m -- ls " + d.folder)
        assert inside(d, "ls /sys/class/net 2>/dev/null").split() == ["lo"]
        fails(d, f"ls {d.folder} || ls {TOP}")
        # Nor is there anything of ours that it has open.
        assert not [line for line in inside(d, "ls -l /proc/1/fd").splitlines() if "/" in line.split(" -> ")[-1]
                    and "pts" not in line and "null" not in line and "console" not in line], inside(d, "ls -l /proc/1/fd")


def test_what_it_cannot_reach():
    template = TOP + "/evil"
    make_root(template)
    os.mkdir(TOP + "/host")
    with open(TOP + "/host/secret", "w") as file:
        file.write("secret\n")
    os.mknod(template + "/memory", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    os.mknod(template + "/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    os.symlink(TOP + "/host", template + "/out")
    os.symlink("../../../../../../../../../.." + TOP + "/host", template + "/up")
    os.rmdir(template + "/mnt")
    os.symlink(TOP + "/host", template + "/mnt")
    with daemon() as d:
        create(d, template=template)
        up(d)
        for node in "memory", "disk":
            fails(d, f"head -c 1 /{node}")
            fails(d, f"mknod /tmp/{node} {'c 1 1' if node == 'memory' else 'b 7 0'} && head -c 1 /tmp/{node}")
        for link in "out", "up", "mnt":
            fails(d, f"cat /{link}/secret")
        # A mount there is nobody else's.
        before = len(open("/proc/self/mountinfo").readlines())
        inside(d, "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && mount -t tmpfs none /sbin")
        assert len(open("/proc/self/mountinfo").readlines()) == before
        fails(d, "mount -t ext4 /dev/loop0 /tmp/m")
        fails(d, "mount -o remount,dev,rw / && head -c 1 /memory")
        # What would run a program here when a control group is empty.
        fails(d, "mkdir -p /tmp/cg && mount -t cgroup -o memory none /tmp/cg && echo /x > /tmp/cg/release_agent")
        fails(d, "for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent; do echo /x > $f && exit 0; done; false")
        fails(d, "for f in /sys/fs/cgroup/*/devices.allow; do echo a > $f && exit 0; done; false")
        # The program that enters it is the host's.
        program = BUILD + "/dach-agent"
        was = open(program, "rb").read()
        inside(d, "for p in /proc/[0-9]*; do (: > $p/exe); (echo x >> $p/exe); done 2>/dev/null; true")
        assert open(program, "rb").read() == was
        # Out of a chroot, the oldest way.
        fails(d, "mkdir -p /tmp/c && cd / && chroot /tmp/c /bin/true")
        assert inside(d, "cd /; cd ../../../..; ls -d etc").strip() == "etc"


def test_folders_that_lead_elsewhere():
    """Where liblxc mounts, and where we look for an init."""
    target = TOP + "/target"
    os.mkdir(target)
    with daemon() as d:
        for folder in "proc", "sys", "dev":
            template = f"{TOP}/leads-{folder}"
            make_root(template)
            os.rmdir(f"{template}/{folder}")
            os.symlink("../../../../../../.." + target, f"{template}/{folder}")
            said = refused(400, create, d, folder, template=template)
            assert said.startswith("the container cannot be started: "), said
            assert not os.listdir(target) and target not in open("/proc/self/mountinfo").read()
        make_root(TOP + "/leads-init")
        os.unlink(TOP + "/leads-init/sbin/init")
        os.symlink("/../../../../../../../bin/true", TOP + "/leads-init/sbin/init")
        os.unlink(TOP + "/leads-init/bin/true")
        assert "no /sbin/init to start" in refused(400, create, d, template=TOP + "/leads-init")


def test_what_it_may_use():
    with daemon() as d:
        guest = create(d, memory_kib=98304, pids=60)
        create(d, "two")
        up(d), up(d, "two")
        done = dach(d, "exec", "web", "--", "/bin/tail", "/dev/zero")
        assert done.returncode == 137, done
        up(d)
        inside(d, "echo 'n=0; while [ $n -lt 300 ]; do sleep 1000 & n=$((n+1)); done' > /tmp/bomb; "
                  "(sh /tmp/bomb; sh /tmp/bomb) >/dev/null 2>&1 &")
        events = (glob.glob(f"/sys/fs/cgroup/*/dach/{guest['uuid']}/guest/pids.events") +
                  glob.glob(f"/sys/fs/cgroup/dach/{guest['uuid']}/guest/pids.events"))[0]
        eventually(lambda: int(open(events).read().split()[1]) > 0, 20)  # it was refused more
        assert int(open(events.replace("pids.events", "pids.current")).read()) <= 60
        memory, processes = (line.split()[-6:] for line in dach(d, "beancounters", "web").stdout.splitlines()[2:])
        assert memory[0] == "physpages" and 0 < int(memory[1]) <= int(memory[4]) < (256 << 20) // 4096 and int(memory[5]) > 0, memory
        assert processes[0] == "numproc" and 0 < int(processes[1]) <= int(processes[3]) == 60 and int(processes[5]) > 0, processes
        assert dach(d, "beancounters").stdout.count("physpages") == 2
        assert inside(d, "echo well", "two") == "well\n"
        began = time.monotonic()
        d.post("/v1/guests/web/destroy")
        off(d)
        assert time.monotonic() - began < 15


DHCP = "udhcpc -i eth0 -n -q -f -t 5 -T 1 -s /bin/bound 2>/dev/null"


def test_networks():
    there, rules = links(), sh("nft list ruleset")
    with daemon() as d:
        d.post("/v1/networks", {"config": {"name": "lan", "subnet": "10.77.0.1/24"}})
        one = create(d, vifs=[{"bridge": "lan"}])
        two = create(d, "two", vifs=[{"bridge": "lan", "mtu": 1400}, {"bridge": "lan", "vifname": "second", "filter": False}])
        up(d), up(d, "two")
        assert one["networks"][0]["link"] in links() and "second" in links()
        assert one["networks"][0]["mac"] in inside(d, "ip link show eth0")
        assert "mtu 1400" in inside(d, "ip link show eth0", "two") and "eth1" in inside(d, "ip link", "two")
        address, router = inside(d, DHCP).split()
        assert address == "10.77.0.2" and router == "10.77.0.1", address
        other = inside(d, DHCP, "two").split()[0]
        inside(d, f"ping -c 1 -W 2 {router} && ping -c 1 -W 2 {other}")
        before = d.get("/v1/guests/web")["networks"][0]
        inside(d, f"ping -c 1 -s 1000 -W 2 {other}")
        after = d.get("/v1/guests/web")["networks"][0]
        assert all(after[way + "_bytes"] - before[way + "_bytes"] > 1000 for way in ("rx", "tx")), (before, after)
        # As somebody else it is not heard.
        inside(d, "ip addr add 10.77.0.99/24 dev eth0")
        fails(d, f"ping -c 1 -W 1 -I 10.77.0.99 {other}")
        inside(d, "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:00:99; ip link set eth0 up")
        fails(d, f"ping -c 1 -W 1 {other}")
        # Gone with it, however it goes.
        d.post("/v1/guests/two/shutdown")
        off(d, "two")
        assert "second" not in links() and two["networks"][0]["link"] not in links()
        monitor = d.monitors()[one["uuid"]]
        for pid in (monitor, children(monitor)[0]):
            os.kill(pid, signal.SIGKILL)
        off(d)
        eventually(lambda: links() == there | {"lan"} and "netdev" not in sh("nft list tables"))
        # And so where it never was there.
        refused(400, create, d, vifs=[{"bridge": "lan"}], init=["/bin/nothing"])
        eventually(lambda: links() == there | {"lan"})
        # Another's pair of links is in the way, and stays.
        sh("ip link add others type veth peer name theirs")
        assert "others: this host has" in refused(409, create, d, vifs=[{"bridge": "lan", "vifname": "others"}])
        eventually(lambda: not d.guests())
        assert links() == there | {"lan", "others", "theirs"}
        sh("ip link del others")
        for said, vif in (("user mode", {"mode": "user"}), ("rate: ", {"bridge": "lan", "rate": 1000}),
                          ("no bridge 'no'", {"bridge": "no"}), ("xenbr0", {})):
            try:
                create(d, vifs=[vif])
                raise AssertionError(vif)
            except Refused as no:
                assert said in no.text, no.text
        d.post("/v1/networks/lan/stop")
        d.call("DELETE", "/v1/networks/lan")
    assert links() == there and sh("nft list ruleset") == rules


def test_who_no_longer_manages():
    """A container that somebody has from when he managed the host is not his to start."""
    with daemon() as d:
        guest = create(d, managed=True, template=None, root=TEMPLATE, privileged=True)
        d.post("/v1/guests/web/destroy")
        off(d)
        d.stop()
        with contextlib.closing(sqlite3.connect(d.state + "/dach.db")) as db:
            db.execute("UPDATE guests SET owner = 65534")
            db.commit()
        with open(d.folder + "/policy", "w") as file:
            json.dump({"users": {"nobody": {"guests": 4, "memory": 1024, "vcpus": 4, "paths": ["/"]}}}, file)
        os.chmod(d.folder + "/policy", 0o644)
        d.start()
        assert "who manages this host" in refused(403, d.post, f"/v1/guests/{guest['uuid']}/start")


def test_bad_input():
    empty = TOP + "/empty"
    os.mkdir(empty)
    with daemon() as d:
        for said, config in (("No such file", {"template": TOP + "/nowhere"}),
                             ("Not a directory", {"template": TEMPLATE + "/etc/passwd"}),
                             ("there is no /sbin/init to start", {"template": empty}),
                             ("there is no /bin/nothing to start", {"init": ["/bin/nothing"]}),
                             ("there is no /bin/mnt/x", {"init": ["/bin/mnt/x"]})):
            try:
                create(d, **config)
                raise AssertionError(config)
            except Refused as no:
                assert said in no.text and "\n" not in no.text, (said, no)
        for said, config in (("root", {"template": None}), ("root", {"root": "/"}), ("kernel", {"kernel": "/x"}),
                             ("name", {"name": "a/b"}), ("name", {"name": "../b"})):
            no = refused(400, create, d, **{"name": "web", **config})
            assert no.startswith(said), no
        eventually(lambda: not d.guests() and not os.listdir(d.state + "/containers"))
        guest = create(d, managed=True)
        refused(409, d.call, "DELETE", "/v1/guests/web")
        refused(409, create, d)
        # One that ends at once is not started for ever.
        d.post("/v1/guests/web/destroy")
        off(d)
        create(d, "brief", init=["/bin/true"])
        off(d, "brief")
        assert not left(guest["uuid"])


def test_a_host_without_control_groups():
    d = Daemon(vmm=None)
    d.program = without_groups(d.program)
    with d.start():
        assert "control groups" in refused(409, create, d)
        assert not d.guests()


def have_groups():
    with Daemon(vmm=None).start() as d:
        return d.get("/v1/host")["cgroup"] != "none"


def tidy(tests):
    try:
        main(tests)
    finally:
        shutil.rmtree(TOP, ignore_errors=True)


def as_root(tests, without="none", prepare=lambda: None):
    """Away from the host's own networks. without: tests for a host without control groups."""
    if os.geteuid():
        print("ok containers are root's: not tried")
        sys.exit(0)
    if BUILT not in os.environ and not subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        os.environ[BUILT] = "1"
        os.rmdir(TOP)
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    make_root(TEMPLATE)
    wanted = sys.argv[1] if sys.argv[1:] else "test_"
    if not have_groups():
        print("ok containers: not tried but where they are refused: this host has no control groups")
        wanted = without
    prepare()
    tidy({name: test for name, test in tests.items() if name.startswith(wanted)})


if __name__ == "__main__":
    as_root(dict(globals()), "test_a_host_without")
