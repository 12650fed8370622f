#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples/httpd as its clients see it: methods and statuses, bodies, pipelining, keep-alive, static
# files, and what it says to requests that are wrong. curl speaks where a well-behaved client can;
# support/talk.py sends the bytes that curl would not.
#
# The limits are small, so that going beyond them takes bytes and tenths of a second and not
# megabytes and minutes.
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

www=$tmp/www
mkdir -p "$www/sub" "$tmp/outside"
echo 'page' >"$www/index.html"
echo 'body {}' >"$www/style.css"
echo 'one' >"$www/one.txt"
echo 'two' >"$www/two.txt"
echo '{}' >"$www/data.json"
echo 'bytes' >"$www/no-extension"
echo 'spaced' >"$www/a b.txt"
echo 'inner' >"$www/sub/index.html"
head -c 3000000 /dev/urandom >"$www/big.bin"
echo 'secret' >"$tmp/outside/secret.txt"
ln -s ../outside/secret.txt "$www/link-out.txt"
ln -s one.txt "$www/link-in.txt"

# fetch OUTPUT CURL-ARGUMENTS...: the body goes to $tmp/OUTPUT, the head to $tmp/OUTPUT.head, the
# status is printed.
fetch() {
    to=$tmp/$1
    shift
    curl -sS --max-time 20 -D "$to.head" -o "$to" -w '%{http_code}' "$@"
}

# status_is CODE CURL-ARGUMENTS...
status_is() {
    wanted=$1
    shift
    is "$(fetch page "$@")" "$wanted"
}

talk() { "$support/talk.py" "$port" "$@" >"$tmp/said"; }
said() { contains "$tmp/said" "$1"; }

# Status line, and what follows a fault: the connection is closed.
refuses() {
    wanted=$1
    shift
    talk "$@" && said "^HTTP/1.1 $wanted " &&
        said '^[Cc]onnection: close' && is "$(grep -ac '^HTTP/1' "$tmp/said")" 1
}

plaintext() {
    is "$(fetch page "$url/plaintext")" 200 && is "$(cat "$tmp/page")" 'Hello, World!' &&
        contains "$tmp/page.head" '^Content-Length: 13' && contains "$tmp/page.head" '^Date: ' &&
        contains "$tmp/page.head" '^Content-Type: text/plain'
}

head_request() {
    talk "HEAD $1 HTTP/1.1\r\nHost: a\r\n\r\n" &&
        said '^HTTP/1.1 200 ' && said "^Content-Length: $2" &&
        is "$(sed '1,/^\r*$/d' "$tmp/said" | wc -c)" 0
}

not_allowed() {
    status_is 405 -X DELETE "$url/one.txt" && contains "$tmp/page.head" '^Allow: .*GET'
}

echoes() {
    head -c 200000 /dev/urandom >"$tmp/sent"
    is "$(fetch page --data-binary "@$tmp/sent" "$@" "$url/echo")" 200 &&
        cmp "$tmp/sent" "$tmp/page"
}

chunk_by_chunk() {
    talk 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r' \
        '\nHel' 'lo\r\n2;ext=1\r\n, \r\n' '5\r\nthere\r\n0\r\nTrailer: x\r\n' '\r\n' &&
        said '^Content-Length: 12' && said '^Hello, there'
}

# Five requests, of the kinds that take different ways through the server, in one write.
pipelined() {
    get_one='GET /one.txt HTTP/1.1\r\nHost: a\r\n\r\n'
    get_plaintext='GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n'
    post_three='POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nthree'
    get_nothing='GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n'
    get_two='GET /two.txt HTTP/1.1\r\nHost: a\r\n\r\n'
    talk "$get_one$get_plaintext$post_three$get_nothing$get_two" &&
        is "$(grep -aoE 'one$|World!|three|404|two$' "$tmp/said" | uniq | tr '\n' ' ')" \
            'one World! three 404 two ' &&
        is "$(grep -ao 'HTTP/1.1 200' "$tmp/said" | wc -l)" 4
}

many_pipelined() {
    talk '*5000:GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n' &&
        is "$(grep -ao 'Hello, World!' "$tmp/said" | wc -l)" 5000
}

# curl says how many connections it made for three requests.
keeps_alive() { is "$(curl -sS -o "$tmp/p#1" -w '%{num_connects}' "$url/plaintext?[1-3]")" 100; }

closes_when_asked() {
    talk --open "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" \
        && said '^Connection: close' && said '^Hello, World!'
}

old_client() {
    talk --open 'GET /plaintext HTTP/1.0\r\n\r\n' &&
        said '^HTTP/1.[01] 200 ' && said '^Hello, World!'
}

# The second request is only sent once the first one's answer could have closed the connection.
old_client_keeps_alive() {
    is "$(curl -sS --http1.0 -H 'Connection: keep-alive' -o "$tmp/p#1" -w '%{num_connects}' \
        "$url/plaintext?[1-2]")" 10
}

file_is() {
    is "$(fetch page "$url/$1")" 200 && contains "$tmp/page.head" "^Content-Type: $3" &&
        cmp "$tmp/page" "$www/$2"
}

unchanged() {
    fetch page "$url/one.txt" && tag=$(sed -n 's/^[Ee][Tt]ag: \(.*\)\r/\1/p' "$tmp/page.head") &&
        [ -n "$tag" ] && status_is 304 -H "If-None-Match: $tag" "$url/one.txt"
}

