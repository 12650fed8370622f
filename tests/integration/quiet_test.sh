#!/bin/sh
# SPDX-License-Identifier: MIT
#
# An idle runtime makes no wake-ups: in RT_IDLE_SECONDS (3) no thread of an idle server on two
# workers leaves the CPU even once, be it a worker, the watchdog, the sentinel that serves the
# introspection socket, or the thread that waits in block_on. Counted by the kernel, as voluntary
# context switches of each thread: to be woken and to sleep again is one.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

seconds=${RT_IDLE_SECONDS:-3}
unset RT_IDLE_SECONDS

# One line per thread: its number, its name and its voluntary switches.
switches() {
    for each in /proc/"$pid"/task/*; do
        awk -v thread="${each##*/}" '
            /^Name:/ { name = $2 }
            /^voluntary_ctxt_switches:/ { voluntary = $2 }
            END { print thread, name, voluntary }' "$each/status"
    done
}
stands_still() {
    before=$(switches)
    sleep "$1"
    after=$(switches)
    [ "$after" = "$before" ] && return
    printf 'before:\n%s\nafter:\n%s\n' "$before" "$after"
    return 1
}
has_threads() { switches | grep -q -e "-w0 " && switches | grep -q -e "-w1 "; }

is_quiet() {
    check "$1 starts" start "$@"
    check "$1 has two workers" has_threads
    check "$1 comes to rest" within 10 stands_still 0.3
    check "$1 makes no wake-up in $seconds s" stands_still "$seconds"
    check "$1 ends" stop_is 0
}

is_quiet echo "$bin/echo" --port 0 --workers 2
is_quiet httpd "$bin/httpd" --port 0 --workers 2
LIBRT_DRIVER=epoll
export LIBRT_DRIVER
is_quiet echo "$bin/echo" --port 0 --workers 2

finish
