# SPDX-License-Identifier: Apache-2.0
"""What killed.py and reverts.py share: a guest that is asked over its console, and files of its disks."""
import contextlib
import os
import socket
import struct
import time

PATIENCE = 60  # seconds


def chain(path):
    """The file and all that it stands on."""
    found = []
    while path:
        found.append(path)
        with open(path, "rb") as file:
            magic, _, at, size = struct.unpack(">4sIQI", file.read(20))
            base = None
            if magic == b"QFI\xfb" and at:
                file.seek(at)
                base = file.read(size).decode()
        path = base and os.path.join(os.path.dirname(path), base)
    return found


def ask(d, guest, words, wanted):
    """What its console says to that, from wanted on; None if its monitor has gone."""
    said, end, last = b"", time.monotonic() + PATIENCE, 0
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{d.run}/guests/{guest['uuid']}/console")
        s.settimeout(1)
        while wanted.encode() not in said or not said.split(wanted.encode(), 1)[1].count(b"\n"):
            assert time.monotonic() < end, f"{guest['name']} does not answer {words}: {said[-300:]}"
            if time.monotonic() - last > 3:
                s.sendall(words.encode() + b"\n")
                last = time.monotonic()
            with contextlib.suppress(TimeoutError):
                data = s.recv(65536)
                if not data:
                    raise OSError("its console has ended")
                said += data
    return said.split(wanted.encode(), 1)[1].split(b"\n", 1)[0].decode().strip()
