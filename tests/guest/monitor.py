#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest's monitor from its daemon's side: tests/guest/monitor.sh runs it with the kernel and an
initrd (see scenarios below); as a module it is what other tests start a dach-vmm with."""
import atexit
import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

DACH = os.environ["DACH"]
VMM = os.environ.get("DACH_VMM", os.path.join(os.path.dirname(DACH), "dach-vmm"))
ENGINE = os.environ.get("DACH_ENGINE", "translate")


class Refused(Exception):
    pass


class Monitor:
    """One dach-vmm with its sockets and files in a folder of its own."""

    def __init__(self, kernel, initrd, cmdline="", **more):
        self.folder = tempfile.TemporaryDirectory(prefix="dach-monitor-")
        self.path = self.folder.name
        self.log = open(self.path + "/log", "w+b")
        self.lock_path, self.status_path = self.path + "/lock", self.path + "/status"
        fds = {}

        def give(fd):
            fds[len(fds) + 4] = fd
            return len(fds) + 3

        def opened(path, flags=os.O_RDONLY):
            return give(os.open(path, flags | os.O_CLOEXEC, 0o600))

        def door(name):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(f"{self.path}/{name}")
            sock.listen(8)
            return give(sock.detach())

        document = {
            "version": 3, "name": "test", "domid": 7, "engine": ENGINE, "memory": 256 << 10,
            "uuid": "5f0c6a6e-0000-4000-8000-000000000001",
            "cmdline": "console=ttyS0 quiet panic=-1 " + cmdline,
            "control": door("control"), "console": door("console"),
            "lock": opened(self.lock_path, os.O_RDWR | os.O_CREAT),
            "status": opened(self.status_path, os.O_RDWR | os.O_CREAT)}
        state = more.pop("state", None)
        if state:
            document["state"] = {"fd": opened(state), "name": state}
        else:
            document["kernel"] = {"fd": opened(kernel), "name": kernel}
        if initrd:
            document["initrd"] = {"fd": opened(initrd), "name": initrd}
        disks = more.pop("disks", [])
        document["disks"] = [
            {"files": [{"format": "raw", "fd": opened(d, os.O_RDONLY if ro else os.O_RDWR),
                        "name": d}], "readonly": ro}
            for d, ro in disks]
        document.update(more)
        self.process = self.launch(json.dumps(document).encode(), fds)
        atexit.register(self.close)  # also when the test fails
        for fd in fds.values():
            os.close(fd)
        self.number, self.pending, self.events, self.control = 0, b"", [], None

    def launch(self, text, fds):
        memory = os.memfd_create("configuration")
        os.write(memory, text)
        # Moved out of the way first: a number may be both a source and a target.
        high = {n: fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for n, fd in {3: memory, **fds}.items()}
        os.close(memory)

        def arrange():
            for n, fd in high.items():
                os.dup2(fd, n)
                os.close(fd)

        process = subprocess.Popen([VMM], stdin=subprocess.DEVNULL, stdout=self.log,
                                   stderr=self.log, close_fds=False, preexec_fn=arrange)
        for fd in high.values():
            os.close(fd)
        return process

    def connect(self, name):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(60)
        sock.connect(f"{self.path}/{name}")
        return sock

    def line(self):
        while b"\n" not in self.pending:
            data = self.control.recv(65536)
            if not data:
                raise EOFError("the control socket ended")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def ask(self, verb, fd=None, **fields):
        self.control = self.control or self.connect("control")
        self.number += 1
        text = json.dumps({"id": self.number, "do": verb, **fields}).encode() + b"\n"
        if fd is None:
            self.control.sendall(text)
        else:
            socket.send_fds(self.control, [text], [fd])
        while True:
            message = self.line()
            if "event" in message:
                self.events.append(message)
            elif message["id"] == self.number:
                if "error" in message:
                    raise Refused(message["error"])
                return message

    def event(self, name):
        while True:
            for message in self.events:
                if message["event"] == name:
                    self.events.remove(message)
                    return message
            message = self.line()
            self.events.append(message)

    def console(self):
        return Console(self.connect("console"))

    def wait(self, seconds=60):
        status = self.process.wait(seconds)
        with open(self.status_path) as file:
            text = file.read()
        return status, json.loads(text) if text else None

    def cpu(self):
        """Seconds of processor time that it has used."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        """KiB of memory that is no file's, the guest's (private, or a memfd) among it."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s*(\d+)", file.read()))

    def cpu_ns(self):
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        return total

    def beyond_guest(self, memory):
        """KiB that are not the guest's memory, which is the one mapping of that size."""
        total = size = 0
        with open(f"/proc/{self.process.pid}/smaps") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "Size":
                    size = int(value.split()[0])
                elif name == "Pss" and size != memory:
                    total += int(value.split()[0])
        return total

    def close(self):
        if self.log.closed:
            return ""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        text = self.log.read().decode("utf-8", "replace")
        self.log.close()
        if self.control:
            self.control.close()
        self.folder.cleanup()
        return text


