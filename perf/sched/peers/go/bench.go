// SPDX-License-Identifier: MIT
//
// The harness: what perf/support/bench.h is for the rows in C++, with the same method, command line
// and output. The reasons are written there.

package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	batchTime          = 10 * time.Millisecond
	warmUpMax          = time.Second
	batchIterationsMax = 1 << 32
)

type arguments struct {
	workers int
	time    time.Duration
	isSmoke bool
}

type note struct {
	name  string
	value float64
}

type bench struct {
	arguments
	row        string
	means      []float64
	notes      []note
	iterations int
	cpu        time.Duration
	hasSamples bool
	isWarm     bool
	begin      time.Time
	cpuBegin   time.Duration
	wanted     time.Duration // of samples
}

type row struct {
	name string
	run  func(*bench)
	// 0: one processor whatever is asked for, as on a runtime of the calling thread.
	workersMin int
}

// User and system time of all threads of this process so far.
func processCPU() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The most memory that this process had in use.
func peakRSS() int {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			kib, _ := strconv.Atoi(strings.Fields(line)[1])
			return kib
		}
	}
	return 0
}

// Resident memory of this process now.
func residentBytes() float64 {
	statm, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return float64(pages * os.Getpagesize())
}

// Nearest rank, of a sorted slice that is not empty.
func percentile(sorted []float64, fraction float64) float64 {
	rank := int(math.Max(1, math.Ceil(fraction*float64(len(sorted)))))
	if rank > len(sorted) {
		rank = len(sorted)
	}
	return sorted[rank-1]
}

func toText(value float64) string {
	if value < 1000 {
		return strconv.FormatFloat(value, 'f', 2, 64)
	}
	return strconv.FormatFloat(value, 'f', 0, 64)
}

func (b *bench) note(name string, value float64) {
	b.notes = append(b.notes, note{name, value})
}

func (b *bench) warmUpTime() time.Duration {
	if b.time/3 < warmUpMax {
		return b.time / 3
	}
	return warmUpMax
}

// Times an iteration, in batches.
func (b *bench) measure(iteration func()) {
	b.measureBatches(func(count int) time.Duration {
		begin := time.Now()
		for i := 0; i < count; i++ {
			iteration()
		}
		return time.Since(begin)
	})
}

// The same, with a function that runs a whole batch and says how long it took.
func (b *bench) measureBatches(batch func(count int) time.Duration) {
	count := b.warmUp(batch)
	b.startClocks()
	for {
		took := batch(count)
		b.means = append(b.means, float64(took.Nanoseconds())/float64(count))
		b.iterations += count
		if b.isSmoke || time.Since(b.begin) >= b.time {
			break
		}
	}
	b.cpu = processCPU() - b.cpuBegin
}

func (b *bench) warmUp(batch func(count int) time.Duration) int {
	if b.isSmoke {
		return 1
	}
	begin := time.Now()
	count := 1
	for {
		took := batch(count)
		isLong := took >= batchTime || count >= batchIterationsMax
		if isLong && time.Since(begin) >= b.warmUpTime() {
			wanted := float64(count) * float64(batchTime) / float64(took)
			return int(math.Max(1, wanted))
		}
		if !isLong {
			count *= 2
		}
	}
}

// Times one call, which stands for so many iterations.
func (b *bench) measureOnce(iterations int, all func()) {
	b.startClocks()
	all()
	took := time.Since(b.begin)
	b.cpu = processCPU() - b.cpuBegin
	b.means = append(b.means, float64(took.Nanoseconds())/float64(iterations))
	b.iterations = iterations
}

func (b *bench) startClocks() {
	b.cpuBegin = processCPU()
	b.begin = time.Now()
}

func (b *bench) startSamples() {
	b.hasSamples = true
	b.isWarm = b.isSmoke
	b.wanted = b.warmUpTime()
	b.startClocks()
}

func (b *bench) wantsSample() bool {
	isOver := time.Since(b.begin) >= b.wanted
	if b.isSmoke {
		isOver = len(b.means) != 0
	}
	if !isOver {
		return true
	}
	if b.isWarm {
		b.cpu = processCPU() - b.cpuBegin
		return false
	}
	b.isWarm = true
	b.wanted = b.time
	b.startClocks()
	return true
}

func (b *bench) addSample(took time.Duration) {
	if b.isWarm {
		b.means = append(b.means, float64(took.Nanoseconds()))
		b.iterations++
	}
}

// Says that the workload came to a wrong result.
func (b *bench) fail(what string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", b.row, what)
	os.Exit(1)
}

func (b *bench) toJSON() string {
	if len(b.means) == 0 || b.iterations == 0 {
		b.fail("nothing was measured")
	}
	sort.Float64s(b.means)
	if b.hasSamples {
		b.note("p99_ns", percentile(b.means, 0.99))
	}
	json := fmt.Sprintf("{\"row\": %q, \"workers\": %d, \"median_ns\": %s, \"min_ns\": %s, "+
		"\"p90_ns\": %s, \"cpu_ns\": %s, \"rss_kib\": %d, \"iterations\": %d",
		b.row, b.workers, toText(percentile(b.means, 0.5)), toText(b.means[0]),
		toText(percentile(b.means, 0.9)), toText(float64(b.cpu)/float64(b.iterations)),
		peakRSS(), b.iterations)
	for _, each := range b.notes {
		json += fmt.Sprintf(", %q: %s", each.name, toText(each.value))
	}
	return json + "}"
}

func readCommandLine() (wanted arguments, name string, isList bool, err error) {
	wanted = arguments{workers: 2, time: 3 * time.Second}
	words := os.Args[1:]
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		value := ""
		if len(words) > 0 {
			value = words[0]
		}
		switch {
		case word == "--list":
			isList = true
		case word == "--smoke":
			wanted.isSmoke = true
		case word == "--workers" && value != "":
			words = words[1:]
			wanted.workers, err = strconv.Atoi(value)
		case word == "--seconds" && value != "":
			words = words[1:]
			var seconds float64
			seconds, err = strconv.ParseFloat(value, 64)
			wanted.time = time.Duration(seconds * float64(time.Second))
		case name == "" && !strings.HasPrefix(word, "-"):
			name = word
		default:
			err = fmt.Errorf("%s?", word)
		}
		if err != nil {
			return
		}
	}
	if wanted.time <= 0 || !(isList || wanted.isSmoke || name != "") {
		err = fmt.Errorf("which row, for how long?")
	}
	return
}

// The program. Returns its exit status.
func runRows(rows []row) int {
	wanted, name, isList, err := readCommandLine()
	if err != nil {
		fmt.Fprintf(os.Stderr, "sched-go: %v\n"+
			"usage: sched-go ROW [--workers N] [--seconds S] | --list | --smoke [ROW]\n", err)
		return 2
	}
	wasFound := isList
	for _, each := range rows {
		if isList {
			fmt.Println(each.name)
		} else if name == "" || name == each.name {
			b := &bench{arguments: wanted, row: each.name}
			if each.workersMin == 0 {
				b.workers = 0
			} else if b.workers < each.workersMin {
				fmt.Fprintf(os.Stderr, "%s: needs more workers than that\n", each.name)
				return 2
			}
			runtime.GOMAXPROCS(int(math.Max(1, float64(b.workers))))
			each.run(b)
			fmt.Println(b.toJSON())
			wasFound = true
		}
	}
	if !wasFound {
		fmt.Fprintln(os.Stderr, "sched-go: there is no row of that name; --list shows them")
		return 2
	}
	return 0
}
