#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a guest's screen shows here and in QEMU: tests/peer/screen.py [DACH [CACHE]]

The same kernel and ramdisk start in both, clear the screen, write the same, and wait; with the kernel of
linux-image-amd64 its driver bochs has taken the screen over. The text in video memory, as the guests themselves have
it, and the pictures have to be equal to the last byte and pixel, colours but for 3 of 255. No part of CI; half a minute."""
import os
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, TOP + "/tests/guest")
import rfb  # noqa: E402

DACH = sys.argv[1] if len(sys.argv) > 1 else TOP + "/build/dach"
CACHE = sys.argv[2] if len(sys.argv) > 2 else TOP + "/build/guest"
SCRIPT = r"""
cd /
for module in drm_panel_orientation_quirks drm drm_kms_helper ttm drm_ttm_helper drm_vram_helper bochs; do
	[ ! -e $module.ko ] || insmod $module.ko
done
sleep 1
echo 0 >/sys/class/graphics/fbcon/cursor_blink 2>/dev/null
printf '\033c' >/dev/tty1
for n in 1 2 3 4 5 6 7; do
	printf '\033[3%dm\033[4%dmcolour %d \033[1mbright\033[0m\n' $n $((7 - n)) $n >/dev/tty1
done
printf '\033[7mreverse\033[0m \033[4munderlined\033[0m\n\033(0lqqqk x tqu\033(B\n\033[20;60Hin the corner' >/dev/tty1
dd if=/dev/vcsa1 bs=65536 2>/dev/null | sha256sum | cut -c 1-64
echo SHOWN
sleep 1000
"""
MODULES = "drm_panel_orientation_quirks drm drm_kms_helper ttm drm_ttm_helper drm_vram_helper bochs"


def ramdisk(folder, modules):
    os.mkdir(folder)
    with open(folder + "/test.sh", "w", encoding="utf-8") as out:
        out.write(SCRIPT)
    for name in MODULES.split() if modules else []:
        found = subprocess.run(["find", CACHE + "/generic/lib", "-name", name + ".ko"], stdout=subprocess.PIPE,
                               check=True).stdout.decode().split()
        for path in found[:1]:  # or it is built in
            subprocess.run(["cp", path, folder], check=True)
    own = subprocess.run("ls | cpio -o -H newc --quiet", shell=True, cwd=folder, stdout=subprocess.PIPE, check=True)
    with open(CACHE + "/base.cpio", "rb") as base, open(folder + ".cpio", "wb") as out:
        out.write(base.read() + own.stdout)
    return folder + ".cpio"


def wait_shown(process):
    text = b""
    while b"SHOWN" not in text:
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            sys.exit("a guest has ended:\n" + text.decode(errors="replace")[-2000:])
        text += part
    time.sleep(1)
    return [line for line in text.decode(errors="replace").split() if len(line) == 64]


def picture_here(kernel, initrd, work):
    path = work + "/socket"
    began = time.monotonic()
    with subprocess.Popen([DACH, "run", "--kernel", kernel, "--initrd", initrd, "--memory", "256", "--vnc", "unix:" + path,
                           "--cmdline", "console=ttyS0 quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        text = wait_shown(process)
        took = time.monotonic() - began
        picture = rfb.Client("unix:" + path).picture()
        process.terminate()
        process.terminate()
        process.kill()
    return text, picture, took


def picture_qemu(kernel, initrd, work):
    path, shot = work + "/monitor", work + "/shot.ppm"
    began = time.monotonic()
    with subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-vga", "none", "-device", "VGA,edid=off", "-display", "none",
                           "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet", "-serial", "stdio",
                           "-monitor", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        text = wait_shown(process)
        took = time.monotonic() - began
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(path)
            # The cursor blinks: a moment when it is there.
            for _ in range(20):
                monitor.sendall(f"screendump {shot}\n".encode())
                time.sleep(0.13)
            time.sleep(1)
        process.kill()
    with open(shot, "rb") as file:
        magic, size, _, pixels = file.read().split(b"\n", 3)
    assert magic == b"P6"
    width, height = map(int, size.split())
    return text, (width, height, pixels), took


def differences(ours, theirs):
    if ours[:2] != theirs[:2]:
        return f"{ours[0]}x{ours[1]} and {theirs[0]}x{theirs[1]}"
    # Six bits of a colour become eight in different ways.
    places = [i // 3 for i in range(len(ours[2])) if abs(ours[2][i] - theirs[2][i]) > 3]
    if not places:
        return ""
    rows = sorted({at // ours[0] for at in places})
    return f"{len(places)} pixels, in lines {rows[0]} to {rows[-1]}, columns {min(p % ours[0] for p in places)} to " \
           f"{max(p % ours[0] for p in places)}"


def main():
    failed = False
    with tempfile.TemporaryDirectory() as work:
        generic = subprocess.run(f"ls {CACHE}/generic/boot/vmlinuz-*", shell=True, stdout=subprocess.PIPE,
                                 check=False).stdout.decode().split()
        for name, kernel in [("text", CACHE + "/vmlinuz")] + [("frame buffer", kernel) for kernel in generic[:1]]:
            initrd = ramdisk(f"{work}/{name.replace(' ', '-')}", name != "text")
            ours, theirs = picture_here(kernel, initrd, work), picture_qemu(kernel, initrd, work)
            os.unlink(work + "/socket")
            text, picture = ours[0] == theirs[0] and ours[0], differences(ours[1], theirs[1])
            failed |= not text or bool(picture)
            print(f"{'ok' if text else 'not ok'} {name}: the memory of the text console is the same")
            print(f"{'not ok' if picture else 'ok'} {name}: the picture is the same {picture}")
            print(f"# {name}: shown after {ours[2]:.1f} s, in QEMU (TCG) after {theirs[2]:.1f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
