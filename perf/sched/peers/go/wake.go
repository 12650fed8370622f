// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/wake.cc. The waking thread is a goroutine locked to its thread.

package main

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

type target struct {
	wake         chan nothing
	origin       time.Time
	stamp        int64
	acknowledged int64
}

func newTarget() *target {
	return &target{wake: make(chan nothing, 1), origin: time.Now()}
}

func (t *target) now() int64 { return int64(time.Since(t.origin)) }

func (t *target) acknowledge() {
	for count := int64(1); ; count++ {
		<-t.wake
		atomic.StoreInt64(&t.stamp, t.now())
		atomic.StoreInt64(&t.acknowledged, count)
	}
}

func (t *target) isAcknowledged(number int64) bool {
	return atomic.LoadInt64(&t.acknowledged) >= number
}

// False if it takes longer than any wake-up does when the machine is not taken by others.
func (t *target) spinUntilAcknowledged(number int64) bool {
	begin := time.Now()
	for !t.isAcknowledged(number) {
		if time.Since(begin) > 20*time.Millisecond {
			return false
		}
	}
	return true
}

// pause sleeps in the kernel, as a std thread does: time.Sleep would let the scheduler know.
func pause() {
	nap := syscall.NsecToTimespec(300000)
	syscall.Nanosleep(&nap, nil)
}

func wakeRemote(b *bench) {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(b.workers + 1) // the spinning goroutine takes one
	t := newTarget()
	go t.acknowledge()
	var roundTrips, count int64
	b.startSamples()
	for b.wantsSample() {
		pause()
		begin := t.now()
		notifyOne(t.wake)
		count++
		for !t.isAcknowledged(count) {
		}
		roundTrips += t.now() - begin
		b.addSample(time.Duration(atomic.LoadInt64(&t.stamp) - begin))
	}
	b.note("roundtrip_mean_ns", float64(roundTrips)/float64(count))
	runtime.UnlockOSThread()
}

func wakeBlockOnRoundTrip(b *bench) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request, reply := make(chan nothing, 1), make(chan nothing, 1)
	go func() {
		for range request {
			notifyOne(reply)
		}
	}()
	b.startSamples()
	for b.wantsSample() {
		pause()
		begin := time.Now()
		notifyOne(request)
		<-reply
		b.addSample(time.Since(begin))
	}
	close(request)
}

func wakeWorker(b *bench) {
	b.workers = 2
	runtime.GOMAXPROCS(2)
	t := newTarget()
	decoy := make(chan nothing, 1)
	go t.acknowledge()
	go func() {
		for {
			<-decoy
		}
	}()
	count, givenUp := int64(0), 0.0
	b.startSamples()
	for b.wantsSample() {
		for i := 0; i < 4; i++ {
			runtime.Gosched()
		}
		for begin := time.Now(); time.Since(begin) < 150*time.Microsecond; {
		}
		begin := t.now()
		notifyOne(t.wake)
		notifyOne(decoy)
		count++
		if t.spinUntilAcknowledged(count) {
			b.addSample(time.Duration(atomic.LoadInt64(&t.stamp) - begin))
		} else {
			givenUp++
		}
		for !t.isAcknowledged(count) {
			runtime.Gosched()
		}
	}
	b.note("given_up", givenUp)
}

func wakeRows() []row {
	return []row{
		{"wake_remote", wakeRemote, 1},
		{"wake_blockon_roundtrip", wakeBlockOnRoundTrip, 1},
		{"wake_worker", wakeWorker, 2},
	}
}
