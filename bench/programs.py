# SPDX-License-Identifier: Apache-2.0
"""The work of bench/programs, run by the image's own python3: programs.py host|guest PORT CPUS [ROW,...]
prints "ROW name seconds" for each."""
import glob
import os
import re
import socket
import subprocess
import sys
import time

MIB = 1 << 20
PLACE, PORT, CPUS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ONLY = [name for name in (sys.argv[4] if len(sys.argv) > 4 else "").split(",") if name]
HOST = "127.0.0.1" if PLACE == "host" else "10.0.2.2"


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options).stdout


def c_file(path, functions):
    """About 12 lines a function, of the kind that people write: loops, calls, structures."""
    with open(path, "w") as out:
        print("#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n"
              "struct item { int key; char name[24]; struct item *next; double weight; };", file=out)
        for n in range(functions):
            print(f"""
static int work_{n}(struct item *list, int limit)
{{
	int sum = {n}, seen[16] = {{0}};
	for (struct item *i = list; i; i = i->next) {{
		if (i->key % {n % 7 + 2} == 0 && strlen(i->name) > {n % 5})
			sum += i->key * {n + 3} - (int)i->weight;
		else if (i->weight > {n}.5)
			seen[i->key & 15]++;
	}}
	for (int k = 0; k < limit && k < 16; k++)
		sum ^= seen[k] << k % {n % 9 + 1};
	return sum;
}}""", file=out)
        print("int main(void)\n{\n\tstruct item a = {1, \"a\", 0, 2}, b = {2, \"bb\", &a, 3};\n"
              "\tint sum = 0;", file=out)
        for n in range(functions):
            print(f"\tsum += work_{n}(&b, {n % 20});", file=out)
        print("\tprintf(\"%d\\n\", sum);\n\treturn 0;\n}", file=out)


def compile_one():
    c_file("/tmp/one.c", 200)  # some 3,000 lines
    start = time.perf_counter()
    run("gcc", "-O2", "-c", "-o", "/tmp/one.o", "/tmp/one.c")
    return time.perf_counter() - start


def make_many():
    os.makedirs("/tmp/many", exist_ok=True)
    for n in range(24):
        c_file(f"/tmp/many/f{n}.c", 40)
    with open("/tmp/many/Makefile", "w") as out:
        print("all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\tgcc -O2 -c -o $@ $<", file=out)
    start = time.perf_counter()
    run("make", "-C", "/tmp/many", f"-j{CPUS}")
    return time.perf_counter() - start


def openssl(*arguments):
    """Seconds for 1 GiB, from the speed that it prints (thousands of bytes a second)."""
    said = run("openssl", "speed", "-seconds", "2", "-bytes", "8192", *arguments)
    return MIB / float(re.findall(r"([0-9.]+)k", said)[-1])


PYTHON = """
def primes(n):
    found = []
    for k in range(2, n):
        if all(k % p for p in found if p * p <= k):
            found.append(k)
    return found
words = {}
for k in range(200000):
    words['w%d' % (k * 7919 % 5003)] = words.get('w%d' % (k % 977), 0) + 1
text = ' '.join(sorted(words)) * 5
print(len(primes(6000)), len(text.split()), sum(ord(c) for c in text) % 1000)
"""

PERL = r"""
my %h; my $s = 0;
for my $i (1 .. 400000) { my $k = "k" . ($i * 7919 % 5003); $h{$k} += $i; $s ^= length($k) * $i; }
my $t = join(" ", sort keys %h) x 20; my $n = () = $t =~ /k(\d)(\d+)/g; print "$s $n\n";
"""


def timed(*command):
    start = time.perf_counter()
    run(*command)
    return time.perf_counter() - start


def seven_zip():
    """Seconds for 1000 of its "million instructions", compressing and expanding."""
    said = run("7z", "b", "1", f"-mmt{CPUS}", "-md20")
    return 1000 / float(re.search(r"^Tot:.*?(\d+)\s*$", said, re.M)[1])


def apt_install():
    package = sorted(glob.glob("/var/cache/bench/*.deb"))
    os.makedirs("/tmp/deb/DEBIAN", exist_ok=True)
    if not package:  # one of our own, of many small files
        os.makedirs("/tmp/deb/usr/share/bench", exist_ok=True)
        for n in range(400):
            with open(f"/tmp/deb/usr/share/bench/{n}", "w") as out:
                out.write(f"file {n}\n" * 200)
        with open("/tmp/deb/DEBIAN/control", "w") as out:
            out.write("Package: bench-files\nVersion: 1\nArchitecture: all\n"
                      "Maintainer: nobody <nobody@example.org>\nDescription: many files\n")
        run("dpkg-deb", "--build", "/tmp/deb", "/tmp/bench-files.deb")
    start = time.perf_counter()
    run("apt-get", "install", "-y", "-o", "APT::Sandbox::User=root", "/tmp/bench-files.deb")
    return time.perf_counter() - start


def direct(write):
    path = "/root/direct"
    if write or not os.path.exists(path):
        seconds = timed("dd", "if=/dev/zero", "of=" + path, "bs=128k", "count=2048", "oflag=direct")
        if write:
            return seconds
    return timed("dd", "if=" + path, "of=/dev/null", "bs=128k", "iflag=direct")


def tcp(receive):
    size = 256 * MIB
    with socket.create_connection((HOST, PORT)) as connection:
        start = time.perf_counter()
        connection.sendall(f"{'give' if receive else 'take'} {size}\n".encode())
        left = size
        if receive:
            while left > 0:
                left -= len(connection.recv(MIB))
        else:
            block = bytes(MIB)
            while left > 0:
                connection.sendall(block)
                left -= MIB
            connection.recv(16)
        return time.perf_counter() - start


def processes():
    start = time.perf_counter()
    for _ in range(100):
        subprocess.run(["/bin/true"], check=True)
    return time.perf_counter() - start


ROWS = {
    "gcc": compile_one,
    "make": make_many,
    "aes-128-gcm": lambda: openssl("-evp", "aes-128-gcm"),
    "sha256": lambda: openssl("-evp", "sha256"),
    "python": lambda: timed("python3", "-c", PYTHON),
    "perl": lambda: timed("perl", "-e", PERL),
    "7z": seven_zip,
    "apt": apt_install,
    "true": processes,
    "dd-write": lambda: direct(True),
    "dd-read": lambda: direct(False),
    "tcp-send": lambda: tcp(False),
    "tcp-receive": lambda: tcp(True),
}

for name, work in ROWS.items():
    if ONLY and name not in ONLY:
        continue
    try:
        print(f"ROW {name} {work():.3f}", flush=True)
    except Exception as reason:  # the others are worth having
        print(f"FAILED {name}: {reason} {getattr(reason, 'stdout', '')}", flush=True)
