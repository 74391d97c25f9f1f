# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the guest tests share. Each test prints a line "ok NAME" or "not ok NAME" for everything it
# has seen, and shows the guest's output after a failure. Settings, all by the environment:
#   DACH         the program (build/dach)
#   DACH_ENGINE  the engine (translate)
#   DACH_CACHE   where the kernel and such are kept (build/guest)
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
DACH=${DACH:-$top/build/dach}
DACH_ENGINE=${DACH_ENGINE:-translate}
DACH_CACHE=${DACH_CACHE:-$top/build/guest}
LIMIT=${LIMIT:-120}
PATH=$PATH:/usr/sbin:/sbin
test_name=$(basename "$0" .sh)
failures=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
trap '' PIPE # what is typed to a guest that has ended must not end the test, without a word and a cleanup
output=$work/output
errors=$work/errors
status=

# What is made once for all tests, is made by one at a time.
cache_lock() {
	mkdir -p "$DACH_CACHE"
	exec 9<"$DACH_CACHE"
	flock 9
}

cache_unlock() {
	exec 9>&-
}

cache_lock
"$top/tests/guest/prepare" "$DACH_CACHE" || {
	echo "not ok $test_name: the test kernel cannot be prepared"
	exit 1
}
cache_unlock
kernel=$DACH_CACHE/vmlinuz

# check NAME COMMAND...: a line of the result
check() {
	check_name=$1
	shift
	if "$@"; then
		echo "ok $test_name: $check_name"
	else
		failures=$((failures + 1))
		echo "not ok $test_name: $check_name (status $status)"
		[ ! -e "$output" ] || tail -n 25 "$output" | sed 's/^/  | /'
		[ ! -e "$errors" ] || tail -n 25 "$errors" | sed 's/^/  ! /'
	fi
}

said() {
	grep -q -e "$1" "$output"
}

# ended STATUS [TEXT]: the guest ended so, after it said so
ended() {
	[ "$status" = "$1" ] && { [ $# -lt 2 ] || said "$2"; }
}

# printed TEXT: that alone, on its standard output
printed() {
	[ "$(cat "$output")" = "$1" ]
}

# told PATTERN: in what it said of errors
told() {
	grep -q -e "$1" "$errors"
}

# initrd FILE: the base with FILE as the script that the guest runs, and what else is in $work/root
initrd() {
	mkdir -p "$work/root"
	cp "$1" "$work/root/test.sh"
	(cd "$work/root" && find . -type f | cpio -o -H newc --quiet) >"$work/test.cpio"
	cat "$DACH_CACHE/base.cpio" "$work/test.cpio" >"$work/initrd"
}

# guest [OPTION...] <SCRIPT: runs the script in a guest; leaves status, output and errors
guest() {
	cat >"$work/script"
	initrd "$work/script"
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1 ${cmdline:-}" \
		--memory "${memory:-512}" "$@" </dev/null >"$output" 2>"$errors"
	status=$?
	tr -d '\r' <"$output" >"$output.text" && mv "$output.text" "$output"
}

# Before a guest starts in the background: what is waited for is not what the last one said.
forget() {
	: >"$output"
	: >"$errors"
}

# guest_start: the same in the background; guest_wait gives its status
guest_start() {
	cat >"$work/script"
	initrd "$work/script"
	forget
	timeout -k 5 "$LIMIT" "$DACH" run --engine "$DACH_ENGINE" --kernel "$kernel" \
		--initrd "$work/initrd" --cmdline "console=ttyS0 quiet panic=-1 ${cmdline:-}" \
		--memory "${memory:-512}" "$@" </dev/null >"$output" 2>"$errors" &
	guest_pid=$!
}

guest_wait() {
	wait "$guest_pid"
	status=$?
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	wait_end=$(($(date +%s) + $1))
	shift
	until "$@" 2>/dev/null; do
		[ "$(date +%s)" -lt $wait_end ] || return 1
		sleep 0.2
	done
}

# The guest's process below timeout(1), to send signals to.
guest_process() {
	tr -d ' ' <"/proc/$guest_pid/task/$guest_pid/children" | grep .
}

# free_port: one of this host's TCP ports that nobody has, and that nobody is given without asking for it
free_port() {
	python3 -c '
import random, socket
while True:
    port = random.randrange(20000, 32768)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            break
        except OSError:
            pass
print(port)'
}

# serve: 64 MiB of noise at http://127.0.0.1:$server_port/data, with the checksum $sum
serve() {
	mkdir "$work/www"
	head -c 64M /dev/urandom >"$work/www/data"
	sum=$(sha256sum <"$work/www/data" | cut -d' ' -f1)
	python3 - "$work/www" >"$work/port" 2>/dev/null <<'SERVER' &
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
SERVER
	server_pid=$!
	trap 'kill $server_pid; rm -rf "$work"' EXIT
	wait_for 10 test -s "$work/port"
	server_port=$(cat "$work/port")
}

finish() {
	exit $((failures > 0))
}
