#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""qcow2 images here and in qemu-img: tests/peer/qcow2.py [SEED [OPERATIONS [KILLED]]]

Images that qemu-img makes with each of its options are open or refused by name; random operations on them
(qcow2_ops) leave what the same operations leave of a raw twin, as qemu-img reads it, and an image that
qemu-img finds no fault with, also when the host crashes and loses what was not flushed. Prints ok or not ok
for each; the operations are of each image."""
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPS = os.path.join(os.environ.get("DACH_BUILD", TOP + "/build"), "tests/peer/qcow2_ops")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
OPERATIONS = sys.argv[2] if len(sys.argv) > 2 else "400"
KILLED = sys.argv[3] if len(sys.argv) > 3 else "300"
failures = 0

# Name, options of qemu-img create, what it is made from: nothing, a raw or a qcow2 image below, a packed copy.
IMAGES = [
    ("default", "", None),
    ("version 2", "compat=0.10", None),
    ("clusters of 512 bytes", "cluster_size=512", None),
    ("clusters of 4 KiB, counts of 1 bit", "cluster_size=4096,refcount_bits=1", None),
    ("clusters of 2 MiB, counts of 64 bits", "cluster_size=2M,refcount_bits=64", None),
    ("counts of 2 bits", "refcount_bits=2,cluster_size=1024", None),
    ("counts of 4 bits", "refcount_bits=4", None),
    ("counts of 8 bits", "refcount_bits=8,cluster_size=8192", None),
    ("counts of 32 bits", "refcount_bits=32", None),
    ("extended L2", "extended_l2=on,cluster_size=128k", None),
    ("extended L2 over raw", "extended_l2=on,cluster_size=16k", "raw"),
    ("lazy counts", "lazy_refcounts=on", None),
    ("preallocated", "preallocation=metadata", None),
    ("preallocated in full", "preallocation=full", None),
    ("over raw", "", "raw"),
    ("over qcow2", "cluster_size=4096", "qcow2"),
    ("version 2 over raw", "compat=0.10", "raw"),
    ("with dirty bitmaps", "", "bitmaps"),
    ("with dirty bitmaps, clusters of 512 bytes", "cluster_size=512", "bitmaps"),
    ("packed by zlib", "", "packed"),
    ("packed by zstd", "compression_type=zstd,cluster_size=16k", "packed"),
]


def report(name, ok, text=""):
    global failures
    failures += not ok
    for line in text.splitlines()[-20:] if not ok else []:
        print("  | " + line)
    print(("ok" if ok else "not ok") + " qcow2: " + name, flush=True)


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                          env={**os.environ, "QEMU_IMG": "qemu-img"}, **more)
    return done.returncode, done.stdout


def must(*command):
    status, text = run(*command)
    if status:
        sys.exit(f"{' '.join(command)}: {text}")


def make(path, options, below):
    """An image, of some megabytes."""
    base = path + ".base"
    size = 5 << 20
    with open(base, "wb") as file:
        for n in range(size // 4096):
            file.write((b"%07d\n" % n) * 512 if n % 3 else bytes(4096))
    args = ["-o", options] if options else []
    if below == "packed":
        must("qemu-img", "convert", "-q", "-c", "-O", "qcow2", *args, "-f", "raw", base, path)
        return
    if below == "qcow2":
        must("qemu-img", "convert", "-q", "-O", "qcow2", "-f", "raw", base, base + "2")
        base += "2"
    if below == "bitmaps":
        must("qemu-img", "create", "-q", "-f", "qcow2", *args, path, "8M")
        must("qemu-img", "bitmap", "--add", path, "one")
        must("qemu-img", "bitmap", "--add", "-g", "512", path, "two")
        return
    more = ["-b", base, "-F", below] if below else []
    must("qemu-img", "create", "-q", "-f", "qcow2", *args, *more, path, "8M")


def compare(path):
    status, text = run("qemu-img", "check", "-f", "qcow2", path)
    if not status:
        status, text = run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, path + ".raw")
    return status, text


def try_image(work, n, name, options, below):
    path = f"{work}/{n}.qcow2"
    make(path, options, below)
    status, text = run(OPS, path, path + ".raw", str(SEED + n), OPERATIONS)
    if not status:
        status, text = compare(path)
    report(f"{name}: as a raw twin", not status, text)
    make(path, options, below)
    status, text = run(OPS, path, path + ".raw", str(SEED + n), KILLED, "kill")
    report(f"{name}: crashes leave leaks at most, and what was flushed", not status, text)


# Options that qemu-img has and dach does not; the words that it says so with.
REFUSED = [
    ("an external data file", ["-o", "data_file=DATA"], "external data file"),
    ("a backing file as json:", ["-u", "-b", "json:{}", "-F", "raw"], "json:"),
    ("a backing file over nbd:", ["-u", "-b", "nbd://host/x", "-F", "raw"], "nbd:"),
    ("a backing file of another format", ["-u", "-b", "x.vmdk", "-F", "vmdk"], "vmdk"),
    ("a backing file that is not there", ["-u", "-b", "not-there", "-F", "raw"], "not-there"),
]


def refusals(work):
    for name, options, words in REFUSED:
        path = work + "/refused.qcow2"
        must("qemu-img", "create", "-q", "-f", "qcow2",
             *[word.replace("DATA", work + "/data") for word in options], path, "8M")
        status, text = run(OPS, path, path + ".raw", "1", "1")
        report(f"{name} is refused by name", status and words in text and text.count("\n") == 1, text)
    loop = [work + "/a.qcow2", work + "/b.qcow2"]
    for one, other in (loop, loop[::-1]):
        must("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", other, "-F", "qcow2", one, "8M")
    status, text = run(OPS, loop[0], work + "/raw", "1", "1")
    report("a chain in a circle is refused", status and "circle" in text, text)
    with open(work + "/cut.qcow2", "wb") as cut:
        must("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=full", work + "/whole.qcow2", "8M")
        cut.write(open(work + "/whole.qcow2", "rb").read(200 * 1024))
    status, text = run(OPS, work + "/cut.qcow2", work + "/raw", "1", "1")
    report("an image that is cut off is refused", status and "cut off" in text, text)


def dirty_map(path, name, socket):
    """What a bitmap of the image has, as QEMU's server tells it: [(offset, length)]"""
    with subprocess.Popen(["qemu-nbd", "-r", "-f", "qcow2", "-B", name, "-k", socket, path]):
        for _ in range(200):
            if os.path.exists(socket):
                break
            time.sleep(0.05)
        status, text = run("nbdinfo", "--map=qemu:dirty-bitmap:" + name, f"nbd+unix:///?socket={socket}")
    if status:
        sys.exit(text)
    rows = [list(map(int, line.split()[:3])) for line in text.splitlines()]
    return [(offset, length) for offset, length, state in rows if state]


