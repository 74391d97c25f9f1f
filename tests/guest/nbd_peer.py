#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An NBD server that does not keep to its word: tests/guest/nbd_peer.py SOCKET FILE KIND

Serves a file over a Unix socket, as a server with the simple half of the protocol does. KIND: short ends each connection
in the midst of every 40th answer; liar answers requests that nobody has made, after 20. One connection after the other. Prints "ready"."""
import os
import socket
import struct
import sys

PATH, FILE, KIND = sys.argv[1:4]
FLAGS = 1 | 4 | 32 | 64  # flags, flush, trim, write zeroes


def take(peer, size):
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def reply(peer, option, kind, data=b""):
    peer.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)


def shake_hands(peer, size):
    peer.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    take(peer, 4)
    while True:
        _, option, length = struct.unpack(">QII", take(peer, 16))
        take(peer, length)
        if option != 7:
            reply(peer, option, 0x80000001)
            continue
        reply(peer, option, 3, struct.pack(">HQH", 0, size, FLAGS))
        reply(peer, option, 1)
        return


def perform(disk, command, offset, length, data):
    if command == 0:
        return os.pread(disk, length, offset)
    if command == 1:
        os.pwrite(disk, data, offset)
    elif command == 6:
        os.pwrite(disk, bytes(length), offset)
    elif command == 3:
        os.fdatasync(disk)
    return b""


def serve(peer, disk, count):
    shake_hands(peer, os.fstat(disk).st_size)
    while True:
        _, _, command, cookie, offset, length = struct.unpack(">IHHQQI", take(peer, 28))
        data = take(peer, length) if command == 1 else b""
        if command == 2:
            return
        count[0] += 1
        if KIND == "liar" and count[0] > 20:
            cookie += 1000
        answer = struct.pack(">IIQ", 0x67446698, 0, cookie) + perform(disk, command, offset, length, data)
        if KIND == "short" and count[0] % 40 == 0:
            peer.sendall(answer[:len(answer) // 2])
            return
        peer.sendall(answer)


def main():
    disk, count = os.open(FILE, os.O_RDWR), [0]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(PATH)
        listener.listen()
        print("ready", flush=True)
        while True:
            peer, _ = listener.accept()
            with peer:
                try:
                    serve(peer, disk, count)
                except (EOFError, ConnectionError):
                    pass


main()
