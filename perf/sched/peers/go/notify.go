// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/notify.cc. A channel of one element is what a Notify with a stored permit is;
// a condition variable is what one without is, and the only one that can wake all.

package main

import (
	"sync"
	"sync/atomic"
)

func notifyOne(c chan nothing) {
	select {
	case c <- nothing{}:
	default:
	}
}

func notifyPingPong(b *bench) {
	const roundTrips = 1000
	b.measure(func() {
		whole := make(handle, 1)
		go func() {
			there, back := make(chan nothing, 1), make(chan nothing, 1)
			other := make(handle, 1)
			go func() {
				for i := 0; i < roundTrips; i++ {
					<-there
					notifyOne(back)
				}
				other <- nothing{}
			}()
			for i := 0; i < roundTrips; i++ {
				notifyOne(there)
				<-back
			}
			<-other
			whole <- nothing{}
		}()
		<-whole
	})
}

const wakes = 500

// crowd measures how long it takes to wake goroutines often enough, with the given way to notify.
func crowd(waiters int, wait func(), notify func()) func(*bench) {
	return func(b *bench) {
		var woken int64
		for i := 0; i < waiters; i++ {
			go func() {
				for {
					wait()
					atomic.AddInt64(&woken, 1)
				}
			}()
		}
		b.measure(func() {
			atomic.StoreInt64(&woken, 0)
			for {
				notify()
				if atomic.LoadInt64(&woken) >= wakes {
					break
				}
			}
		})
	}
}

func crowdOne(waiters int) func(*bench) {
	wake := make(chan nothing, 1)
	return crowd(waiters, func() { <-wake }, func() { notifyOne(wake) })
}

func crowdAll(waiters int) func(*bench) {
	var lock sync.Mutex
	changed := sync.NewCond(&lock)
	wait := func() {
		lock.Lock()
		changed.Wait()
		lock.Unlock()
	}
	return crowd(waiters, wait, changed.Broadcast)
}

func notifyRows() []row {
	return []row{
		{"notify_pingpong_1000rt", notifyPingPong, 1},
		{"notify_one_10", crowdOne(10), 1},
		{"notify_one_100", crowdOne(100), 1},
		{"notify_one_500", crowdOne(500), 1},
		{"notify_waiters_10", crowdAll(10), 1},
		{"notify_waiters_100", crowdAll(100), 1},
		{"notify_waiters_500", crowdAll(500), 1},
	}
}
