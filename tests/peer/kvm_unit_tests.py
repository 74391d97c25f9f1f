#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs built kvm-unit-tests under QEMU's TCG and here, and prints the two beside each other.

    kvm_unit_tests.py [-v] [-o DIR] [--dach FILE] [--only tcg|dach] FOLDER [TEST...]

FOLDER is kvm-unit-tests, configured (--arch=x86_64 or i386) and built. Not part of CI: nothing of
it may lie in the repository. Each test's output is left in DIR (default: FOLDER/peer), so that
--only repeats one side. A test counts as worse here if TCG passes and we do not, or if a line that
says PASS there says FAIL here. Status 1 if there is one."""
import argparse
import os
import re
import shlex
import subprocess
import sys

# What the engine does not offer; and what needs KVM or Hyper-V itself.
NOT_OFFERED = re.compile(r"^(svm|vmx|ept|pku$|pks$|la57$|cet$|lam$|amd_sev|intel_iommu)")
NEEDS_HOST = re.compile(r"^(hyperv|vmware|pmu|asyncpf|hypercall|tsx-ctrl)")
WORDS = {0: "pass", 1: "FAIL", 38: "skip", 63: "abort"}


def tests_of(path):
    """unittests.cfg: sections of name = value lines."""
    tests, now = {}, None
    for line in open(path, encoding="utf-8"):
        line = line.split("#")[0].strip() if line.startswith("#") else line.strip()
        head = re.match(r"\[(.+)\]$", line)
        if head:
            now = tests.setdefault(head.group(1), {})
        elif "=" in line and now is not None:
            name, value = (part.strip() for part in line.split("=", 1))
            now[name] = value
    return tests


def run(argv, log, seconds):
    # No terminal: the monitor would wait at it for what people type.
    with open(log, "wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


def word_of(code):
    if code is None:
        return "HANG"
    return WORDS.get(code, "END%d" % code)


def under_tcg(folder, name, test, log):
    # -initrd: the tests read their environment from it; here as there.
    argv = ["qemu-system-x86_64", "--no-reboot", "-nodefaults", "-device", "pc-testdev", "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x4", "-display", "none", "-serial", "stdio",
            "-device", "pci-testdev", "-machine", "accel=tcg", "-kernel",
            os.path.join(folder, "x86", test["file"]), "-smp", test.get("smp", "1")]
    argv += ["-append", test["args"]] if test["args"] else []
    argv += shlex.split(test.get("qemu_params", ""))
    code = run(argv, log, test["seconds"])
    return word_of(code if code is None else code >> 1 if code & 1 else 1000 + code)


def under_dach(dach, folder, name, test, log):
    environment = log + ".env"
    memory = re.search(r"-m (\d+)(g?)", test.get("qemu_params", ""))
    mib = int(memory.group(1)) * (1024 if memory.group(2) else 1) if memory else 128
    with open(environment, "w", encoding="ascii") as out:
        out.write("NR_CPUS=%s\nMEMSIZE=%d\nTEST_DEVICE=1\n" % (test.get("smp", "1"), mib))
    argv = [dach, "run", "--engine", "translate", "--test-devices", "--kernel",
            os.path.join(folder, "x86", test["file"]), "--initrd", environment, "--memory",
            str(mib), "--vcpus", test.get("smp", "1"), "--cmdline", test["file"] + " " + test["args"]]
    vendor = re.search(r"vendor=(\w+)", test.get("qemu_params", ""))
    argv += ["--test-vendor", vendor.group(1)] if vendor else []
    code = run(argv, log, test["seconds"])
    os.remove(environment)
    return word_of(code if code is None else code - 100 if code >= 100 else 1000 + code)


def kept(path, otherwise):
    if not os.path.exists(path):
        return otherwise
    with open(path, encoding="utf-8", errors="replace") as text:
        return text.read()


def lines_of(log):
    """The PASS and FAIL lines; numbers in them differ from run to run."""
    found = {}
    for line in kept(log, "").splitlines():
        match = re.match(r"(PASS|FAIL|SKIP|XFAIL): (.*?)\s*$", line)
        if match:
            what = re.sub(r"0x[0-9a-f]+|\d{3,}", "N", match.group(2))
            if found.get(what) != "FAIL":
                found[what] = match.group(1)
    return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-o")
    parser.add_argument("--dach", default=os.path.join(os.path.dirname(__file__), "../../build/dach"))
    parser.add_argument("--only", choices=["tcg", "dach"])
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("folder")
    parser.add_argument("test", nargs="*")
    given = parser.parse_args()
    out = given.o or os.path.join(given.folder, "peer")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(given.folder, "config.mak"), encoding="utf-8") as config:
        arch = re.search(r"^ARCH=(.*)$", config.read(), re.M).group(1)

    worse, better, same, skipped = [], [], 0, []
    print("%-26s %-8s %-8s" % ("test", "TCG", "dach"))
    for name, test in tests_of(os.path.join(given.folder, "x86/unittests.cfg")).items():
        if given.test and name not in given.test:
            continue
        if test.get("arch", arch) != arch or not os.path.exists(
                os.path.join(given.folder, "x86", test["file"])):
            continue
        if NOT_OFFERED.match(name) or NEEDS_HOST.match(name):
            skipped.append(name)
            continue
        args = test.get("test_args", "").strip("'\"")
        test["args"] = subprocess.run(["sh", "-c", 'echo "%s"' % args], check=True, text=True,
                                      stdout=subprocess.PIPE).stdout.strip()
        test["seconds"] = given.seconds
        words = {}
        for side, runner in (("tcg", under_tcg), ("dach", under_dach)):
            log = os.path.join(out, "%s.%s" % (name, side))
            if given.only in (None, side):
                words[side] = runner(*([given.dach] if side == "dach" else []), given.folder, name,
                                     test, log)
                with open(log + ".word", "w", encoding="ascii") as keep:
                    keep.write(words[side])
            else:
                words[side] = kept(log + ".word", "?")
        there, here = (lines_of(os.path.join(out, "%s.%s" % (name, side)))
                       for side in ("tcg", "dach"))
        lost = [what for what, word in here.items() if word == "FAIL" and there.get(what) == "PASS"]
        gone = [what for what, word in there.items() if word == "PASS" and what not in here]
        won = [what for what, word in here.items() if word == "PASS" and there.get(what) == "FAIL"]
        bad = lost or (words["tcg"] == "pass" and words["dach"] != "pass")
        good = not bad and words["dach"] == "pass" and words["tcg"] != "pass"
        (worse if bad else better if good else []).append(name)
        same += not bad and not good
        print("%-26s %-8s %-8s %s" % (
            name, words["tcg"], words["dach"],
            ", ".join("%d lines %s" % (len(part), text) for part, text in (
                (lost, "worse"), (gone, "missing"), (won, "better")) if part)), flush=True)
        if given.v:
            for mark, part in (("-", lost), ("?", gone), ("+", won)):
                for what in part:
                    print("    %s %s" % (mark, what))
    print("\nnot offered, not run: %s" % " ".join(skipped))
    print("%d the same, %d better here, %d worse: %s" % (same, len(better), len(worse),
                                                       " ".join(worse)))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
