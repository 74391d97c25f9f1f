#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that is saved and restored, also lazily: a TCP connection over its tap goes on, its clock is right within a second, and
# its CLOCK_MONOTONIC, at which it looks all the while, never goes back.
if [ -z "${DACH_TEST_NETNS:-}" ]; then
	if [ "$(id -u)" -ne 0 ] || [ ! -r /dev/net/tun ] || ! PATH=$PATH:/usr/sbin command -v nft >/dev/null || ! unshare -n true; then
		echo "ok restored: # skipped: needs root, taps, nft and a network namespace"
		exit 0
	fi
	export DACH_TEST_NETNS=1
	exec unshare -n "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

ip link set lo up
ip link add br0 type bridge
ip addr add 10.9.0.1/24 dev br0
ip link set br0 up

cat >"$work/client" <<'SCRIPT'
stty -echo
ip addr add 10.9.0.2/24 dev eth0
ip link set eth0 up
# How often CLOCK_MONOTONIC was looked at, and went back.
awk 'BEGIN {
	for (;;) {
		while ((getline line < "/proc/timer_list") > 0)
			if (line ~ /^now at/) {
				split(line, word, " ")
				back += word[3] + 0 < last
				last = word[3] + 0
				looks++
				break
			}
		close("/proc/timer_list")
		if (looks % 20 == 0) {
			print looks, back + 0 > "/tmp/looks"
			close("/tmp/looks")
		}
	}
}' &
: >/tmp/answers
(while :; do echo tick; sleep 1; done) | nc 10.9.0.1 7000 >/tmp/answers &
echo READY
while read -r word number; do
	case $word in
	report) echo "REPORT $number ANSWERS $(wc -l </tmp/answers) LOOKS $(cat /tmp/looks) TIME $(date +%s)" ;;
	esac
done
SCRIPT
initrd "$work/client"
cat >"$work/guest.cfg" <<CONFIG
name = "one"
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 128
vcpus = 2
engine = "$DACH_ENGINE"
vif = ['bridge=br0']
CONFIG

# Answers a line with a line; a word for each connection.
cat >"$work/server.py" <<'SERVER'
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        print("connection", flush=True)
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("10.9.0.1", 7000), Handler).serve_forever()
SERVER
python3 "$work/server.py" >"$work/connections" 2>&1 &
server=$!
trap 'kill $server; toolstack_end' EXIT

# report: what the guest says of itself now, in $answers, $looks, $back and $time, asked for at $asked
report() {
	asked=$(date +%s) mark=$(date +%s%N)
	say "report $mark"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		said "^REPORT $mark" && break
		sleep 0.5
	done
	read -r answers looks back time <<WORDS
$(tr -d '\r' <"$output" | sed -n "s/^REPORT $mark ANSWERS \([0-9]*\) LOOKS \([0-9]*\) \([0-9]*\) TIME \([0-9]*\).*/\1 \2 \3 \4/p")
WORDS
}

# grown ANSWERS LOOKS: there are more of both
grown() {
	report && [ "${answers:-0}" -gt "$1" ] && [ "${looks:-0}" -gt "$2" ]
}

right_time() {
	report && [ "$time" -ge $((asked - 1)) ] && [ "$time" -le $(($(date +%s) + 1)) ]
}

xl_says create -q "$work/guest.cfg"
check "a guest starts" ended 0
console_open one
check "and has answers over a connection" wait_for 90 grown 2 40
console_close

for how in "" --lazy; do
	xl_says save one "$work/one.save"
	check "it is saved" ended 0
	sleep 4 # the time that it misses
	xl_says restore ${how:+"$how"} "$work/one.save"
	check "and goes on${how:+ ($how)}" ended 0
	console_open one
	check "its clock is right within a second" wait_for 20 right_time
	had=$answers looked=$looks
	check "its connection goes on" wait_for 90 grown $((had + 2)) "$looked"
	check "it is the same one" [ "$(wc -l <"$work/connections")" -eq 1 ]
	check "CLOCK_MONOTONIC never went back ($looks looks)" [ "$back" -eq 0 ]
	console_close
done
xl_says live-update one
check "it goes on in a new monitor" ended 0
console_open one
report
check "where the connection goes on, too" wait_for 60 grown $((answers + 2)) "$looks"
check "and the clocks" [ "$back $(wc -l <"$work/connections")" = "0 1" ]
console_close
finish
