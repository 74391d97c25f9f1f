#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts around Xen's xl ask, of us and of a recording of xl 4.17: the answers are the same. And
the init script of Debian's own Xen package lists, starts and shuts down our guests, unchanged."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import time

from harness import BUILD, Daemon, eventually, main

UUIDS = ["11111111-2222-3333-4444-5555555555%02d" % n for n in range(3)]
NAMES = ["web", "db.example.org", "kept"]

# What xl prints where these two guests run: its printf formats, its JSON as libxl's types have it.
RECORDED = {
    "list": """\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  2048     2     r-----     411.2
web                                          1    64     2     -b----       0.0
db.example.org                               2   128     1     -b----       0.0
""",
    "list -l": """\
[
    {
        "domid": 0,
        "config": {
            "c_info": {
                "type": "pv",
                "name": "Domain-0",
                "uuid": "00000000-0000-0000-0000-000000000000",
                "run_hotplug_scripts": "True"
            },
            "b_info": {
                "max_memkb": 18446744073709550592,
                "target_memkb": 2097152,
                "sched_params": {
                    "sched": "credit2"
                },
                "type.pv": {

                }
            }
        }
    },
    {
        "domid": 1,
        "config": {
            "c_info": {
                "type": "pv",
                "name": "web",
                "uuid": "11111111-2222-3333-4444-555555555500",
                "run_hotplug_scripts": "True"
            },
            "b_info": {
                "max_vcpus": 2,
                "avail_vcpus": [
                    0,
                    1
                ],
                "max_memkb": 65536,
                "target_memkb": 65536,
                "shadow_memkb": 3072,
                "sched_params": {

                },
                "kernel": "/boot/vmlinuz",
                "type.pv": {

                },
                "arch_arm": {

                }
            },
            "disks": [
                {
                    "pdev_path": "@DISK@",
                    "vdev": "xvda",
                    "backend": "phy",
                    "format": "raw",
                    "readwrite": 1
                }
            ],
            "nics": [
                {
                    "devid": 0,
                    "mac": "00:16:3e:01:02:03",
                    "bridge": "xenbr0",
                    "script": "vif-bridge",
                    "nictype": "vif"
                }
            ],
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset"
        }
    },
    {
        "domid": 2,
        "config": {
            "c_info": {
                "type": "pvh",
                "name": "db.example.org",
                "uuid": "11111111-2222-3333-4444-555555555501",
                "run_hotplug_scripts": "True"
            },
            "b_info": {
                "max_vcpus": 1,
                "avail_vcpus": [
                    0
                ],
                "max_memkb": 131072,
                "target_memkb": 131072,
                "sched_params": {
                    "weight": 512,
                    "cap": 50
                },
                "kernel": "/boot/vmlinuz",
                "type.pvh": {

                },
                "arch_arm": {

                }
            },
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset"
        }
    }
]
""",
    "create": """\
{
    "c_info": {
        "type": "pv",
        "name": "later",
        "uuid": "11111111-2222-3333-4444-555555555502",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
        "max_vcpus": 1,
        "avail_vcpus": [
            0
        ],
        "max_memkb": 65536,
        "target_memkb": 65536,
        "shadow_memkb": 1024,
        "sched_params": {

        },
        "kernel": "/boot/vmlinuz",
        "type.pv": {

        },
        "arch_arm": {

        }
    },
    "on_reboot": "restart"
}
""",
    "vm-list": """\
UUID                                  ID    name
00000000-0000-0000-0000-000000000000  0    Domain-0                      @@
11111111-2222-3333-4444-555555555500  1    web                           @@
11111111-2222-3333-4444-555555555501  2    db.example.org                @@
""".replace("@@", ""),
    "domid": "2\n",
    "domname": "web\n",
    "uptime": """\
Name                                ID Uptime
web                                  1  0:00:00
""",
    "sched-credit": """\
Name                                ID Weight  Cap
db.example.org                       2    512   50
""",
    "network-list": """\
Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       @@
0   0  00:16:3e:01:02:03     0     4     12   768/769         /local/domain/0/backend/vif/1/0
""".replace("@@", ""),
    "block-list": """\
Vdev  BE  handle state evt-ch ring-ref BE-path                       @@
51712 0   1      4     11     8        /local/domain/0/backend/vbd/1/51712
""".replace("@@", ""),
}

