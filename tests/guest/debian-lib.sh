# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# On top of lib.sh: a Debian image, made once, and a copy of it for this test, which ssh reaches.
images=$DACH_CACHE/images
# The release that this host has, and what our programs are linked with, for those tests that take them inside.
dist=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2046 # a list of words
packages=$(dpkg -S $(for program in dach dachd dach-vmm dach-switch dach-peer dach-ct; do ldd "$(dirname "$DACH")/$program"; done |
	sed -n 's|.* => /.*\(/[^/]*/[^ ]*\) .*|*\1|p' | sort -u) 2>/dev/null | cut -d: -f1 | sort -u | tr '\n' ',')
# cloud-init sleeps where no disk is for it.
packages=${packages}cloud-init
cache_lock
if [ "$(cat "$images/packages" 2>/dev/null)" != "$dist $packages" ]; then
	rm -rf "$images"
	mkdir -p "$images"
	ssh-keygen -q -t ed25519 -N '' -f "$images/key"
	umask 077 # which is not to matter to the guest
	"$DACH" image create debian --dist "$dist" --ssh-key "$images/key.pub" --include "$packages" \
		--output "$images" >"$output" 2>"$errors"
	status=$?
	umask 022
	check "an image is made" [ $status -eq 0 ]
	check "with a summary" said "Root password"
	[ $status -ne 0 ] || echo "$dist $packages" >"$images/packages"
fi
cache_unlock
image=$work/debian
cp -r --sparse=always "$images/debian" "$image" || exit 1
port=$(free_port)

# image_start OPTION...: in the background, its port 22 forwarded
image_start() {
	forget
	timeout -k 5 "$LIMIT" "$DACH" run "$image" --engine "$DACH_ENGINE" \
		--net "user,loopback,fwd=tcp:127.0.0.1:$port-:22" "$@" </dev/null >"$output" 2>"$errors" &
	guest_pid=$!
}

# in_guest COMMAND...: over ssh, for $patience seconds at most
in_guest() {
	timeout "${patience:-30}" ssh -q -i "$images/key" -p "$port" -o BatchMode=yes -o ConnectTimeout=5 \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 "$@"
}

boot_id() {
	in_guest cat /proc/sys/kernel/random/boot_id
}

# since BOOT: whether the guest has started again since, and answers
since() {
	now=$(boot_id) && [ -n "$now" ] && [ "$now" != "$1" ]
}
