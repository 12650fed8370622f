// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/spawn.cc and perf/sched/block_on.cc.

package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

const many = 10000

type nothing struct{}

// handle is closed when its goroutine has ended.
type handle chan nothing

// spawnEmpty is a spawn whose handle can be waited for.
func spawnEmpty() handle {
	done := make(handle, 1)
	go func() { done <- nothing{} }()
	return done
}

func joinAll(children []handle) {
	for _, child := range children {
		<-child
	}
}

type countdown struct {
	remaining int64
	done      chan nothing
}

func newCountdown() *countdown {
	return &countdown{done: make(chan nothing, 1)}
}

func (c *countdown) finishOne() {
	if atomic.AddInt64(&c.remaining, -1) == 0 {
		c.done <- nothing{}
	}
}

func spawnManyLocal(b *bench) {
	c := newCountdown()
	b.measure(func() {
		atomic.StoreInt64(&c.remaining, many)
		for i := 0; i < many; i++ {
			go c.finishOne()
		}
		<-c.done
	})
}

func spawnManyFromWorker(b *bench) {
	c := newCountdown()
	b.measure(func() {
		atomic.StoreInt64(&c.remaining, many)
		go func() {
			for i := 0; i < many; i++ {
				go c.finishOne()
			}
		}()
		<-c.done
	})
}

func spawnJoinFromWorker(b *bench) {
	b.measure(func() {
		whole := make(handle, 1)
		go func() {
			children := make([]handle, 0, many)
			for i := 0; i < many; i++ {
				children = append(children, spawnEmpty())
			}
			joinAll(children)
			whole <- nothing{}
		}()
		<-whole
	})
}

func spawnJoinEmpty(b *bench) {
	b.workers = 1
	runtime.GOMAXPROCS(1)
	b.measure(func() { <-spawnEmpty() })
}

func yieldMany(b *bench) {
	const yielders, yields = 200, 1000
	done := make(chan nothing, yielders)
	b.measure(func() {
		for i := 0; i < yielders; i++ {
			go func() {
				for j := 0; j < yields; j++ {
					runtime.Gosched()
				}
				done <- nothing{}
			}()
		}
		for i := 0; i < yielders; i++ {
			<-done
		}
	})
}

func ping(c *countdown) {
	there := make(chan nothing, 1)
	back := make(chan nothing, 1)
	go func() {
		<-there
		back <- nothing{}
	}()
	there <- nothing{}
	<-back
	c.finishOne()
}

func pingPong(b *bench) {
	const pairs = 1000
	c := newCountdown()
	b.measure(func() {
		atomic.StoreInt64(&c.remaining, pairs)
		go func() {
			for i := 0; i < pairs; i++ {
				go ping(c)
			}
		}()
		<-c.done
	})
}

func spawnNext(done chan nothing, left int) {
	if left == 0 {
		done <- nothing{}
	} else {
		go spawnNext(done, left-1)
	}
}

func chainedSpawn(b *bench) {
	const chain = 1000
	done := make(chan nothing, 1)
	b.measure(func() {
		go spawnNext(done, chain)
		<-done
	})
}

func spawnRows() []row {
	return []row{
		{"spawn_many_local", spawnManyLocal, 1},
		{"spawn_many_from_worker", spawnManyFromWorker, 1},
		{"spawn_join_from_worker", spawnJoinFromWorker, 1},
		{"spawn_join_empty", spawnJoinEmpty, 1},
		{"yield_many", yieldMany, 1},
		{"ping_pong", pingPong, 1},
		{"chained_spawn", chainedSpawn, 1},
	}
}

// sink keeps results from being optimised away.
var sink int64

// On a runtime of workers the calling thread is none of them.
func schedulerSpawn(count int) func(*bench) {
	return func(b *bench) {
		if b.workers > 0 {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		b.measure(func() {
			children := make([]chan int, 0, count)
			for i := 0; i < count; i++ {
				child := make(chan int, 1)
				children = append(children, child)
				go func() {
					value := 1 + 1
					runtime.Gosched()
					child <- value
				}()
			}
			for _, child := range children {
				sink += int64(<-child)
			}
		})
	}
}

const ctCount = 1000

func ctSpawnMany(b *bench) {
	children := make([]handle, 0, ctCount)
	b.measure(func() {
		children = children[:0]
		for i := 0; i < ctCount; i++ {
			children = append(children, spawnEmpty())
		}
		joinAll(children)
	})
}

func respawn(goesOn *int32) {
	if atomic.LoadInt32(goesOn) != 0 {
		go respawn(goesOn)
	}
}

func ctSpawnManyBusy(b *bench) {
	goesOn := int32(1)
	go respawn(&goesOn)
	ctSpawnMany(b)
	atomic.StoreInt32(&goesOn, 0)
	time.Sleep(time.Millisecond)
}

func blockOnRows() []row {
	return []row{
		{"threaded_scheduler_spawn", schedulerSpawn(1), 1},
		{"threaded_scheduler_spawn10", schedulerSpawn(10), 1},
		{"basic_scheduler_spawn", schedulerSpawn(1), 0},
		{"basic_scheduler_spawn10", schedulerSpawn(10), 0},
		{"ct_spawn_many_local", ctSpawnMany, 0},
		{"ct_spawn_many_remote_idle", ctSpawnMany, 0},
		{"ct_spawn_many_remote_busy", ctSpawnManyBusy, 0},
	}
}
