#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The daemon is killed at random moments under a stream of commands, while a guest is reset again and again
# (and so started anew): no guest is lost, none is started twice, the store opens. DACH_KILLS says how often (12).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
kills=${DACH_KILLS:-12}

# Monitors tell who they are before they are, since nobody but root may look into one.
cat >"$work/vmm" <<VMM
#!/bin/sh
echo "\$\$ \$(ls -l /proc/\$\$/fd | grep -o '$work/run/guests/[^/]*/lock' | head -n 1)" >>'$work/monitors'
exec '$(dirname "$DACH")/dach-vmm'
VMM
chmod 0755 "$work/vmm"
export DACH_VMM="$work/vmm"

cat >"$work/guest.cfg" <<CONFIG
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1 initcall_blacklist=tracer_init_tracefs"
memory = 64
engine = "$DACH_ENGINE"
CONFIG

for name in one two; do
	xl create -q "$work/guest.cfg" "name='$name'" 2>>"$errors"
done
console_open one
check "a guest is up" wait_for 60 said READY
console_close
before=$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' | sort)
xl create -q "$work/guest.cfg" "name='anew'" 2>>"$errors"

# living: process and lock of each of this test's monitors that is one
living() {
	while read -r pid lock; do
		{ read -r _ name state _ <"/proc/$pid/stat"; } 2>/dev/null || continue
		[ "$name" != "(dach-vmm)" ] || [ "$state" = Z ] || echo "$pid $lock"
	done <"$work/monitors"
}

monitors() {
	living | cut -d' ' -f1 | sort
}

# How many guests have more than one process that has their lock's file open.
doubles() {
	living | cut -d' ' -f2 | sort | uniq -d | wc -l
}

# Commands without end; each may fail while there is no daemon, and is tried with the next.
cat >"$work/stream" <<'STREAM'
n=0
ask() {
	commands=$((commands + 1))
	echo "$commands" >"$work/commands.count"
	xl "$@"
}
while [ -e "$work/go" ]; do
	n=$((n + 1))
	ask pause one
	ask list
	ask unpause one
	ask new -q "$work/guest.cfg" "name='kept$n'" && echo "kept$n" >>"$work/kept"
	ask rename two zwei || ask rename zwei two
	[ $((n % 4)) -ne 0 ] || { ask create -q "$work/guest.cfg" "name='short$n'" && ask destroy "short$n"; }
done >"$work/stream.out" 2>&1
STREAM
# A life of less than two seconds would make the daemon wait before the next.
cat >"$work/resets" <<'RESETS'
while [ -e "$work/go" ]; do
	sleep 2.5
	xl trigger anew reset && echo reset >>"$work/reset.count"
done >"$work/resets.out" 2>&1
RESETS
export work
touch "$work/go" "$work/kept" "$work/reset.count"
sh "$work/stream" &
stream=$!
sh "$work/resets" &
resets=$!
twice=0
n=0
while [ $n -lt "$kills" ]; do
	n=$((n + 1))
	# Some hundredths to some tenths of a second into whatever goes on.
	sleep "0.$(printf %02d $(($(od -An -N1 -tu1 /dev/urandom) % 60 + 5)))"
	pid=$(daemon_pid)
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
	twice=$((twice + $(doubles)))
done
rm "$work/go"
wait $stream $resets
check "no guest has two monitors at any time" [ $twice -eq 0 ]
xl_says unpause one
xl_says list
check "after $kills kills the store opens" ended 0
xl --json list >"$work/list"
after=$(sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' "$work/list" | sort)
lives=$(for pid in $before; do echo "$after" | grep -x "$pid"; done)
check "all monitors are known with their locks" [ "$(living | grep -c '/lock$')" -ge 3 ]
check "the guests of before live on" [ "$lives" = "$before" ]
# A guest that was started twice would be a process that the daemon does not know. One that is being reset,
# or whose end was asked for last, is one for a moment.
all_are_known() {
	[ "$(monitors)" = "$(xl --json list | sed -n 's/^ *"pid": \([0-9][0-9]*\).*/\1/p' | sort)" ]
}
check "and none beside them" wait_for 10 all_are_known
lost=0
while read -r name; do
	grep -q "\"name\": \"$name\"" "$work/list" || lost=$((lost + 1))
done <"$work/kept"
echo "# $kills kills, $(cat "$work/commands.count") commands, $(wc -l <"$work/reset.count") resets:" \
	"$lost guests lost, $twice twice"
check "of $(wc -l <"$work/kept") guests that new said it keeps none is lost" [ $lost -eq 0 ]
check "so is one that was reset all the time" grep -q '"name": "anew"' "$work/list"
console_open one
check "the guests answer" wait_for 10 said READY
say word
check "to what is typed" wait_for 10 said "got word"
console_close
finish
