# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# On top of lib.sh: a daemon of the test's own, called xl, and guests that do what their console says.
export DACH_RUN="$work/run" DACH_STATE="$work/state"
ln -s "$DACH" "$work/xl"
PATH=$work:$PATH
dachd=

# The daemon that answers now, without starting one.
daemon_pid() {
	DACH_NO_START=1 xl --json info 2>/dev/null | sed -n 's/^ *"dach_pid": \([0-9]*\).*/\1/p'
}

# Every guest and the daemon end with the test, by their own means or by their ids.
toolstack_end() {
	monitors=$(xl --json list 2>/dev/null | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p')
	xl destroy -a >/dev/null 2>&1
	dachd=$(daemon_pid)
	# shellcheck disable=SC2086 # a list of words
	kill $dachd $monitors 2>/dev/null
	[ -z "$dachd" ] || wait_for 10 gone "$dachd"
	rm -rf "$work"
}
trap toolstack_end EXIT

# xen_tools: ends the test where xen-create-image cannot work: it mounts what it makes.
xen_tools() {
	if [ "$(id -u)" -ne 0 ] || ! losetup -f >/dev/null 2>&1 || ! command -v xen-create-image >/dev/null; then
		echo "ok $test_name: # skipped: needs xen-create-image, which needs root and a loop device"
		exit 0
	fi
}

gone() {
	! kill -0 "$1"
}

# What guests run: words that come over the console are commands.
cat >"$work/commands" <<'SCRIPT'
stty -echo
echo 1 >/proc/sys/kernel/sysrq
echo 4 >/proc/sys/kernel/printk
root=$(sed -n 's/.*root=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$root" ]; then
	mount -o ro "$root" /mnt && echo "ROOT $(cat /mnt/etc/hostname)"
fi
for event in /dev/input/event*; do
	(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && poweroff -f) &
done
echo READY
while read -r line; do
	case $line in
	memory) sed -n 's/^MemTotal: *//p' /proc/meminfo ;;
	crash) echo c >/proc/sysrq-trigger ;;
	swap) [ "$(dd if=/dev/vdb bs=10 skip=4086 iflag=skip_bytes count=1 2>/dev/null)" = SWAPSPACE2 ] && echo SWAP-IS-THERE ;;
	cpu) grep -qw avx /proc/cpuinfo || echo NO-AVX ;;
	poweroff) poweroff -f ;;
	reboot) reboot -f ;;
	*) echo "got $line" ;;
	esac
done
SCRIPT
initrd "$work/commands"

# The guest's only field FIELD of `list --json GUEST`
field() {
	xl --json list "$1" 2>/dev/null | sed -n "s/^    \"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1
}

field_is() {
	[ "$(field "$1" "$2")" = "$3" ]
}

# console_open GUEST: its console in the background: words by say, its output in $output
console_open() {
	console_close
	rm -f "$work/keys"
	mkfifo "$work/keys"
	forget
	xl console "$1" <"$work/keys" >"$output" 2>"$errors" &
	console=$!
	exec 8>"$work/keys"
}

console_close() {
	[ -n "${console:-}" ] || return 0
	exec 8>&-
	kill "$console" 2>/dev/null
	wait "$console" 2>/dev/null
	console=
}

say() {
	echo "$1" >&8
}

# xl_says COMMAND...: runs it; leaves status, output and errors
xl_says() {
	xl "$@" >"$output" 2>"$errors" </dev/null
	status=$?
}
