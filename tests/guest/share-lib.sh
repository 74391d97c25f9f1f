# SPDX-License-Identifier: Apache-2.0
# Sourced after machine-lib.sh: its guest has the modules for shared folders, too.
fs=kernel/fs
cat >>"$folder/modules.dep" <<DEP
$fs/fuse/virtiofs.ko: $fs/fuse/fuse.ko $ring
$fs/overlayfs/overlay.ko:
DEP
for module in fuse/virtiofs fuse/fuse overlayfs/overlay; do
	mkdir -p "$folder/$fs/$(dirname $module)"
	cp "$modules/$fs/$module.ko" "$folder/$fs/$module.ko"
done
