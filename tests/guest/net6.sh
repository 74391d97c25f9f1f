#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# User-mode network with IPv6, in namespaces of the test's own: a server that has IPv6 only, a name server
# likewise, a forwarded port of [::1]; the host's own services stay out of reach; and name servers that change
# while the guest runs.
if [ "${1:-}" != inside ]; then
	unshare -rmn true 2>/dev/null || {
		echo "ok net6: not run: this host gives no namespaces"
		exit 0
	}
	exec unshare -rmn "$0" inside
fi
. "$(dirname "$0")/lib.sh"

# This host: an address that the world could have, two of IPv4, an /etc that can be changed.
ip link set lo up
ip addr add fd00:77::1/128 dev lo nodad
ip addr add 10.9.9.1/32 dev lo
ip addr add 10.9.9.2/32 dev lo
mkdir "$work/etc"
for file in ld.so.cache passwd group nsswitch.conf alternatives localtime; do
	[ ! -e "/etc/$file" ] || cp -a "/etc/$file" "$work/etc/"
done
mkdir "$work/etc/run"
echo "nameserver fd00:77::1" >"$work/etc/resolv.conf"
chmod -R a+rX "$work" "$work/etc"
mount --bind "$work/etc" /etc

# Name servers, each with an answer of its own to all questions for IPv4; a server of pages.
cat >"$work/servers.py" <<'PYTHON'
import http.server, socket, struct, threading

def names(address, answer):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    while True:
        ask, who = sock.recvfrom(2000)
        end = ask.index(b"\0", 12) + 5
        wants_a = ask[end - 4:end - 2] == b"\0\1"
        reply = ask[:2] + b"\x81\x80" + ask[4:6] + struct.pack(">H", wants_a) + bytes(4) + ask[12:end]
        if wants_a:
            reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(answer)
        sock.sendto(reply, who)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"from " + self.client_address[0].encode() + b" of " + self.server.name + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

def pages(address):
    server = Server((address, 8080), Page)
    server.name = address.encode()
    server.serve_forever()

for who in (names, "fd00:77::1", "10.6.6.6"), (names, "10.9.9.1", "10.1.1.1"), (names, "10.9.9.2", "10.2.2.2"), \
        (pages, "fd00:77::1"), (pages, "::1"):
    threading.Thread(target=who[0], args=who[1:]).start()
print("up", flush=True)
PYTHON
python3 "$work/servers.py" >"$work/up" 2>/dev/null &
servers=$!
trap 'kill $servers; rm -rf "$work"' EXIT
wait_for 20 test -s "$work/up"
forward=$(free_port)

guest_start --net "user,fwd=tcp:[::1]:$forward-:7" <<'SCRIPT'
ip link set lo up
ip link set eth0 up
n=0
until ip -6 addr show dev eth0 | grep "inet6 fec0:" | grep -qv tentative; do
	n=$((n + 1)); [ $n -lt 300 ] || break
	usleep 100000
done
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
get() { (printf 'GET / HTTP/1.0\r\n\r\n'; sleep 2) | nc -w 20 "$1" 8080; }
get fd00:77::1
get fec0::2 || echo CLOSED
asked() {
	nslookup -type=a name.example "$1" 2>/dev/null | sed -n 's/^Address.*: *\(10[.].*\)/\1/p'
}
echo "six: $(asked fec0::3)"
echo LISTENING
echo "from the guest" | nc -l -p 7
for server in 10.1.1.1 10.2.2.2; do
	echo "wait for $server"
	n=0
	until [ "$(asked 10.0.2.3)" = $server ]; do
		n=$((n + 1)); [ $n -lt 100 ] || break
		usleep 200000
	done
	echo "names by $(asked 10.0.2.3)"
done
SCRIPT
check "the guest gets there" wait_for 100 said LISTENING
check "it reaches a server that has IPv6 only" said "of fd00:77::1"
check "and not the host's loopback address" said CLOSED
check "whose server has not heard of it" sh -c "! grep -q 'of ::1' '$output'"
check "it finds names where the host has IPv6 name servers only" said "six: 10.6.6.6"
check "which is told" grep -q "IPv6 addresses: the guest finds names by fec0::3" "$errors"
answer=$(timeout 20 python3 -c "
import socket
s = socket.create_connection(('::1', $forward), 10)
s.settimeout(15)
print(s.recv(100).decode())")
check "a port of [::1] reaches the guest" [ "$answer" = "from the guest" ]
wait_for 60 said "wait for 10.1.1.1"
echo "nameserver 10.9.9.1" >/etc/new
mv /etc/new /etc/resolv.conf
check "a name server is changed by a file that takes the other's place" wait_for 60 said "names by 10.1.1.1"
echo "nameserver 10.9.9.2" >/etc/run/resolv.conf
ln -s run/resolv.conf /etc/new
mv /etc/new /etc/resolv.conf
check "and by a link" wait_for 60 said "names by 10.2.2.2"
guest_wait
check "powers off" ended 0 GUEST-DONE
finish
