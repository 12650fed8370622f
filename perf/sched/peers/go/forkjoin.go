// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/forkjoin.cc.

package main

const (
	leaves = 1000000
	fanOut = 10
)

func skynet(sum chan<- int, first, size int) {
	if size == 1 {
		sum <- first
		return
	}
	children := make(chan int, fanOut)
	share := size / fanOut
	for i := 0; i < fanOut; i++ {
		go skynet(children, first+i*share, share)
	}
	all := 0
	for i := 0; i < fanOut; i++ {
		all += <-children
	}
	sum <- all
}

func skynet1M(b *bench) {
	size := leaves
	if b.isSmoke {
		size /= 100
	}
	b.measure(func() {
		sum := make(chan int, 1)
		go skynet(sum, 0, size)
		if <-sum != size*(size-1)/2 {
			b.fail("the sum is wrong")
		}
	})
}

func fibBoth(value chan<- int, n int) {
	if n < 2 {
		value <- n
		return
	}
	first, second := make(chan int, 1), make(chan int, 1)
	go fibBoth(first, n-1)
	go fibBoth(second, n-2)
	value <- <-first + <-second
}

func fibOne(n int) int {
	if n < 2 {
		return n
	}
	first := make(chan int, 1)
	go func() { first <- fibOne(n - 1) }()
	second := fibOne(n - 2)
	return second + <-first
}

func measureFib(fib func(value chan<- int, n int)) func(*bench) {
	return func(b *bench) {
		n, expected := 25, 75025
		if b.isSmoke {
			n, expected = 15, 610
		}
		b.measure(func() {
			value := make(chan int, 1)
			go fib(value, n)
			if <-value != expected {
				b.fail("the number is wrong")
			}
		})
	}
}

func forkJoinRows() []row {
	return []row{
		{"skynet_1m", skynet1M, 1},
		{"fib25_both", measureFib(fibBoth), 1},
		{"fib25_spawn_one", measureFib(func(value chan<- int, n int) { value <- fibOne(n) }), 1},
	}
}
