#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many connections to a server on the loopback interface.

    connections.py hold PORT COUNT     opens COUNT connections, says "open", closes them at the end
                                       of its standard input, says "closed"
    connections.py storm PORT COUNT    opens and closes COUNT connections, one after the other, each
                                       in one of the five ways that a client can go away

Any error ends it with a message and status 1. The connections come from several addresses of the
loopback network, so that closed ones in TIME_WAIT do not use up the ports of one.
"""

import itertools
import socket
import struct
import sys

SOURCES = [f"127.0.0.{last}" for last in range(2, 12)]
NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
WAYS = ["silent", "answered", "half-sent", "reset", "unread"]


def connect(port, source):
    peer = socket.socket()
    peer.settimeout(20)
    peer.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
    peer.bind((source, 0))
    peer.connect(("127.0.0.1", port))
    return peer


def hold(port, count):
    peers = [connect(port, source) for source, _ in zip(itertools.cycle(SOURCES), range(count))]
    print("open", flush=True)
    sys.stdin.read()
    for peer in peers:
        peer.close()
    print("closed", flush=True)


def storm(port, count):
    for number in range(count):
        way = WAYS[number % len(WAYS)]
        with connect(port, SOURCES[number % len(SOURCES)]) as peer:
            if way == "answered":
                peer.sendall(REQUEST)
                if not peer.recv(4096).startswith(b"HTTP/1.1 200 "):
                    sys.exit(f"connection {number} got no answer")
            elif way == "half-sent":
                peer.sendall(REQUEST[:20])
            elif way == "reset":
                peer.sendall(REQUEST)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif way == "unread":
                peer.sendall(REQUEST * 3)
    print(f"{count} connections")


if __name__ == "__main__":
    {"hold": hold, "storm": storm}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
