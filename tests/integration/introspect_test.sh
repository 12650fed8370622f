#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The introspection socket and rtctl from outside: where the socket lies and who may use it, what
# rtctl says and exits with when something is wrong, clients that misbehave, and what remains after
# a crash. Garbage on the socket is in bad_input_test.sh, stuck workers are in stuck_test.sh.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

rtctl=$bin/rtctl
unset XDG_RUNTIME_DIR RUNTIME_DIRECTORY

# exits STATUS COMMAND...: what it prints goes to $tmp/out and $tmp/err.
exits() {
    wanted=$1
    shift
    timeout 20 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    code=$?
    cat "$tmp/out" "$tmp/err"
    is "$code" "$wanted"
}
out_has() { contains "$tmp/out" "$1"; }
err_has() { contains "$tmp/err" "$1"; }

# Where it is.
mode_is_0600() { is "$(stat -c %a "$socket")" 600; }
named_after() { is "${socket##*/}" "$1.$pid.sock"; }
check "echo starts" start echo "$bin/echo" --port 0 --workers 2
[ "$failed" -eq 0 ] || finish
check "the socket is for its owner only" mode_is_0600
check "is named after the process and its pid" named_after echo

# Every resource, in both forms.
is_json() { asked "$1" >"$tmp/answer" && python3 -m json.tool "$tmp/answer"; }
for path in info workers workers/0 tasks 'dump?format=json' 'dump?full=1&format=json' topology \
    tuning; do
    check "GET /v1/$path is JSON" is_json "/v1/$path"
done
for command in info workers 'workers 1' tasks dump 'dump full' topology tuning metrics health \
    'metrics per_worker' 'tasks state=waiting limit=1' 'tasks label=peer name=session'; do
    # shellcheck disable=SC2086 # words
    check "rtctl $command" exits 0 "$rtctl" -t "$socket" $command
done
check "rtctl by pid" exits 0 "$rtctl" -t "$pid" info
check "rtctl by name" exits 0 "$rtctl" -t echo info
check "rtctl with the pid last" exits 0 "$rtctl" dump "$pid"
check "rtctl without a target, there is only one" exits 0 env -u LIBRT_SOCKET \
    RUNTIME_DIRECTORY="$LIBRT_SOCKET" "$rtctl" -t echo info
first_task() { "$rtctl" -t "$pid" -j tasks limit=1 | sed 's/.*"id":"\([0-9]*\)".*/\1/'; }
check "rtctl task" exits 0 "$rtctl" -t "$pid" task "$(first_task)"
check "shows where it waits" out_has '#0 .*\.(cc|h):[0-9]+'
check "rtctl ps" exits 0 "$rtctl" ps
check "lists it" out_has "^$pid +echo .*$socket"
check "rtctl -j ps is JSON" sh -c "'$rtctl' -j ps | python3 -m json.tool"

# What is wrong, and the status for it.
check "an unknown command is 2" exits 2 "$rtctl" dmup
check "with a suggestion" err_has "did you mean 'dump'"
check "an unknown option is 2" exits 2 "$rtctl" --colour info
check "an unknown parameter is 2" exits 2 "$rtctl" -t "$pid" tasks stat=waiting
check "with a suggestion" err_has "did you mean 'state'"
check "no command is 2" exits 2 "$rtctl"
check "a task without an id is 2" exits 2 "$rtctl" -t "$pid" task
check "a timeout without a unit is 2" exits 2 "$rtctl" --timeout 5 info
check "JSON where there is none is 2" exits 2 "$rtctl" -t "$pid" -j metrics
check "a task that is not there is 1" exits 1 "$rtctl" -t "$pid" task 999999999
check "a process that is not there is 3" exits 3 "$rtctl" -t 2147483646 info
check "says so" err_has 'does not exist'
check "a process without a socket is 3" exits 3 "$rtctl" -t $$ info
check "says so" err_has 'has no librt socket'
check "a socket that is not there is 3" exits 3 "$rtctl" -t /nowhere/at.all info
check "a full output is 1" sh -c "'$rtctl' -t $pid dump >/dev/full; [ \$? -eq 1 ]"
stopped() {
    kill -STOP "$pid"
    exits 5 "$rtctl" --timeout 200ms -t "$pid" info
    result=$?
    kill -CONT "$pid"
    return $result
}
check "a process that is stopped is 5" stopped
check "says what may be the matter" err_has 'kill -CONT'
check "and answers when it goes on" exits 0 "$rtctl" -t "$pid" info
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
    chmod 755 "$tmp" "$tmp/sockets"
    cp "$rtctl" "$tmp/rtctl" && chmod 755 "$tmp/rtctl"
    check "another user is 4" exits 4 setpriv --reuid 65534 --clear-groups \
        "$tmp/rtctl" -t "$socket" info
    check "says whose it is" err_has 'owner uid 0'
    chmod 666 "$socket"
    check "also if the file lets him in" exits 4 setpriv --reuid 65534 --clear-groups \
        "$tmp/rtctl" -t "$socket" info
    check "says who may" err_has 'may not look into'
    chmod 600 "$socket"
