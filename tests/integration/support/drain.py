#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends SIGTERM to httpd in the middle of a load and looks for requests that got no answer.

    drain.py PORT PID FILE-BYTES

Five kinds of clients, each connection in a thread of its own with blocking calls, so that what
happened when is plain:

    busy        one request after the other, until the server says it is enough
    pipelining  the same with eight requests in one write
    posting     half of a body before the signal, the other half 50 ms after it
    downloading /big.bin, read so slowly that it takes longer than the signal
    arriving    connected and sent just before the signal, perhaps not even accepted by the program

What counts. A request is *accepted* when all its bytes were sent and the connection was still
established right after that: no FIN and no RST of the server had come (TCP_INFO). On the loopback
interface the bytes then lie in the server's socket, because sending delivers them. An accepted
request must get its whole answer, byte counts included. A client stops when an answer says
"Connection: close", as HTTP asks of it. A request that was sent into a connection that the server
had closed before is not accepted; how many there were is printed.

Prints one line per kind. Status 1 if an accepted request was lost, or if so little happened after
the signal that the test proved nothing.
"""

import os
import signal
import socket
import sys
import threading
import time

LIMIT_S = 30
TCP_ESTABLISHED = 1
PLAIN = b"GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
BATCH = 8
LOAD_S = 0.7
SIGNALLED = threading.Event()


class Lost(Exception):
    """The connection ended before an answer was complete."""


class Count:
    """What became of the requests of one kind of client."""

    def __init__(self, name):
        self.name = name
        self.answered = self.answered_late = self.lost = self.not_accepted = 0
        self.lock = threading.Lock()
        self.notes = []

    def add(self, **numbers):
        with self.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)

    def answer(self, number=1):
        self.add(answered=number, answered_late=number if SIGNALLED.is_set() else 0)

    def note(self, text):
        with self.lock:
            self.notes.append(text)


class Client:
    """One connection, with what was read and not used yet."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.left = b""
        self.pause_s = 0.0

    def is_established(self):
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED

    def send(self, data):
        """True: accepted."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return self.is_established()

    def read_more(self):
        time.sleep(self.pause_s)
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise Lost(str(error)) from error
        if not data:
            raise Lost("closed")
        self.left += data

    def answer(self):
        """Reads one whole answer: (status, says close, bytes of body)."""
        while b"\r\n\r\n" not in self.left:
            self.read_more()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        length = missing = int(fields["content-length"])
        while len(self.left) < missing:
            missing -= len(self.left)
            self.left = b""
            self.read_more()
        self.left = self.left[missing:]
        return int(lines[0].split()[1]), fields.get("connection") == "close", length


def busy(client, count, batch):
    try:
        while True:
            is_accepted = client.send(PLAIN * batch)
            for done in range(batch):
                try:
                    status, closes, length = client.answer()
                except Lost as why:
                    missing = batch - done
                    if is_accepted:
                        count.add(lost=missing)
                        count.note(f"{missing} of {batch} requests without an answer: {why}")
                    else:
                        count.add(not_accepted=missing)
                    return
                if (status, length) != (200, 13):
                    count.note(f"status {status}, {length} bytes")
                    count.add(lost=1)
                count.answer()
            if closes:
                return
    finally:
        client.socket.close()


def once(client, count, request, body_bytes, pause_s=0.0, rest=b""):
    client.pause_s = pause_s
    is_accepted = client.send(request)
    if rest:
        SIGNALLED.wait(LIMIT_S)
        time.sleep(0.05)
        is_accepted = client.send(rest)
    try:
        status, _, length = client.answer()
        if (status, length) == (200, body_bytes):
            count.answer()
            return
        count.note(f"status {status}, {length} bytes")
        count.add(lost=1)
    except Lost as why:
        count.add(lost=is_accepted, not_accepted=not is_accepted)
        count.note(str(why))
    finally:
        client.socket.close()


def main(port, pid, file_bytes):
    names = ("busy", "pipelining", "posting", "downloading", "arriving")
    kinds = {name: Count(name) for name in names}
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000
    fetch = b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
    threads = []

    def run(function, kind, *arguments):
        client = Client(port)
        thread = threading.Thread(target=function, args=(client, kinds[kind], *arguments))
        threads.append(thread)
        thread.start()

    for _ in range(24):
        run(busy, "busy", 1)
    for _ in range(8):
        run(busy, "pipelining", BATCH)
    for _ in range(8):
        run(once, "posting", post, 2000, 0.0, b"x" * 1000)
    time.sleep(LOAD_S)
    for _ in range(3):
        run(once, "downloading", fetch, file_bytes, 0.005)
    arriving = []
    for _ in range(32):
        client = Client(port)
        arriving.append((client, client.send(PLAIN)))
    os.kill(pid, signal.SIGTERM)
    SIGNALLED.set()
    for client, is_accepted in arriving:
        try:
            status, _, _ = client.answer()
            kinds["arriving"].answer(status == 200)
        except Lost as why:
            kinds["arriving"].add(lost=is_accepted, not_accepted=not is_accepted)
            kinds["arriving"].note(str(why))
        client.socket.close()
    for thread in threads:
        thread.join(LIMIT_S)

    is_good = not any(thread.is_alive() for thread in threads)
    if not is_good:
        print("a client is still waiting")
    for kind in kinds.values():
        print(
            f"{kind.name}: {kind.answered} answered, {kind.answered_late} of them after the signal,"
            f" {kind.lost} lost, {kind.not_accepted} sent too late"
        )
        for note in kind.notes[:5]:
            print(f"    {note}")
        is_good = is_good and kind.lost == 0 and kind.answered_late > 0
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