# Each way out of the root, sent as it stands: no secret, no file of the system, no success.
escapes() {
    for path in /../outside/secret.txt /sub/../../outside/secret.txt /%2e%2e/outside/secret.txt \
        /..%2foutside/secret.txt /sub/%2e%2e/%2e%2e/outside/secret.txt /link-out.txt //etc/passwd \
        /../../../../etc/passwd '/..\\outside\\secret.txt' \
        /one.txt%00.html /%c0%ae%c0%ae/outside/secret.txt; do
        talk "GET $path HTTP/1.1\r\nHost: a\r\n\r\n" || return 1
        if ! said '^HTTP/1.1 40[0-9] ' || ! lacks "$tmp/said" 'secret|root:'; then
            echo "by $path"
            return 1
        fi
    done
}

# A head that begins and does not go on; one that goes on for ever, a little at a time; a body.
stops_halfway() { refuses 408 --open 'GET /plaintext HT'; }
trickles() {
    field='a: b\r\n'
    refuses 408 --open 'GET / HTTP/1.1\r\n' @0.15 "$field" @0.15 "$field" @0.15 "$field" @0.15 \
        "$field" @0.15 "$field" @0.15 "$field" @0.15 "$field"
}
body_stops() {
    refuses 408 --open 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'
}

# A silent connection is closed without a word.
silence() {
    talk --open && is_empty "$tmp/said"
}

# More than the limit in all, in chunks that are each below it.
large_chunks() {
    refuses 413 'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n' \
        "*31:$(printf '2800\\r\\n%10240s\\r\\n' ' ')"
}

# wrk prints these lines only if there is something to report.
loaded() {
    wrk -t1 -c64 -d2 "$1" >"$tmp/wrk" && cat "$tmp/wrk" &&
        lacks "$tmp/wrk" 'Socket errors|Non-2xx' &&
        contains "$tmp/wrk" '^ +[1-9][0-9]* requests in'
}

check "starts on a free port and says where" start httpd "$bin/httpd" --port 0 --workers 2 \
    --root "$www" --idle-timeout 0.5 --max-header 2048 --max-body 300000
[ "$failed" -eq 0 ] || finish
url=http://127.0.0.1:$port

check "/plaintext" plaintext
check "/plaintext?query" status_is 200 "$url/plaintext?a=b"
check "HEAD has the length and no body" head_request /plaintext 13
check "HEAD of a file" head_request /one.txt 4
check "404 for what is not there" status_is 404 "$url/nothing"
check "405 says what is allowed" not_allowed
check "OPTIONS" status_is 200 -X OPTIONS "$url/one.txt"
check "a body with its length" echoes
check "a body in chunks" echoes -H 'Transfer-Encoding: chunked'
check "a body in chunks that arrive in pieces, with an extension and a trailer" chunk_by_chunk
check "a body after 100 Continue" echoes -H 'Expect: 100-continue'
check "pipelined requests are answered in order" pipelined
check "5000 pipelined requests" many_pipelined
check "a connection serves several requests" keeps_alive
check "Connection: close" closes_when_asked
check "HTTP/1.0 closes" old_client
check "HTTP/1.0 with keep-alive does not" old_client_keeps_alive

check "index.html" file_is '' index.html text/html
check "a file of text" file_is one.txt one.txt text/plain
check "CSS" file_is style.css style.css text/css
check "JSON" file_is data.json data.json application/json
check "no extension" file_is no-extension no-extension application/octet-stream
check "3 MB" file_is big.bin big.bin application/octet-stream
check "a name with a space" file_is a%20b.txt 'a b.txt' text/plain
check "a folder's index" file_is sub/ sub/index.html text/html
check "a folder without its slash is redirected" status_is 301 "$url/sub"
check "a link that stays inside" file_is link-in.txt one.txt text/plain
check "304 by ETag" unchanged
check "no way out of the root" escapes

check "400: bytes that are no request" refuses 400 '\x00\x01\xfe garbage\r\n\r\n'
check "400: TLS on a plain port" refuses 400 '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
check "400: no Host" refuses 400 'GET / HTTP/1.1\r\n\r\n'
check "400: two lengths" refuses 400 \
    'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'
check "400: a length and chunks (request smuggling)" refuses 400 \
    'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n' \
    '0\r\n\r\n'
check "400: a chunk size that is no number" refuses 400 \
    'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'
check "408: a head that stops halfway" stops_halfway
check "408: a head that trickles" trickles
check "408: a body that stops halfway" body_stops
check "a silent connection is closed without a word" silence
check "413: a length that is too large" refuses 413 \
    'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300001\r\n\r\n'
check "413: chunks that are too large together" large_chunks
check "414: a target that is too long" refuses 414 'GET /' '*1500:a' ' HTTP/1.1\r\nHost: a\r\n\r\n'
check "431: fields that are too large" refuses 431 \
    'GET / HTTP/1.1\r\nHost: a\r\nX: ' '*3000:a' '\r\n\r\n'
check "431: too many fields" refuses 431 'GET / HTTP/1.1\r\nHost: a\r\n' '*200:a: b\r\n' '\r\n'

if command -v wrk >/dev/null; then
    check "wrk, 64 connections, /plaintext" loaded "$url/plaintext"
    check "wrk, 64 connections, a file" loaded "$url/one.txt"
else
    skip "wrk is not installed"
fi
check "still well after all that" plaintext
check "ends with status 0" stop_is 0
check "has nothing to complain about" is_empty "$tmp/httpd.err"
check "leaves no socket behind" left_no_socket
finish
