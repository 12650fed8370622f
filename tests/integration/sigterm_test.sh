#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kill -TERM in the middle of a load: every request that was accepted is answered, and the status is
# 0. What "accepted" means, and how it is seen, is in support/drain.py. Several rounds, because what
# this looks for are races.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

rounds=3
www=$tmp/www
file_bytes=20000000
mkdir "$www"
head -c $file_bytes /dev/zero >"$www/big.bin"

# curl's status 7 is a connection that was refused.
is_gone() { curl -sS --max-time 5 "http://127.0.0.1:$port/"; is $? 7; }
ended_well() { within 20 has_ended "$pid" && wait "$pid" && status=0; }

for workers in 1 2; do
    for round in $(seq $rounds); do
        at="workers: $workers, round $round"
        check "$at: httpd starts" start httpd "$bin/httpd" --port 0 --workers $workers --root "$www"
        check "$at: every accepted request is answered" \
            "$support/drain.py" "$port" "$pid" $file_bytes
        [ -s "$tmp/output" ] && sed 's/^/      /' "$tmp/output"
        check "$at: status 0" ended_well
        check "$at: nobody listens any more" is_gone
    done
done

# A client that is silent is told so by the end of its connection, and holds nothing up.
silent_clients() { hold 50 && stop && let_go && is "$status" 0; }
check "httpd starts" start httpd "$bin/httpd" --port 0 --root "$www"
check "50 silent clients do not hold it up" silent_clients

# What a terminal sends.
interrupted() { kill -INT "$pid" && ended_well; }
check "httpd starts" start httpd "$bin/httpd" --port 0 --root "$www"
check "SIGINT ends it with status 0" interrupted
check "leaves no socket behind" left_no_socket
finish
