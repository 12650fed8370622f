// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/time.cc. A timer of Go runs from the moment it is made, so that a timeout around
// something that is ready costs a timer here, which elsewhere it does not; and a sleep that is only
// made does not exist.

package main

import (
	"runtime"
	"sync"
	"time"
)

var alreadyDone = func() chan nothing {
	done := make(chan nothing)
	close(done)
	return done
}()

func timeOutAtOnce(count int) {
	for i := 0; i < count; i++ {
		timer := time.NewTimer(time.Second)
		select {
		case <-alreadyDone:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func timeOutAfterATurn(count int) {
	for i := 0; i < count; i++ {
		timer := time.NewTimer(time.Second)
		runtime.Gosched()
		select {
		case <-alreadyDone:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// shared gives each of as many goroutines as workers its part of a batch.
func shared(run func(count int)) func(*bench) {
	return func(b *bench) {
		b.measureBatches(func(count int) time.Duration {
			begin := time.Now()
			var all sync.WaitGroup
			for i := 0; i < b.workers; i++ {
				part := count / b.workers
				if i < count%b.workers {
					part++
				}
				all.Add(1)
				go func() {
					run(part)
					all.Done()
				}()
			}
			all.Wait()
			return time.Since(begin)
		})
	}
}

func timeRows() []row {
	return []row{
		{"time_timeout", shared(timeOutAtOnce), 1},
		{"time_register_cancel", shared(timeOutAfterATurn), 1},
	}
}
