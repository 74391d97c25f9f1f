#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest's screen, shown by VNC (dach run --vnc): its text and its picture, keys typed there, a password.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

client=$top/tests/guest/rfb.py
socket=$work/socket
# shows NAME: text on the console, as the guest itself has it, and the letters in white
shows() {
	python3 - "$1" <<'PY'
import sys
head, pixels = open(sys.argv[1], "rb").read().split(b"\n", 1)
_, width, height, _ = head.split()
width, height = int(width), int(height)
assert (width, height) == (720, 400), (width, height)
colours = {pixels[i:i + 3] for i in range(0, len(pixels), 3)}
assert colours == {b"\0\0\0", b"\xaa\xaa\xaa"}, colours


def cell(column, row):
    return tuple(pixels[3 * (width * (16 * row + y) + 9 * column):][:24] for y in range(16))


# "sees" and "sees": the same letters look the same, others do not, and behind the text nothing is.
text = [cell(column, 0) for column in range(9)]
assert text[:4] == text[5:9] and text[0] == text[3] and text[1] == text[2] and text[0] != text[1]
assert text[4] == cell(20, 0) == (b"\0" * 24,) * 16
PY
}

guest_start --vnc "unix:$socket" <<'EOS'
exec 3</dev/tty1
printf 'sees sees\n' >/dev/tty1
dd if=/dev/vcs1 bs=9 count=1 2>/dev/null
echo " is there"
read -r line <&3
echo "typed: $line"
read -r line <&3
EOS
check "the text is in the guest's video memory" wait_for 60 said "sees sees is there"
for encoding in raw hextile zrle; do
	python3 "$client" --encoding $encoding "unix:$socket" picture "$work/$encoding"
done
check "a client sees it" shows "$work/raw"
check "in each encoding" sh -c "cmp $work/raw $work/hextile && cmp $work/raw $work/zrle"
python3 "$client" "unix:$socket" type 'Ein Wort: ~/a_b-1\n'
check "and types" wait_for 60 said "typed: Ein Wort: ~/a_b-1"
check "the socket is its user's alone" [ "$(stat -c %a "$socket")" = 600 ]
# Bytes that are no client's end their connection, and nothing else.
printf 'GET / HTTP/1.1\r\n\r\n' | python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read())
while s.recv(100): pass' "$socket"
python3 "$client" "unix:$socket" type 'end\n'
guest_wait
check "the guest ends, and with it who showed it" ended 0

printf 'secret\n' >"$work/password"
guest_start --vnc 127.0.0.1 --vnc-password "$work/password" <<'EOS'
exec 3</dev/tty1
echo "is open"
read -r line <&3
echo "typed: $line"
EOS
wait_for 60 grep -q "by VNC on" "$errors"
display=$(sed -n 's/.*by VNC on 127.0.0.1:\([0-9]*\)$/\1/p' "$errors")
port=127.0.0.1:$((5900 + display))
check "a wrong password is refused" [ "$(python3 "$client" --password wrong $port size)" = "wrong password" ]
sleep 1.1 # so long nobody else gets in
check "the right one is not" [ "$(python3 "$client" --password secret $port size)" = "720x400 dach" ]
wait_for 60 said "is open"
python3 "$client" --password secret $port type 'in\n'
guest_wait
check "who has it types" ended 0 "typed: in"

# Firmware finds the VGA BIOS in its ROM, and writes where a kernel would: 80 characters a line, several lines.
truncate -s 1M "$work/empty"
rm -f "$socket"
forget
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --firmware bios --disk "$work/empty" --memory 64 --grace 1 \
	--vnc "unix:$socket" </dev/null >"$output" 2>"$errors" &
