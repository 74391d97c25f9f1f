#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder of this host's in a machine for one command (dach run --share): both see the same files, and the guest
# nothing else.
. "$(dirname "$0")/lib.sh"

. "$(dirname "$0")/machine-lib.sh"
. "$(dirname "$0")/share-lib.sh"
for applet in ls mkdir rm mv ln cp chmod chown stat find wc dd touch mkfifo mknod readlink sync cmp truncate seq sort grep; do
	ln -s busybox "$root/bin/$applet"
done
add_program "$(command -v flock)"
add_program "$(command -v date)" # with parts of a second
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/machine.cpio"

shared=$work/shared
mkdir -p "$shared/many"
# A suite that runs as root: what is shared belongs to a user, who runs the guest.
# The suite may run where only root can read.
as=
[ "$(id -u)" != 0 ] || as="setpriv --reuid 1000 --regid 1000 --clear-groups"
chmod 755 "$work"
$as "$DACH" --version >/dev/null 2>&1 && $as test -r "$kernel" || as=

# machine [OPTION...] -- COMMAND...: leaves status, output and errors
machine() {
	HOME="$work" timeout -k 5 "$LIMIT" $as "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/machine.cpio" --memory 256 "$@" </dev/null >"$output" 2>"$errors"
	status=$?
}

echo outside >"$work/outside"
chmod 666 "$work/outside"
echo in >"$shared/in"
ln -s "$work/outside" "$shared/link"
(cd "$shared/many" && seq 1 10000 | xargs touch)
mkfifo "$shared/pipe"
[ -z "$as" ] || chown -R -h 1000:1000 "$shared"

cat >"$shared/script" <<'SCRIPT'
set -e
cd /there
echo "owner $(stat -c %u:%g in)"
mkdir -p a/b
echo made >a/b/file
mv a/b/file a/renamed
ln a/renamed hard
ln -s a/renamed soft
cat soft
echo "links $(stat -c %h hard)"
chmod 640 hard
touch -d '2001-02-03 04:05:06' hard
echo "mode $(stat -c %a a/renamed)"
exec 5<>gone
rm gone
echo unlinked >&5
echo "gone $(stat -L -c %s /proc/self/fd/5) $(cat /proc/self/fd/5)"
exec 5>&-
mkfifo queue
(echo through >queue) &
cat queue
dd if=/dev/zero of=sparse bs=1 count=1 seek=1048575 2>/dev/null
truncate -s 4096 sparse
echo "size $(stat -c %s sparse)"
dd if=/dev/urandom of=big bs=1M count=3 2>/dev/null
sync
sha256sum big >big.sum
echo one >log
echo two >>log
echo "lines $(wc -l <log)"
echo "many $(ls many | sort -u | wc -l)"
chown 5 in 2>/dev/null || echo "no owner"
mknod device b 7 0 2>/dev/null || echo "no device"
cat link 2>/dev/null || echo "no link"
rm -r many
exec 6>lock
flock -x 6
flock -n lock true || echo "locked by another"
exec 6>&-
flock -n lock echo "free again"
SCRIPT
machine --share "$shared:/there" -- sh /there/script
cat >"$work/expected" <<'EXPECTED'
owner 0:0
made
links 2
mode 640
gone 9 unlinked
through
size 4096
lines 2
many 10000
no owner
no device
no link
locked by another
free again
EXPECTED
check "files, folders and links of a share are as on any disk" cmp -s "$work/expected" "$output"
check "and what the guest did is there afterwards" [ "$(cat "$shared/hard") $(stat -c %a,%Y,%U "$shared/hard")" = \
	"made 640,981173106,$(stat -c %U "$shared/in")" ]
check "with what it wrote" sh -c "cd '$shared' && sha256sum -c --status big.sum && [ ! -e many ]"
check "nothing outside was touched" [ "$(cat "$work/outside")" = outside ]

machine --share "$shared,ro" -- sh -c 'cat /mnt/in; echo x >/mnt/in; echo x >/mnt/new; rm /mnt/in' 
check "one that is read-only is read" printed in
check "and not written to" [ "$(cat "$shared/in")$(ls "$shared/new" 2>/dev/null)" = in ]
machine --share "$shared,overlay" -- sh -c 'cd /mnt && echo x >in && rm hard && mkdir new && cat in && ls hard'
check "what is written to an overlay is the guest's" printed x
check "alone" [ "$(cat "$shared/in" "$shared/hard")" = "in
made" ]
# What the guest's kernel reads at its start has whole seconds; make(1) minds files from the future.
machine --share "$shared" --cmdline "no-kvmclock initcall_blacklist=cmos_init" -- sh -c ': >/mnt/now; /bin/date +%s.%N >/mnt/then'
check "no file there is from the future" python3 -c "
import os, sys
then = float(open(sys.argv[1] + '/then').read())
sys.exit(not os.stat(sys.argv[1] + '/now').st_mtime <= then <= os.stat(sys.argv[1] + '/then').st_mtime + 60)" "$shared"
machine --share "$work/none" -- sh -c :
check "a folder that is not there is told of" grep -q 'none: No such file' "$errors"
finish
