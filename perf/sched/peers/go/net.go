// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/net.cc. TCP_NODELAY is what Go sets by default.

package main

import (
	"io"
	"net"
)

func echo(peer net.Conn) {
	buffer := make([]byte, 4)
	for {
		if _, err := io.ReadFull(peer, buffer); err != nil {
			return
		}
		if _, err := peer.Write(buffer); err != nil {
			return
		}
	}
}

func tcpPingPong(b *bench) {
	const roundTrips = 100
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.fail(err.Error())
	}
	go func() {
		if peer, err := listener.Accept(); err == nil {
			echo(peer)
		}
	}()
	server, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.fail(err.Error())
	}
	buffer := make([]byte, 4)
	b.measure(func() {
		for i := 0; i < roundTrips; i++ {
			buffer[3] = byte(i)
			if _, err := server.Write(buffer); err != nil {
				b.fail(err.Error())
			}
			if _, err := io.ReadFull(server, buffer); err != nil {
				b.fail(err.Error())
			}
			if buffer[3] != byte(i) {
				b.fail("the echo is wrong")
			}
		}
	})
	server.Close()
	listener.Close()
}

func netRows() []row {
	return []row{{"tcp_pingpong_1conn_100rt", tcpPingPong, 1}}
}
