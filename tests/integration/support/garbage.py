#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says to a server what no client says: garbage.py HOST:PORT or PATH.

Random bytes, zeros, endless lines, half of a request, requests with impossible parts, bytes one by
one, connections that are reset; several of each, the random ones from a seed that is printed. The
server may answer or close as it likes. Status 1 if a connection is refused, or is neither answered
nor closed within ten seconds.
"""

import os
import random
import socket
import struct
import sys

LIMIT_S = 10
ROUNDS = 8


def connect(address):
    if address.startswith("/"):
        peer = socket.socket(socket.AF_UNIX)
        target = address
    else:
        peer = socket.socket()
        host, port = address.rsplit(":", 1)
        target = (host, int(port))
    peer.settimeout(LIMIT_S)
    peer.connect(target)
    return peer


def pieces(source):
    yield source.randbytes(source.randrange(1, 5000))
    yield b"\0" * 3000
    yield b"a" * 200_000
    yield b"GET " + b"/" * 200_000
    yield b"GET /v1/info HT"
    yield b"GET / HTTP/9.9\r\n\r\n"
    yield b"\r\n" * 2000
    yield b"GET /%zz%00%ff HTTP/1.1\r\nHost: a\r\n\r\n"
    yield b"POST /v1/dump HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"
    yield b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    yield b"dump; dump; tasks state=; \xff\xfe; set = ; ;;;\n"
    yield b"help " + b"x" * 50_000 + b"\n"
    yield source.randbytes(100) + b"\n" + source.randbytes(100)


def say(address, data, source):
    """Sends it, at random in one piece or in small ones, and hears the server out."""
    with connect(address) as peer:
        try:
            if source.random() < 0.3:
                for byte in data[:300]:
                    peer.send(bytes([byte]))
            else:
                peer.sendall(data)
            if source.random() < 0.2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except TimeoutError:
            sys.exit(f"neither answered nor closed after {data[:60]!r}")
        except OSError:
            pass  # the server has had enough


def main(address):
    seed = int(os.environ.get("GARBAGE_SEED", random.randrange(1 << 32)))
    print(f"GARBAGE_SEED={seed}")
    source = random.Random(seed)
    for _ in range(ROUNDS):
        for data in pieces(source):
            say(address, data, source)


if __name__ == "__main__":
    main(sys.argv[1])
