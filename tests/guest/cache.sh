#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A code cache of which the kernel fills many times what there is, under two processors that fork,
# run programs and are migrated: parts are evicted all the time.
. "$(dirname "$0")/lib.sh"

guest --vcpus 2 --code-cache 4M --stats <<'EOF'
work() {
	for i in 1 2; do
		seq 200 | md5sum
		ls -lR /sys/class | wc -l >/dev/null
	done | uniq -c
}
work >/tmp/a &
work >/tmp/b &
wait
cmp /tmp/a /tmp/b && grep -c . /tmp/a && echo SAME
EOF
check "a guest runs in a tiny code cache" ended 0 SAME
evicted=$(sed -n 's/^part_evicted *//p' "$errors")
check "which was used again and again" [ "${evicted:-0}" -gt 50 ]
check "and stayed within its bounds" awk '/^cache_(hot|cold)_bytes/ { n += $2 } END { exit !(n && n < 4194304) }' "$errors"
finish
