// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/channels.cc. Go's channels are bounded, and receive one value at a time.

package main

import "fmt"

const (
	messages = 5000
	senders  = 5
	roomy    = 1000000
	tight    = 100
)

func contention(capacity int) func(*bench) {
	return func(b *bench) {
		b.measure(func() {
			values := make(chan int, capacity)
			for i := 0; i < senders; i++ {
				go func() {
					for j := 0; j < messages/senders; j++ {
						values <- j
					}
				}()
			}
			for i := 0; i < messages; i++ {
				sink += int64(<-values)
			}
		})
	}
}

func uncontented(b *bench) {
	b.measure(func() {
		values := make(chan int, roomy)
		for i := 0; i < messages; i++ {
			values <- i
		}
		for i := 0; i < messages; i++ {
			sink += int64(<-values)
		}
	})
}

type medium [512]byte
type large [32768]byte

// Go allocates the room of a channel when it is made: a thousand large messages are 32 MB. What a Go
// program sends in their place is a pointer.
func sendMedium(b *bench) {
	b.measure(func() {
		values := make(chan *medium, 1000)
		values <- new(medium)
		sink += int64((<-values)[0])
	})
}

func sendLarge(b *bench) {
	b.measure(func() {
		values := make(chan *large, 1000)
		values <- new(large)
		sink += int64((<-values)[0])
	})
}

var lastMade chan *medium

func create(capacity int) func(*bench) {
	return func(b *bench) {
		b.measure(func() { lastMade = make(chan *medium, capacity) })
	}
}

func oneProducerOneConsumer(b *bench) {
	const stream = 100000
	b.measure(func() {
		values := make(chan int, 128)
		produced := make(handle, 1)
		sum := make(chan int, 1)
		go func() {
			for i := 0; i < stream; i++ {
				values <- i
			}
			close(values)
			produced <- nothing{}
		}()
		go func() {
			all := 0
			for value := range values {
				all += value
			}
			sum <- all
		}()
		<-produced
		if all := <-sum; all != stream*(stream-1)/2 {
			b.fail(fmt.Sprint("the sum is wrong: ", all))
		}
	})
}

func requestReply(b *bench) {
	const requests = 1000
	server := make(chan chan int, 10)
	go func() {
		for reply := range server {
			reply <- 1
		}
	}()
	b.measure(func() {
		for i := 0; i < requests; i++ {
			reply := make(chan int, 1)
			server <- reply
			sink += int64(<-reply)
		}
	})
	close(server)
}

func channelRows() []row {
	return []row{
		{"mpsc_contention_bounded", contention(roomy), 1},
		{"mpsc_contention_bounded_full", contention(tight), 1},
		{"mpsc_uncontented_bounded", uncontented, 1},
		{"mpsc_send_medium_1000", sendMedium, 1},
		{"mpsc_send_large_1000", sendLarge, 1},
		{"mpsc_create_medium_1", create(1), 1},
		{"mpsc_create_medium_100", create(100), 1},
		{"mpsc_create_medium_100000", create(100000), 1},
		{"mpsc_1p1c_cap128_100k", oneProducerOneConsumer, 1},
		{"request_reply", requestReply, 1},
		{"ct_request_reply", requestReply, 0},
	}
}
