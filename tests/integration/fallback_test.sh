#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Where io_uring is refused, epoll takes over behind the same interface, and one line says so; where
# a driver is asked for by LIBRT_DRIVER, that one is used and nothing is said. The refusal is a
# seccomp filter like Docker's (support/refuse_io_uring.py).
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

unset LIBRT_DRIVER # each case sets its own
refuse=$support/refuse_io_uring.py

driver_is() {
    asked '/v1/info?format=json' >"$tmp/info" && contains "$tmp/info" "\"driver\": *\"$1\""
}
serves() {
    is "$(curl -sS --max-time 10 "http://127.0.0.1:$port/plaintext")" 'Hello, World!' &&
        curl -sS --max-time 10 --data-binary @README.md "http://127.0.0.1:$port/echo" \
            >"$tmp/page" && cmp "$tmp/page" README.md
}
one_line() {
    cat "$tmp/$name.err"
    is "$(wc -l <"$tmp/$name.err")" 1 && contains "$tmp/$name.err" \
        '^librt: warning: io_uring is not usable, using epoll: .+LIBRT_DRIVER=epoll'
}
silent() { is_empty "$tmp/$name.err"; }

# runs_on DRIVER WHAT-IT-SAYS CASE COMMAND...
runs_on() {
    driver=$1 said=$2 at=$3
    shift 3
    check "$at: starts" start server "$@" --port 0 --workers 2
    check "$at: $said" "$said"
    check "$at: the driver is $driver" driver_is "$driver"
    check "$at: serves" serves
    check "$at: ends with status 0" stop_is 0
    check "$at: leaves no socket behind" left_no_socket
}

# refused_uring: asked for by name, io_uring is not replaced by anything.
refused_uring() {
    LIBRT_DRIVER=uring timeout 20 "$refuse" EPERM "$bin/httpd" --port 0 --workers 1 >"$tmp/out" 2>&1
    code=$?
    cat "$tmp/out"
    [ $code -gt 0 ] && [ $code -lt 124 ] && contains "$tmp/out" 'Operation not permitted|EPERM'
}

if ! "$refuse" EPERM /bin/true 2>"$tmp/refusal"; then
    echo "skip: $(cat "$tmp/refusal")"
    exit 77
fi
for code in EPERM ENOSYS; do
    runs_on epoll one_line "io_uring refused with $code" "$refuse" $code "$bin/httpd"
done
LIBRT_DRIVER=epoll
export LIBRT_DRIVER
runs_on epoll silent "LIBRT_DRIVER=epoll" "$bin/httpd"
runs_on epoll silent "LIBRT_DRIVER=epoll, io_uring refused" "$refuse" EPERM "$bin/httpd"
unset LIBRT_DRIVER
check "LIBRT_DRIVER=uring, io_uring refused: a reason and no server" refused_uring
check "and no socket" left_no_socket

# The other way round: nothing is said where io_uring works. Where it does not, that is no fault.
check "without a wish: starts" start server "$bin/httpd" --port 0
if driver_is io_uring >/dev/null; then
    check "without a wish: says nothing" silent
    check "without a wish: serves" serves
else
    skip "io_uring cannot be used here: $(cat "$tmp/server.err")"
fi
check "without a wish: ends with status 0" stop_is 0
finish
