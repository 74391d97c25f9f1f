#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Roots from elsewhere become images: an archive, a folder, a container's image with layers; what runs in them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machine-lib.sh"

export DACH_IMAGES="$work/images"
# An image that has a kernel, as `dach image create` makes them: drivers in a ramdisk.
mkdir -p "$DACH_IMAGES/kernel" "$work/drivers/lib"
cat >>"$folder/modules.dep" <<'DEP'
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko kernel/lib/crc16.ko kernel/crypto/crc32c_generic.ko
DEP
for module in fs/ext4/ext4 fs/jbd2/jbd2 fs/mbcache lib/crc16 crypto/crc32c_generic; do
	mkdir -p "$folder/kernel/$(dirname "$module")"
	cp "$modules/kernel/$module.ko" "$folder/kernel/$module.ko" 2>/dev/null # or it is built in
done
mv "$root/lib/modules" "$work/drivers/lib/"
rmdir "$root/lib"
(cd "$work/drivers" && find . | cpio -o -H newc --quiet) >"$DACH_IMAGES/kernel/run.img"
cp "$kernel" "$DACH_IMAGES/kernel/vmlinuz"
cp "$DACH_IMAGES/kernel/run.img" "$DACH_IMAGES/kernel/initrd.img"
truncate -s 1M "$DACH_IMAGES/kernel/disk.raw"
printf 'dist test\nhostname kernel\ncreated 2001-01-01T00:00:00Z\ncmdline root=/dev/vda\n' >"$DACH_IMAGES/kernel/image.conf"

import() {
	timeout -k 5 "$LIMIT" "$DACH" image import --size 64M "$@" >"$output" 2>"$errors"
	status=$?
}

# in_image IMAGE [OPTION...] -- COMMAND...
in_image() {
	timeout -k 5 "$LIMIT" "$DACH" run "$@" </dev/null >"$output" 2>"$errors"
	status=$?
}

ln -s busybox "$root/bin/ls"
chmod 4755 "$root/bin/busybox"
chown -R 0:0 "$root" 2>/dev/null
# What only root can give a file, and take into an image.
cp "$root/bin/busybox" "$root/bin/capable"
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "security.capability", bytes([1, 0, 0, 2, 0, 32]) + bytes(14))' \
	"$root/bin/capable" 2>/dev/null && capable=1 || capable=
(cd "$root" && tar --xattrs --xattrs-include='*' -cf "$work/root.tar" . && gzip -k "$work/root.tar")

import --from-tar "$work/root.tar.gz"
check "an archive becomes an image" ended 0
in_image root --engine "$DACH_ENGINE" --memory 256 -- sh -c 'id -un; stat -c %a /bin/busybox 2>/dev/null || ls -l /bin/busybox | cut -c1-10; exit 3'
check "in which commands run" ended 3 root
in_image root --engine "$DACH_ENGINE" --memory 256 --
check "without an entry point there has to be one" told "does not say what runs"
has_capability() {
	[ -z "$capable" ] || debugfs -R 'ea_list /bin/capable' "$DACH_IMAGES/$1/disk.raw" 2>/dev/null | grep -q security.capability
}
check "a file has its capabilities" has_capability root
uuid=$(dumpe2fs -h "$DACH_IMAGES/root/disk.raw" 2>/dev/null | sed -n 's/.*UUID: *//p')
for name in LABEL=root "UUID=$uuid"; do
	in_image --engine "$DACH_ENGINE" --memory 256 --kernel "$kernel" --initrd "$DACH_IMAGES/kernel/run.img" \
		--disk "$DACH_IMAGES/root/disk.raw" --cmdline "root=$name" -- cat /etc/hostname
	check "the root by ${name%%=*}" printed machine
done
import --from-tar - streamed <"$work/root.tar"
check "also from standard input" ended 0
import --from-chroot "$root" folder
check "and a folder does" ended 0
check "with capabilities" has_capability folder
in_image folder --engine "$DACH_ENGINE" --memory 256 -- pwd
check "likewise" printed /

# A container's image: two layers, of which the upper one takes away and adds.
python3 - "$work" "$root" <<'PYTHON'
import gzip, hashlib, io, json, os, sys, tarfile

work, root = sys.argv[1:]
top = work + "/oci"
os.makedirs(top + "/blobs/sha256")


def part(data, kind, **more):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{top}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(data), **more}


def add(tar, name, data=b"", **more):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in more.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


lower = io.BytesIO()
with tarfile.open(fileobj=lower, mode="w") as tar:
    tar.add(root, ".")
    add(tar, "etc/taken", b"x")
    add(tar, "app/old", b"x")
upper = io.BytesIO()
with tarfile.open(fileobj=upper, mode="w", format=tarfile.PAX_FORMAT) as tar:
    add(tar, "etc/.wh.taken")
    add(tar, "app/.wh..wh..opq")
    add(tar, "app/start", b"#!/bin/sh\necho \"$GREETING $* $(id -un) $(pwd)\"; ls /app /etc\n", mode=0o755)
    add(tar, "dev/evil", type=tarfile.BLKTYPE)
config = part(json.dumps({"architecture": "amd64", "os": "linux", "config": {
    "Entrypoint": ["/app/start"], "Cmd": ["the", "words"], "User": "guest", "WorkingDir": "/app",
    "Env": ["GREETING=hello", "PATH=/bin"]}}).encode(), "application/vnd.oci.image.config.v1+json")
