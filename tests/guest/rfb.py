#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A VNC client for tests: rfb.py [--password WORD] [--encoding NAME] WHERE COMMAND...

WHERE is unix:PATH or ADDRESS:PORT. Commands, one after the other: "size" prints the desktop's, "picture FILE" writes what
is seen as PPM, "type TEXT" presses keys (\\n is Return), "point X,Y[,BUTTONS]"
moves the mouse, "wait" waits until something changes, "sleep" reads
nothing for two seconds. Status 3: the server has refused, and its reason is printed."""
import socket
import struct
import sys
import time
import zlib

RAW, HEXTILE, ZRLE, SIZE, CODES, SIZE_EXTENDED = 0, 5, 16, -223, -258, -308
ENCODINGS = {"raw": RAW, "hextile": HEXTILE, "zrle": ZRLE}


class Refused(Exception):
    """The server said no."""


def des(key, block):
    """One block of DES (FIPS 46-3), by OpenSSL where Python has none of it: three equal keys are one."""
    import subprocess
    run = subprocess.run(["openssl", "enc", "-des-ede3", "-nopad", "-K", (key * 3).hex()], input=block,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return run.stdout


class Client:
    """A connection."""

    def __init__(self, where, password=None, encoding="raw", codes=False):
        if where.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(where[5:])
        else:
            address, port = where.rsplit(":", 1)
            self.socket = socket.create_connection((address.strip("[]"), int(port)))
        self.socket.settimeout(60)
        self.unpack = zlib.decompressobj()
        self.begin(password)
        names = [ENCODINGS[encoding], SIZE, SIZE_EXTENDED] + ([CODES] if codes else [])
        self.codes = False
        self.send(struct.pack(">BxH%di" % len(names), 2, len(names), *names))

    def send(self, data):
        self.socket.sendall(data)

    def get(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise Refused("the connection has ended")
            data += part
        return data

    def number(self, form):
        return struct.unpack(">" + form, self.get(struct.calcsize(">" + form)))[0]

    def begin(self, password):
        assert self.get(12) == b"RFB 003.008\n"
        self.send(b"RFB 003.008\n")
        kinds = self.get(self.number("B"))
        if 1 in kinds:
            self.send(b"\1")
        else:
            assert kinds == b"\2"
            self.send(b"\2")
            challenge = self.get(16)
            key = bytes(int("{:08b}".format(c)[::-1], 2) for c in (password or "").encode().ljust(8, b"\0")[:8])
            self.send(des(key, challenge[:8]) + des(key, challenge[8:]))
        if self.number("I"):
            raise Refused(self.get(self.number("I")).decode())
        self.send(b"\1")
        width, height = struct.unpack(">HH", self.get(4))
        assert self.get(16)[:4] == b"\x20\x18\0\1"
        self.name = self.get(self.number("I")).decode()
        self.resize(width, height)

    def resize(self, width, height):
        self.width, self.height = width, height
        self.pixels = bytearray(3 * width * height)

    def put(self, x, y, pixel):
        at = 3 * (y * self.width + x)
        self.pixels[at:at + 3] = bytes((pixel[2], pixel[1], pixel[0]))

    def fill(self, x, y, width, height, pixel):
        line = bytes((pixel[2], pixel[1], pixel[0])) * width
        for row in range(y, y + height):
            at = 3 * (row * self.width + x)
            self.pixels[at:at + 3 * width] = line

    def raw(self, x, y, width, height):
        data = self.get(4 * width * height)
        for i in range(width * height):
            self.put(x + i % width, y + i // width, data[4 * i:4 * i + 3])

    def hextile(self, x, y, width, height):
        back = front = None
        for top in range(y, y + height, 16):
            for left in range(x, x + width, 16):
                across, down = min(16, x + width - left), min(16, y + height - top)
                flags = self.number("B")
                if flags & 1:
                    self.raw(left, top, across, down)
                    continue
                back = self.get(4) if flags & 2 else back
                front = self.get(4) if flags & 4 else front
                self.fill(left, top, across, down, back)
                for _ in range(self.number("B") if flags & 8 else 0):
                    colour = self.get(4) if flags & 16 else front
                    place, size = self.get(2)
                    self.fill(left + (place >> 4), top + (place & 15), (size >> 4) + 1, (size & 15) + 1, colour)

    def zrle(self, x, y, width, height):
        data, at = self.unpack.decompress(self.get(self.number("I"))), 0
        for top in range(y, y + height, 64):
            for left in range(x, x + width, 64):
                across, down = min(64, x + width - left), min(64, y + height - top)
                kind, at = data[at], at + 1
                pixels = []
                if kind == 0:
                    pixels = [data[at + 3 * i:at + 3 * i + 3] for i in range(across * down)]
                    at += 3 * across * down
                elif kind <= 16:
                    palette = [data[at + 3 * i:at + 3 * i + 3] for i in range(kind)]
                    at += 3 * kind
                    bits = 0 if kind == 1 else 1 if kind == 2 else 2 if kind <= 4 else 4
                    for _ in range(down):
                        row = data[at:at + (across * bits + 7) // 8]
                        at += len(row)
                        for i in range(across):
                            n = row[i * bits // 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1) if bits else 0
                            pixels.append(palette[n])
                else:
                    assert kind == 128
                    while len(pixels) < across * down:
                        pixel, at, length = data[at:at + 3], at + 3, 1
                        while data[at] == 255:
                            length, at = length + 255, at + 1
                        length, at = length + data[at], at + 1
                        pixels += [pixel] * length
                assert len(pixels) == across * down
                for i, pixel in enumerate(pixels):
                    self.put(left + i % across, top + i // across, pixel)
        assert at == len(data)

    def update(self, incremental):
        """One update; how many rectangles of the picture."""
        self.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        assert self.get(2)[0] == 0
        seen = 0
        for _ in range(self.number("H")):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self.get(12))
            if encoding in (SIZE, SIZE_EXTENDED):
                if encoding == SIZE_EXTENDED:
                    self.get(16 * self.get(4)[0])
                self.resize(width, height)
            elif encoding == CODES:
                self.codes = True
            else:
                {RAW: self.raw, HEXTILE: self.hextile, ZRLE: self.zrle}[encoding](x, y, width, height)
                seen += 1
        return seen

    def picture(self):
        """All that is seen now."""
        seen = 0
        while not seen:
            seen = self.update(0)
        return self.width, self.height, bytes(self.pixels)

    def key(self, keysym, down):
        self.send(struct.pack(">BBxxI", 4, down, keysym))

    def code(self, keysym, code, down):
        self.send(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def point(self, x, y, buttons=0):
        self.send(struct.pack(">BBHH", 5, buttons, x, y))

    def type(self, text):
        for c in text:
            keysym = 0xff0d if c == "\n" else ord(c)
            shifted = c.isupper() or c in '!@#$%^&*()_+{}|:"~<>?'
            if shifted:
                self.key(0xffe1, 1)
            self.key(keysym, 1)
            self.key(keysym, 0)
            if shifted:
                self.key(0xffe1, 0)


def main():
    words, options = sys.argv[1:], {}
    while words[0].startswith("--"):
        options[words[0][2:]] = words[1]
        del words[:2]
    try:
        client = Client(words.pop(0), **options)
        while words:
            word = words.pop(0)
            if word == "size":
                client.picture()
                print("%dx%d %s" % (client.width, client.height, client.name))
            elif word == "picture":
                width, height, pixels = client.picture()
                with open(words.pop(0), "wb") as out:
                    out.write(b"P6 %d %d 255\n" % (width, height) + pixels)
            elif word == "type":
                client.type(words.pop(0).replace("\\n", "\n"))
            elif word == "point":
                client.point(*(int(part) for part in words.pop(0).split(",")))
            elif word == "wait":
                client.update(1)
            elif word == "sleep":
                time.sleep(2)
    except Refused as refused:
        print(refused)
        sys.exit(3)


if __name__ == "__main__":
    main()
