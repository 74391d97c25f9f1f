#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What an administrator of Xen types, with a guest that Debian's xen-create-image made.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/toolstack-lib.sh"
xen_tools

# An install source for xen-create-image: enough of a system for its hooks.
mkdir -p "$work/source/bin" "$work/source/sbin" "$work/source/etc/ssh" "$work/source/proc" \
	"$work/source/dev" "$work/source/sys" "$work/source/root" "$work/source/tmp" \
	"$work/source/usr/bin" "$work/out" "$work/dir"
cp "$(command -v busybox)" "$work/source/bin/busybox"
for name in sh cat ls mount; do
	ln -s busybox "$work/source/bin/$name"
done
echo "root:x:0:0:root:/root:/bin/sh" >"$work/source/etc/passwd"
echo "root:*:1::::::" >"$work/source/etc/shadow"

# Its mounts and its log stay in a mount namespace of its own.
cat >"$work/create" <<SCRIPT
mount -t tmpfs tmpfs /var/log && mkdir /var/log/xen-tools || exit 1
xen-create-image --no-xen-ok --hostname=vm02.my.flat --dir=$work/dir --size=32M --swap=16M \
	--memory=256M --ip=192.168.1.200 --netmask=255.255.255.0 --gateway=192.168.1.1 \
	--mac=00:16:3E:01:02:03 --install-method=copy --install-source=$work/source --nohosts \
	--dist=jessie --mirror=http://localhost/debian --output=$work/out --fs=ext4 \
	--kernel=$kernel --initrd=$work/initrd --password=x --genpass=0
SCRIPT
timeout -k 5 60 unshare -m sh "$work/create" >"$output" 2>&1 </dev/null
status=$?
config=$work/out/vm02.my.flat.cfg
check "xen-create-image makes an image" grep -q "^disk  " "$config"

list_row() {
	xl list "$1" | tail -n 1 | grep -q "$2"
}

xl_says create "$config" "engine='$DACH_ENGINE'" "cpu_model='x86-64-v2'" "extra='console=ttyS0 quiet panic=-1'"
check "create takes the file as it is" grep -q "^Parsing config from $config" "$errors"
check "and starts it" ended 0
console_open vm02.my.flat
check "its console says" wait_for 60 said READY
check "that root= is the file system of the image" said "^ROOT vm02"
say word
check "and listens" wait_for 10 said "got word"
say swap
check "swap is the other disk" wait_for 10 said SWAP-IS-THERE
say cpu
check "cpu_model is the processor that it sees" wait_for 10 said NO-AVX
timeout 20 "$DACH" console vm02.my.flat </dev/null >"$work/second" 2>&1 &
second=$!
check "a second console has the history" wait_for 10 grep -q READY "$work/second"
say both
check "and what comes" wait_for 10 grep -q "got both" "$work/second"
kill $second 2>/dev/null
wait $second 2>/dev/null

check "list, byte for byte" list_row vm02.my.flat \
	'^vm02.my.flat                                 1   256     1     [r-][b-]----  .....[0-9]\.[0-9]$'
xl_says list
check "Domain-0 first" sh -c "sed -n 2p '$output' | grep -q '^Domain-0                                     0 '"
xl_says block-list vm02.my.flat
check "block-list" grep -q "^51714 0   1      4     -1     -1       /local/domain/0/backend/vbd/1/51714$" "$output"
xl_says network-list vm02.my.flat
check "network-list" grep -q "^0   0  00:16:3e:01:02:03     0     4     -1    -1/-1          /local/domain/0/backend/vif/1/0$" "$output"
xl_says vcpu-list vm02.my.flat
check "vcpu-list" grep -q "^vm02.my.flat                         1     0 *[0-9]   [r-][b-]- ........[0-9.]*  all / all$" "$output"
xl_says uptime vm02.my.flat
check "uptime" grep -q "^vm02.my.flat                         1  0:0[0-9]:[0-9][0-9]$" "$output"

xl_says pause vm02.my.flat
check "pause" list_row vm02.my.flat '     --p---  '
say still
xl_says unpause vm02.my.flat
check "unpause" wait_for 10 said "got still"

xl_says mem-set vm02.my.flat 192
check "mem-set" ended 0
check "the balloon gives it" wait_for 20 list_row vm02.my.flat ' 1   192     1     '
xl_says mem-set vm02.my.flat 256
check "and back" wait_for 20 list_row vm02.my.flat ' 1   256     1     '

xl_says sched-credit -d vm02.my.flat -w 512 -c 150
check "sched-credit sets" ended 0
xl_says sched-credit -d vm02.my.flat
check "and shows" grep -q "^vm02.my.flat                         1    512  150$" "$output"

xl_says sysrq vm02.my.flat h
console_open vm02.my.flat
check "sysrq" wait_for 10 said "sysrq: HELP"
xl_says dump-core vm02.my.flat "$work/core"
check "dump-core writes an ELF core" sh -c "readelf -h '$work/core' | grep -q 'CORE'"
rm -f "$work/core"
xl_says rename vm02.my.flat vm03
check "rename" [ "$(xl domname 1)" = vm03 ]
xl_says rename vm03 vm02.my.flat

