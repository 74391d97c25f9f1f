# SPDX-License-Identifier: Apache-2.0
"""What the daemon's tests share: a dachd in folders of its own, with tests/daemon/fakevmm as its
monitors, and questions over its socket. Everything that is started is ended by its number."""
import contextlib
import fcntl
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.dirname(os.environ.get("DACH", HERE + "/../../build/dach"))
DISK_SIZE = 4 << 20  # of those that make_disks makes


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Refused(Exception):
    def __init__(self, status, answer):
        super().__init__(f"{status} {answer}")
        self.status, self.text, self.errno = status, answer["error"], answer["errno"]


class Daemon:
    def __init__(self, policy=None, vmm=HERE + "/fakevmm"):
        self.folder = tempfile.mkdtemp(prefix="dachd-test-")
        os.chmod(self.folder, 0o755)
        self.run, self.state = self.folder + "/run", self.folder + "/state"
        self.journal = self.folder + "/journal"
        self.kernel = self.folder + "/kernel"
        open(self.kernel, "w").close()
        os.chmod(self.kernel, 0o644)  # the umask may be 077
        self.env = {**os.environ, "DACH_RUN": self.run, "DACH_STATE": self.state,
                    "DACH_FAKE_JOURNAL": self.journal}
        if vmm:
            self.env["DACH_VMM"] = vmm
        self.words = ["--policy", policy or self.folder + "/policy"]
        self.process, self.vmm, self.program = None, vmm, [BUILD + "/dachd"]

    def as_another_host(self):
        """Beside one more of root's, to which its guests go: those are called by their UUIDs in the host's control groups."""
        if os.getuid() == 0:
            self.program = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup; exec "$@"', "sh", *self.program]

    def start(self, wait=True):
        self.log = open(self.folder + "/log", "a")
        self.process = subprocess.Popen([*self.program, *self.words], env=self.env,
                                        stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        end = time.monotonic() + 60
        while wait:
            with contextlib.suppress(Refused, OSError):
                self.call("GET", "/v1/guests")
                break
            if self.process.poll() is not None:
                raise RuntimeError("dachd ended: " + open(self.folder + "/log").read())
            if time.monotonic() > end:
                raise RuntimeError("dachd does not answer: " + waits(self.process.pid) + self.said()[-2000:])
            time.sleep(0.02)
        return self

    def try_start(self):
        """Where it should not come up: status and what it said."""
        done = subprocess.run([*self.program, *self.words], env=self.env, timeout=20,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stderr

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.process = None

    def monitors(self):
        """Process numbers of the monitors that hold their lock, by UUID."""
        found = {}
        top = self.run + "/guests"
        for uuid in os.listdir(top) if os.path.isdir(top) else []:
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"{top}/{uuid}/lock") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        found[uuid] = int(lock.read().split()[1])
        return found

    def close(self):
        self.stop()
        for name in glob.glob(self.run + "/networks/*/pid"):  # of a test that failed
            with contextlib.suppress(OSError, ValueError), open(name) as pid:
                os.kill(int(pid.read()), signal.SIGTERM)
        for uuid, pid in self.monitors().items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: uuid not in self.monitors())
            for group in glob.glob(f"/sys/fs/cgroup/*/dach/{uuid}") + \
                    glob.glob(f"/sys/fs/cgroup/dach/{uuid}"):
                for top, _, _ in os.walk(group, topdown=False):  # a container has some below it
                    with contextlib.suppress(OSError):
                        os.rmdir(top)
        said = self.said() if os.path.exists(self.folder + "/log") else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        assert "Sanitizer" not in said, said  # of a dachd that was built with one

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, path, body=None, timeout=30):
        connection = Connection(self.run + "/dachd.sock", timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            data = json.loads(answer.read())
        except http.client.HTTPException as gone:
            raise OSError(str(gone)) from gone
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(answer.status, data)
        return data

    def migration(self, method, path, body=None):
        """The connection for monitors that the answer makes of it."""
        connection = Connection(self.run + "/dachd.sock")
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Connection": "Upgrade", "Upgrade": "dach-migrate"})
        status = connection.sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL)[9:]
        if status != b"101":
            answer = connection.getresponse()
            raise Refused(answer.status, json.loads(answer.read()))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.sock.recv(1)
        connection.sock.settimeout(None)
        return connection.sock

    def post(self, path, body=None):
        return self.call("POST", path, body)

    def tell_monitor(self, guest, what):
        """As only the daemon should."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{self.run}/guests/{guest['uuid']}/control")
            s.sendall(json.dumps({"id": 1, "do": what}).encode() + b"\n")
            s.recv(1)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def get(self, path):
        return self.call("GET", path)

    def create(self, name, words="", managed=False, start=None, paused=False, **config):
        body = {"config": {"name": name, "kernel": self.kernel, "memory_kib": 65536,
                           "cmdline": words, **config}, "managed": managed, "paused": paused}
        body["config"] = {key: value for key, value in body["config"].items() if value is not None}
        if start is not None:
            body["start"] = start
        return self.post("/v1/guests", body)

    def guests(self):
        return {g["name"]: g for g in self.get("/v1/guests")["guests"]}

    def events(self):
        return Events(self)

    def said(self):
        return open(self.folder + "/log").read()


class Events:
    """The stream; next() waits for one that fits."""
    def __init__(self, daemon):
        self.connection = Connection(daemon.run + "/dachd.sock", 20)
        self.connection.request("GET", "/v1/events")
        self.answer = self.connection.getresponse()
        assert json.loads(self.answer.readline())["event"] == "hello"

    def next(self, what, **fields):
        while True:
            line = self.answer.readline()
            if not line:
                raise EOFError("the events ended")
            event = json.loads(line)
            if event["event"] == what and all(event.get(k) == v for k, v in fields.items()):
                return event

    def close(self):
        self.answer.close()
        self.connection.close()


def waits(pid):
    """For what, as the kernel knows it."""
    found = ""
    for file in "wchan", "stack", "syscall":
        with contextlib.suppress(OSError):
            found += open(f"/proc/{pid}/{file}").read() + "; "
    return found


def open_files(pid):
    """The names of what a process has open; a file may close while they are read."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def make_disks(d, *names):
    for name in names:
        with open(f"{d.folder}/{name}", "wb") as file:
            file.truncate(DISK_SIZE)
    return [{"target": f"{d.folder}/{name}", "vdev": f"xvd{'abc'[n]}", "writable": True}
            for n, name in enumerate(names)]