# Each is what some script or administrator types; what it prints is the same here and there.
WORDS = {
    "names and IDs by column": "xl list | awk 'NR > 2 { print $1, $2, $3, $4 }'",
    "the last ID": "xl list | awk '{ print $2 }' | tail -n 1",
    "one guest's ID": "xl list | awk '$1 == \"web\" { print $2 }'",
    "how many run": "xl list | tail -n +3 | wc -l",
    "six words a line, as a cluster's manager wants them": "xl list | awk 'NF != 6' | sed 1d",
    "numbers where it reads numbers": "xl list | awk 'NR > 1 && $2 $3 $4 !~ /^[0-9]*$/'",
    "states of six letters": "xl list | awk 'NR > 1 && $5 !~ /^[-r][-b][-p][-s][-rscwS][-d]$/'",
    "xendomains' lines": "xl list -l | grep '^    {$\\|\"name\":\\|^        \"domid\":'",
    "a guest's object": "xl list -l | grep -c '^    {$'",
    "the name that a file gives": "xl create --quiet --dryrun --defconfig $F | sed -n 's/^.*\"name\": \"\\(.*\\)\",$/\\1/p'",
    "the name by JSON": "xl create --quiet --dryrun --defconfig $F | json 'd[\"c_info\"][\"name\"]'",
    "all by JSON": "xl list -l | json '[[g[\"domid\"], g[\"config\"][\"c_info\"][\"name\"],"
                   " g[\"config\"][\"c_info\"][\"type\"], g[\"config\"][\"c_info\"][\"uuid\"],"
                   " g[\"config\"][\"b_info\"][\"max_vcpus\"], g[\"config\"][\"b_info\"][\"avail_vcpus\"],"
                   " g[\"config\"][\"b_info\"][\"target_memkb\"], g[\"config\"][\"b_info\"][\"max_memkb\"],"
                   " [[k[\"pdev_path\"], k[\"vdev\"], k[\"format\"], k[\"readwrite\"], k[\"backend\"]]"
                   " for k in g[\"config\"].get(\"disks\", [])],"
                   " [[n[\"mac\"], n[\"bridge\"], n[\"devid\"], n[\"nictype\"]]"
                   " for n in g[\"config\"].get(\"nics\", [])],"
                   " g[\"config\"].get(\"on_reboot\"), g[\"config\"].get(\"on_crash\")]"
                   " for g in d if g[\"domid\"] != 0]'",
    "shares by JSON": "xl list -l | json 'd[2][\"config\"][\"b_info\"][\"sched_params\"]'",
    "names by UUID": "xl vm-list | awk 'NR > 2 { print $1, $2, $3 }'",
    "an ID by name": "xl domid db.example.org",
    "a name by ID": "xl domname 1",
    "minutes up": "xl uptime web | awk 'NR > 1 { print $1, $2, substr($3, 1, 4) }'",
    "weights": "xl sched-credit -d db.example.org | awk 'NR > 1 { print $(NF - 1), $NF }'",
    "MACs": "xl network-list web | awk 'NR > 1 { print $1, $3, $5, $NF }'",
    "disks": "xl block-list web | awk 'NR > 1 { print $1, $2, $NF }'",
}

# Whether a guest runs is asked by exit status, as an agent of a cluster does.
STATUSES = {"xl list web": 0, "xl list kept": 1, "xl list nobody": 1, "xl domid kept": 1, "xl list": 0,
            "xl list -l web": 0, "xl sysrq nobody s": 1, "xl uptime kept": 1}


