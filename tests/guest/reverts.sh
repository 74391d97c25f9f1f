#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that writes to two file systems goes back to snapshots of itself, again and again: what it knows and what its
# disks have is of one moment. DACH_REVERTS says how often (3), DACH_SEED where the dice begin.
. "$(dirname "$0")/lib.sh"

cat >"$work/writer" <<'SCRIPT'
stty -echo
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
written=0
for disk in a b; do
	mkdir /$disk
	mount -t ext4 /dev/vd$disk /$disk
	rm -rf /$disk/lost+found
	: >/tmp/list.$disk
done
# files DISK: writes some, each under its sum; no more than 30 stay
files() {
	i=0
	while [ ! -e /tmp/stop ]; do
		i=$((i + 1))
		dd if=/dev/urandom of=/tmp/new.$1 bs=1k count=$((1 + i % 40)) 2>/dev/null
		sum=$(md5sum </tmp/new.$1 | cut -c1-32)
		cp /tmp/new.$1 /$1/.new
		[ $((i % 3)) -ne 0 ] || sync
		mv /$1/.new /$1/$sum
		echo $sum >>/tmp/list.$1
		while [ $(wc -l </tmp/list.$1) -gt 30 ]; do
			rm /$1/$(head -n 1 /tmp/list.$1)
			sed -i 1d /tmp/list.$1
		done
	done
}
begin() {
	rm -f /tmp/stop
	files a &
	files b &
}
verify() {
	touch /tmp/stop
	wait
	sync
	echo 3 >/proc/sys/vm/drop_caches
	wrong=0
	why=
	count=0
	for disk in a b; do
		sort /tmp/list.$disk >/tmp/wanted
		ls /$disk | cmp -s - /tmp/wanted || { wrong=$((wrong + 1)); why="$why list-$disk"; }
		for file in /$disk/*; do
			[ -e "$file" ] || continue
			count=$((count + 1))
			[ "$(md5sum <$file | cut -c1-32)" = "${file##*/}" ] || { wrong=$((wrong + 1)); why="$why $file"; }
		done
	done
	dmesg | grep -q "EXT4-fs error" && why="$why EXT4" && wrong=$((wrong + 1))
	answer="$nonce $wrong $count $why"
	begin
}
begin
last=
while read -r word number; do
	[ "$number" = "$last" ] || case $word in
	who) answer=$nonce ;;
	verify) verify ;;
	*) continue ;; # a line that came while the terminal was set up; it comes again
	esac
	last=$number
	echo "SAYS $number $answer"
done
SCRIPT
initrd "$work/writer"
DACH=$DACH timeout -k 5 "${DACH_REVERTS_LIMIT:-300}" python3 "$top/tests/guest/reverts.py" "$kernel" "$work/initrd" \
	"${DACH_REVERTS:-3}" "${DACH_SEED:-1}" >"$output" 2>"$errors"
status=$?
check "$(tail -n 1 "$output")" ended 0 "^DONE"
finish
