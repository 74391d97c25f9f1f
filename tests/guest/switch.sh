#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Guests of a user's own daemon on one switch: they reach each other and the way out, nobody is root, and all of it
# outlives the daemon and ends with the last of them.
if [ "$(id -u)" -eq 0 ]; then
	top=$(cd "$(dirname "$0")/../.." && pwd)
	DACH=${DACH:-$top/build/dach}
	"$top/tests/guest/prepare" "${DACH_CACHE:-$top/build/guest}" || exit 1
	if ! command -v setpriv >/dev/null || ! setpriv --reuid 65534 --regid 65534 --clear-groups sh -c \
		"test -x '$DACH' -a -r '${DACH_CACHE:-$top/build/guest}/vmlinuz' -a -x '$0' && unshare -Un true"; then
		echo "ok switch: not tried: a user cannot reach this build, or has no user namespaces"
		exit 0
	fi
	exec setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR -u XDG_DATA_HOME \
		HOME=/nonexistent TMPDIR=/tmp "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"

# config NAME MAC <SCRIPT: a guest on the switch "lan" that has its address by DHCP and then does that
config() {
	{
		cat <<'SCRIPT'
cat >/tmp/dhcp <<'DHCP'
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
DHCP
chmod +x /tmp/dhcp
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 10 -s /tmp/dhcp
SCRIPT
		cat
	} >"$work/script"
	initrd "$work/script"
	mv "$work/initrd" "$work/$1.initrd"
	cat >"$work/$1.cfg" <<CONFIG
name = "$1"
kernel = "$kernel"
ramdisk = "$work/$1.initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 128
engine = "$DACH_ENGINE"
vif = [ "mac=$2,bridge=lan" ]
CONFIG
}

# shows NAME TEXT: its console has shown that
shows() {
	timeout 2 xl console "$1" </dev/null 2>/dev/null | tr -d '\r' >"$output"
	said "$2"
}
switches() {
	pgrep -u "$(id -u)" -x dach-switch
}

config one 00:16:3e:00:00:01 <<'SCRIPT'
mkdir /tmp/www
dd if=/dev/urandom of=/tmp/www/data bs=1M count=16 2>/dev/null
sha256sum </tmp/www/data >/tmp/www/sum
httpd -p 80 -h /tmp/www
ip -4 addr show dev eth0 | grep -o '10.0.2.[0-9]*/'
ping -c 1 -W 5 10.0.2.2 >/dev/null && echo WAY OUT
echo SERVING
sleep 10000
SCRIPT
config two 00:16:3e:00:00:02 <<'SCRIPT'
ip -4 addr show dev eth0 | grep -o '10.0.2.[0-9]*/'
ping -c 1 -W 5 10.0.2.15 >/dev/null && echo NEIGHBOUR
wget -q -O /tmp/sum http://10.0.2.15/sum
wget -q -O /tmp/data http://10.0.2.15/data
[ -s /tmp/data ] && [ "$(sha256sum </tmp/data)" = "$(cat /tmp/sum)" ] && echo SAME DATA
ip link set eth0 down
ip link set eth0 address 00:16:3e:00:00:01
ip link set eth0 up
ping -c 2 -W 1 10.0.2.2 >/dev/null && echo SPOKE AS ANOTHER
echo OVER
sleep 10000
SCRIPT
check "a guest is created by a user" xl create -q "$work/one.cfg"
check "it has an address and a way out" wait_for 90 shows one "WAY OUT"
check "it serves" wait_for 60 shows one SERVING
check "there is one switch" [ "$(switches | wc -l)" -eq 1 ]
switch=$(switches)
kill -KILL "$(daemon_pid)"
check "a second one, by another daemon" xl create -q "$work/two.cfg"
check "is on the same switch" [ "$(switches)" = "$switch" ]
check "and does what it is to" wait_for 120 shows two OVER
check "they have addresses of their own" said '10.0.2.16/'
check "they reach each other" said NEIGHBOUR
check "16 MiB arrive as they were" said "SAME DATA"
check "nobody speaks as another" sh -c "! grep -q 'SPOKE' '$output'"
xl destroy one
xl destroy two
check "the switch ends after them" wait_for 30 gone "$switch"
finish