def bitmaps(work):
    """A bitmap that QEMU has made has each write of ours, and QEMU finds it sound."""
    path, before = work + "/marked.qcow2", work + "/before.raw"
    make(path, "", "bitmaps")
    must("qemu-img", "convert", "-q", "-O", "raw", path, before)
    must(OPS, path, path + ".raw", str(SEED), "40")
    status, text = run("qemu-img", "info", path)
    report("bitmaps are QEMU's again", not status and "name: one" in text and "in-use" not in text, text)
    status, text = compare(path)
    report("and the image is sound", not status, text)
    then, now = open(before, "rb").read(), open(path + ".raw", "rb").read()
    for name, unit in ("one", 65536), ("two", 512):
        marked = dirty_map(path, name, work + "/socket")
        missed = [at for at in range(0, len(now), unit) if then[at:at + unit] != now[at:at + unit] and
                  not any(offset <= at < offset + length for offset, length in marked)]
        total = sum(length for _, length in marked)
        report(f"bitmap {name} has all that was written", not missed and total, f"{missed[:5]} {total}")


def locks(work):
    """Neither opens what the other has open."""
    path = work + "/lock.qcow2"
    must("qemu-img", "create", "-q", "-f", "qcow2", path, "8M")
    with subprocess.Popen(["qemu-io", "-f", "qcow2", path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as peer:
        peer.stdin.write("read 0 512\n")
        peer.stdin.flush()
        peer.stdout.readline()
        status, text = run(OPS, path, work + "/raw", "1", "1")
        report("what QEMU has open is refused", status and "in use" in text, text)
        peer.stdin.close()
        peer.wait()
    with subprocess.Popen([OPS, path, work + "/raw", "1", "0", "wait"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as ours:
        ours.stdout.readline()
        status, text = run("qemu-img", "info", path)
        report("what dach has open QEMU refuses", status and "lock" in text, text)
        ours.stdin.close()


def main():
    with tempfile.TemporaryDirectory() as work:
        refusals(work)
        locks(work)
        bitmaps(work)
        for n, image in enumerate(IMAGES):
            try_image(work, n, *image)
    sys.exit(failures != 0)


main()