def program(path, text):
    with open(path, "w") as out:
        out.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)


class Toolstack(Daemon):
    """A daemon with two guests that run and one that is off, and xl in a folder of its own."""
    def __init__(self):
        super().__init__()
        self.tools = self.folder + "/tools"
        os.mkdir(self.tools)
        os.symlink(os.path.abspath(BUILD + "/dach"), self.tools + "/xl")
        program(self.tools + "/json", 'exec python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"')
        self.file, self.disk = self.folder + "/later.cfg", self.folder + "/disk"
        with open(self.disk, "wb") as disk:
            disk.truncate(1 << 20)
        with open(self.file, "w") as out:
            out.write(f"name = 'later'\nkernel = '{self.kernel}'\nmemory = 64\n")

    def start(self, wait=True):
        super().start(wait)
        self.create("web", vcpus=2, type="pv", uuid=UUIDS[0], vifs=[{"mac": "00:16:3e:01:02:03", "bridge": "xenbr0", "mode": "user"}],
                    disks=[{"target": self.disk, "vdev": "xvda", "writable": True, "hint": "phy"}])
        self.create("db.example.org", type="pvh", uuid=UUIDS[1], memory_kib=131072, cpu_weight=512, cap=50)
        self.create("kept", uuid=UUIDS[2], managed=True)
        return self

    def record(self):
        """Another xl, which only knows what was recorded; its folder."""
        folder = self.folder + "/recorded"
        os.mkdir(folder)
        for words, text in RECORDED.items():
            with open(f"{folder}/{words}", "w") as out:
                out.write(text.replace("@DISK@", self.disk))
        program(folder + "/xl", 'cd "${0%/*}" && { [ "$1 $2" = "list -l" ] && exec cat "list -l"; exec cat "$1"; }')
        return folder

    def shell(self, words, first=None):
        path = ":".join([*([first] if first else []), self.tools, os.environ["PATH"]])
        return subprocess.run(["bash", "-c", words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, env={**self.env, "PATH": path, "F": self.file, "DACH_NO_START": "1"})


def test_scripts_find_what_they_find_with_xl():
    with Toolstack().start() as d:
        recorded = d.record()
        for what, words in WORDS.items():
            theirs, ours = d.shell(words, recorded), d.shell(words)
            assert not theirs.returncode and not theirs.stderr, (what, theirs)
            assert (ours.returncode, ours.stdout) == (0, theirs.stdout), f"{what}: {theirs.stdout}{ours.stdout}{ours.stderr}"
        for words, status in STATUSES.items():
            assert d.shell(words).returncode == status, words


def test_xm_and_clusters():
    """The words of older scripts; a kept guest that is off is a line that they can read."""
    with Toolstack().start() as d:
        os.symlink("xl", d.tools + "/xm")
        assert d.shell("xm list | awk 'NF != 6' | sed 1d").stdout == ""
        assert d.shell("xm list kept | awk 'NR > 1 { print $2, $5 }'").stdout == "- ------\n"
        for field in "total_memory", "free_memory", "nr_cpus", "nr_nodes", "cores_per_socket", "threads_per_core":
            assert int(d.shell(f"xm info | grep '^{field} ' | cut -d: -f2").stdout) >= 0, field
        assert d.shell("xm mem-set web 32 && xm list web | awk 'NR > 1 { print $3 }'").stdout == "32\n"
        assert not d.shell("xm create -f $F name=agent").returncode
        assert d.shell("xm list agent >/dev/null && xm shutdown agent --halt --wait").returncode == 0
        assert d.shell("xm shutdown --all --halt --wait").returncode == 0
        assert d.shell("xm list | tail -n +3 | awk '{ print $1 }'").stdout == "kept\n"


def packages(folder, *names):
    """Debian's packages, unpacked there; or why there are none."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return "needs apt-get and dpkg"
    for name in names:
        done = subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], cwd=folder,
                              capture_output=True, text=True, timeout=120)
        files = glob.glob(f"{folder}/{name}_*.deb")
        if done.returncode or not files:
            return f"apt-get cannot download {name} here"
        subprocess.run(["dpkg", "-x", files[0], folder + "/root"], check=True, timeout=60)
    return None


# A root in which the package's files lie where it wants them, and Xen's door is there, which its script
# looks for. /proc is one of links to the real one, in which no such folder can be made.
NAMESPACE = r"""
set -e
root=$1 && shift
for folder in usr etc; do
	mount -t overlay -o "lowerdir=$root/$folder:/$folder" overlay "/$folder"
done
mkdir "$root/proc" && mount --rbind /proc "$root/proc"
mount -t tmpfs proc /proc
for name in "$root/proc/"*; do
	ln -s "$name" "/proc/${name##*/}"
done
mkdir /proc/xen
touch /proc/xen/privcmd
mount -t tmpfs lock /run/lock
exec "$@"
"""


@contextlib.contextmanager
def xen_host(d):
    """What runs a program where Xen's packages are installed and xl is ours; None, and why, where that cannot be."""
    missing = packages(d.folder, "xen-utils-common", "xen-utils-4.17")
    unshare = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c"]
    root = d.folder + "/root"
    if not missing and subprocess.run([*unshare, "mount -t overlay -o lowerdir=/usr:/etc overlay /mnt"],
                                      capture_output=True, timeout=60).returncode:
        missing = "needs a mount namespace with overlayfs"
    if missing:
        print(f"# skipped: {missing}")
        yield None
        return
    os.unlink(root + "/usr/sbin/xl")  # a wrapper that asks Xen's version
    os.symlink(os.path.abspath(BUILD + "/dach"), root + "/usr/sbin/xl")
    os.makedirs(root + "/etc/xen/auto")
    with open(root + "/etc/default/xendomains", "a") as out:
        out.write("XENDOMAINS_SAVE=\nXENDOMAINS_STOP_MAXWAIT=20\n")
    shutil.copy(d.file, root + "/etc/xen/auto/later.cfg")

    def run(*words):
        if os.path.isdir(root + "/proc"):
            os.rmdir(root + "/proc")
        done = subprocess.run([*unshare, NAMESPACE, "sh", root, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=100,
                              env={**d.env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DACH_NO_START": "1"})
        assert not done.returncode, done
        return done.stdout
    yield run


def test_xendomains_of_debian():
    with Toolstack().start() as d, xen_host(d) as run:
        if not run:
            return
        assert run("/usr/lib/xen-common/bin/xen-init-list") == "1 web\n2 db.example.org\n"
        said = run("/etc/init.d/xendomains", "start")
        assert "later" in said and d.guests()["later"]["state"] == "running", said
        again = run("/etc/init.d/xendomains", "start")
        assert "already running" in again, again
        stopped = run("/etc/init.d/xendomains", "stop")
        assert "web" in stopped and "kept" not in stopped, stopped
        assert [g["state"] for g in d.guests().values()] == ["off"], stopped


def test_xendomains_of_xen():
    """Xen's own, which Debian puts beside its utilities, reads list -l by its indent."""
    with Toolstack().start() as d, xen_host(d) as run:
        if not run:
            return
        script = "/usr/lib/xen-4.17/bin/xendomains"
        with open(d.folder + "/root/etc/default/xendomains", "a") as out:
            out.write("XENDOMAINS_SYSRQ=s\nXENDOMAINS_SHUTDOWN=--wait\nXENDOMAINS_SHUTDOWN_ALL='--all --wait'\n")
        said = run(script, "start")
        assert "later.cfg" in said and d.guests()["later"]["state"] == "running", said
        assert "(skip)" in run(script, "start")
        stopped = run(script, "stop")
        assert "web(SR-s)(shut)" in stopped and "db.example.org(SR-s)(shut)" in stopped, stopped
        assert "kept" not in stopped and "error" not in stopped, stopped
        assert [g["state"] for g in d.guests().values()] == ["off"], stopped


def test_what_is_said_before_a_start():
    """A dry run and new refuse what create refuses, with its words; what nothing enforces is told of."""
    with Toolstack().start() as d:
        for words, text in (("kernel=/nowhere/vmlinuz", "/nowhere/vmlinuz: No such file or directory"),
                            ("disk='/nowhere/disk,raw,xvda,rw'", "/nowhere/disk: No such file or directory"),
                            ("disk='/etc/hostname,vhd,xvda,r'", "disks[0]: format vhd is not there yet"),
                            ("vcpus=65", "'vcpus' takes a number from 1 to 64"),
                            ("vif=['','','','','','','','','']", "vifs[8]: a guest can have 8 networks at most")):
            for verb in "create -q", "create -q -n", "new -q", "new -q -n":
                done = d.shell(f"xl {verb} $F \"{words}\"")
                assert done.returncode == 1 and text in done.stderr, (verb, words, done)
        assert "later" not in d.guests()
        done = d.shell("xl create $F cpus=1023 cap=20 \"vif=['backend=net']\"")
        assert not done.returncode, done
        for text in "'1023' names no processor", "'backend' has no effect yet":
            assert done.stderr.count("WARNING: ") >= 2 and done.stderr.count(text) == 1, done
        enforced = not any("cap: " in warning for warning in d.guests()["later"]["warnings"])
        for words in "xl sched-credit -d later -c 30", "xl create -q $F name=quiet cap=30", "xl create $F name=loud cap=30":
            done = d.shell(words)
            assert not done.returncode, done
            assert ("WARNING: cap: nothing holds" in done.stderr) == (not enforced and "-q" not in words), done


def test_a_daemon_that_nobody_needs_ends():
    """It goes when it has no guest and no caller, and loses nobody who comes meanwhile."""
    with Daemon() as d:
        d.words += ["--idle", "1"]
        d.start()
        d.create("kept", managed=True)
        first = d.process
        time.sleep(2.5)
        assert first.poll() is None, "a kept guest is something to stay for"
        d.call("DELETE", "/v1/guests/kept")
        events = d.events()
        time.sleep(2.5)
        assert first.poll() is None, "so is somebody who listens"
        events.close()
        assert first.wait(20) == 0 and "nobody asks" in d.said()
        assert not [name for name in os.listdir(d.run) if name.endswith(".sock")]
        # who comes all the time, while it comes and goes, is always answered
        d.env["DACH_STATE"] = d.state
        for _ in range(3):
            asking = [subprocess.Popen([BUILD + "/dach", "domid", "0"], env=d.env, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE) for _ in range(8)]
            for one in asking:
                out, said = one.communicate(timeout=60)
                assert (one.returncode, out) == (0, b"0\n"), said
        info = subprocess.run([BUILD + "/dach", "--json", "info"], env=d.env, capture_output=True, check=True)
        pid = json.loads(info.stdout)["dach_pid"]
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_console_whose_daemon_is_killed():
    """The guest goes on and its console's connection does not: that is said, and is no success."""
    with Toolstack().start() as d:
        reading, writing = os.pipe()
        console = subprocess.Popen([BUILD + "/dach", "console", "web"], stdin=reading, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**d.env, "DACH_NO_START": "1"})
        os.close(reading)
        assert console.stdout.read(4) == b"fake"
        d.stop(signal.SIGKILL)
        _, said = console.communicate(timeout=20)
        os.close(writing)
        assert console.returncode == 1 and b"dachd went away" in said, (console.returncode, said)
        d.process = None
        Daemon.start(d)
        console = subprocess.Popen([BUILD + "/dach", "console", "web"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=d.env)
        assert console.stdout.read(4) == b"fake"
        d.post("/v1/guests/web/destroy")
        _, said = console.communicate(timeout=20)
        assert console.returncode == 0 and not said, (console.returncode, said)


main(globals().copy())
