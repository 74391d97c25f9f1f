#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A network through model=e1000 and Linux's own driver for it: both ways, with checksums and TCP left to the card, over a
# link that goes down and up; its address from the EEPROM.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
. "$(dirname "$0")/generic-lib.sh"

head -c 30000000 /dev/urandom >"$work/data"
mkdir "$work/served"
cp "$work/data" "$work/served/data"
cat >"$work/serve.py" <<'PYTHON'
import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        with open("put", "wb") as file:
            while left:
                part = self.rfile.read(min(left, 1 << 16))
                file.write(part)
                left -= len(part)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 "$work/serve.py" "$work/served" >"$work/port" &
server_pid=$!
trap 'kill $server_pid; toolstack_end' EXIT
wait_for 20 [ -s "$work/port" ]
port=$(cat "$work/port")
kernel=$generic_kernel
generic_put "$work/root/drivers" $generic_nic_drivers
cat >"$work/root/test.sh" <<SCRIPT
insmod /drivers/e1000.ko && echo "the driver is there"
dmesg | grep -i 'e1000' | sed 's/^/kernel: /'
for file in address speed; do echo "\$file \$(cat /sys/class/net/eth0/\$file 2>/dev/null)"; done
ip link set eth0 up
i=0
while [ "\$(cat /sys/class/net/eth0/carrier 2>/dev/null)" != 1 ] && [ \$i -lt 300 ]; do i=\$((i + 1)); sleep 0.1; done
echo "speed \$(cat /sys/class/net/eth0/speed)"
cat >/tmp/dhcp <<'DHCP'
[ "\$1" = bound ] && ip addr add \$ip/24 dev \$interface && ip route add default via \$router
DHCP
chmod +x /tmp/dhcp
udhcpc -i eth0 -n -q -t 5 -s /tmp/dhcp >/dev/null 2>&1
ping -c 3 -s 1400 10.0.2.2 >/dev/null && echo "it answers"
for pass in 1 2 3; do
	wget -q -O /tmp/data http://10.0.2.2:$port/data && echo "got \$(sha256sum </tmp/data)"
done
# A request whose body is larger than segments are.
{ printf 'PUT /put HTTP/1.0\r\nContent-Length: 30000000\r\n\r\n'; cat /tmp/data; } | nc 10.0.2.2 $port | grep -q ' 201 ' && echo "it was sent"
grep -e ^Tcp: -e ^Ip: /proc/net/snmp
cat /proc/interrupts | grep eth0
grep -q eth0 /proc/net/dev && sed -n 's/^ *eth0:/counters /p' /proc/net/dev
dmesg | grep -e 'Detected Tx Unit Hang' -e 'NETDEV WATCHDOG'
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/initrd"
timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" --initrd "$work/initrd" \
	--cmdline "console=ttyS0 quiet panic=-1" --memory 512 \
	--net user,loopback,model=e1000,mac=52:54:00:12:34:56 </dev/null >"$output" 2>"$errors"
status=$?
tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
check "the guest's driver takes it" ended 0 "the driver is there"
check "it is a gigabit" said "speed 1000"
check "its address is the one that was said" said "address 52:54:00:12:34:56"
check "the EEPROM's sum is right" eval '! said "EEPROM Checksum Is Not Valid"'
check "packets come and go" said "it answers"
check "what comes is whole" [ "$(grep -c "got $(sha256sum <"$work/data")" "$output")" = 3 ]
check "what is sent is said to be whole" said "it was sent"
check "and is" cmp "$work/data" "$work/served/put"
check "nothing hangs" eval '! said "Tx Unit Hang" && ! said "NETDEV WATCHDOG"'
# A daemon's, with firmware: it goes on from a saved state with the card as the driver has left it.
cat >"$work/root/test.sh" <<'SCRIPT'
stty -echo
insmod /drivers/e1000.ko
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo READY
while read -r word number; do
	case $word in
	reach) ping -c 1 -W 20 10.0.2.2 >/dev/null && echo "REACHED $number" || echo "NOT-REACHED $number" ;;
	link) echo "LINK $(cat /sys/class/net/eth0/carrier) $number" ;;
	esac
done
SCRIPT
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/test.cpio"
mkdir -p "$work/iso/boot/grub"
cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/iso/initrd"
cp "$kernel" "$work/iso/vmlinuz"
printf 'set timeout=0\nmenuentry own {\n\tlinux /vmlinuz console=ttyS0 quiet panic=-1\n\tinitrd /initrd\n}\n' >"$work/iso/boot/grub/grub.cfg"
grub-mkrescue -o "$work/boot.img" --locales= --fonts= --themes= -d /usr/lib/grub/i386-pc "$work/iso" >"$work/mkrescue" 2>&1 ||
	cat "$work/mkrescue"
cat >"$work/guest.cfg" <<CONFIG
type = "hvm"
hdtype = "ahci"
memory = 384
engine = "$DACH_ENGINE"
disk = ["$work/boot.img,raw,hda,w"]
vif = ["mode=user,model=e1000"]
CONFIG
asked() {
	say "$1"
	wait_for 60 said "^$2"
}
xl_says new -q "$work/guest.cfg" "name='one'"
xl_says start one
check "a guest of the daemon's starts from an AHCI disk" ended 0
console_open one
check "and is up" wait_for 240 said "^READY"
check "it has a network" asked "reach 1" "REACHED 1"
console_close
check "it is saved" xl save one "$work/state.save"
check "and goes on" xl restore "$work/state.save"
console_open one
check "with its network" asked "reach 2" "REACHED 2"
console_close

"$DACH" run --net user,model=ne2000 --kernel "$kernel" >"$output" 2>"$errors"
status=$?
check "other cards there are none" told "model=ne2000: there are virtio and e1000"
finish
