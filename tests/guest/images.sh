#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Roots that others made: a container's image by umoci of a Debian by mmdebstrap, one that skopeo has copied, a root like
# Alpine's, by itself and under its own init without a ramdisk's. Not a part of CI: it makes a Debian twice; and needs root.
LIMIT=300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
for program in umoci skopeo mmdebstrap; do
	if [ "$(id -u)" != 0 ] || ! command -v $program >/dev/null; then
		echo "ok $test_name: # skipped: needs root, and $program"
		finish
	fi
done
export DACH_IMAGES=$work/images
mkdir "$DACH_IMAGES"
cache_lock
[ -e "$DACH_CACHE/qemu-agent/guest" ] ||
	"$DACH" image create guest --include qemu-guest-agent --output "$DACH_CACHE/qemu-agent" >/dev/null 2>&1
cache_unlock
ln -s "$DACH_CACHE/qemu-agent/guest" "$DACH_IMAGES/kernel"

image() {
	timeout "$LIMIT" "$DACH" image "$@" >"$output" 2>"$errors" </dev/null
	status=$?
}

machine() {
	timeout "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" "$@" >"$output" 2>"$errors" </dev/null
	status=$?
}

# Debian, with a file that has capabilities, as a container's image.
mmdebstrap --variant=essential --include=iputils-ping bookworm "$work/debian.tar" >"$work/log" 2>&1
umoci init --layout "$work/oci" && umoci new --image "$work/oci:latest" &&
	umoci unpack --image "$work/oci:latest" "$work/bundle" >>"$work/log" 2>&1 &&
	tar --xattrs --xattrs-include='*' -xf "$work/debian.tar" -C "$work/bundle/rootfs" &&
	umoci repack --image "$work/oci:latest" "$work/bundle" >>"$work/log" 2>&1 &&
	umoci config --image "$work/oci:latest" --config.entrypoint /bin/sh --config.entrypoint -c \
		--config.cmd 'echo $GREETING $(cat /etc/debian_version | cut -d. -f1) $(id -un) $(pwd)' \
		--config.env GREETING=hello --config.user nobody --config.workingdir /var/tmp
status=$?
check "mmdebstrap's Debian is an image of umoci's" ended 0
image import --oci "$work/oci:latest" debian
check "which is imported" ended 0
machine debian --
check "and runs its entry point" printed "hello 12 nobody /var/tmp"
debugfs -R 'ea_list /usr/bin/ping' "$DACH_IMAGES/debian/disk.raw" >"$output" 2>&1
check "its files have their capabilities" said security.capability
skopeo copy "oci:$work/oci:latest" "oci:$work/copied:v1" >"$work/log" 2>&1
image import --oci "$work/copied:v1" copied
machine copied --
check "what skopeo has copied, too" printed "hello 12 nobody /var/tmp"

# A root as Alpine's: nothing but busybox and its init.
root=$work/alpine
mkdir -p "$root/bin" "$root/sbin" "$root/etc/init.d" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/root" "$root/run"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat echo ls id mount mkdir sleep uname; do
	ln -s busybox "$root/bin/$applet"
done
for applet in init poweroff; do
	ln -s ../bin/busybox "$root/sbin/$applet"
done
echo 3.20.0 >"$root/etc/alpine-release"
echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/sh -c "echo THE SYSTEM IS UP >/run/up"
::respawn:/bin/sleep 1000
INITTAB
tar -C "$root" -cf "$work/alpine.tar" .
image import --from-tar "$work/alpine.tar" alpine
check "a root as Alpine's is imported" ended 0
machine alpine -- sh -c 'cat /etc/alpine-release; uname -s; exit 3'
check "and runs a command" ended 3 3.20.0
# The same disk under its own init: there is no ramdisk of its own, and the drivers are the other's.
cat >"$work/alpine.cfg" <<CFG
name = "alpine"
kernel = "$DACH_IMAGES/alpine/vmlinuz"
ramdisk = "$DACH_IMAGES/alpine/run.img"
cmdline = "root=/dev/vda rw console=ttyS0 quiet"
memory = 192
engine = "$DACH_ENGINE"
disk = ['$DACH_IMAGES/alpine/disk.raw,raw,xvda,w']
agent = 1
CFG
xl_says create -q "$work/alpine.cfg"
check "and is a guest that stays" ended 0
timeout "$LIMIT" "$DACH" exec alpine -- sh -c 'cat /proc/1/comm /run/up' >"$output" 2>"$errors" </dev/null
status=$?
check "whose own init is the first process" printed "init
THE SYSTEM IS UP"
finish
