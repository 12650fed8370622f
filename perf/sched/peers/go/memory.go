// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/memory.cc. A closed channel opens the doors.

package main

import "sync/atomic"

type hall struct {
	doors     chan nothing
	sum       int64
	awaited   int64
	remaining int64
	allWait   chan nothing
	allGone   chan nothing
}

func (h *hall) waitIdle(number int) {
	if atomic.AddInt64(&h.awaited, -1) == 0 {
		h.allWait <- nothing{}
	}
	<-h.doors
	atomic.AddInt64(&h.sum, int64(number))
	if atomic.AddInt64(&h.remaining, -1) == 0 {
		h.allGone <- nothing{}
	}
}

func (h *hall) fill(count int) float64 {
	before := residentBytes()
	h.doors = make(chan nothing)
	h.sum = 0
	h.awaited = int64(count)
	h.remaining = int64(count)
	go func() {
		for i := 0; i < count; i++ {
			go h.waitIdle(i)
		}
	}()
	<-h.allWait
	return residentBytes() - before
}

func (h *hall) empty() {
	close(h.doors)
	<-h.allGone
}

func idleTaskMemory(b *bench) {
	count := 1000000
	if b.isSmoke {
		count = 10000
	}
	h := &hall{allWait: make(chan nothing, 1), allGone: make(chan nothing, 1)}
	h.fill(1000)
	h.empty()
	bytes := 0.0
	b.measureOnce(count, func() { bytes = h.fill(count) })
	b.note("bytes_per_task", bytes/float64(count))
	h.empty()
	if h.sum != int64(count)*int64(count-1)/2 {
		b.fail("the sum is wrong")
	}
}

func memoryRows() []row {
	return []row{{"idle_task_memory", idleTaskMemory, 1}}
}