guest_pid=$!
wait_for 60 said "No bootable device"
python3 "$client" "unix:$socket" picture "$work/bios"
check "firmware writes to the screen" python3 - "$work/bios" <<'PY'
import sys
head, pixels = open(sys.argv[1], "rb").read().split(b"\n", 1)
assert head == b"P6 720 400 255", head
lit = [i // 3 // 720 // 16 for i in range(0, len(pixels), 3) if pixels[i:i + 3] == b"\xaa\xaa\xaa"]
assert len(lit) > 1000 and len(set(lit)) > 4, (len(lit), set(lit))
PY
kill $guest_pid
wait $guest_pid 2>/dev/null

# A guest with the driver has a tablet: the pointer is where the client says.
driver=$(echo "${DACH_TEST_ROOT:-$DACH_CACHE/kernel}"/lib/modules/*/kernel/drivers/virtio/virtio_input.ko)
cp "$driver" "$work/driver"
truncate -s %512 "$work/driver"
guest_start --vnc "unix:$socket" --disk "$work/driver,ro" <<EOS
head -c $(stat -c %s "$driver") /dev/vda >/virtio_input.ko && insmod /virtio_input.ko
event=\$(grep -A 4 "dach tablet" /proc/bus/input/devices | sed -n 's/.*\(event[0-9]*\).*/\1/p')
exec 3</dev/input/\$event
echo "listens to \$event"
dd bs=24 count=3 <&3 2>/dev/null | od -An -t u2 -w24 | sed 's/^/event/'
EOS
wait_for 60 said "listens to event"
python3 "$client" "unix:$socket" size point 719,0,1 >/dev/null
guest_wait
# An axis (3), the first (0), at its right edge: type, code and value behind the time.
check "and a tablet is where the client points" ended 0 "event.* 3 *0 *32767 *0"

guest --vnc 127.0.0.1:7 </dev/null
check "no password on a network is no way in" grep -q "a password is needed (--vnc-password FILE)" "$errors"

# A guest of the daemon's: its screen through the daemon, without a password; by VNC with one.
cat >"$work/show" <<'SHOW'
printf 'sees sees\n' >/dev/tty1
# Open all the time: what is typed to a console that nobody has open is lost.
while read -r line; do
	echo "typed: $line"
done </dev/tty1
SHOW
initrd "$work/show"
display=$(python3 -c 'import random, socket
while True:
    display = random.randrange(100)
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", 5900 + display)):
            print(display)
            break')
cat >"$work/web.cfg" <<CFG
name = "web"
kernel = "$kernel"
ramdisk = "$work/initrd"
memory = 256
engine = "$DACH_ENGINE"
extra = "console=ttyS0 quiet"
vnc = 1
vncpasswd = "secret"
vncdisplay = $display
CFG
create() {
	xl create "$work/web.cfg" >"$output" 2>"$errors"
	status=$?
}
# console TEXT: what the guest has said has it
console() {
	xl console web </dev/null | grep -q -e "$1"
}
create
check "a guest with vnc=1 starts" ended 0
check "and comes up" wait_for 60 console GUEST-UP
xl screenshot web "$work/web.png" >"$output" 2>"$errors"
status=$?
check "its picture is a PNG of the size" [ "$(head -c 24 "$work/web.png" | od -An -tx1 | tr -d ' \n')" = \
	89504e470d0a1a0a0000000d49484452000002d000000190 ]
xl send-key web H shift+e l l o 1 enter 2>"$errors"
check "keys are pressed" wait_for 20 console "typed: HEllo1"
xl screenshot web /dev/full >"$output" 2>"$errors"
status=$?
check "where it cannot be written is told of" sh -c "[ $status -eq 1 ] && [ -c /dev/full ] && grep -q '/dev/full: cannot be written: No space left' $errors"
xl screenshot web "$work/before.png"
xl send-key --text web be
xl save web "$work/web.state" >"$output" 2>"$errors" && xl restore "$work/web.state" >"$output" 2>"$errors"
status=$?
check "it is saved and goes on" ended 0
xl send-key --text web 'fore
'
check "with the keys that it had" wait_for 20 console "typed: before"
xl clone web >"$output" 2>"$errors"
status=$?
check "a copy of it starts" ended 0
xl screenshot web "$work/one.png" && xl screenshot web-1 "$work/other.png"
check "and shows the same" cmp "$work/one.png" "$work/other.png"
check "which is another picture than before" sh -c "! cmp -s '$work/one.png' '$work/before.png'"
xl destroy web-1
cat >"$work/viewer" <<VIEWER
#!/bin/sh
exec python3 "$client" "\$(echo "\$1" | sed s/::/:/)" size type 'by the viewer\\n'
VIEWER
chmod +x "$work/viewer"
check "a viewer is started" [ "$(VNCVIEWER=$work/viewer xl vncviewer web)" = "720x400 dach" ]
check "and types" wait_for 20 console "typed: by the viewer"
xl send-key web ctrl+nothing >"$output" 2>"$errors"
check "with the password it is on an address, too" [ \
	"$(python3 "$client" --password secret 127.0.0.1:$((5900 + display)) size)" = "720x400 dach" ]
check "no key is told of" grep -q "'ctrl+nothing' is no key" "$errors"
xl destroy web
sed -i /vnc/d "$work/web.cfg"
create
xl screenshot web - >"$output" 2>"$errors"
check "a guest without a screen is told of" grep -q "it has no screen: it gets one at its next start with vnc=1" "$errors"
finish
