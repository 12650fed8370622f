# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the integration scripts share, sourced by each as its first act: it changes to the top of the
# tree, makes a temporary folder $tmp, and ends everything that start() started, by its pid, however
# the script ends. A script calls check once per claim and finish as its last act.
#
#   start NAME COMMAND...   runs a program until it names its introspection socket: sets pid, socket
#                           and, if it listens on loopback, port
#   stop [SECONDS]          SIGTERM, and its exit status in $status; 137 when it had to be killed
#   stop_is STATUS          the same as a claim
#   check WHAT COMMAND...   one claim: prints it, and what the command printed if it failed
#   skip WHAT               a claim that cannot be checked here
#   hold COUNT, let_go      that many silent connections to $port, until they are let go
#   metric NAME             sum of a metric over its labels, from the server's socket
#   finish                  prints the counts, as tests/run wants them
#
# Sockets go to $tmp/sockets, so that a script sees what a program leaves behind there.
set -u
cd "$(dirname "$0")/../.." || exit 1

bin=${LIBRT_BIN:-$PWD/build/bin}
unset LIBRT_BIN # the runtime refuses names of this kind that it does not know
support=$PWD/tests/integration/support
tmp=$(mktemp -d) || exit 1
mkdir "$tmp/sockets"
LIBRT_SOCKET=$tmp/sockets
export LIBRT_SOCKET
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
passed=0 failed=0 skipped=0
pid=none port=none socket=none status=none
started=

end_all() {
    for each in $started; do
        kill -KILL "$each" 2>/dev/null && wait "$each" 2>/dev/null
    done
    rm -rf "$tmp"
}
trap end_all EXIT
trap 'exit 1' HUP INT TERM

check() {
    what=$1
    shift
    if "$@" >"$tmp/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
        tail -n 30 "$tmp/output" | cut -c 1-300 | sed 's/^/      | /'
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "skip  $1"
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

# within SECONDS COMMAND...: tries until the command succeeds. Other processes offer no other way to
# wait for them.
within() {
    end=$(($(date +%s) + $1))
    shift
    until "$@" >"$tmp/try" 2>&1; do
        [ "$(date +%s)" -le $end ] || { cat "$tmp/try"; return 1; }
        sleep 0.02
    done
}

# has_ended PID: also true of a zombie, which only wait removes.
has_ended() {
    case $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) in
    '' | Z*) return 0 ;;
    *) return 1 ;;
    esac
}

says_where() { grep -q 'introspection socket' "$tmp/$name.out" || has_ended "$pid"; }

start() {
    name=$1
    shift
    : >"$tmp/$name.out" # what an earlier one of this name said must not be taken for an answer
    "$@" >"$tmp/$name.out" 2>"$tmp/$name.err" </dev/null &
    pid=$!
    started="$started $pid"
    within 30 says_where
    port=$(sed -n 's/.*listening on .*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$tmp/$name.out")
    socket=$(sed -n 's|.*introspection socket \(/.*\)|\1|p' "$tmp/$name.out")
    if [ -z "$socket" ]; then
        echo "$* did not start:"
        cat "$tmp/$name.out" "$tmp/$name.err"
        return 1
    fi
}

stop() {
    kill -TERM "$pid" 2>/dev/null
    within "${1:-20}" has_ended "$pid" || kill -KILL "$pid"
    wait "$pid"
    status=$?
}

stop_is() {
    stop
    is "$status" "$1"
}

# asked PATH: an answer of the introspection socket.
asked() { curl -sS --max-time 5 --unix-socket "$socket" "http://rt$1"; }

metric() {
    asked /metrics | awk -v name="$1" '
        { sample = $1; sub(/\{.*/, "", sample) }
        sample == name || sample == name "_total" { sum += $NF; found = 1 }
        END { if (!found) exit 1; printf "%.0f\n", sum }'
}

# hold COUNT: opens that many connections, which stay silent until let_go closes them.
hold() {
    mkfifo "$tmp/go" || return 1
    "$support/connections.py" hold "$port" "$1" <"$tmp/go" >"$tmp/client" 2>&1 &
    client=$!
    started="$started $client"
    exec 3>"$tmp/go" && rm "$tmp/go" && within 60 contains "$tmp/client" '^open'
}
let_go() { exec 3>&- && wait "$client" && contains "$tmp/client" '^closed'; }

# is VALUE EXPECTED, contains FILE PATTERN: claims for check that say what they saw.
is() { [ "$1" = "$2" ] || { echo "got '$1', expected '$2'"; return 1; }; }
contains() { grep -qaE -- "$2" "$1" || { echo "no '$2' in:"; cat "$1"; return 1; }; }
lacks() { ! grep -aE -- "$2" "$1"; }
is_empty() { [ ! -s "$1" ] || { cat "$1"; return 1; }; }

# No file in the folder of the sockets.
left_no_socket() { [ -z "$(ls -A "$tmp/sockets")" ] || { ls -la "$tmp/sockets"; return 1; }; }
