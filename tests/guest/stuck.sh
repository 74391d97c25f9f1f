#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests that never come to their login: `make run` says why soon, and what to look at. What they print is
# played here; the first one's words are those of Debian's initial RAM disk.
. "$(dirname "$0")/lib.sh"

echo secret >"$work/password"
mkdir "$work/bin"
cat >"$work/guest" <<'GUEST'
#!/bin/sh
printf 'Linux version 6.1\r\n'
case $1 in
disk)
	printf 'Begin: Waiting for root file system ... done.\r\n'
	printf 'Gave up waiting for root file system device.  Common problems:\r\n'
	printf 'ALERT!  /dev/vda does not exist.  Dropping to a shell!\r\n\r\n(initramfs) '
	;;
dropped) printf 'ALERT!  UUID=1 does not exist.  Dropping to a shell!\r\n(initramfs) ' ;;
vfs) printf '[1.0] VFS: Cannot open root device "vda" or unknown-block(0,0)\r\n[1.0] Kernel panic - not syncing\r\n' ;;
panic) printf '[1.0] Kernel panic - not syncing: Attempted to kill init!\r\n' ;;
emergency) printf 'You are in emergency mode. After logging in, type\r\n' ;;
slow) sleep 2 && printf 'debian login: ' && sleep 4 && exit 0 ;;
esac
exec sleep 1000
GUEST
printf '#!/bin/sh\nexec sleep 1000\n' >"$work/mute"
chmod 0755 "$work/guest" "$work/mute"

# played SECONDS COMMAND...: what login makes of it, and whether it took no longer
played() {
	patience=$1
	shift
	start=$(date +%s)
	timeout -k 5 60 "$top/tools/login" --silence 3 --limit 50 --password "$work/password" -- "$@" \
		</dev/null >"$output" 2>"$errors"
	status=$?
	[ $(($(date +%s) - start)) -le "$patience" ]
}
told() {
	[ $status -eq 1 ] && grep -q "^login: $1\.$" "$errors" && grep -q "^login: What to look at: .*$2" "$errors"
}

for how in disk dropped vfs; do
	check "$how: is said soon" played 5 "$work/guest" $how
	check "$how: that the disk is missing, and where it is" \
		told "the guest does not find its root file system" "$work/disk.raw"
done
check "a panic is said soon" played 5 "$work/guest" panic
check "and what it is" told "the guest's kernel has panicked" "lines above"
check "so is an emergency" played 5 "$work/guest" emergency
check "which asks for help" told "the guest has stopped .*" "lines above"
check "silence from the start" played 12 "$work/mute"
check "is said" told "the guest has said nothing for 3 seconds" "console=ttyS0"
check "silence on the way" played 12 "$work/guest" silent
check "is said too" told "the guest has said nothing more for 3 seconds" "last lines"
check "a command after the login may be silent" played 12 "$work/guest" slow
check "until the guest ends" grep -q "^login: the guest ended" "$errors"
finish
