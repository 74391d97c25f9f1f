#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The KVM engine, on an emulated host that has a /dev/kvm that works. That host starts once for all
# guests. It has one processor, since QEMU does not emulate two without fault (nested.sh); guests have two.
LIMIT=${LIMIT:-300} # an emulated host is slow
. "$(dirname "$0")/lib.sh"
root=${DACH_TEST_ROOT:-$DACH_CACHE/kernel}
export NESTED_KERNEL="$kernel"
export NESTED_MODULES="$(echo "$root"/lib/modules/*)"
tests=$(dirname "$DACH")/tests/guest

# nested OPTION... PROGRAM ARGUMENT...
nested() {
	"$top/tests/guest/nested.sh" --timeout "$LIMIT" "$@" </dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
}

# of NAME TEXT: what came between "begin NAME" and "end NAME" has TEXT
of() {
	sed -n "/^begin $1\$/,/^end $1 /p" "$output" | grep -a -q -e "$2"
}

nested "$tests/nested_engine" kvm
check "the engine alone" ended 0 "kvm: 0 failures"
nested "$tests/nested_engine" kvm apics
check "with local APICs of its own" ended 0 "kvm: 0 failures"
nested "$tests/nested_engine" kvm memory
check "guest memory that comes, goes and is followed" ended 0 "kvm: 0 failures"
nested --cpu EPYC "$tests/nested_engine" translate
check "the translator on another processor" ended 0 "translate: 0 failures"
# A kernel that is stricter with what it is told of a vCPU.
newer=$DACH_CACHE/newer
package=$(apt-cache search --names-only '^linux-image-6[.]1[2-9].*-cloud-amd64$' | cut -d' ' -f1 | sort -V | tail -n 1)
if [ -n "$package" ]; then
	cache_lock
	if [ ! -d "$newer/boot" ]; then
		mkdir -p "$newer"
		(cd "$newer" && apt-get download -q "$package" >/dev/null 2>&1 && dpkg -x ./*.deb . && rm ./*.deb)
	fi
	cache_unlock
	for apics in "" apics; do
		nested --kernel "$(echo "$newer"/boot/vmlinuz-*)" --modules "$(echo "$newer"/lib/modules/*)" \
			"$tests/nested_engine" kvm $apics
		check "the engine on a newer kernel${apics:+, with $apics}" ended 0 "kvm: 0 failures"
	done
fi

# The guests: one that works, one with two processors, one that panics, one that attacks.
gcc -O2 -static -o "$work/work" "$top/bench/work.c"
expected=$("$work/work" vectors faults | awk '{ print $1 ":" $3 }' | tr '\n' ' ')
cat >"$work/one" <<'SCRIPT'
sha256sum /dev/vda
dd if=/dev/vda of=/dev/vdb bs=64k 2>/dev/null
sync
cat >/tmp/dhcp <<'DHCP'
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
DHCP
chmod +x /tmp/dhcp
ip link set eth0 up
udhcpc -i eth0 -n -q -t 5 -s /tmp/dhcp >/dev/null 2>&1
wget -q -O - http://10.0.2.2:8080/data | sha256sum
/work vectors faults | awk '{ print $1 ":" $3 }' | tr '\n' ' '
echo
SCRIPT
cat >"$work/two" <<'SCRIPT'
echo "processors $(nproc)"
taskset 1 sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done' &
taskset 2 sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done'
wait
echo "through a pipe: $(taskset 1 head -c 4194304 /dev/zero | taskset 2 wc -c)"
SCRIPT
cat >"$work/panic" <<'SCRIPT'
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
SCRIPT
mkdir "$work/root"
cp "$work/work" "$work/root/work"
(cd "$work/root" && echo work | cpio -o -H newc --quiet) >"$work/work.cpio"
for name in one two panic; do
	initrd "$work/$name"
	cat "$work/work.cpio" >>"$work/initrd"
	mv "$work/initrd" "$work/$name.initrd"
done
cat >"$work/host" <<'HOST'
#!/bin/busybox sh
head -c 4194304 /dev/urandom >/tmp/in
truncate -s 4M /tmp/out
mkdir /tmp/www
head -c 2097152 /dev/urandom >/tmp/www/data
httpd -p 127.0.0.1:8080 -h /tmp/www
# guest NAME ENGINE OPTION...
guest() {
	name=$1
	engine=$2
	shift 2
	echo "begin $name"
	dach run --engine "$engine" --memory 256 --cmdline "console=ttyS0 quiet panic=-1" --stats "$@" </dev/null 2>&1
	echo "end $name $?"
}
echo "begin list"
dach run --engine list
echo "end list $?"
guest one auto --kernel /vmlinuz --initrd /one.initrd --disk /tmp/in,ro --disk /tmp/out --net user,loopback
echo "in $(sha256sum </tmp/in)"
echo "out $(sha256sum </tmp/out)"
echo "data $(sha256sum </tmp/www/data)"
guest two kvm --vcpus 2 --kernel /vmlinuz --initrd /two.initrd
guest model kvm --cpu x86-64-v4 --kernel /vmlinuz
guest panic kvm --vcpus 2 --cpu x86-64-v2 --kernel /vmlinuz --initrd /panic.initrd
# attack NAME SECONDS [TEXT]: a guest that may hang. After that time, or when it has said TEXT, it is told to end as
# people do it: SIGTERM, and again.
attack() {
	truncate -s 4M /tmp/attacked
	: >/tmp/said
	echo "begin $1"
	dach run --engine kvm --kernel /hostile --memory 64 --cmdline "seed=2" --disk /tmp/attacked --net user,loopback \
		--vcpus 2 </dev/null >/tmp/said 2>&1 &
	guest=$!
	left=$2
	while [ $left -gt 0 ] && kill -0 $guest 2>/dev/null && ! grep -q "^${3:-nothing}" /tmp/said; do
		sleep 1
		left=$((left - 1))
	done
	kill -TERM $guest 2>/dev/null && sleep 2 && kill -TERM $guest 2>/dev/null
	wait $guest
	status=$?
	cat /tmp/said
	echo "end $1 $status"
}
attack hostile 50
attack stopped 50 rings
echo "left $(cat /proc/[0-9]*/comm | grep -c "^dach$")"
dmesg | grep -E "BUG|Oops|WARNING|RIP:" | head
HOST
chmod +x "$work/host"
nested --file "$DACH=/bin/dach" --file "$tests/hostile=/hostile" --file "$kernel=/vmlinuz" \
	--file "$work/one.initrd" --file "$work/two.initrd" --file "$work/panic.initrd" "$work/host"
