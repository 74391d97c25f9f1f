#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The daemon as a service of a stock Debian: it answers once it is started, guests outlive its restart
# and are not its cgroup's nor spared with it, are shut down with the host and start with it. The guests
# here are guests of a guest.
LIMIT=600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-lib.sh"

DESTDIR=$work/host meson install -C "$(dirname "$DACH")" --no-rebuild >"$work/install" 2>&1
check "it is installed" [ $? -eq 0 ]
mkdir -p "$work/host/srv" "$work/root/modules"
cp "$kernel" "$work/host/srv/vmlinuz"
cat >"$work/script" <<'SCRIPT'
for event in /dev/input/event*; do
	(dd if="$event" bs=24 count=1 2>/dev/null | grep -q . && poweroff -f) &
done
ip link set eth0 up
udhcpc -i eth0 -n -q -t 5 -s /bin/true 2>&1 | grep -o 'lease of 10.0.2.15'
dd if=/dev/vda bs=5 count=1 2>/dev/null
echo READY
nonce=$(cat /proc/sys/kernel/random/uuid)
while :; do
	echo "NONCE $nonce"
	sleep 3
done
SCRIPT
initrd "$work/script"
cp "$work/initrd" "$work/host/srv/initrd"
printf 'DISK\n%04091d' 0 >"$work/host/srv/disk"
cat >"$work/host/srv/guest.cfg" <<CONFIG
kernel = "/srv/vmlinuz"
ramdisk = "/srv/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 128
native = "never"
disk = [ "/srv/disk,raw,xvda,r" ]
vif = [ "" ]
CONFIG

# Not natively: on a host that is translated itself that costs more than it gains.
image_start --memory 1024 --native never
output=$work/said # the other is the host's console
patience=200
check "the host comes up" wait_for 300 in_guest true
in_guest 'ln -s dach /usr/local/bin/xl; cat >/usr/local/bin/console' <<'CONSOLE'
#!/bin/sh
# console GUEST: what it has shown, once it is ready
for n in $(seq 60); do
	timeout 1 dach console "$1" </dev/null >/tmp/console 2>&1
	grep -q READY /tmp/console && break
	sleep 0.5
done
tr -d '\r' </tmp/console
CONSOLE
tar -C "$work/host" -c . | in_guest 'tar -C / --no-overwrite-dir -x && chmod 0755 /usr/local/bin/console'
check "without a service that runs the client says so" [ \
	"$(in_guest xl list 2>&1)" = "xl list: dachd does not run: systemctl start dachd" ]
check "the units are right" in_guest systemd-analyze verify --man=no dachd.service dach-guests.service
check "it is there once it is started" in_guest 'systemctl enable -q --now dachd && xl list >/dev/null'
in_guest 'xl new -q /srv/guest.cfg "name=\"auto\"" && xl autostart auto on && xl start auto
	console auto' >"$output"
check "a guest comes up" said READY
check "has its network" said "lease of 10.0.2.15"
check "and its disk" said DISK
# said_by GUEST: the nonce that only its memory has, once it says it
said_by() {
	in_guest "sleep 4 | timeout 60 xl console $1" 2>/dev/null | tr -d '\r' | sed -n 's/^NONCE //p' | tail -n 1
}
before=$(in_guest 'pgrep -x dach-vmm')
check "it is not spared when memory runs out" [ "$(in_guest cat "/proc/$before/oom_score_adj")" = 0 ]
check "the daemon is" [ "$(in_guest 'cat /proc/$(pgrep -x dachd)/oom_score_adj')" = -900 ]
check "it is in no service's group" [ \
	"$(in_guest cat "/proc/$before/cgroup" | cut -d/ -f2)" = dach ]
in_guest 'systemctl restart dachd && xl list auto' >"$output"
check "a restart finds it again" said '^auto  *1   128     1 '
check "untouched" [ "$(in_guest 'pgrep -x dach-vmm')" = "$before" ]
in_guest 'xl new -q /srv/guest.cfg "name=\"kept\"" "on_host_shutdown=\"suspend\"" && xl start kept
	xl create -q /srv/guest.cfg "name=\"plain\"" "on_host_shutdown=\"suspend\""
	console kept && console plain' >"$output"
kept=$(said_by kept) plain=$(said_by plain)
check "two that are to go on say so" test -n "$kept" -a -n "$plain"
first=$(boot_id)
in_guest systemctl reboot
check "the host starts again" wait_for 300 since "$first"
in_guest journalctl -b -1 -u dachd --no-pager >"$output"
check "its guests were shut down before" said "auto (1): ended (poweroff)"
in_guest console auto >"$output"
check "and start with it" said READY
check "one that is kept goes on where it was" [ "$(said_by kept)" = "$kept" ]
check "as does one that is not" [ "$(said_by plain)" = "$plain" ]
check "and nothing of them is left" [ -z "$(in_guest 'find /var/lib/dach/saved /var/lib/dach/host -type f')" ]
kill -TERM "$(guest_process)"
guest_wait
check "the power button ends all" [ $status -eq 0 ]
finish
