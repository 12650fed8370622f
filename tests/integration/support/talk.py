#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says something to a TCP server, byte for byte, and prints what comes back until it closes.

    talk.py PORT [--open] PIECE...

Each piece is sent as it stands, with the escapes \\r \\n \\0 \\\\ and \\xHH; "@0.3" waits that many
seconds instead, "*1000:text" repeats. After the last one our side is shut down, so that a server
which would keep the connection ends it; --open leaves it open. Status 3: no end within 20 seconds.
"""

import socket
import sys
import time

LIMIT_S = 20


def decode(piece):
    if piece.startswith("*"):
        count, text = piece[1:].split(":", 1)
        return decode(text) * int(count)
    return piece.encode("latin-1").decode("unicode_escape").encode("latin-1")


def main(arguments):
    port, pieces = int(arguments[0]), arguments[1:]
    stays_open = pieces[:1] == ["--open"]
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as peer:
        try:
            for piece in pieces[stays_open:]:
                if piece.startswith("@"):
                    time.sleep(float(piece[1:]))
                else:
                    peer.sendall(decode(piece))
            if not stays_open:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it would not listen to the end; what it said counts
        try:
            while data := peer.recv(65536):
                sys.stdout.buffer.write(data)
        except TimeoutError:
            return 3
        except ConnectionResetError:
            sys.stderr.write("talk.py: connection reset\n")
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