sum() {
	sed -n "s/^$1 \([0-9a-f]*\) .*/\1/p" "$output"
}
check "the host ends well" ended 0
check "the list says that it works" of list "^kvm  *yes  *auto"
check "a guest, chosen by itself" of one "^end one 0"
check "runs under KVM" of one "^kvm_exit_io [1-9]"
check "and reads its disk" of one "^$(sum in)  /dev/vda"
check "and writes another" [ "$(sum in)" = "$(sum out)" ]
check "its network works" of one "^$(sum data)  -"
check "it computes what this host does" of one "^$expected"
notified=$(sed -n '/^begin one$/,/^end one/s/^kvm_exit_mmio //p' "$output")
check "and notifies without an exit ($notified)" [ "${notified:-9999}" -lt 2000 ]
check "two processors" of two "^processors 2"
check "wake each other" of two "^through a pipe: 4194304"
check "end well too" of two "^end two 0"
check "a model is refused by what lacks" of model "x86-64-v4: this host's processor lacks .*avx512f"
check "a kernel panic is a crash, as another model" of panic "^end panic 3"
check "the hostile guest harms only itself" of hostile "^end hostile [023]$"
check "after it has attacked" of hostile "^rings"
check "in the middle of it, two SIGTERMs end it" of stopped "^end stopped 2$"
check "nothing is left" grep -a -q "^left 0" "$output"
check "the host's kernel has nothing to complain of" [ -z "$(sed -n '/^left/,$p' "$output" | sed 1d)" ]
finish
