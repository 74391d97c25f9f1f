#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Real VNC clients at a guest's screen: TigerVNC's and TightVNC's viewers under Xvfb, typed to by xdotool, and vncsnapshot.
# Needs xvfb, tigervnc-viewer, xtightvncviewer, vncsnapshot, xdotool, openbox and imagemagick; no part of CI, half a minute.
# With SHOTS=DIR their windows are left there as PNG.
. "$(dirname "$0")/lib.sh"

for program in Xvfb xtigervncviewer xtightvncviewer vncsnapshot xdotool import openbox; do
	command -v $program >/dev/null || {
		echo "ok viewers: # skipped: needs $program"
		exit 0
	}
done
shots=${SHOTS:-$work}
printf 'secret\n' >"$work/password"
guest_start --vnc 127.0.0.1 --vnc-password "$work/password" <<'EOS'
echo 4 >/proc/sys/kernel/printk
for n in 1 2 3 4 5 6 7; do printf "\033[4${n}mcolour $n\033[0m\n"; done >/dev/tty1
while read -r line && [ "$line" != end ]; do
	echo "typed: $line"
done </dev/tty1
EOS
wait_for 60 said GUEST-UP
display=$(sed -n 's/.*by VNC on 127.0.0.1:\([0-9]*\)$/\1/p' "$errors")
mkfifo "$work/number"
Xvfb -displayfd 3 -screen 0 1024x768x24 3>"$work/number" 2>/dev/null &
server=$!
read -r number <"$work/number"
export DISPLAY=":$number"
# Without a window manager nobody gives TigerVNC's window the keyboard.
openbox >/dev/null 2>&1 &
manager=$!
# The file that VNC's programs keep a password in: DES with a key that everybody knows.
printf 'secret\0\0' | openssl enc -des-ede3 -nopad -K e84ad660c4721ae0e84ad660c4721ae0e84ad660c4721ae0 >"$work/passwd"

# look NAME COMMAND...: starts a viewer, types into it, and has a look at its window
look() {
	name=$1
	shift
	"$@" >"$work/$name.log" 2>&1 &
	viewer=$!
	check "$name shows the screen" wait_for 60 window "$name"
	for _ in 1 2 3 4 5; do
		xdotool mousemove 300 200 click 1 type --delay 30 "$name" 2>/dev/null
		xdotool key Return
		wait_for 2 said "typed: .*$name" && break
	done
	check "and is typed to" said "typed: .*$name"
	kill $viewer
	wait $viewer 2>/dev/null
}
# window NAME: the seven colours are seen on the display
window() {
	import -window root "$shots/$1.png" 2>/dev/null
	[ "$(convert "$shots/$1.png" -unique-colors txt:- | grep -ciE '#(A{2}0000|00A{2}00|A{2}5500|0000A{2}|A{2}00A{2}|00A{2}A{2})')" -ge 6 ]
}

look tiger xtigervncviewer -SecurityTypes VncAuth -passwd "$work/passwd" -geometry +0+0 "127.0.0.1:$display"
look tight xtightvncviewer -passwd "$work/passwd" -geometry +0+0 "127.0.0.1:$display"
vncsnapshot -passwd "$work/passwd" "127.0.0.1:$display" "$shots/snapshot.jpg" >"$work/snapshot.log" 2>&1
status=$?
check "vncsnapshot has its picture" [ "$(identify -format %wx%h "$shots/snapshot.jpg")" = 720x400 ]
python3 "$top/tests/guest/rfb.py" --password secret "127.0.0.1:$((5900 + display))" type '\nend\n'
guest_wait
kill $manager $server
check "the guest ends" ended 0
finish
