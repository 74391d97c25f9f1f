#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A user-mode network whose guest may begin something with some destinations only, by address and by name: in namespaces of
# the test's own, with a name server and servers of pages.
if [ "${1:-}" != inside ]; then
	root=r
	[ "$(id -u)" -ne 0 ] || root=
	unshare -${root}mn true 2>/dev/null || {
		echo "ok allowed: not run: this host gives no namespaces"
		exit 0
	}
	exec unshare -${root}mn "$0" inside "$root"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

# This host: addresses that the world could have, an /etc that names a server.
ip link set lo up
for n in 1 2 3 4; do
	ip addr add 10.9.9.$n/32 dev lo
done
ip addr add 169.254.169.254/32 dev lo
mkdir "$work/etc"
for file in ld.so.cache passwd group nsswitch.conf alternatives localtime; do
	[ ! -e "/etc/$file" ] || cp -a "/etc/$file" "$work/etc/"
done
echo "nameserver 10.9.9.1" >"$work/etc/resolv.conf"
chmod -R a+rX "$work" "$work/etc"
mount --bind "$work/etc" /etc

# Names whose first label says the address; each question is written down.
cat >"$work/servers.py" <<'PYTHON'
import http.server, socket, struct, sys, threading

ADDRESSES = {b"two": "10.9.9.2", b"three": "10.9.9.3", b"meta": "169.254.169.254", b"gate": "10.0.2.2"}

def names():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("10.9.9.1", 53))
    while True:
        ask, who = sock.recvfrom(2000)
        end = ask.index(b"\0", 12) + 5
        label = ask[13:13 + ask[12]]
        with open(sys.argv[1], "ab") as out:
            out.write(ask[13:end - 5] + b"\n")
        wants_a = ask[end - 4:end - 2] == b"\0\1" and label in ADDRESSES
        reply = ask[:2] + b"\x81\x80" + ask[4:6] + struct.pack(">H", wants_a) + bytes(4) + ask[12:end]
        if wants_a:
            reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ADDRESSES[label])
        sock.sendto(reply, who)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"PAGE of " + self.server.name + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

def pages(address):
    server = http.server.ThreadingHTTPServer((address, 8080), Page)
    server.name = address.encode()
    server.serve_forever()

for who in (names,), *((pages, address) for address in ("10.9.9.2", "10.9.9.3", "10.9.9.4", "169.254.169.254", "127.0.0.1")):
    threading.Thread(target=who[0], args=who[1:], daemon=len(who) > 1).start()
print("up", flush=True)
PYTHON
python3 "$work/servers.py" "$work/asked" >"$work/up" 2>/dev/null &
servers=$!
trap 'kill $servers; toolstack_end' EXIT
wait_for 20 test -s "$work/up"

guest --net "user,allow=ok.example,allow=10.9.9.4" <<'SCRIPT'
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
page() { echo "$1 $(timeout 10 wget -q -O - "http://$2:8080/" || echo NOTHING)"; }
name() { echo "$1 is $(nslookup -type=a "$1" 10.0.2.3 2>&1 | sed -n '/^Name/,$s/^Address.*: *//p;s/.*NXDOMAIN.*/NOBODY/p')"; }
page before 10.9.9.2
page listed 10.9.9.4
name two.ok.example
page named 10.9.9.2
name three.example
name three.notok.example
page other 10.9.9.3
name meta.ok.example
page metadata 169.254.169.254
name gate.ok.example
page loopback 10.0.2.2
SCRIPT
check "powers off" ended 0 GUEST-DONE
check "a name's address is out of reach before it is asked for" said "before NOTHING"
check "an address on the list is not" said "listed PAGE of 10.9.9.4"
check "a name below one on the list is answered" said "two.ok.example is 10.9.9.2"
check "and its address reached from then on" said "named PAGE of 10.9.9.2"
check "other names are nobody's" said "three.example is NOBODY"
check "nor are those that only end so" said "three.notok.example is NOBODY"
check "nobody's address is out of reach" said "other NOTHING"
check "the host's server has not heard of them" sh -c "grep -q ok '$work/asked' && ! grep -q three '$work/asked'"
check "a name may be the metadata's" said "meta.ok.example is 169.254.169.254"
check "and does not lead there" said "metadata NOTHING"
check "or this host's" said "gate.ok.example is 10.0.2.2"
check "and does not lead there either" said "loopback NOTHING"

# One that a daemon keeps, behind its walls, by its file. Not in a user's namespace, whose root is none to a daemon.
[ -z "$2" ] || finish
cat >"$work/commands" <<'SCRIPT'
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
page() { echo "$1 $(timeout 10 wget -q -O - "http://$2:8080/" || echo NOTHING)"; }
name() { echo "$1 is $(nslookup -type=a "$1" 10.0.2.3 2>&1 | sed -n '/^Name/,$s/^Address.*: *//p;s/.*NXDOMAIN.*/NOBODY/p')"; }
page before 10.9.9.2
name two.ok.example
page named 10.9.9.2
name three.example
page other 10.9.9.3
echo OVER
read -r line
SCRIPT
initrd "$work/commands"
cat >"$work/allowed.cfg" <<CONFIG
name = "allowed"
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 128
engine = "$DACH_ENGINE"
vif = [ 'mode=user,allow=ok.example' ]
CONFIG
chmod a+rx "$work"
xl_says create "$work/allowed.cfg"
check "a guest of the daemon's is made" ended 0
console_open allowed
check "which comes to its end" wait_for 100 said OVER
check "a name's address is out of its reach before it is asked for" said "before NOTHING"
check "and in it afterwards" said "named PAGE of 10.9.9.2"
check "other names are nobody's to it" said "three.example is NOBODY"
check "and what they would be is out of reach" said "other NOTHING"
console_close
finish
