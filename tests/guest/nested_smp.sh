#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests under the KVM engine and under QEMU with -accel kvm, by turns on one emulated host (nested.sh):
# how many of each hang, and what a guest that hangs does. No part of the tests: it runs for many minutes.
#
#   nested_smp.sh [option...] [NUMBER]   of guests of each (50)
#     --with "NAME..."   of dach, q35 and microvm, the latter two QEMU's machines ("dach q35")
#     --vcpus N          of a guest (2)
#     --memory MiB       of a guest (128)
#     --limit SECONDS    that a guest may take (120)
#     --trace            KVM's tracepoints are on before a guest hangs too: what led to it, but slower
#     --log DIR          is made, and gets a file for each guest that hung (nested_smp.log)
#     -- option...       of nested.sh: --cpus, --thread, --cpu, --kernel, --modules, --param
#
# A guest hangs when it takes too long, or when KVM counts fewer than a hundred halts, accesses and interrupts
# of it in ten seconds. Prints a line a guest: NAME ok|hung|failed SECONDS STATUS; then what came of all.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
DACH=${DACH:-$top/build/dach}
DACH_CACHE=${DACH_CACHE:-$top/build/guest}
names="dach q35" vcpus=2 memory=128 limit=120 trace= number=50 log=nested_smp.log
while [ $# -gt 0 ]; do
	case $1 in
	--with) names=$2; shift 2 ;;
	--vcpus) vcpus=$2; shift 2 ;;
	--memory) memory=$2; shift 2 ;;
	--limit) limit=$2; shift 2 ;;
	--trace) trace=1; shift ;;
	--log) log=$2; shift 2 ;;
	--) shift; break ;;
	*) number=$1; shift ;;
	esac
done
"$top/tests/guest/prepare" "$DACH_CACHE"
root=${DACH_TEST_ROOT:-$DACH_CACHE/kernel}
export NESTED_KERNEL="$DACH_CACHE/vmlinuz"
export NESTED_MODULES="$(echo "$root"/lib/modules/*)"
return=$(printf '\r')
file=/dev/null
mkdir "$log"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

mkdir "$work/root"
cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
export PATH=/bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo "processors $(nproc)"
for mask in 1 2; do
	taskset $mask sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done' 2>/dev/null &
done
wait
echo worked
poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && echo init | cpio -o -H newc --quiet) >"$work/more"
cat "$DACH_CACHE/base.cpio" "$work/more" >"$work/initrd"

cat >"$work/host" <<HOST
#!/bin/busybox sh
names="$names" vcpus=$vcpus memory=$memory limit=$limit trace=$trace number=$number
HOST
cat >>"$work/host" <<'HOST'
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing 2>/dev/null
tracing=/sys/kernel/tracing
kvm=/sys/kernel/debug/kvm
cmdline="console=ttyS0 quiet panic=-1 nokaslr"
echo 16384 >$tracing/buffer_size_kb
echo 1 >$tracing/events/kvm/enable
echo 0 >$tracing/tracing_on
dach() {
	exec dach run --engine kvm --kernel /vmlinuz --initrd /initrd --cmdline "$cmdline" --memory $memory \
		--vcpus $vcpus
}
qemu() {
	exec /usr/bin/qemu-system-x86_64 -L /usr/share/qemu -L /usr/share/seabios -accel kvm -M "$1" -cpu host \
		-smp $vcpus -m $memory -nodefaults -no-user-config -display none -no-reboot -serial stdio \
		-kernel /vmlinuz -initrd /initrd -append "$cmdline"
}
q35() {
	qemu q35
}
microvm() {
	qemu microvm
}
# Hundredths of a second
now() {
	cut -d' ' -f1 /proc/uptime | tr -d .
}
progress() {
	echo $(($(cat $kvm/halt_exits) + $(cat $kvm/io_exits) + $(cat $kvm/mmio_exits) + $(cat $kvm/irq_injections)))
}
# What the guest does that hangs; $1: its name and number
hang() {
	echo "HANG $1"
	cat /tmp/out
	if [ -n "$trace" ]; then
		echo 0 >$tracing/tracing_on
		echo "before:"
		grep -v "^#" $tracing/trace | tail -n 60000
	fi
	for task in /proc/$guest/task/*; do
		echo "thread $(cat $task/comm) $(cut -d' ' -f3,14,15 $task/stat)"
		cat $task/stack
	done
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
	sleep 1
	echo 0 >$tracing/tracing_on
	echo "then:"
	grep -v "^#" $tracing/trace | head -n 300
	grep . $kvm/$guest-*/* $kvm/$guest-*/vcpu*/*
	dmesg | tail -n 5
	echo "END $1"
}
i=0
while [ $i -lt $number ]; do
	for name in $names; do
		[ -z "$trace" ] || { echo >$tracing/trace; echo 1 >$tracing/tracing_on; }
		start=$(now)
		$name </dev/null >/tmp/out 2>&1 &
		guest=$!
		since=$start
		mark=$(progress)
		result=
		while kill -0 $guest 2>/dev/null; do
			usleep 200000
			seen=$(progress)
			if [ $((seen - mark)) -ge 100 ]; then
				mark=$seen
				since=$(now)
			elif [ $(($(now) - since)) -ge 1000 ]; then
				result=hung
			fi
			[ $(($(now) - start)) -lt $((limit * 100)) ] || result=hung
			[ -z "$result" ] || { hang $name.$i; kill -9 $guest; break; }
		done
		wait $guest 2>/dev/null
		status=$?
		taken=$(($(now) - start))
		if [ -z "$result" ]; then
			result=failed
			[ $status != 0 ] || ! grep -q "^processors $vcpus" /tmp/out || ! grep -q "^worked" /tmp/out ||
				result=ok
		fi
		[ $result != failed ] || { echo "HANG $name.$i"; cat /tmp/out; echo "END $name.$i"; }
		echo "GUEST $name $result $((taken / 100)).$((taken / 10 % 10)) $status"
	done
	i=$((i + 1))
done
HOST
chmod +x "$work/host"
"$top/tests/guest/nested.sh" --timeout $((300 + number * $(echo "$names" | wc -w) * (limit + 10))) "$@" \
	--log "$log/host" --qemu --file "$DACH=/bin/dach" --file "$DACH_CACHE/vmlinuz=/vmlinuz" \
	--file "$work/initrd=/initrd" "$work/host" </dev/null |
	while read -r what rest; do
		rest=${rest%"$return"}
		case $what in
		GUEST) echo "$rest" | tee -a "$log/guests" ;;
		HANG) file=$log/$rest ;;
		END) file=/dev/null ;;
		*) echo "$what $rest" >>"$file" ;;
		esac
	done
awk '
	{ n[$1, $2]++ }
	$2 == "ok" { t[$1] += $3 }
	!seen[$1]++ { name[++names] = $1 }
	END {
		for (i = 1; i <= names; i++) {
			m = name[i]
			seconds = n[m, "ok"] ? t[m] / n[m, "ok"] : 0
			printf "%s: %d ok, %d hung, %d failed; %.1f seconds\n", m, n[m, "ok"], n[m, "hung"], \
				n[m, "failed"], seconds
		}
	}' "$log/guests"
