#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Many guests at once, 64 MiB each (a cloud kernel comes up in so little without its tracing files): all
# up, list and top right, what they and the daemon cost when they are idle. DACH_MANY says how many (6); a
# small host should bear 20.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
many=${DACH_MANY:-6}

# The first process tells of itself before it does what all tests' guests do.
mkdir "$work/first"
cat >"$work/first/first" <<'FIRST'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
echo FIRST >/dev/console
exec /init
FIRST
chmod 0755 "$work/first/first"
(cd "$work/first" && echo first | cpio -o -H newc --quiet) >>"$work/initrd"

cat >"$work/idle.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1 rdinit=/first initcall_blacklist=tracer_init_tracefs"
memory = 64
engine = "$DACH_ENGINE"
CONFIG

# One process a look: they share the processors with the guests that are waited for.
all_say() {
	[ "$(grep -l "$1" "$work"/console.* | wc -l)" -eq "$many" ]
}

# ticks PID: processor time, in hundredths of a second
ticks() {
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# memory PID FIELD: KiB
memory() {
	sed -n "s/^$2:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$1/${3:-status}"
}

# own_memory PID: KiB that are neither the guest's (a memfd or a mapping of its size, with up to 16 MiB of room
# for its kernel to unpack itself) nor a file's; translated code is in memory that is mapped twice.
own_memory() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { code = /memfd:dach-code/ }
		/^Size:/ { guest = $2 >= 65536 && $2 <= 81920 }
		/^Rss:/ && code && $2 > most { most = $2 }
		/^Anonymous:/ && !guest { sum += $2 }
		END { print sum + most }' "/proc/$1/smaps"
}

# lent_memory PID: KiB of guest memory that the guest is not told of: see src/machine/memory.h.
lent_memory() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = /memfd:guest-ram/ }
		/^Size:/ && guest && $2 - 65536 > most { most = $2 - 65536 }
		END { print most + 0 }' "/proc/$1/smaps"
}

start=$(date +%s%3N)
i=1
consoles=
: >"$errors"
while [ $i -le "$many" ]; do
	xl create -q "$work/idle.cfg" "name='idle$i'" >>"$errors" 2>&1 || break
	timeout 600 "$DACH" console "idle$i" </dev/null >"$work/console.$i" 2>>"$errors" &
	consoles="$consoles $!"
	i=$((i + 1))
done
created=$(($(date +%s%3N) - start))
check "$many guests are created" [ $i -gt "$many" ]
check "each has a process" wait_for $((60 + many * 20)) all_say FIRST
first=$(($(date +%s%3N) - start))
check "all come up" wait_for $((60 + many * 20)) all_say READY
echo "# $many guests were created after $created ms, had their first process after $first ms, were ready" \
	"after $(($(date +%s%3N) - start)) ms"
# shellcheck disable=SC2086 # a list of words
kill $consoles 2>/dev/null
xl_says list
check "list shows each" [ "$(grep -c '^idle[0-9]*  *[0-9][0-9]*    64     1     [r-][b-]----  ' "$output")" -eq "$many" ]
xl_says top -b -i 1
check "top shows each" [ "$(grep -c '^ *idle[0-9]* ' "$output")" -eq "$many" ]

dachd=$(daemon_pid)
monitors=$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p')
check "a monitor each" [ "$(echo "$monitors" | wc -l)" -eq "$many" ]
sleep 2
before=$(ticks "$dachd")
for pid in $monitors; do
	echo "$pid $(ticks "$pid")"
done >"$work/ticks"
sleep 10
spent=$(($(ticks "$dachd") - before))
check "the daemon takes under 1 % of a processor" [ $spent -le 10 ]
# The one in their middle: others may have been disturbed by what else this host does.
used=$(while read -r pid before; do
	echo $(($(ticks "$pid") - before))
done <"$work/ticks" | sort -n | sed -n "$(((many + 1) / 2))p")
# Ten seconds are a thousand ticks. Where the host is itself a program of its hypervisor (PVM) it takes six, elsewhere two.
check "an idle guest under 1 %" [ "$used" -le 10 ]
check "the daemon takes under 32 MiB" [ "$(memory "$dachd" VmRSS)" -lt 32768 ]
most_memory=0
for pid in $monitors; do
	lent=$(lent_memory "$pid")
	own=$(($(own_memory "$pid") + lent))
	[ "$own" -le "$most_memory" ] || most_memory=$own
done
check "a monitor takes under 16 MiB beside its guest's memory" [ "$most_memory" -lt 16384 ]
echo "# daemon: $spent ticks in 10 s, $(memory "$dachd" VmRSS) KiB; an idle guest $used ticks;" \
	"largest monitor $most_memory KiB beside its guest's memory, $lent of them lent to a kernel to unpack itself"
xl_says destroy -a
check "all are destroyed at once" ended 0
xl_says list
check "none is left" [ "$(wc -l <"$output")" -eq 2 ]
finish
