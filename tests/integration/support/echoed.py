#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that an echo server sends back what it gets: echoed.py PORT CONNECTIONS BYTES [PIECE].

All connections at once, each with random bytes of its own, sent in pieces of PIECE bytes (all at
once without it) while the answer is read.
"""

import os
import socket
import sys
import threading

LIMIT_S = 30


def talk(port, size, piece, faults):
    data = os.urandom(size)
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as peer:

        def send():
            for begin in range(0, size, piece):
                peer.sendall(data[begin : begin + piece])
            peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while more := peer.recv(65536):
                received += more
        except OSError as error:
            faults.append(str(error))
        sender.join()
    if received != data:
        faults.append(f"{len(received)} bytes came back of {size}, or others")


def main(port, connections, size, piece=0):
    faults = []
    arguments = (port, size, piece or size, faults)
    threads = [threading.Thread(target=talk, args=arguments) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
