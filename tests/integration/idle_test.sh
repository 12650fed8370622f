#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Connections leave nothing behind: 10,000 that stay idle, twice, and 20,000 that come and go, each
# in one of five ways. Counted through the introspection socket (tasks, sources, timers, open
# descriptors, resident memory) and in /proc.
#
# Memory. The pools of frames and headers keep what they have grown to (their chunks serve the next
# burst), so the measure is not the memory before the first connection but that after the first
# round: whatever comes later must fit into it, with a slack for the allocator. A leak of one header
# (128 bytes) per connection would be 3.8 MB over rounds two and three.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

# A stand-in, for workers that this machine holds up, would be a thread and descriptors more.
export LIBRT_RELIEF_THREADS=0

connections=10000
storm=20000
slack_bytes=2500000

# Descriptors for the server's end and for the client's, each in a process of its own.
ulimit -n "$(ulimit -H -n)"
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((connections + 200)) ]; then
    echo "skip: $connections connections need a limit of as many descriptors; it is $(ulimit -n)"
    exit 77
fi

now_open() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
tasks() { metric librt_tasks_alive; }
sources() { metric librt_sources_open; }
memory() { metric process_resident_memory_bytes; }

# All of them at one moment.
counts() {
    asked /metrics | awk '
        $1 == "librt_tasks_alive" { tasks = $2 }
        $1 == "librt_sources_open" { sources = $2 }
        $1 == "process_open_fds" { fds = $2 }
        /^librt_timers\{/ { timers += $2 }
        END { printf "tasks %d, sources %d, timers %d, fds %d", tasks, sources, timers, fds }'
    echo ", in /proc $(now_open)"
}
are_back() { [ "$(counts)" = "$before" ]; }
nothing_left() {
    within 20 are_back && return
    echo "now:    $(counts)"
    echo "before: $before"
    return 1
}
rose_by() { [ "$("$1")" -ge $(($2 + connections)) ] || { "$1"; return 1; }; }
fits() {
    echo "$(memory) bytes are resident, it was $1 after the first round"
    [ "$(memory)" -le $(($1 + slack_bytes)) ]
}

check "httpd starts" start httpd "$bin/httpd" --port 0 --workers 2 --idle-timeout 600
[ "$failed" -eq 0 ] || finish
quiet() { before=$(counts) && sleep 0.3 && are_back; }
check "at rest, the counts stand still" within 10 quiet
check "200 connections come and go" "$support/connections.py" storm "$port" 200
check "no task, source, timer or descriptor is left" nothing_left
tasks_before=$(tasks) sources_before=$(sources) fds_before=$(now_open) memory_before=$(memory)
echo "      $before; $memory_before bytes are resident"

for round in 1 2; do
    check "round $round: $connections connections open" hold $connections
    check "round $round: a task for each" within 20 rose_by tasks "$tasks_before"
    check "round $round: a descriptor for each" within 20 rose_by now_open "$fds_before"
    check "round $round: a source for each" within 20 rose_by sources "$sources_before"
    held=$(memory)
    echo "      $(((held - memory_before) / connections)) bytes of memory per idle connection"
    check "round $round: an answer while they are open" is \
        "$(curl -sS --max-time 10 "http://127.0.0.1:$port/plaintext")" 'Hello, World!'
    check "round $round: the client closes them" let_go
    check "round $round: no task, source, timer or descriptor is left" nothing_left
    if [ $round -eq 1 ]; then memory_after=$(memory); fi
done
check "round 2 needed no more memory than round 1" fits "$memory_after"

check "$storm connections come and go" "$support/connections.py" storm "$port" $storm
check "no task, source, timer or descriptor is left" nothing_left
check "the storm needed no more memory" fits "$memory_after"
check "ends with status 0" stop_is 0
check "has nothing to complain about" is_empty "$tmp/httpd.err"
check "leaves no socket behind" left_no_socket
finish