class Console:
    def __init__(self, sock):
        self.sock, self.text = sock, b""

    def until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while what.encode() not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError(f"the guest did not say {what!r}: {self.text[-400:]!r}")
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the console ended before {what!r}: {self.text[-400:]!r}")
            self.text += data
        return self.text.decode("utf-8", "replace")

    def send(self, text):
        self.sock.sendall(text.encode())


def check(name, ok, detail=""):
    global failures
    if not ok:
        failures += 1
        print("  | " + str(detail).replace("\n", "\n  | "))
    print(f"{'ok' if ok else 'not ok'} monitor: {name}", flush=True)


failures = 0


def refused(monitor, verb, **fields):
    try:
        monitor.ask(verb, **fields)
    except Refused as error:
        return str(error)
    return None


def held(path):
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def scenario_life(kernel, initrd, work):
    """A guest that echoes lines: console, information, pause, and the end by request."""
    disk = work + "/disk"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    monitor = Monitor(kernel, initrd, disks=[(disk, False)], vcpus=2)
    first = monitor.console()
    first.until("READY")
    second = monitor.console()
    check("a newcomer gets the history", "GUEST-UP" in second.until("READY"))
    first.send("one\n")
    check("two readers see one console", "got one" in second.until("got one") and
          "got one" in first.until("got one"))
    info = monitor.ask("info")
    check("info", info["engine"] == ENGINE and info["domid"] == 7 and len(info["vcpus"]) == 2 and
          info["state"] == "running" and info["vcpus"][0]["time"] > 0 and
          info["memory"]["max"] == 256 << 10 and info["disks"][0]["size"] == 1 << 20, info)
    check("info names the processors' threads",
          os.path.exists(f"/proc/{monitor.process.pid}/task/{info['vcpus'][1]['tid']}"), info)
    first.send("disk\n")
    first.until("wrote")
    count = monitor.ask("info")["disks"][0]
    check("info counts what disks do", count["written_bytes"] >= 65536 and count["writes"] > 0,
          count)
    check("the lock is held", held(monitor.lock_path))
    if os.geteuid() == 0:
        check("every thread is walled in", walls(monitor) is None, walls(monitor))
        check("in an empty file system", os.listdir(f"/proc/{monitor.process.pid}/root") == [])
        check("none of the host's namespaces but users and processes",
              shared(monitor) == {"user", "pid"}, shared(monitor))
        limit = file_limit(monitor)
        check("its files do not grow beyond what a core needs", 256 << 20 < limit < 384 << 20, limit)
        check("the kernel's file is closed", not monitor_has(monitor, kernel))
        network = Monitor(kernel, initrd, networks=[{"kind": "user"}])
        network.ask("info")
        check("with a network in user mode it shares the network besides",
              shared(network) == {"user", "pid", "net"} and walls(network) is None, shared(network))
        names = os.listdir(f"/proc/{network.process.pid}/root")
        check("and its file system has the resolver's configuration alone",
              names in ([], ["etc"]) and (not names or os.listdir(
                  f"/proc/{network.process.pid}/root/etc") == ["resolv.conf"]), names)
        network.ask("destroy")
        network.wait()
        network.close()
    monitor.ask("pause")
    check("pause is told to all", monitor.event("paused"))
    check("paused", monitor.ask("info")["state"] == "paused")
    before = monitor.cpu()
    first.send("two\n")
    time.sleep(0.5)
    used = monitor.cpu() - before
    check("a paused guest does nothing", used < 0.05, used)
    monitor.ask("unpause")
    first.until("got two")
    check("and goes on", True)
    check("requests that make no sense are refused", refused(monitor, "fly") and
          refused(monitor, "info", colour="red") and refused(monitor, "trigger", trigger="nmi", vcpu=9))
    monitor.ask("sysrq", key="h")
    first.until("sysrq: HELP")
    check("sysrq", True)
    monitor.ask("trigger", trigger="nmi")
    first.until("NMI")
    check("trigger nmi", True)
    stuck = monitor.connect("console")
    first.send("flood\n")
    first.until("FLOOD-END", 60)
    check("a reader who does not read holds nobody up", True)
    stuck.close()
    monitor.ask("destroy")
    status, said = monitor.wait()
    check("destroy", status == 2 and said == {"reason": "killed", "status": 2}, (status, said))
    check("the lock is free", not held(monitor.lock_path))
    text = monitor.close()
    check("nothing on standard error", not text, text)