# Ctrl+] and a killed client leave the terminal as it was; the guest notices neither.
console_close
for how in detach kill; do
	timeout -k 5 60 python3 "$top/tests/guest/terminal.py" $how "$DACH" console vm02.my.flat \
		>"$output" 2>"$errors"
	status=$?
	check "console, $how: the terminal is as it was" [ $status -eq 0 ]
done

xl_says reboot -w vm02.my.flat
check "reboot -w waits for the end" grep -q "^Domain 1 has been shut down, reason code 1$" "$errors"
check "and it comes again with a new ID" wait_for 20 field_is vm02.my.flat domid 2
console_open vm02.my.flat
check "and boots" wait_for 60 said READY

# A daemon that dies is started again by whoever asks, and finds the guest.
kill -9 "$(daemon_pid)"
check "a new daemon finds the guest" list_row vm02.my.flat ' 2   256     1     [r-][b-]----  '
console_open vm02.my.flat
check "and its console" wait_for 10 said READY
say after
check "which listens" wait_for 10 said "got after"

say crash
check "on_crash=restart" wait_for 30 field_is vm02.my.flat domid 3
console_open vm02.my.flat
check "boots again" wait_for 60 said READY
xl_says pause vm02.my.flat
xl_says shutdown --timeout 11 vm02.my.flat
check "a paused guest cannot shut down, which is said" grep -q "^vm02.my.flat is paused and cannot end: 'xl unpause" "$errors"
check "shutdown --timeout gives up" ended 1
xl_says unpause vm02.my.flat
xl_says shutdown -w vm02.my.flat
check "shutdown -w" grep -q "^Domain 3 has been shut down, reason code 0$" "$errors"
xl_says list vm02.my.flat
check "on_poweroff=destroy: it is gone" ended 1
check "which list says as xl does" grep -q "^Error: Domain 'vm02.my.flat' does not exist.$" "$errors"
console_close

# Kept guests, the other ends, and what is wrong.
cat >"$work/kept.cfg" <<CONFIG
name = "kept"
kernel = "$kernel"
ramdisk = "$work/initrd"
extra = "console=ttyS0 quiet panic=-1"
memory = 128
engine = "$DACH_ENGINE"
on_crash = "preserve"
on_poweroff = "destroy"
CONFIG
xl_says new "$work/kept.cfg"
check "new keeps a guest that is off" field_is kept state off
xl_says start kept
check "start" ended 0
console_open kept
check "boots it" wait_for 60 said READY
say crash
check "on_crash=preserve" wait_for 30 list_row kept '     ---sc-  '
xl_says destroy kept
check "destroy: it is off again" field_is kept state off
xl_says delete kept
check "delete" ended 0
xl_says --json list kept
check "it is forgotten" ended 1
console_close

# Completion asks the daemon that is there for the names.
xl_says create -q "$work/kept.cfg" name=complete-me
cat >"$work/completion" <<'COMPLETION'
. "$1"
COMP_WORDS=(xl pause comp) COMP_CWORD=2
_dach
echo "${COMPREPLY[@]}"
COMPLETION
bash "$work/completion" "$top/doc/completion/dach" >"$output" 2>"$errors"
check "completion finds a guest's name" said "^complete-me$"
xl_says destroy complete-me

# Whatever a daemon says its guests are called, the shell takes it for text.
cat >"$work/impostor" <<'IMPOSTOR'
#!/bin/sh
printf 'Name ID Mem\n-\n%s 1\n%s 2\n%s 3\n' '$(touch${IFS}PWNED)' '`touch${IFS}PWNED`' '*'
IMPOSTOR
chmod +x "$work/impostor"
cat >"$work/completion" <<'COMPLETION'
cd "$2" && . "$1"
COMP_WORDS=(./impostor pause "") COMP_CWORD=2
_dach
printf '%s\n' "${COMPREPLY[@]}"
eval "set -- ${COMPREPLY[*]}"
echo "$# words"
COMPLETION
bash "$work/completion" "$top/doc/completion/dach" "$work" >"$output" 2>"$errors"
check "completion runs no guest's name" test ! -e "$work/PWNED"
check "and gives each as one quoted word" said "^3 words$"

printf 'name = "x"\nmemory = [\nkernel = 5\n' >"$work/bad.cfg"
xl_says create "$work/bad.cfg"
check "a wrong file is refused by line and column" grep -q "bad.cfg:3:1: " "$errors"
xl_says pause nobody
check "a guest that is not there" grep -q "^nobody is an invalid domain identifier (rc=-6)$" "$errors"
xl_says -N create "$work/kept.cfg" memory=64
check "-N shows and does nothing" grep -q '"target_memkb": 65536' "$output"
xl_says --json list kept
check "indeed nothing" ended 1
finish