layer = "application/vnd.oci.image.layer.v1.tar"
manifest = part(json.dumps({"schemaVersion": 2, "config": config, "layers": [
    part(gzip.compress(lower.getvalue(), 1), layer + "+gzip"), part(upper.getvalue(), layer)]}).encode(),
    "application/vnd.oci.image.manifest.v1+json", annotations={"org.opencontainers.image.ref.name": "latest"})
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(top + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(top + "/oci-layout", "w"))
# One that would lead out, and one whose part is elsewhere.
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w") as tar:
    add(tar, "../../out", b"bad")
open(work + "/out.tar", "wb").write(out.getvalue())
os.makedirs(work + "/lies")
manifest["digest"] = "sha256:../../../../etc/passwd"
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(work + "/lies/index.json", "w"))
PYTHON
import --oci "$work/oci:latest" app
check "a container's image does" ended 0
in_image app --engine "$DACH_ENGINE" --memory 256 --
check "its entry point, with its environment, user and folder" said "^hello the words guest /app"
check "its layers" [ "$(sed 1d "$output" | tr '\n' ' ')" = "/app: start  /etc: group hostname passwd " ]
in_image app --engine "$DACH_ENGINE" --memory 256 --env GREETING=bye --user root -- sh -c 'echo $GREETING $(id -un) $(ls /dev/evil 2>&1 | wc -c)'
check "what is said goes before it" said "^bye root"
in_image folder --commit changed --engine "$DACH_ENGINE" --memory 256 -- sh -c 'echo kept >/etc/new; exit 4'
check "what a command writes becomes an image" ended 4
in_image changed --engine "$DACH_ENGINE" --memory 256 -- cat /etc/new
check "in which it is" printed kept
in_image folder --engine "$DACH_ENGINE" --memory 256 -- cat /etc/new
check "and in the first it is not" ended 1
in_image folder --commit changed --engine "$DACH_ENGINE" -- true
check "an image that is there is not written to" ended 125
in_image folder --commit never --engine "$DACH_ENGINE" --memory 1 -- true
check "a machine that cannot be: 125" ended 125
check "leaves no image" [ ! -e "$DACH_IMAGES/never" ]
in_image folder --keep --ephemeral --engine "$DACH_ENGINE" -- true
check "what is thrown away is not kept" told "excludes --keep"
TMPDIR=/nowhere in_image folder --engine "$DACH_ENGINE" --memory 256 -- true
check "no room for what is thrown away: 125" ended 125
check "the folder is named" told "/nowhere: no room"
# Whoever starts it may have closed these; a disk must not become one of them.
for closed in '<&-' '>&-' '2>&-'; do
	timeout -k 5 "$LIMIT" sh -c "exec \"\$@\" $closed" - "$DACH" run folder --engine "$DACH_ENGINE" --memory 256 -- \
		sh -c 'cat; echo out; echo err >&2' </dev/null >"$output" 2>"$errors"
	case $closed in
	'<&-') check "without standard input: it is empty" [ "$(cat "$output" "$errors")" = "out
err" ] ;;
	'>&-') check "without standard output: that is told" told "output is lost from here on: Bad file descriptor" ;;
	*) check "without standard error" printed out ;;
	esac
done
timeout -k 5 "$LIMIT" sh -c 'ulimit -f 8; exec "$@"' - "$DACH" run folder --engine "$DACH_ENGINE" --memory 256 -- true \
	</dev/null >"$output" 2>"$errors"
status=$?
check "no file may grow: 125" ended 125
check "which is told, too" told "File too large"
# A host that is all read-only: what is thrown away is in its memory.
case $DACH in
/tmp/* | /mnt/*) ;;
*)
	if unshare -Urm true 2>/dev/null; then
		timeout -k 5 "$LIMIT" env -u TMPDIR unshare -Urm sh -c 'mount --bind "$1" /mnt && mount -t tmpfs -o ro none /tmp &&
			mount -t tmpfs -o ro none /var/tmp && DACH_IMAGES=/mnt/images exec "$0" run folder --engine "$2" --memory 256 -- \
			sh -c "echo written >/etc/new; cat /etc/new"' "$DACH" "$work" "$DACH_ENGINE" </dev/null >"$output" 2>"$errors"
		check "without a folder to write to it is in memory" printed written
	fi
	;;
esac
"$DACH" image clone app copy >/dev/null 2>&1
in_image copy --engine "$DACH_ENGINE" --memory 256 --
check "a clone has all of it" said "^hello the words"

import --from-tar "$work/out.tar" bad
check "an archive that leads out is refused" ended 1
check "in one sentence" told "'../../out' leads out of the root"
import --oci "$work/lies" bad
check "and a layout that does" told "is no digest of a part"
printf x >>"$(ls -S "$work"/oci/blobs/sha256/* | head -n 1)"
import --oci "$work/oci" bad
check "a layer that is not what its digest says is refused" told "it is damaged, or another file: its SHA-256 is"
import --oci docker.io/library/alpine bad
check "a registry's name: how to fetch it" told "skopeo copy docker://NAME oci:DIR"
check "nothing is left" [ "$(ls -A "$DACH_IMAGES" | grep -v log$ | tr '\n' ' ')" = "app changed copy folder kernel root streamed " ]
"$DACH" image delete app >"$output" 2>"$errors"
check "an image with an entry point is deleted as others are" [ ! -e "$DACH_IMAGES/app" ]
finish