def shared(monitor):
    """The namespaces that it has in common with us."""
    def of(who):
        return {name: os.readlink(f"/proc/{who}/ns/{name}")
                for name in ("user", "pid", "net", "mnt", "ipc", "uts", "cgroup")}
    ours, its = of("self"), of(monitor.process.pid)
    return {name for name in ours if ours[name] == its[name]}


def file_limit(monitor):
    with open(f"/proc/{monitor.process.pid}/limits") as file:
        said = next(line for line in file if line.startswith("Max file size")).split()
    return 1 << 63 if said[3] == "unlimited" else int(said[3])


def monitor_has(monitor, path):
    folder, name = f"/proc/{monitor.process.pid}/fd", os.path.realpath(path)
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            if os.readlink(f"{folder}/{fd}") == name:
                return True
    return False


def walls(monitor):
    """What the kernel says of each thread: a seccomp filter, no capability, nothing to gain."""
    task = f"/proc/{monitor.process.pid}/task"
    for thread in os.listdir(task):
        with open(f"{task}/{thread}/status") as file:
            says = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if says["Seccomp"] != "2" or int(says["CapEff"], 16) or \
                int(says["CapBnd"], 16) or int(says["CapAmb"], 16) or says["NoNewPrivs"] != "1" or \
                "0" in says["Uid"].split() + says["Gid"].split():
            return f"{says['Name']}: {says}"
    return None


def scenario_idle(kernel, initrd, work):
    """A guest that does nothing, with a network and a disk: its walls, its cost."""
    disk = work + "/disk"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    monitor = Monitor(kernel, initrd, disks=[(disk, True)], networks=[{"kind": "user"}])
    console = monitor.console()
    console.until("READY")
    if os.geteuid() == 0:
        check("every thread is walled in, with a network too", walls(monitor) is None, walls(monitor))
    console.send("net\n")
    console.until("lease of 10.0.2.15")
    check("and the network works", True)
    # It takes the monitor some ten seconds to see that nothing is to be done, and the guest now and then has something.
    time.sleep(12)
    share = 100
    for _ in range(5):
        if share < 1:
            break
        start, before = time.monotonic(), monitor.cpu_ns()
        time.sleep(6)
        share = (monitor.cpu_ns() - before) / 1e7 / (time.monotonic() - start)
    check(f"an idle guest costs under 1% of a processor ({share:.2f}%)", share < 1, share)
    if os.geteuid() == 0:
        own = monitor.beyond_guest(256 << 10)
        check(f"and its monitor under 16 MiB beside its memory ({own} KiB)", own < 16 << 10, own)
    console.send("again\n")
    console.until("got again")
    check("an idle guest wakes up", True)
    monitor.ask("destroy")
    status, said = monitor.wait()
    check("destroy with a network", status == 2, (status, said, monitor.close()))
    monitor.close()


