#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests on bridges of this host, in a network namespace of the test's own: two on one bridge reach the host
# and each other with all that a card can do, one on another bridge reaches neither; what is left afterwards.
if [ -z "${DACH_TEST_NETNS:-}" ]; then
	if ! [ -r /dev/net/tun ] || ! PATH=$PATH:/usr/sbin command -v nft >/dev/null || ! unshare -n true; then
		echo "ok bridge: not tried: no /dev/net/tun, no nft or no network of its own for a test"
		exit 0
	fi
	export DACH_TEST_NETNS=1
	exec unshare -n "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

ip link set lo up
for n in 0 1; do
	ip link add br$n type bridge
	ip addr add 10.9.$n.1/24 dev br$n
	ip addr add fd09:0:0:$n::1/64 dev br$n nodad
	ip link set br$n up
done
# A firewall that is there already.
nft -f - <<'RULES'
table inet mine {
	chain in { type filter hook input priority 0; policy accept; tcp dport 9 drop; }
}
RULES
rules=$(nft list ruleset)
links=$(ip -br link | awk '{print $1}')

serve
port=$(python3 - "$work/www" 2>/dev/null <<'SERVER' 3>&1 >&3
import functools, http.server, os, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = Server(("::", 0), handler)
if os.fork():
    print(server.server_port, flush=True)
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in 0, 1, 2, 3:
    os.dup2(null, fd)
open(sys.argv[1] + "/../server", "w").write(str(os.getpid()))
server.serve_forever()
SERVER
)
wait_for 10 test -s "$work/server"
trap 'kill $server_pid $(cat "$work/server"); rm -rf "$work"' EXIT

up() {
	cat <<SCRIPT
ip link set lo up
ip addr add 10.9.$1.$2/24 dev eth0
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip addr add fd09:0:0:$1::$2/64 dev eth0
ip link set eth0 up
SCRIPT
}

{
	up 0 2
	cat <<SCRIPT
mkdir /tmp/www
wget -q -O /tmp/www/data http://10.9.0.1:$port/data
sha256sum </tmp/www/data
httpd -p 80 -h /tmp/www
for try in 1 2 3; do ping -c 1 -W 1 10.9.1.2 >/dev/null && echo REACHED THE OTHER BRIDGE; done
cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address
echo bits \$(cut -c8,12-13 /sys/class/net/eth0/device/features)
echo SERVING
while [ ! -e /tmp/www/over ]; do sleep 1; wget -q -O /tmp/www/over http://10.9.0.1:$port/over || rm -f /tmp/www/over; done
SCRIPT
} >"$work/one.sh"

guest_start --net bridge=br0,mac=02:00:00:00:00:02,ip=10.9.0.2,ip=fd09::2 <"$work/one.sh"
first_pid=$guest_pid first_output=$output first_errors=$errors
check "a guest on a bridge has a file of the host's" wait_for 100 said SERVING
check "and it is as it was" said "$sum"
check "it is not on another bridge" sh -c "! grep -q REACHED '$output'"
check "it is told the bridge's MTU" said '^1500'
check "TSO is on offer for IPv4 and IPv6" said 'bits 111'
check "its link is there" sh -c "ip -br link | grep -q '^dach[0-9]*[.]0 '"
check "and filtered" sh -c "nft list tables | grep -qx 'table netdev dach-dach[0-9]*[.]0'"

# A second one, in another file.
output=$work/output2 errors=$work/errors2
{
	up 0 3
	cat <<SCRIPT
wget -q -O - http://10.9.0.2/data | sha256sum
wget -q -O - "http://[fd09::2]/data" | sha256sum
wget -q -O - "http://[fd09::1]:$port/data" | sha256sum
ping -c 1 -W 5 10.9.0.2 >/dev/null && ping6 -c 1 -W 5 fd09::2 >/dev/null && echo BOTH PING
# Somebody else's address, which works until one speaks as it.
ip addr add 10.9.0.77/24 dev eth0
ping -c 2 -W 1 -I 10.9.0.77 10.9.0.1 >/dev/null && echo SPOKE AS ANOTHER
ip addr add fd09::77/64 dev eth0
ping6 -c 2 -W 1 -I fd09::77 fd09::1 >/dev/null && echo SPOKE AS ANOTHER
ip link set eth0 down
ip link set eth0 address 02:00:00:00:00:99
ip link set eth0 up
ping -c 2 -W 1 10.9.0.1 >/dev/null && echo SPOKE AS ANOTHER
SCRIPT
} >"$work/two.sh"
guest --net bridge=br0,ip=10.9.0.3,ip=fd09::3 <"$work/two.sh"
check "guests on one bridge reach each other and the host, by IPv4 and IPv6" \
	[ "$(grep -c "$sum" "$output")" -eq 3 ]
check "ping does" said "BOTH PING"
check "nobody speaks as another" sh -c "! grep -q SPOKE '$output'"

touch "$work/www/over"
output=$first_output errors=$first_errors guest_pid=$first_pid
guest_wait
check "the first ends" ended 0 GUEST-DONE
rm "$work/www/over"

as_before() {
	[ "$(nft list ruleset)" = "$rules" ] && [ "$(ip -br link | awk '{print $1}')" = "$links" ]
}
check "links and rules are as before" wait_for 20 as_before

# Killed in the middle.
guest_start --net bridge=br1,vifname=web-1.0,mtu=1400 <<SCRIPT
cat /sys/class/net/eth0/mtu
echo RUNS
sleep 1000
SCRIPT
check "a third one runs" wait_for 100 said RUNS
check "with the MTU that was asked for" said '^1400'
check "and the name" sh -c "ip -br link | grep -q '^web-1.0 '"
kill -KILL "$(guest_process)"
wait "$guest_pid" 2>/dev/null
check "when it is killed nothing stays either" wait_for 20 as_before

refused() {
	"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --net "$1" </dev/null >"$output" 2>"$errors"
	status=$?
	[ $status -eq 1 ] && [ "$(wc -l <"$errors")" -eq 1 ] && grep -q -e "$2" "$errors"
}
check "no such bridge" refused bridge=br7 "this host has no bridge 'br7'; it has br0, br1"
check "no bridge" refused bridge=lo "a link, but no bridge 'lo'"
check "a name that is too long" refused bridge=br0,vifname=abcdefghijklmnop "16 characters long"
check "a name that is taken" refused bridge=br0,vifname=br1 "br1: this host has a link of that name already"
check "no such tap" refused tap=mine "mine: No such device"
check "no address" refused bridge=br0,ip=10.0.0 "not an address"
check "and nothing was left" as_before
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	DACH_AS=$DACH
	as_nobody() {
		setpriv --reuid 65534 --clear-groups "$DACH_AS" run --engine "$DACH_ENGINE" --kernel "$kernel" \
			--net bridge=br0 </dev/null >"$output" 2>"$errors"
		status=$?
		[ $status -eq 1 ] && grep -q "root" "$errors"
	}
	chmod 755 "$work"
	if setpriv --reuid 65534 --clear-groups test -x "$DACH" -a -r "$kernel"; then
		check "a user is told whose taps are" as_nobody
	fi
fi
finish
