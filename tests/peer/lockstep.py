#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one guest under dach and under QEMU's TCG, an instruction at a time, and stops where they differ.

  lockstep.py [options] KERNEL
    --dach FILE        (build/dach)          --engine NAME     (translate)
    --qemu FILE        (qemu-system-x86_64)  --cpu MODEL       QEMU's processor (see CPU)
    --initrd FILE      --cmdline STRING      added to what both engines need (see QUIET)
    --memory MiB       (128)                 --map FILE        System.map, for names
    --at ADDRESS|NAME  where lock-step starts: dach runs there first (else at its first instruction)
    --hits N           the N-th time it comes there (1)
    --steps N          how many instructions (20000)
    --tolerate N       go on after N differences, with dach's registers in both (0)
    --flags            stop at a difference in status flags too: many are of flags that the
                       manuals leave undefined, and those are copied and counted otherwise
    --trace            print every instruction's address

dach boots the kernel and stops at --at. Then its whole memory and its registers go into a QEMU that
has booted nothing, and both step. So devices may differ, and time: results of the instructions in
VOLATILE are copied from QEMU to dach and not compared. No interrupts come while stepping, on either
side. What is in memory is seen when it is loaded. Status 0: no difference; 1: one; 2: trouble.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

# Both processors have to be the same for the kernel: what TCG does not have is not used.
QUIET = ("nokaslr nopcid noinvpcid nox2apic lapic=notscdeadline noxsave no-kvmclock nosmp "
         "mitigations=off tsc=reliable console=ttyS0")

# And what dach does not have is not told: CPUID's results are QEMU's.
CPU = "max,la57=off,pku=off,pks=off,svm=off,xsave=off,mpx=off,monitor=off,3dnow=off,3dnowext=off"

# Instructions whose results depend on time, devices or the model: prefix bytes aside.
VOLATILE = {
    (0x0F, 0x31): "rdtsc", (0x0F, 0x33): "rdpmc", (0x0F, 0xA2): "cpuid", (0x0F, 0x32): "rdmsr",
    (0x0F, 0xC7): "rdrand, rdseed, rdpid, cmpxchg8b", (0x0F, 0x01): "system",
    (0xE4,): "in", (0xE5,): "in", (0xEC,): "in", (0xED,): "in", (0x6C,): "ins", (0x6D,): "ins",
}
STRING = {0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x6C, 0x6D, 0x6E, 0x6F}
GENERAL = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()
COMPARED = (GENERAL + ["rip", "eflags", "cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base",
                       "k_gs_base", "cr0", "cr3", "cr4", "efer"] +
            [f"xmm{i}" for i in range(16)] + ["mxcsr"])
# CF PF AF ZF SF OF
STATUS = 0x8D5
# Not TF, RF, and bit 1
FLAGS_COMPARED = 0x3F7FD5 & ~0x10100
PAGE = 4096


class Trouble(Exception):
    pass