def scenario_memory(kernel, initrd, work):
    """The balloon, and a core that a debugger opens."""
    monitor = Monitor(kernel, initrd, memory=192 << 10, maxmem=256 << 10, vcpus=2)
    console = monitor.console()
    console.until("READY")
    # The event that it has come there may be over before we listen.
    told = monitor.ask("info")["memory"]
    if told["actual"] != told["target"]:
        told = monitor.event("memory")["memory"]
    check("the guest begins with its memory, not its maximum",
          told["actual"] == told["target"] == 192 << 10 and told["max"] == 256 << 10, told)
    console.send("eat\n")
    console.until("ATE")
    before = monitor.resident()
    monitor.ask("memory-set", memory=100 << 10)
    told = monitor.event("memory")["memory"]
    saved = before - monitor.resident()
    check("memory-set gives memory back to the host", told["actual"] == 100 << 10 and
          saved > 60 << 10, (told, saved))
    monitor.ask("info")
    time.sleep(0.2)
    told = monitor.ask("info")["memory"]
    check("the guest's statistics", 0 < told["free"] < told["total"] <= 100 << 10, told)
    check("no more than the maximum", "256 MiB" in (refused(monitor, "memory-set", memory=1 << 20)
                                                    or ""))
    monitor.ask("memory-set", memory=256 << 10)
    check("memory-set gives it back to the guest",
          monitor.event("memory")["memory"]["actual"] == 256 << 10)
    path = work + "/core"
    with open(path, "wb") as file:
        done = monitor.ask("dump-core", fd=file.fileno())
    size = os.stat(path)
    check("dump-core", done["bytes"] == size.st_size > 256 << 20 and
          size.st_blocks * 512 < 200 << 20, (done, size))
    said = subprocess.run(["gdb", "-batch", "-nx", "-ex", "info threads", "-ex", "p/x $rip",
                           "-ex", "p/x $cs", "-ex", "x/s 0x20000", "-c", path],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
    check("a debugger opens the core", said.count("LWP ") >= 2 and "$1 = 0xffffffff" in said and
          "$2 = 0x10" in said, said)
    os.unlink(path)
    read, write = os.pipe()
    reader = subprocess.Popen(["sha256sum"], stdin=read, stdout=subprocess.PIPE)
    done = monitor.ask("dump-core", fd=write, live=True)
    os.close(read)
    os.close(write)
    check("dump-core into a pipe, live", done["bytes"] == size.st_size and
          len(reader.communicate()[0]) > 64)
    with open("/dev/null") as file:
        try:
            monitor.ask("dump-core", fd=file.fileno())
            check("a core's file is for writing", False)
        except Refused as error:
            check("a core's file is for writing", "not open for writing" in str(error))
    console.send("three\n")
    console.until("got three")
    check("the guest goes on after it", True)
    read, write = os.pipe()
    monitor.number += 1
    socket.send_fds(monitor.control, [b'{"id": 900, "do": "dump-core"}\n'], [write])
    time.sleep(0.2)
    monitor.control.sendall(b'{"id": 901, "do": "destroy"}\n')
    answers = {}
    while len(answers) < 2:
        message = monitor.line()
        if "id" in message:
            answers[message["id"]] = message
    status, said = monitor.wait()
    check("the guest may go while it is dumped", status == 2 and answers[901]["ok"] and
          "gone" in answers[900]["error"], (status, answers))
    os.close(read)
    os.close(write)
    text = monitor.close()
    check("nothing on standard error here", not text, text)


def stalled(monitor, verb, number, **fields):
    """A job into a pipe that nobody reads; what "jobs" says of it."""
    monitor.events.clear()
    read, write = os.pipe()
    socket.send_fds(monitor.control, [json.dumps({"id": number, "do": verb, **fields}).encode() + b"\n"],
                    [write])
    os.close(write)
    time.sleep(0.2)
    return read, monitor.ask("jobs")["jobs"]


def answer_of(monitor, number):
    while True:
        message = monitor.line()
        if message.get("id") == number:
            return message
        monitor.events.append(message)


def scenario_jobs(kernel, initrd, work):
    """What takes long: seen, cancelled, and a guest that is saved and goes on elsewhere."""
    monitor = Monitor(kernel, initrd, vcpus=2)
    console = monitor.console()
    console.until("READY")
    monitor.ask("info")
    for number, verb in ((800, "dump-core"), (801, "save")):
        read, jobs = stalled(monitor, verb, number)
        check(f"{verb} is seen", len(jobs) == 1 and jobs[0]["job"] == verb and
              jobs[0]["state"] == "running" and jobs[0]["done"] < jobs[0]["total"], jobs)
        told = [monitor.event("job")["job"] for _ in range(2)]
        check(f"{verb} tells how far it is", all(job["id"] == jobs[0]["id"] for job in told) and
              told[1]["total"] >= 256 << 20, told)
        stands = monitor.ask("info")["vcpus"][0]["state"]
        monitor.ask("cancel", job=jobs[0]["id"])
        answer = answer_of(monitor, number)
        check(f"{verb} is cancelled", stands == "paused" and answer["errno"] == 125 and
              "cancelled" in answer["error"], (stands, answer))
        os.close(read)
        console.send(f"after {verb}\n")
        console.until(f"got after {verb}")
        check(f"the guest goes on after a {verb} that was cancelled", not monitor.ask("jobs")["jobs"])
    state = work + "/state"
    for then, after in ("run", "running"), ("pause", "paused"):
        with open(state, "wb") as file:
            monitor.ask("save", fd=file.fileno(), then=then)
        check(f"saved, it is {after}", monitor.ask("info")["state"] == after)
    monitor.ask("unpause")
    console.send("after states\n")
    console.until("got after states")
    with open(state, "wb") as file:
        monitor.ask("save", fd=file.fileno(), then="wait")
    check("saved, it waits", monitor.ask("info")["state"] == "saved")
    check("and nothing is done to it", refused(monitor, "pause") and refused(monitor, "shutdown"))
    monitor.ask("release")
    check("until it is released", monitor.ask("info")["state"] == "running" and
          refused(monitor, "release", end=True))
    console.send("after release\n")
    console.until("got after release")
    # Who asked for it goes in the middle: nobody would release it.
    read, _ = stalled(monitor, "save", 802, then="wait")
    monitor.control.close()
    monitor.control, monitor.pending = None, b""
    console.send("alone\n")
    console.until("got alone")
    os.close(read)
    check("a guest goes on when who had it saved has gone", monitor.ask("info")["state"] == "running")
    with open(state, "wb") as file:
        monitor.ask("save", fd=file.fileno(), then="wait")
        done = monitor.ask("release", end=True)
    status, said = monitor.wait()
    check("a guest that waits is ended as saved", status == 6 and said["reason"] == "saved", said)
    monitor.close()
    monitor = Monitor(None, None, vcpus=2, state=state)
    console = monitor.console()
    console.send("from a state\n")
    console.until("got from a state")
    check("a daemon's guest goes on from a state without a kernel",
          monitor.ask("info")["state"] == "running")
    with open(state, "wb") as file:
        done = monitor.ask("save", fd=file.fileno())
    status, said = monitor.wait()
    stat = os.stat(state)
    # What is packed ends somewhere in a block of 4 KiB, for each 64 KiB of memory.
    unused = stat.st_blocks * 512 - done["bytes"]
    check("a guest is saved", status == 6 and said["reason"] == "saved" and stat.st_size > 256 << 20 and
          -(1 << 20) < unused < stat.st_size // 16, (status, said, done, stat, unused))
    text = monitor.close()
    check("without a word", not text, text)
    run = subprocess.run([DACH, "run", "--engine", ENGINE, "--kernel", kernel, "--memory", "256",
                          "--vcpus", "2", "--restore-from", state], input=b"elsewhere\npoweroff\n",
                         stdout=subprocess.PIPE, timeout=60)
    check("and goes on elsewhere", run.returncode == 0 and b"got elsewhere" in run.stdout, run)
    os.unlink(state)


def scenario_ends(kernel, initrd, work):
    """The guest's own ends, told in the status file."""
    for word, want, status in (("poweroff", "poweroff", 0), ("reboot", "reboot", 5),
                               ("crash", "crash", 3)):
        monitor = Monitor(kernel, initrd, keep=["crash"] if word == "crash" else [])
        console = monitor.console()
        console.until("READY")
        monitor.ask("info")
        console.send(word + "\n")
        if word == "crash":
            kept = monitor.event("kept")
            info = monitor.ask("info")
            check("a crashed guest is kept", kept["reason"] == info["reason"] == "crash" and
                  info["state"] == "ended" and refused(monitor, "unpause"))
            monitor.ask("destroy")
        got, said = monitor.wait()
        check(f"{word} is told", got == status and said and said["reason"] == want,
              (got, said, monitor.close()))
        monitor.close()
    monitor = Monitor(kernel, initrd)
    console = monitor.console()
    console.until("READY")
    console.send("button\n")
    console.until("WAITS")
    monitor.ask("reboot")
    got, said = monitor.wait()
    check("reboot from outside is told as one", got == 5 and said["reason"] == "reboot",
          (got, said, monitor.close()))
    monitor.close()


def scenario_wrong(kernel, initrd, work):
    """Configurations that cannot be."""
    for name, more, want in (
            ("an unknown key", {"colour": "red"}, "colour: unknown"),
            ("a descriptor that is not open", {"console": 150}, "descriptor 150 is not open"),
            ("no memory to speak of", {"memory": 1}, "memory: 1 is not between"),
            ("a descriptor used twice", {"console": 4}, "descriptor 4 is used twice"),
            ("another version", {"version": 2}, "version: not 3")):
        monitor = Monitor(kernel, initrd, **more)
        status = monitor.process.wait(20)
        text = monitor.close()
        check("refused: " + name, status == 1 and want in text and text.count("\n") == 1, text)
    monitor = Monitor(kernel, None)
    status, said = monitor.wait()
    monitor.close()
    check("a kernel without a root panics, which is a crash", status == 3 and
          said["reason"] == "crash" and "panicked" in said["error"], (status, said))


def main():
    scenario = globals()["scenario_" + sys.argv[1]]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    scenario(*sys.argv[2:])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
