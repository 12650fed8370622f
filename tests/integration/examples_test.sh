#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The two small examples do what the README shows: its code is the file's, its transcript is what
# the program prints; echo sends back what it gets, and stops when it is told to.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

# block LANGUAGE WORD: the README's first fenced block of that language that has the word.
block() {
    awk -v opening="\`\`\`$1" -v word="$2" '
        !inside && $0 == opening { inside = 1; text = ""; next }
        inside && $0 == "```" { inside = 0; if (index(text, word)) { printf "%s", text; exit } }
        inside { text = text $0 "\n" }' README.md
}

same_code() {
    block cpp 'rt::task<void> session' >"$tmp/shown" && diff "$tmp/shown" examples/echo.cc
}
short() { [ "$(grep -vcE '^[[:space:]]*(//|$)' "$1")" -le 40 ]; }
tasks_are() { is "$(metric librt_tasks_alive)" "$1"; }

hello_prints() {
    timeout 20 "$bin/hello" >"$tmp/hello" 2>&1
    is $? 0 && sed -n '/build\/bin\/hello$/,/^```$/p' README.md | sed '1d;$d' >"$tmp/shown" &&
        diff "$tmp/shown" "$tmp/hello"
}

check "the README shows examples/echo.cc" same_code
check "it has at most 40 lines of code" short examples/echo.cc
check "so has examples/hello.cc" short examples/hello.cc
check "the manual quotes the examples as they are" "$support/quotes.py" man examples
check "hello prints what the README says" hello_prints

check "echo starts" start echo "$bin/echo" --port 0 --workers 2
check "1 MiB on each of 8 connections at once comes back" "$support/echoed.py" "$port" 8 1048576
check "byte by byte" "$support/echoed.py" "$port" 1 200 1
check "nothing but a close" "$support/connections.py" hold "$port" 50 </dev/null
check "one task is left to accept, one to wait for a signal" within 10 tasks_are 2
check "SIGTERM ends it with status 0" stop_is 0
check "has nothing to complain about" is_empty "$tmp/echo.err"

check "echo starts on one CPU" start echo "$bin/echo" --port 0 --workers 1 \
    --cpus "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')"
check "1 MiB on each of 3 connections" "$support/echoed.py" "$port" 3 1048576
interrupted() { kill -INT "$pid" && within 20 has_ended "$pid" && wait "$pid"; }
check "SIGINT ends it with status 0" interrupted

# A client that is connected and silent does not hold it up.
silent_clients() { hold 20 && stop && let_go && is "$status" 0; }
check "echo starts" start echo "$bin/echo" --port 0
check "20 silent clients do not hold it up" silent_clients
check "leaves no socket behind" left_no_socket
finish
