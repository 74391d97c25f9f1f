#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command on a small Linux host that has a working /dev/kvm, wherever
# this is run: QEMU emulates a processor with SVM in software. Slow (a few
# seconds to start), and needs no privilege.
#
#   nested.sh [option...] PROGRAM [ARGUMENT...]
#     --kernel FILE    the host's kernel (default: $NESTED_KERNEL)
#     --modules DIR    its lib/modules/VERSION (default: $NESTED_MODULES, or beside the kernel)
#     --file FILE[=PATH]  a file to put there, as PATH (default: /its name), with the libraries it
#                      needs; may be given again
#     --qemu           put QEMU and its firmware there
#     --memory MiB     of that host (1536)
#     --cpus N         of that host (1)
#     --cpu MODEL      QEMU's model of its processors (EPYC with SVM, without XSAVE)
#     --thread single|multi  its processors run by turns in one thread of QEMU, or each in its own (multi,
#                      unless there is but one)
#     --param STRING   parameters of its kvm-amd module: "npt=0 vgif=0"
#     --timeout SECONDS (300)
#     --log FILE       the host kernel's messages
#
# PROGRAM is put there with the shared libraries it needs and runs as root with
# these arguments, with standard input, output and error of nested.sh's own.
# Exit status: the command's; 125 when the host did not come up or did not end.
set -eu

kernel=${NESTED_KERNEL:-}
modules=${NESTED_MODULES:-}
memory=1536
cpus=1
# Without XSAVE, since QEMU before 8.1 does not let a nested host see XSETBV.
cpu=EPYC,+svm,+npt,-xsave
thread=
param=
limit=300
work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT
trap 'exit 125' INT TERM
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/lib/modules"

fail() {
	echo "nested.sh: $*" >&2
	exit 125
}

# A program or library, and what it is linked with, each at its own path.
with_libraries() {
	ldd "$1" 2>/dev/null | sed -n 's|.* => \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\) (.*|\1|p' |
		while read -r library; do
			mkdir -p "$root$(dirname "$library")"
			[ -e "$root$library" ] || cp -L "$library" "$root$library"
		done
}

# put FILE PATH
put() {
	mkdir -p "$root$(dirname "$2")"
	cp -L "$1" "$root$2"
	with_libraries "$1"
}

while [ $# -gt 0 ]; do
	case $1 in
	--kernel) kernel=$2; shift 2 ;;
	--modules) modules=$2; shift 2 ;;
	--memory) memory=$2; shift 2 ;;
	--cpu) cpu=$2; shift 2 ;;
	--cpus) cpus=$2; shift 2 ;;
	--thread) thread=$2; shift 2 ;;
	--param) param=$2; shift 2 ;;
	--timeout) limit=$2; shift 2 ;;
	--log) log=$2; shift 2 ;;
	--file)
		from=${2%%=*}
		to=${2#*=}
		[ "$to" != "$2" ] || to=/$(basename "$from")
		put "$from" "$to"
		shift 2
		;;
	--qemu)
		put "$(command -v qemu-system-x86_64)" /usr/bin/qemu-system-x86_64
		for file in /usr/share/qemu/qboot.rom /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/linuxboot.bin \
			/usr/share/qemu/kvmvapic.bin /usr/share/qemu/pvh.bin /usr/share/seabios/bios-256k.bin \
			/usr/share/qemu/bios-microvm.bin /usr/share/seabios/bios-microvm.bin; do
			[ ! -e "$file" ] || put "$file" "$file"
		done
		shift
		;;
	--*) fail "unknown option: $1" ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || fail "no program given"
[ -n "$kernel" ] || fail "no kernel given (--kernel or NESTED_KERNEL)"
[ -r "$kernel" ] || fail "$kernel: cannot be read"
if [ -z "$modules" ]; then
	version=$(basename "$kernel")
	version=${version#vmlinuz-}
	for dir in "$(dirname "$kernel")/../lib/modules/$version" "/lib/modules/$version"; do
		[ ! -d "$dir" ] || { modules=$dir; break; }
	done
fi
[ -d "$modules" ] || fail "no modules for $kernel (--modules)"

program=$1
shift
[ -x "$program" ] || fail "$program: cannot be run"
put "$program" /bin/program
busybox=$(command -v busybox) || fail "busybox is not installed"
put "$busybox" /bin/busybox
for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd drivers/crypto/ccp/ccp; do
	file=$(find "$modules/" -path "*/$module.ko" -o -path "*/$module.ko.xz" | head -n 1)
	case $file in
	*.xz) xz -d <"$file" >"$root/lib/modules/$(basename "$file" .xz)" ;;
	*.ko) cp "$file" "$root/lib/modules/" ;;
	esac
done

# The arguments, quoted for the shell there.
command="/bin/program"
for argument; do
	command="$command '$(printf %s "$argument" | sed "s/'/'\\\\''/g")'"
done

cat >"$root/init" <<END
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up
for module in irqbypass ccp kvm kvm-amd; do
	options=
	[ \$module != kvm-amd ] || options="$param"
	[ ! -e /lib/modules/\$module.ko ] || insmod /lib/modules/\$module.ko \$options
done
stty -F /dev/ttyS0 raw -echo
stty -F /dev/ttyS2 raw -echo
echo up >/dev/ttyS2
cd /
$command </dev/ttyS0 >/dev/ttyS0 2>&1
echo "status \$?" >/dev/ttyS2
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) | gzip -1 >"$work/initrd"

# One processor unless told otherwise, since QEMU 7.2 fails with more. By turns in one thread they deliver
# interrupts twice: VMRUN leaves the vector that it has injected as an exception that waits, and where QEMU stops a
# processor before its next VM exit that exception is delivered too, whatever IF is. QEMU stops all processors
# of a thread when a timer has an interrupt for one; alone, a processor finds that interrupt first, and with it
# the exception is dropped. With a thread for each, that host has hung once in fifty guests or so: it went on
# executing an INT3 that its kernel had put into its own code for a moment, long after it was gone from memory.
# And a tick that comes again: VMRUN may lose the one interrupt of a timer that another thread of QEMU has
# just raised (the request for an interrupt window is put beside it without its lock), and then that host
# sleeps for ever.
[ -n "$thread" ] || { [ "$cpus" = 1 ] && thread=single || thread=multi; }
cmdline=${NESTED_CMDLINE-tsc=reliable nohz=off highres=off}
status=0
timeout -k 5 "$limit" qemu-system-x86_64 -accel "tcg,thread=$thread" -cpu "$cpu" -smp "$cpus" -m "$memory" \
	-nodefaults -no-user-config -display none -no-reboot -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS1 quiet panic=-1 mitigations=off $cmdline" \
	-chardev stdio,id=out,signal=off -serial chardev:out -serial "file:$log" \
	-serial "file:$work/status" 2>"$work/qemu" || status=$?
[ $status != 124 ] && [ $status != 137 ] || fail "not over after $limit seconds"
[ -s "$work/status" ] || fail "the host did not come up ($status): $(tail -n 1 "$work/qemu"); $(tail -n 1 "$log")"
result=$(sed -n 's/^status \([0-9]*\).*/\1/p' "$work/status" | tr -d '\r')
[ -n "$result" ] || fail "the host ended before the command ($status): $(tail -n 1 "$work/qemu")"
exit "$result"
