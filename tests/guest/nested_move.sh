#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# On an emulated host with both engines: a guest saved under one goes on under the other, both ways,
# with its clock, disk and network; what a processor lacks is named.
LIMIT=${LIMIT:-300} # an emulated host is slow
. "$(dirname "$0")/lib.sh"
root=${DACH_TEST_ROOT:-$DACH_CACHE/kernel}
export NESTED_KERNEL="$kernel"
export NESTED_MODULES="$(echo "$root"/lib/modules/*)"

# What the guest does. It moves where it says MOVE, twice.
cat >"$work/script" <<'SCRIPT'
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo remembered >/tmp/memory
sum=$(sha256sum </dev/vda)
while sleep 0.3; do cat /proc/interrupts >/tmp/interrupts; done &
for n in 1 2; do
	echo "MOVE$n at $(cut -d' ' -f1 /proc/uptime)"
	read word
	echo "HEARD $word at $(cut -d' ' -f1 /proc/uptime)"
	echo "TIME $(date +%s)"
	wget -q -O - http://10.0.2.2:8000/word
	echo 3 >/proc/sys/vm/drop_caches
	[ "$(sha256sum </dev/vda)" = "$sum" ] && echo DISK-SAME
	echo "$n" | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
	sum=$(sha256sum </dev/vda)
done
cat /tmp/memory
dmesg | grep -E 'soft lockup|detected stalls|unstable|WARNING: CPU|BUG:' && echo COMPLAINTS
SCRIPT
initrd "$work/script"

# A guest of the processor that we have here, which is not the one there.
quick() {
	"$DACH" run --engine translate --kernel "$kernel" --cmdline "console=ttyS0" --memory 128 "$@" \
		</dev/null >/dev/null 2>"$errors" &
	quick_pid=$!
	sleep 1
	kill -USR2 $quick_pid
	wait $quick_pid
	status=$?
}
quick --save-to "$work/other"
check "a guest of this processor" [ $status -eq 6 ]

# What the emulated host does.
cat >"$work/host" <<'HOST'
#!/bin/sh
mkdir /www
echo SERVED >/www/word
httpd -p 127.0.0.1:8000 -h /www
head -c 65536 /dev/urandom >/disk
# part NUMBER ENGINE OPTION...: a part of the guest's life; it is saved at MOVE$NUMBER
part() {
	part=$1
	engine=$2
	shift 2
	mkfifo /typed$part
	/dach run --engine $engine --kernel /vmlinuz --initrd /initrd --memory 128 --disk /disk \
		--cmdline "console=ttyS0 quiet panic=-1" --net user,loopback "$@" </typed$part >/out$part 2>&1 &
	pid=$!
	exec 9>/typed$part
	[ $part = 1 ] || echo word$part >&9
	before=0
	while
		now=$(date +%s)
		! grep -q MOVE$part /out$part && [ -e /proc/$pid/exe ]
	do
		before=$now
		sleep 0.2
	done
	echo "MOVE$part between $before and $(date +%s)"
	kill -USR2 $pid 2>/dev/null
	wait $pid
	echo "PART$part status $? host $(date +%s)"
	cat /out$part
	exec 9>&-
}
part 1 kvm --cpu x86-64-v2 --save-to /state1
part 2 translate --restore-from /state1 --save-to /state2
part 3 kvm --restore-from /state2
for engine in kvm translate; do
	text=$(/dach run --engine $engine --kernel /vmlinuz --restore-from /other 2>&1)
	echo "OTHER $? $text"
done
HOST
chmod +x "$work/host"
"$top/tests/guest/nested.sh" --timeout "$LIMIT" --cpu EPYC,+svm,+npt --memory 1024 \
	--file "$DACH=/dach" --file "$kernel=/vmlinuz" --file "$work/initrd=/initrd" \
	--file "$work/other=/other" "$work/host" </dev/null >"$output" 2>"$errors"
status=$?
tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"

# number TEXT [FIELD]: what stands behind it, up to a point or space; 0 if nothing does
number() {
	found=$(sed -n "s/^$1//p" "$output" | head -n 1 | cut -d' ' -f"${2:-1}" | cut -d. -f1)
	echo "${found:-0}"
}

check "from KVM" said "PART1 status 6"
check "to the translator, and from there" said "PART2 status 6"
check "to KVM, and to its end" said "PART3 status 0"
check "its console is alive" [ "$(grep -c HEARD "$output")" -eq 2 ]
check "its network is alive" [ "$(grep -c ^SERVED "$output")" -eq 2 ]
check "its disk is as it was" [ "$(grep -c ^DISK-SAME "$output")" -eq 2 ]
check "its memory is there" said ^remembered
last=$(grep ^TIME "$output" | tail -n 1 | cut -d' ' -f2)
late=$(($(number "PART3 status 0 host ") - ${last:-0}))
check "it knows the time ($late s before its end)" [ "$late" -ge 0 -a "$late" -lt 15 ]
# From MOVE1 to HEARD word3, which is in part 3, on the guest's clock and on the host's.
there=$(($(number "HEARD word3 at ") - $(number "MOVE1 at ")))
most=$(($(number "PART3 status 0 host ") - $(number "MOVE1 between ")))
least=$(($(number "PART2 status 6 host ") - $(number "MOVE1 between " 3)))
check "its clock went on ($there s, of $least to $most s)" \
	[ $there -ge $((least - 2)) -a $there -le $((most + 2)) ]
check "it has no complaints" [ "$(grep -c COMPLAINTS "$output")" -eq 0 ]
check "a processor that is not there is refused" \
	[ "$(grep -c "OTHER 1 .*cannot go on here: .* lack" "$output")" -eq 2 ]
check "by the names of what is missing" said "OTHER.*pcid"
finish
