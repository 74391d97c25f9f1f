# SPDX-License-Identifier: Apache-2.0
"""For migrate_disks.sh: migrate_disks.py KERNEL RAMDISK MIB

A guest whose two disks are worked on all the while (disk_check.c) moves between two daemons, its disks with it, each time
into files of other names. Before that it does not: something is there already, and the other side ends in the middle."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../daemon")
from harness import eventually, refused  # noqa: E402 pylint: disable=wrong-import-position
from two_hosts import DISK, Host, Line  # noqa: E402 pylint: disable=wrong-import-position

KERNEL, RAMDISK, MIB = sys.argv[1], sys.argv[2], int(sys.argv[3])
NAMES = {"xvda": "a.img", "xvdb": "b.qcow2"}


def make_disks(folder):
    """Each with something in its first part, and the rest empty."""
    os.mkdir(folder)
    with open(folder + "/a.img", "wb") as raw, open(folder + "/base.img", "wb") as base:
        for file in raw, base:
            file.write(os.urandom(1 << 20))
            file.truncate(MIB << 20)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", folder + "/b.qcow2"], check=True)


def paths(folder):
    return {vdev: f"{folder}/{name}" for vdev, name in NAMES.items()}


def config(folder):
    """What the guest is where its disks are in that folder."""
    return {"name": "one", "memory_kib": 98304, "kernel": KERNEL, "ramdisk": RAMDISK, "engine": "translate",
            "cpu_model": "x86-64-v2", "cmdline": "console=ttyS0 quiet panic=-1", "vcpus": 2,
            "disks": [{"target": path, "vdev": vdev, "writable": True, "format": path.rsplit(".", 1)[1].replace("img", "raw")}
                      for vdev, path in paths(folder).items()]}


def write_config(folder, path):
    disks = ", ".join(f"'format={disk['format']}, vdev={disk['vdev']}, access=rw, target={disk['target']}'"
                      for disk in config(folder)["disks"])
    with open(path, "w") as file:
        file.write(f"name = 'one'\nmemory = 96\nvcpus = 2\nkernel = '{KERNEL}'\nramdisk = '{RAMDISK}'\nengine = 'translate'\n"
                   f"cpu_model = 'x86-64-v2'\ncmdline = 'console=ttyS0 quiet panic=-1'\ndisk = [{disks}]\n")
    return path


def works(host):
    """Both disks are read and written, and all that is read is right."""
    seen, text, end = {}, b"", time.monotonic() + 120
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{host.run}/guests/{host.one()['uuid']}/console")
        s.settimeout(1)
        while len([n for n in seen.values() if len(n) > 2]) < 2:
            assert time.monotonic() < end, f"the guest does not work: {text[-300:]}"
            try:
                data = s.recv(65536)
            except TimeoutError:
                continue
            assert data, f"the guest has ended: {text[-300:]}"
            text += data
            for disk, _, read, wrong in re.findall(rb"DISK (\S+) (\d+) written (\d+) read (\d+) wrong", text):
                assert int(wrong) == 0, text[-300:]
                seen.setdefault(disk, set()).add(int(read))
    assert b"error" not in text, text


def taken(path):
    return os.stat(path).st_blocks * 512


def does_not_move(a, b, folder):
    """What is there is not written over; and nothing is left of what came to nothing."""
    os.mkdir(folder)
    there = paths(folder)
    sizes = {disk["vdev"]: disk["size"] for disk in a.one()["disks"]}
    assert sizes == {vdev: MIB << 20 for vdev in NAMES}, sizes
    with open(there["xvdb"], "w") as file:
        file.write("mine")
    done = a.migrate(b, "--storage", "-C", write_config(folder, a.folder + "/there.cfg"))
    assert done.returncode == 1 and "is there already, and is not written over" in done.stderr.splitlines()[-1], done.stderr
    assert os.listdir(folder) == ["b.qcow2"] and open(there["xvdb"]).read() == "mine"
    os.unlink(there["xvdb"])
    body = {"config": {**config(folder), "uuid": a.one()["uuid"]}}
    for wrong in {"xvdc": 512}, {"xvda": 511}, {"xvda": -512}, {"xvda": "x"}, {"xvda": 512, "": 512}:
        refused(400, b.migration, "POST", "/v1/receive", {**body, "disk_sizes": wrong})
        assert not os.listdir(folder) and not b.guests(), wrong
    # The other side was told another size, not of all of them, and of none that were made.
    for other in {**sizes, "xvdb": 1 << 20}, {"xvda": sizes["xvda"], "xvdb": sizes["xvdb"] * 2}:
        answer = Line(a, b, a.one(), storage=other, config=body["config"]).run()
        assert "disk had" in str(answer) or "cannot be written" in str(answer) or "of another size" in str(answer), answer
        eventually(lambda: not b.guests() and not os.listdir(folder))
    for victim in "monitor", "daemon", "line":
        def act(line, victim=victim):
            assert sorted(os.listdir(folder)) == sorted(NAMES.values())
            if victim == "monitor":
                os.kill(b.monitors()[a.one()["uuid"]], signal.SIGKILL)
            elif victim == "line":
                line.cut()
            else:
                b.stop(signal.SIGKILL)
        line = Line(a, b, a.one(), ((DISK, True, 3), "behind"), act, storage=sizes, config=body["config"])
        answer = line.run()
        assert isinstance(answer, Exception) and line.at is None, f"{victim}: {answer}"
        if victim == "daemon":
            b.start()
        eventually(lambda: not b.guests() and not os.listdir(folder), 60)
        assert a.runs()
    works(a)


def moves(here, there, folder):
    os.makedirs(folder, exist_ok=True)
    was = {disk["vdev"]: disk["target"] for disk in here.one()["config"]["disks"]}
    done = here.migrate(there, "--storage", "-C", write_config(folder, here.folder + "/there.cfg"))
    assert done.returncode == 0, done.stderr
    stamps = [os.stat(path).st_mtime_ns for path in was.values()]
    assert here.one() is None and there.runs() and there.one()["managed"]
    works(there)
    assert stamps == [os.stat(path).st_mtime_ns for path in was.values()], "what has stayed here is written to"
    now = paths(folder)
    info = json.loads(subprocess.run(["qemu-img", "info", "-U", "--output=json", now["xvdb"]], check=True, stdout=subprocess.PIPE).stdout)
    assert info["virtual-size"] == MIB << 20 and "backing-filename" not in info, info
    assert all(taken(path) < (MIB << 20) * 4 // 5 for path in now.values()), "what was empty is not"
    told = json.loads(done.stdout)
    print(f"went: {told['time'] / 1e9:.2f} s, stood {told['pause'] / 1e6:.1f} ms, {told['bytes'] >> 20} MiB in {told['rounds']} rounds; "
          + "; ".join(f"{vdev} had {taken(was[vdev]) >> 10} KiB of {MIB << 10}, has {taken(now[vdev]) >> 10}" for vdev in NAMES),
          flush=True)


def main():
    with Host().start() as a, Host().start() as b:
        for host in a, b:
            os.chmod(host.folder, 0o755)
        make_disks(a.folder + "/disks")
        a.post("/v1/guests", {"config": config(a.folder + "/disks"), "managed": True, "start": True})
        works(a)
        does_not_move(a, b, b.folder + "/disks")
        moves(a, b, b.folder + "/disks")
        moves(b, a, a.folder + "/back")
        print("DONE its disks went along, there and back")


main()
