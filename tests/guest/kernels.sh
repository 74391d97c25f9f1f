#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian's other kernel, linux-image-amd64, which brings drivers for real machines along.
. "$(dirname "$0")/lib.sh"

root=$DACH_CACHE/generic
if [ ! -d "$root/boot" ]; then
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p')
	mkdir -p "$root"
	(cd "$root" && apt-get download -q "$package" >/dev/null 2>&1 && dpkg -x ./*.deb . && rm ./*.deb)
fi
kernel=$(echo "$root"/boot/vmlinuz-*)

for vcpus in 1 2; do
	guest --vcpus $vcpus <<'SCRIPT'
uname -r
echo "processors $(nproc)"
SCRIPT
	check "linux-image-amd64, $vcpus vCPU" ended 0 "processors $vcpus"
done
finish
