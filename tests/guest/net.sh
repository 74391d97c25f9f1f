#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# User-mode network: DHCP, 64 MiB from a server on the host, a port forwarded to the guest.
. "$(dirname "$0")/lib.sh"

serve
forward=$(free_port)

guest_start --net "user,loopback,fwd=tcp:127.0.0.1:$forward-:7" <<SCRIPT
cat >/tmp/dhcp <<'DHCP'
[ "\$1" = bound ] || exit 0
ip addr add "\$ip/\$mask" dev "\$interface"
ip route add default via "\$router"
echo "nameserver \$dns" >/tmp/resolv.conf
DHCP
chmod +x /tmp/dhcp
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 5 -s /tmp/dhcp
wget -q -O - http://10.0.2.2:$server_port/data | sha256sum
echo LISTENING
echo "from the guest" | nc -l -p 7
echo "sent to"
SCRIPT
check "the guest gets there" wait_for 100 said LISTENING
check "64 MiB arrive as they were" said "$sum"
answer=$(timeout 20 python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $forward), 10)
s.settimeout(15)
print(s.recv(100).decode())")
check "a forwarded port reaches the guest" [ "$answer" = "from the guest" ]
guest_wait
check "powers off" ended 0 GUEST-DONE

# The host's loopback addresses are nobody's who has not asked for them.
guest --net user <<SCRIPT
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ping -c 1 -W 5 10.0.2.2 >/dev/null && echo NETWORK
timeout 10 wget -q -O /tmp/got http://10.0.2.2:$server_port/data
[ -s /tmp/got ] || echo KEPT OUT
SCRIPT
check "the host's own addresses are out of reach" ended 0 "KEPT OUT"
check "and the network is there" said NETWORK

# The port is taken: told before anything starts.
python3 -c "
import socket, subprocess, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
r = subprocess.run(sys.argv[1:] + ['--net', 'user,fwd=tcp:127.0.0.1:%d-:22' % s.getsockname()[1]],
    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
sys.exit(not (r.returncode == 1 and r.stderr.count('\n') == 1))" \
	"$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel"
status=$?
check "a port in use is said so" [ $status -eq 0 ]
finish
