#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Whatever is wrong, there is a message that says what, a status that is not 0 and no signal, and
# nothing is left behind. Command lines, LIBRT_* variables, ports, folders, too few descriptors, and
# garbage on both sockets of a running server.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

unset LIBRT_DRIVER LIBRT_WORKERS
# A stand-in, for workers that this machine holds up, would be descriptors more.
export LIBRT_RELIEF_THREADS=0

# refused PATTERN COMMAND...: ends by itself, with a status of its own, and a message on standard
# error that has the pattern; statuses above 123 are signals, or timeout's.
refused() {
    pattern=$1
    shift
    timeout 20 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    code=$?
    echo "status $code"
    [ $code -gt 0 ] && [ $code -lt 124 ] && contains "$tmp/err" "$pattern" && left_no_socket
}
# The same with a variable of the environment.
refused_with() {
    pattern=$1 assignment=$2
    shift 2
    refused "$pattern" env "$assignment" "$@"
}
both_reported() { contains "$tmp/err" "$1" && contains "$tmp/err" "$2"; }

for program in httpd echo; do
    run=$bin/$program
    at="$program:"
    check "$at an unknown option" refused '--colour' "$run" --colour blue
    check "$at an option without a value" refused '--port.*value' "$run" --port
    check "$at a port that is no number" refused 'port' "$run" --port eighty
    check "$at a port that is too large" refused 'port' "$run" --port 65536
    check "$at workers that are no number" refused '--workers' "$run" --workers two
    check "$at too many workers" refused 'workers' "$run" --port 0 --workers 5000
    check "$at CPUs that are no list" refused 'nonsense' "$run" --port 0 --cpus nonsense
    check "$at a CPU that is not there" refused '9999|8191' "$run" --port 0 --cpus 8191

    check "$at an unknown variable" refused_with 'LIBRT_WORKRES.*LIBRT_WORKERS' \
        LIBRT_WORKRES=2 "$run"
    check "$at LIBRT_WORKERS" refused_with 'LIBRT_WORKERS="many".*1 to 1024' \
        LIBRT_WORKERS=many "$run"
    check "$at LIBRT_WORKERS=0" refused_with 'LIBRT_WORKERS="0"' LIBRT_WORKERS=0 "$run"
    check "$at LIBRT_DRIVER" refused_with 'LIBRT_DRIVER="io_urnig".*uring, epoll' \
        LIBRT_DRIVER=io_urnig "$run"
    check "$at LIBRT_PIN" refused_with 'LIBRT_PIN="core".*auto, none' LIBRT_PIN=core "$run"
    check "$at LIBRT_CPUS" refused_with 'LIBRT_CPUS="3-1"' LIBRT_CPUS=3-1 "$run"
    check "$at LIBRT_RING_ENTRIES out of range" refused_with 'LIBRT_RING_ENTRIES="8".*32 to 4096' \
        LIBRT_RING_ENTRIES=8 "$run"
    check "$at LIBRT_RING_ENTRIES, no power of two" refused_with 'power of two' \
        LIBRT_RING_ENTRIES=100 "$run"
    check "$at LIBRT_BLOCKING_KEEP without a unit" refused_with 'LIBRT_BLOCKING_KEEP="5".*50us' \
        LIBRT_BLOCKING_KEEP=5 "$run"
    check "$at LIBRT_INTROSPECT" refused_with 'LIBRT_INTROSPECT="perhaps"' \
        LIBRT_INTROSPECT=perhaps "$run"
    check "$at a control character in a value is not printed as it is" refused_with \
        'LIBRT_PIN="\\(x1b|e|033|u001b)' "$(printf 'LIBRT_PIN=\033[31m')" "$run"
    check "$at all faults at once" refused_with 'LIBRT_WORKERS' 'LIBRT_WORKERS=-1' \
        env LIBRT_PIN=x "$run"
    check "$at both of them" both_reported LIBRT_WORKERS LIBRT_PIN
done
check "httpd: a folder that is not there" refused '/nowhere.*[Nn]o such file' \
    "$bin/httpd" --port 0 --root /nowhere
check "httpd: a folder that is a file" refused '[Nn]ot a directory' "$bin/httpd" --port 0 \
    --root "$bin/httpd"
check "httpd: an address that is none" refused '[Aa]ddress|EINVAL' "$bin/httpd" --host example \
    --port 0
