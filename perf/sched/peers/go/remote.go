// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/remote.cc. A goroutine that is locked to its thread stands for a std thread, and
// the main goroutine, locked to its own, for the main thread, which is no worker: unlocked it would
// be one, and its spawns those of spawn_many_from_worker.

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func spawnAndJoin(children []handle, count int) {
	children = children[:0]
	for i := 0; i < count; i++ {
		children = append(children, spawnEmpty())
	}
	joinAll(children)
}

// schedYield is sched_yield(2): the thread's, not the goroutine's.
func schedYield() {
	syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
}

func stall() {
	for begin := time.Now(); time.Since(begin) < 10*time.Microsecond; {
		schedYield()
	}
}

func spawnManyRemoteIdle(b *bench) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	children := make([]handle, 0, many)
	b.measure(func() { spawnAndJoin(children, many) })
}

func spawnManyRemoteBusy1(b *bench) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	goesOn := int32(1)
	for i := 0; i < 2*b.workers; i++ {
		go func() {
			for atomic.LoadInt32(&goesOn) != 0 {
				runtime.Gosched()
				stall()
			}
		}()
	}
	children := make([]handle, 0, many)
	b.measure(func() { spawnAndJoin(children, many) })
	atomic.StoreInt32(&goesOn, 0)
}

func stallAndRespawn(goesOn *int32) {
	if atomic.LoadInt32(goesOn) != 0 {
		stall()
		go stallAndRespawn(goesOn)
	}
}

func spawnManyRemoteBusy2(b *bench) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const count = 1000
	goesOn := int32(1)
	for i := 0; i < b.workers; i++ {
		go stallAndRespawn(&goesOn)
	}
	children := make([]handle, 0, count)
	b.measure(func() { spawnAndJoin(children, count) })
	atomic.StoreInt32(&goesOn, 0)
}

func spawnFromThreads(children [][]handle) time.Duration {
	const count = 12800
	threads := len(children)
	begin := time.Now()
	var start, ended sync.WaitGroup
	start.Add(threads)
	ended.Add(threads)
	for i := range children {
		own := &children[i]
		go func() {
			runtime.LockOSThread()
			start.Done()
			start.Wait()
			for j := 0; j < count/threads; j++ {
				*own = append(*own, spawnEmpty())
			}
			ended.Done()
		}()
	}
	ended.Wait()
	took := time.Since(begin)
	for i := range children {
		joinAll(children[i])
		children[i] = children[i][:0]
	}
	return took
}

func remoteSpawn(threads int) func(*bench) {
	return func(b *bench) {
		children := make([][]handle, threads)
		b.measureBatches(func(count int) time.Duration {
			var sum time.Duration
			for i := 0; i < count; i++ {
				sum += spawnFromThreads(children)
			}
			return sum
		})
	}
}

func remoteRows() []row {
	return []row{
		{"spawn_many_remote_idle", spawnManyRemoteIdle, 1},
		{"spawn_many_remote_busy1", spawnManyRemoteBusy1, 1},
		{"spawn_many_remote_busy2", spawnManyRemoteBusy2, 1},
		{"remote_spawn_t1", remoteSpawn(1), 1},
		{"remote_spawn_t2", remoteSpawn(2), 1},
	}
}