class Stub:
    """A gdb remote stub and its registers by name."""

    def __init__(self, path, name):
        self.name = name
        self.buffer = b""
        end = time.monotonic() + 20
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > end:
                    raise Trouble(f"{name}: nothing listens at {path}")
                time.sleep(0.05)
        self.socket.settimeout(120)
        self.acks = True
        features = self.ask("qSupported:hwbreak+;swbreak+")
        size = re.search(r"PacketSize=([0-9a-f]+)", features)
        self.chunk = (int(size.group(1), 16) - 32) // 2 if size else 512
        if "QStartNoAckMode+" in features and self.ask("QStartNoAckMode") == "OK":
            self.acks = False
        self.registers = []  # (name, bytes) in the order of 'g'
        self.describe("target.xml")
        self.number = {name: n for n, (name, _) in enumerate(self.registers)}

    def send(self, content):
        if isinstance(content, str):
            content = content.encode()
        self.socket.sendall(b"$%s#%02x" % (content, sum(content) & 255))

    def receive(self):
        while True:
            match = re.match(rb"[+-]*\$([^#]*)#..", self.buffer, re.S)
            if match:
                self.buffer = self.buffer[match.end():]
                if self.acks:
                    self.socket.sendall(b"+")
                return match.group(1).decode("latin-1")
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                raise Trouble(f"{self.name}: no answer")
            if not data:
                raise Trouble(f"{self.name}: has ended")
            self.buffer += data

    def ask(self, content):
        self.send(content)
        return self.receive()

    def describe(self, name):
        text = ""
        while True:
            piece = self.ask(f"qXfer:features:read:{name}:{len(text):x},3f0")
            text += piece[1:]
            if piece[:1] != "m":
                break
        text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
        for include, register in re.findall(r'<xi:include href="([^"]+)"|<reg ([^>]*)', text):
            if include:
                self.describe(include)
            else:
                field = dict(re.findall(r'(\w+)="([^"]*)"', register))
                self.registers.append((field["name"], int(field["bitsize"]) // 8))

    def read_registers(self):
        data = bytes.fromhex(self.ask("g").replace("x", "0"))
        values, at = {}, 0
        for name, size in self.registers:
            values[name] = int.from_bytes(data[at:at + size], "little")
            at += size
        return values

    def write_register(self, name, value):
        if name not in self.number:
            raise Trouble(f"{self.name}: has no register {name}")
        size = self.registers[self.number[name]][1]
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little").hex()
        if self.ask(f"P{self.number[name]:x}={data}") != "OK":
            raise Trouble(f"{self.name}: refuses {name} = {value:#x}")

    def read_memory(self, address, size):
        data = b""
        while size:
            answer = self.ask(f"m{address:x},{min(size, self.chunk):x}")
            if answer[:1] == "E" or not answer:
                return None
            piece = bytes.fromhex(answer)
            data += piece
            address += len(piece)
            size -= len(piece)
        return data

    def write_memory(self, address, data):
        for at in range(0, len(data), self.chunk):
            piece = data[at:at + self.chunk]
            if self.ask(f"M{address + at:x},{len(piece):x}:{piece.hex()}") != "OK":
                raise Trouble(f"{self.name}: memory at {address + at:#x} cannot be written")

    def physical(self, on):
        if self.ask(f"Qqemu.PhyMemMode:{int(on)}") != "OK":
            raise Trouble(f"{self.name}: no access to physical memory")

    def step(self):
        self.send("vCont;s:1")
        answer = self.receive()
        if answer[:1] not in "TS":
            raise Trouble(f"{self.name}: {answer} after a step")

    def run_to(self, address, action="vCont;c"):
        for kind in "10":
            if self.ask(f"Z{kind},{address:x},1") == "OK":
                break
        else:
            raise Trouble(f"{self.name}: no breakpoint")
        answer = self.ask(action)
        if answer[:1] not in "TS":
            raise Trouble(f"{self.name}: {answer} before {address:#x} was reached")
        self.ask(f"z{kind},{address:x},1")


def prefixes(code):
    """How many bytes come before the opcode."""
    at = 0
    while at < len(code) - 1 and (code[at] in b"\x66\x67\xf2\xf3\xf0\x2e\x36\x3e\x26\x64\x65" or
                                  code[at] & 0xF0 == 0x40):
        at += 1
    return at


def opcode(code):
    at = prefixes(code)
    return tuple(code[at:at + 2]) if code[at] == 0x0F else (code[at],)


class Names:
    def __init__(self, path):
        self.by_name, self.sorted = {}, []
        if path:
            for line in open(path):
                address, _, name = line.split()[:3]
                self.by_name.setdefault(name, int(address, 16))
                self.sorted.append((int(address, 16), name))
            self.sorted.sort()

    def address(self, text):
        if text in self.by_name:
            return self.by_name[text]
        try:
            return int(text, 16)
        except ValueError:
            raise Trouble(f"{text}: neither an address nor a name (--map FILE)")

    def name(self, address):
        low, high = 0, len(self.sorted)
        while low < high:
            middle = (low + high) // 2
            if self.sorted[middle][0] <= address:
                low = middle + 1
            else:
                high = middle
        if not low or address - self.sorted[low - 1][0] > 1 << 20:
            return ""
        start, name = self.sorted[low - 1]
        return f" {name}+{address - start:#x}"


def copy_memory(dach, path, size):
    """dach's RAM into the file that will be QEMU's."""
    dach.physical(True)
    with open(path, "wb") as out:
        out.truncate(size)
        for at in range(0, size, PAGE):
            page = dach.read_memory(at, PAGE)
            if page is None:
                raise Trouble(f"dach: no memory at {at:#x}")
            if page.count(0) != PAGE:
                out.seek(at)
                out.write(page)
    dach.physical(False)


def task(qemu, state):
    """Where the type of the task's descriptor is and what; None if the table holds no task there."""
    selector = state["tr"] & ~7
    place = state["gdt_base"] + selector + 5
    if not selector or selector + 15 > state["gdt_limit"]:
        return None
    kind = qemu.read_memory(place, 1)
    return (place, kind[0]) if kind and kind[0] & 0x9D == 0x89 else None


def loader(state, origin, with_task):
    """Code that makes the part of a processor's state that gdb cannot write, and its data."""
    code = b""

    def address_later(instruction):
        nonlocal code
        code += instruction + b"\0\0\0\0"
        return len(code)

    gdt = address_later(b"\x0f\x01\x15")  # lgdt [rip + ...]
    idt = address_later(b"\x0f\x01\x1d")  # lidt
    # ROM to RAM: the PAM registers of QEMU's chipset.
    for register, value in ((0x80000058, 0x33333000), (0x8000005C, 0x33333333)):
        code += b"\xba" + struct.pack("<I", 0xCF8) + b"\xb8" + struct.pack("<I", register) + b"\xef"
        code += b"\xba" + struct.pack("<I", 0xCFC) + b"\xb8" + struct.pack("<I", value) + b"\xef"
    for msr, name in ((0xC0000081, "star"), (0xC0000082, "lstar"), (0xC0000083, "cstar"),
                      (0xC0000084, "sfmask"), (0x174, "sysenter_cs"), (0x175, "sysenter_sp"),
                      (0x176, "sysenter_ip"), (0x277, "pat"), (0xC0000103, "tsc_aux")):
        code += b"\xb9" + struct.pack("<I", msr)
        code += b"\xb8" + struct.pack("<I", state[name] & 0xFFFFFFFF)
        code += b"\xba" + struct.pack("<I", state[name] >> 32) + b"\x0f\x30"
    code += b"\xb8" + struct.pack("<I", state["ldtr"]) + b"\x0f\x00\xd0"  # lldt
    if with_task:
        code += b"\xb8" + struct.pack("<I", state["tr"]) + b"\x0f\x00\xd8"  # ltr
    end = len(code)
    code += b"\x90" * 16
    for at, base, limit in ((gdt, "gdt_base", "gdt_limit"), (idt, "idt_base", "idt_limit")):
        place = len(code)
        code += struct.pack("<HQ", state[limit], state[base])
        code = code[:at - 4] + struct.pack("<i", place - at) + code[at:]
    return code, origin + end


def transplant(qemu, state):
    """dach's registers into a QEMU that has its memory."""
    if state["cs"] & 3 or not state["efer"] & 0x400:
        raise Trouble("lock-step starts in 64-bit supervisor code only")
    # A flat 64-bit code segment, loaded by way of a table at 0, which is where the GDT is at reset.
    saved = qemu.read_memory(0, 24)
    qemu.write_memory(0, bytes(8) + struct.pack("<QQ", 0x00AF9B000000FFFF, 0x00CF93000000FFFF))
    qemu.write_register("cr0", 1)
    qemu.write_register("efer", state["efer"])
    for name, selector in (("cs", 8), ("ss", 16), ("ds", 16), ("es", 16)):
        qemu.write_register(name, selector)
    qemu.write_memory(0, saved)
    qemu.write_register("cr4", state["cr4"])
    qemu.write_register("cr3", state["cr3"])
    qemu.write_register("cr0", state["cr0"] & ~0x10000)
    # The loader takes the place of the code that runs next.
    origin = state["rip"] & ~(PAGE - 1)
    descriptor = task(qemu, state)
    code, end = loader(state, origin, descriptor is not None)
    saved = qemu.read_memory(origin, len(code))
    if descriptor:
        # LTR wants a task that is not busy.
        qemu.write_memory(descriptor[0], bytes([descriptor[1] & ~2]))
    qemu.write_memory(origin, code)
    qemu.write_register("eflags", 2)
    qemu.write_register("rip", origin)
    for _ in range(100):
        qemu.step()
        if qemu.read_registers()["rip"] >= end:
            break
    else:
        raise Trouble("QEMU does not take dach's state")
    qemu.write_memory(origin, saved)
    for name in ("cs", "ss", "ds", "es", "fs", "gs"):
        qemu.write_register(name, state[name])
    for name in ("cr0", "cr2", "fs_base", "gs_base", "k_gs_base", "mxcsr", "eflags", "rip"):
        qemu.write_register(name, state[name])
    for name in GENERAL + [f"xmm{i}" for i in range(16)]:
        qemu.write_register(name, state[name])


def differences(a, b):
    out = []
    long_code = a["efer"] & 0x400 and a["cs_attr"] & 0x2000
    for name in COMPARED:
        if name not in a or name not in b:
            continue
        x, y = a[name], b[name]
        if not long_code and name in GENERAL:
            # QEMU shows then what 32-bit code sees.
            if name[1:].isdigit():
                continue
            x, y = x & 0xFFFFFFFF, y & 0xFFFFFFFF
        if not long_code and name[:3] == "xmm" and int(name[3:]) > 7:
            continue
        if name == "eflags":
            x, y = x & FLAGS_COMPARED, y & FLAGS_COMPARED
        elif name == "cr0":
            x, y = x | 0x10, y | 0x10
        if x != y:
            out.append(name)
    return out


def step_over(stub, before, code):
    """One instruction. A repeated string instruction goes to its end, since stubs differ there."""
    stub.step()
    after = stub.read_registers()
    if opcode(code)[0] in STRING and after["rip"] == before["rip"]:
        stub.run_to(before["rip"] + prefixes(code) + 1, "vCont;c:1")
        after = stub.read_registers()
    return after


def copy(stub, values, names):
    for name in names:
        stub.write_register(name, values[name])


def compare(args, dach, qemu, names):
    undefined, volatile, left = {}, {}, args.tolerate
    a, b = dach.read_registers(), qemu.read_registers()
    wrong = differences(a, b)
    if wrong:
        raise Trouble("QEMU did not take over: " + ", ".join(
            f"{n} {a[n]:#x} {b[n]:#x}" for n in wrong))
    for count in range(args.steps):
        code = dach.read_memory(a["rip"], 15) or dach.read_memory(
            a["rip"], PAGE - a["rip"] % PAGE) or b"\x90"
        if args.trace:
            print(f"{a['rip']:#x}{names.name(a['rip'])}: {code.hex()}")
        if code[0] == 0xF4:
            print(f"the guest halts after {count} instructions")
            break
        before = a
        a, b = step_over(dach, before, code), step_over(qemu, before, code)
        # One may stop before, the other after the first instruction of an exception's handler.
        for stub in (qemu, dach):
            if a["rip"] != b["rip"]:
                stub.step()
                a, b = dach.read_registers(), qemu.read_registers()
        wrong = differences(a, b)
        if not wrong:
            continue
        kind = VOLATILE.get(opcode(code))
        if kind and a["rip"] == b["rip"]:
            volatile[kind] = volatile.get(kind, 0) + 1
            copy(dach, b, wrong)
            a = dach.read_registers()
            continue
        if wrong == ["eflags"] and not args.flags and not (a["eflags"] ^ b["eflags"]) & \
                FLAGS_COMPARED & ~STATUS:
            key = code[:3].hex()
            undefined[key] = undefined.get(key, 0) + 1
            copy(qemu, a, wrong)
            continue
        print(f"after {count} instructions, {before['rip']:#x}{names.name(before['rip'])}: "
              f"{code.hex(' ')}")
        for name in wrong:
            print(f"  {name:9} before {before[name]:#x}, dach {a[name]:#x}{names.name(a[name])}, "
                  f"QEMU {b[name]:#x}{names.name(b[name])}")
        if not left:
            return False
        left -= 1
        copy(qemu, a, wrong)
    print(f"{count + 1} instructions are the same; copied: "
          f"{', '.join(f'{v} {k}' for k, v in volatile.items()) or 'nothing'}; flags: "
          f"{', '.join(f'{v} after {k}' for k, v in undefined.items()) or 'the same'}")
    return left == args.tolerate


def run(args, work, started):
    names = Names(args.map)
    start = names.address(args.at) if args.at else None
    command = [args.dach, "run", "--engine", args.engine, "--kernel", args.kernel, "--memory",
               str(args.memory), "--cmdline", (QUIET + " " + args.cmdline).strip(),
               "--gdb", f"unix:{work}/dach.gdb"]
    if args.initrd:
        command += ["--initrd", args.initrd]
    log = open(work + "/dach.log", "wb")
    started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    dach = Stub(work + "/dach.gdb", "dach")
    for hit in range(args.hits if args.at else 0):
        if hit:
            dach.step()
        dach.run_to(start)
    copy_memory(dach, work + "/ram", args.memory << 20)
    started.append(subprocess.Popen(
        [args.qemu, "-accel", "tcg", "-machine", "pc,memory-backend=ram", "-cpu", args.cpu,
         "-m", str(args.memory), "-object",
         f"memory-backend-file,id=ram,size={args.memory}M,mem-path={work}/ram,share=on",
         "-nodefaults", "-display", "none", "-S", "-gdb", f"unix:{work}/qemu.gdb,server=on,wait=off"],
        stdin=subprocess.DEVNULL))
    qemu = Stub(work + "/qemu.gdb", "QEMU")
    transplant(qemu, dach.read_registers())
    return compare(args, dach, qemu, names)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kernel")
    for name, default in (("dach", "build/dach"), ("engine", "translate"), ("cmdline", ""),
                          ("qemu", "qemu-system-x86_64"), ("cpu", CPU), ("initrd", None),
                          ("map", None), ("at", None)):
        parser.add_argument("--" + name, default=default)
    for name, default in (("memory", 128), ("hits", 1), ("steps", 20000), ("tolerate", 0)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--flags", action="store_true")
    parser.add_argument("--trace", action="store_true")
    args = parser.parse_args()
    work, started = tempfile.mkdtemp(), []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        return 0 if run(args, work, started) else 1
    except Trouble as trouble:
        if os.path.exists(work + "/dach.log"):
            sys.stderr.write(open(work + "/dach.log", errors="replace").read()[-2000:])
        print(f"lockstep: {trouble}", file=sys.stderr)
        return 2
    finally:
        for process in started:
            process.kill()
            process.wait()
        shutil.rmtree(work)


sys.exit(main())