check "httpd: a size that is none" refused '--max-body' "$bin/httpd" --max-body lots
check "httpd: a negative timeout" refused '--idle-timeout' "$bin/httpd" --idle-timeout -1

# A path for the introspection socket that cannot be used costs the socket, not the server.
unusable_path() {
    LIBRT_SOCKET=$1 "$bin/echo" --port 0 >"$tmp/unusable.out" 2>"$tmp/unusable.err" &
    pid=$!
    started="$started $pid"
    within 20 contains "$tmp/unusable.out" 'listening on' && stop && cat "$tmp/unusable.err" &&
        is "$status" 0 && contains "$tmp/unusable.err" "$2"
}
check "a socket's path that is too long" unusable_path "/tmp/$(printf '%0200d' 0).sock" '107'
check "a socket's folder that is not there" unusable_path /nowhere/at/all.sock '/nowhere'

# With few descriptors a program either says that it cannot start, or works within them.
with_limit() { exec sh -c 'ulimit -n "$0" && exec "$@"' "$@"; }
starts_or_says_why() {
    limit=$1
    : >"$tmp/few.out"
    with_limit "$limit" "$bin/httpd" --port 0 --workers 2 >"$tmp/few.out" 2>"$tmp/few.err" &
    pid=$!
    started="$started $pid"
    decided() { has_ended $pid || grep -q 'introspection socket' "$tmp/few.out"; }
    within 20 decided || return 1
    has_ended $pid || kill -TERM $pid
    within 20 has_ended $pid || return 1
    wait $pid
    code=$?
    echo "limit $limit: status $code: $(head -n 1 "$tmp/few.err")"
    if [ $code -eq 0 ]; then
        return 0
    fi
    [ $code -lt 124 ] && contains "$tmp/few.err" 'EMFILE|[Tt]oo many open files|error while loading'
}
for limit in 4 6 8 9 10 11 12 14; do
    check "httpd with $limit descriptors" starts_or_says_why $limit
done
check "no socket is left by any of them" left_no_socket

# With 16 and one worker it serves; the connections that do not fit wait until others end.
start_with_16() { start few with_limit 16 "$bin/httpd" --port 0 --workers 1 --idle-timeout 600; }
answers() { is "$(curl -sS --max-time 10 "http://127.0.0.1:$port/plaintext")" 'Hello, World!'; }
crowd() { hold 60 && within 20 contains "$tmp/few.err" '[Tt]oo many open'; }
check "httpd with 16 descriptors starts" start_with_16
if [ "$failed" -eq 0 ]; then
    check "16 descriptors: answers" answers
    check "16 descriptors: 60 connections: it says that there are too many" crowd
    check "16 descriptors: says it a few times, not for ever" [ "$(wc -l <"$tmp/few.err")" -lt 10 ]
    check "16 descriptors: is still there" kill -0 "$pid"
    check "16 descriptors: they leave" let_go
    check "16 descriptors: answers again" answers
    check "16 descriptors: ends with status 0" stop_is 0
fi

# A running server: its port, and garbage on both of its sockets.
check "httpd starts" start httpd "$bin/httpd" --port 0 --workers 2 --idle-timeout 1
sockets_before=$(ls "$tmp/sockets")
in_use() {
    timeout 20 "$@" --port "$port" >"$tmp/out" 2>"$tmp/err"
    code=$?
    echo "status $code"
    [ $code -gt 0 ] && [ $code -lt 124 ] && contains "$tmp/err" "$port.*EADDRINUSE" &&
        is "$(ls "$tmp/sockets")" "$sockets_before"
}
check "httpd: a port that is in use" in_use "$bin/httpd"
check "echo: a port that is in use" in_use "$bin/echo"

before="$(metric librt_tasks_alive) $(metric librt_sources_open) $(metric process_open_fds)"
are_back() {
    after="$(metric librt_tasks_alive) $(metric librt_sources_open) $(metric process_open_fds)"
    is "$after" "$before"
}
check "garbage on the port" "$support/garbage.py" "127.0.0.1:$port"
check "garbage on the introspection socket" "$support/garbage.py" "$socket"
check "the port answers" answers
check "the socket answers" asked /v1/info
check "no task, source or descriptor is left" within 10 are_back
check "nothing was complained about" is_empty "$tmp/httpd.err"
check "ends with status 0" stop_is 0
check "leaves no socket behind" left_no_socket
finish