else
    skip "another user is refused: needs root"
fi

# Clients that do not read hold up nobody.
silent_clients() {
    python3 - "$socket" <<'PYTHON'
import socket, sys, time
held = []
for number in range(15):
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    client.sendall(b"metrics;" * 800 + b"\n")  # more than a socket buffers
    held.append(client)
began = time.monotonic()
for number in range(10):
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
    answer = b""
    while part := client.recv(4096):
        answer += part
    assert answer.startswith(b"HTTP/1.1 200 "), answer
assert time.monotonic() - began < 10
PYTHON
}
check "15 clients that do not read do not keep another from its answer" silent_clients
back_to_none() { is "$(metric librt_introspect_clients)" 1; }
check "they leave nothing behind" within 10 back_to_none

# The sentinel of a process that nobody asks does not run at all.
sentinel() { grep -l librt-sentinel "/proc/$pid/task/"*/comm | head -n 1 | xargs dirname; }
switches() { sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "$(sentinel)/status"; }
idles() {
    switches_before=$(switches)
    sleep 1
    is "$(switches)" "$switches_before"
}
check "it sleeps while nobody asks" within 10 idles
check "ends with status 0" stop_is 0
check "leaves no socket behind" left_no_socket

# A crash leaves the file, which rtctl ps removes and a new process replaces.
check "echo starts" start echo "$bin/echo" --port 0
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "a crash leaves the file" [ -S "$socket" ]
check "asking it is 3" exits 3 "$rtctl" -t "$socket" info
check "says that its process is gone" err_has 'its process is gone'
env -u LIBRT_SOCKET RUNTIME_DIRECTORY="$LIBRT_SOCKET" "$rtctl" ps >"$tmp/out" 2>&1
check "rtctl ps does not list it" lacks "$tmp/out" "$socket"
check "and removes it" left_no_socket
stale=$tmp/sockets/mine.sock
check "echo starts with a path of its own" env LIBRT_SOCKET="$stale" true
started_at() {
    LIBRT_SOCKET=$stale start mine "$bin/echo" --port 0 && is "$socket" "$stale"
}
check "an explicit path is used" started_at
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "its stale file is replaced" started_at
check "ends with status 0" stop_is 0

# The chain of directories, and none.
chain() {
    mkdir -p "$tmp/service" "$tmp/user"
    start "$1" env -u LIBRT_SOCKET "$2" "$bin/echo" --port 0 && stop && echo "$socket" &&
        is "${socket%/*}" "$3"
}
check "RUNTIME_DIRECTORY is used" chain service "RUNTIME_DIRECTORY=$tmp/service" "$tmp/service"
if [ "$(id -u)" != 0 ]; then
    check "XDG_RUNTIME_DIR is used" chain user "XDG_RUNTIME_DIR=$tmp/user" "$tmp/user/librt"
fi
switched_off() {
    LIBRT_INTROSPECT=off "$bin/echo" --port 0 >"$tmp/off.out" 2>"$tmp/off.err" &
    pid=$!
    started="$started $pid"
    within 20 contains "$tmp/off.out" 'listening on' && left_no_socket &&
        ! grep -q librt-sentinel "/proc/$pid/task/"*/comm && stop && is "$status" 0
}
check "LIBRT_INTROSPECT=off: no socket and no sentinel" switched_off
finish
