// SPDX-License-Identifier: MIT
//
// sched-go: the rows of perf-sched in Go, written from the same definitions. A row and its twin in
// perf/sched/*.cc do the same things in the same order, with what Go has for them: goroutines for
// tasks, GOMAXPROCS for workers, a channel of one element for a join or a oneshot. The main goroutine
// is always on a worker; where the definition has the main thread outside, Go has an easier task.
//
// Rows that need what Go does not have are left out: unbounded channels, recv_many, a blocking pool,
// sleeps that are not started.

package main

import "os"

func main() {
	var rows []row
	rows = append(rows, spawnRows()...)
	rows = append(rows, remoteRows()...)
	rows = append(rows, blockOnRows()...)
	rows = append(rows, channelRows()...)
	rows = append(rows, notifyRows()...)
	rows = append(rows, timeRows()...)
	rows = append(rows, netRows()...)
	rows = append(rows, forkJoinRows()...)
	rows = append(rows, wakeRows()...)
	rows = append(rows, memoryRows()...)
	os.Exit(runRows(rows))
}
