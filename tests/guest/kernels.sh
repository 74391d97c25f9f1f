#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian's other kernel, linux-image-amd64, which brings drivers for real machines along; and the cloud kernel
# in a unified kernel image.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/generic-lib.sh"
cloud=$kernel
kernel=$generic_kernel

for vcpus in 1 2; do
	guest --vcpus $vcpus <<'SCRIPT'
uname -r
echo "processors $(nproc)"
SCRIPT
	check "linux-image-amd64, $vcpus vCPU" ended 0 "processors $vcpus"
done

echo 'echo "words: $(cat /proc/cmdline)"' >"$work/script"
initrd "$work/script"
python3 - "$cloud" "$work/initrd" "$work/unified.efi" <<'PYTHON'
import struct, sys
parts = ((b".cmdline", b"console=ttyS0 quiet panic=-1\n"), (b".initrd", open(sys.argv[2], "rb").read()),
         (b".linux", open(sys.argv[1], "rb").read()))
head = bytearray(1024)
head[:2] = b"MZ"
struct.pack_into("<I", head, 0x3c, 0x80)
struct.pack_into("<4sHH12xHH", head, 0x80, b"PE\0\0", 0x8664, len(parts), 0, 0)
body = b""
for n, (name, data) in enumerate(parts):
    struct.pack_into("<8sIIII", head, 0x98 + 40 * n, name, len(data), 0, -(-len(data) // 512) * 512, 1024 + len(body))
    body += data + bytes(-len(data) % 512)
open(sys.argv[3], "wb").write(head + body)
PYTHON
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$work/unified.efi" --cmdline more=words \
	--memory 512 </dev/null >"$output" 2>"$errors"
status=$?
check "a unified kernel image" ended 0 "words: console=ttyS0 quiet panic=-1 more=words"
finish