def backing(path):
    """What the image stands on, as its header has it."""
    with open(path, "rb") as file:
        head = file.read(65536)
    assert head[:4] == b"QFI\xfb", path
    offset, length = struct.unpack(">QI", head[8:20])
    assert struct.unpack(">Q", head[24:32])[0] == DISK_SIZE
    return head[offset:offset + length].decode()


def without_groups(program):
    """The program's words, so that it finds no control groups; for root."""
    return ["unshare", "-m", "sh", "-c", 'umount -R /sys/fs/cgroup 2>/dev/null; exec "$0" "$@"', *program]


def runs(process):
    """Number and beginning of a process (field 22 of /proc/PID/stat)."""
    pid, begin = process
    try:
        fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and int(fields[19]) == begin


def begun(d):
    """Every process that a guest has had, by UUID, as runs() takes it; a line may be half written."""
    found = {}
    for line in open(d.journal) if os.path.exists(d.journal) else []:
        words = line.split()
        if len(words) == 5 and words[0] in ("start", "heir") and line.endswith("\n"):
            found.setdefault(words[1], set()).add((int(words[3]), int(words[4])))
    return found


def refused(status, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except Refused as no:
        assert no.status == status, f"{no} instead of {status}"
        return no.text
    raise AssertionError(f"was not refused with {status}")


def eventually(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.02)


def main(tests):
    """Runs test_* functions and says what came of each."""
    failed = 0
    for name, test in tests.items():
        if not name.startswith("test_"):
            continue
        try:
            test()
            print("ok " + name[5:].replace("_", " "), flush=True)
        except Exception as why:  # whatever it is, the others still run
            import traceback
            traceback.print_exc(file=sys.stdout)
            print(why)
            print("not ok " + name[5:].replace("_", " "), flush=True)
            failed = 1
    sys.exit(failed)
