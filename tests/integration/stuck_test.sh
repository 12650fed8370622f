#!/bin/sh
# SPDX-License-Identifier: MIT
#
# With every worker stuck, in a loop or in a system call, the introspection socket answers within a
# second and names the tasks: those that are stuck, with what they are executing, those that wait,
# with their await chains, and those that are ready and never get a turn. The program is
# support/stuck.cc.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

setting() { sed -n "s/^$1 = //p" build/config.mk; }

# The object by the Makefile's own rule and flags, afresh, since the Makefile does not look for its
# headers so deep in the tree; the link as it links an example.
built() {
    object=build/obj/tests/integration/support/stuck.o
    rm -f $object
    make --no-print-directory $object build/lib/librt-numa.a || return 1
    # shellcheck disable=SC2046 # lists of words
    $(setting CXX) $(setting OPTIMIZE) -pthread -o "$tmp/stuck" $object build/lib/librt-numa.a \
        $(setting PACKAGE_LIBS) $(setting JEMALLOC_LIBS)
}

# answers STATUS PATH: the body goes to $tmp/answer. Fails if it takes a second.
answers() {
    took=$(curl -sS --max-time 1 -o "$tmp/answer" -w '%{http_code} %{time_total}' \
        --unix-socket "$socket" "http://rt$2")
    echo "status and seconds: $took"
    is "${took% *}" "$1"
}
says() { contains "$tmp/answer" "$1"; }

dumps_again() {
    for i in 1 2 3 4 5; do
        answers 200 /v1/dump || { echo "try $i"; return 1; }
    done
}

# A process that is asked nothing costs nothing but what its stuck workers burn.
is_alive() { kill -0 "$pid"; }

check "the program is built" built
[ "$failed" -eq 0 ] || finish

for way in spin sleep; do
    if [ $way = spin ]; then
        culprit=spin_for_ever place=compute_for_ever
    else
        culprit=block_for_ever place=clock_nanosleep
    fi
    check "$way: every worker is stuck" start stuck "$tmp/stuck" $way
    check "$way: a dump within a second" answers 200 /v1/dump
    check "$way: names the stuck task" says $culprit
    check "$way: says what it is executing" says $place
    check "$way: names the waiting task" says wait_patiently
    check "$way: with the leaf that it waits in" says inner_wait
    check "$way: and the line" says 'stuck\.cc:[0-9]+'
    check "$way: names the ready task" says never_reached
    check "$way: five more dumps, each within a second" dumps_again
    check "$way: a dump as JSON" answers 200 '/v1/dump?format=json'
    check "$way: is JSON" python3 -m json.tool "$tmp/answer"
    check "$way: the list of tasks" answers 200 /v1/tasks
    check "$way: with each kind in it" is "$(grep -aoE "$culprit|wait_patiently|never_reached" \
        "$tmp/answer" | sort -u | tr '\n' ' ')" "$(printf '%s\n' $culprit wait_patiently \
        never_reached | sort | tr '\n' ' ')"
    check "$way: the list of workers" answers 200 /v1/workers
    check "$way: the metrics" answers 200 /metrics
    check "$way: seven tasks are alive" is "$(metric librt_tasks_alive)" 7
    check "$way: it is not healthy" answers 503 /healthz
    check "$way: and goes on" is_alive
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
done
finish
