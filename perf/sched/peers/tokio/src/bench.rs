// SPDX-License-Identifier: MIT
//
// The harness: what perf/support/bench.h is for the rows in C++, with the same method, command line
// and output. The reasons are written there.

use std::time::{Duration, Instant};

const BATCH: Duration = Duration::from_millis(10);
const WARM_UP_MAX: f64 = 1.0;
const BATCH_ITERATIONS_MAX: u64 = 1 << 32;

#[derive(Clone)]
struct Arguments {
    workers: usize,
    seconds: f64,
    is_smoke: bool,
}

pub struct Bench {
    row: &'static str,
    wanted: Arguments,
    means: Vec<f64>,
    notes: Vec<(&'static str, f64)>,
    iterations: u64,
    cpu_ns: u64,
    has_samples: bool,
    is_warm: bool,
    begin: Instant,
    cpu_begin: u64,
    samples_wanted: Duration,
}

/// Makes the compiler believe that the value is used: std::hint::black_box is younger than Debian's
/// compiler.
pub fn keep<T>(value: &T) {
    unsafe { std::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags)) };
}

/// User and system time of all threads of this process so far.
fn process_cpu_ns() -> u64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // The clock exists on every Linux, so the call cannot fail.
    unsafe { clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

/// The most memory that this process had in use.
fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Resident memory of this process now.
pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0.0);
    pages * 4096.0
}

/// Nearest rank, of a sorted slice that is not empty.
fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let rank = (fraction * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted[(rank - 1).min(sorted.len() - 1)]
}

fn to_text(value: f64) -> String {
    if value < 1000.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

impl Bench {
    fn new(row: &'static str, wanted: Arguments) -> Bench {
        Bench {
            row,
            wanted,
            means: Vec::new(),
            notes: Vec::new(),
            iterations: 0,
            cpu_ns: 0,
            has_samples: false,
            is_warm: false,
            begin: Instant::now(),
            cpu_begin: 0,
            samples_wanted: Duration::ZERO,
        }
    }

    /// Moves the bench out, for a task that must own it and hands it back.
    pub fn take(&mut self) -> Bench {
        let empty = Bench::new(self.row, self.wanted.clone());
        std::mem::replace(self, empty)
    }

    /// Worker threads of the runtime to make; 0: a current-thread runtime.
    pub fn workers(&self) -> usize {
        self.wanted.workers
    }

    pub fn set_workers(&mut self, workers: usize) {
        self.wanted.workers = workers;
    }

    pub fn is_smoke(&self) -> bool {
        self.wanted.is_smoke
    }

    pub fn note(&mut self, name: &'static str, value: f64) {
        self.notes.push((name, value));
    }

    fn warm_up_time(&self) -> Duration {
        Duration::from_secs_f64((self.wanted.seconds / 3.0).min(WARM_UP_MAX))
    }

    /// Times an iteration, in batches.
    pub fn measure(&mut self, mut iteration: impl FnMut()) {
        self.measure_batches(|count| {
            let begin = Instant::now();
            for _ in 0..count {
                iteration();
            }
            begin.elapsed()
        });
    }

    /// The same, with a function that runs a whole batch and says how long it took.
    pub fn measure_batches(&mut self, mut batch: impl FnMut(u64) -> Duration) {
        let count = self.warm_up(&mut batch);
        let wanted = Duration::from_secs_f64(self.wanted.seconds);
        self.start_clocks();
        loop {
            let time = batch(count);
            self.means.push(time.as_nanos() as f64 / count as f64);
            self.iterations += count;
            if self.wanted.is_smoke || self.begin.elapsed() >= wanted {
                break;
            }
        }
        self.cpu_ns = process_cpu_ns() - self.cpu_begin;
    }

    fn warm_up(&self, batch: &mut impl FnMut(u64) -> Duration) -> u64 {
        if self.wanted.is_smoke {
            return 1;
        }
        let begin = Instant::now();
        let mut count = 1;
        loop {
            let time = batch(count);
            let is_long = time >= BATCH || count >= BATCH_ITERATIONS_MAX;
            if is_long && begin.elapsed() >= self.warm_up_time() {
                let wanted = count as f64 * BATCH.as_secs_f64() / time.as_secs_f64();
                return wanted.max(1.0) as u64;
            }
            if !is_long {
                count *= 2;
            }
        }
    }

    /// Times one call, which stands for so many iterations.
    pub fn measure_once(&mut self, iterations: u64, all: impl FnOnce()) {
        self.start_clocks();
        all();
        let time = self.begin.elapsed();
        self.cpu_ns = process_cpu_ns() - self.cpu_begin;
        self.means.push(time.as_nanos() as f64 / iterations as f64);
        self.iterations = iterations;
    }

    fn start_clocks(&mut self) {
        self.cpu_begin = process_cpu_ns();
        self.begin = Instant::now();
    }

    pub fn start_samples(&mut self) {
        self.has_samples = true;
        self.is_warm = self.wanted.is_smoke;
        self.samples_wanted = self.warm_up_time();
        self.start_clocks();
    }

    pub fn wants_sample(&mut self) -> bool {
        let is_over = if self.wanted.is_smoke {
            !self.means.is_empty()
        } else {
            self.begin.elapsed() >= self.samples_wanted
        };
        if !is_over {
            return true;
        }
        if self.is_warm {
            self.cpu_ns = process_cpu_ns() - self.cpu_begin;
            return false;
        }
        self.is_warm = true;
        self.samples_wanted = Duration::from_secs_f64(self.wanted.seconds);
        self.start_clocks();
        true
    }

    pub fn add_sample(&mut self, time: Duration) {
        if self.is_warm {
            self.means.push(time.as_nanos() as f64);
            self.iterations += 1;
        }
    }

    fn to_json(&mut self) -> String {
        assert!(!self.means.is_empty(), "{}: nothing was measured", self.row);
        self.means.sort_by(|a, b| a.partial_cmp(b).unwrap());
        if self.has_samples {
            self.notes.push(("p99_ns", percentile(&self.means, 0.99)));
        }
        let mut json = format!(
            "{{\"row\": \"{}\", \"workers\": {}, \"median_ns\": {}, \"min_ns\": {}, \
             \"p90_ns\": {}, \"cpu_ns\": {}, \"rss_kib\": {}, \"iterations\": {}",
            self.row,
            self.wanted.workers,
            to_text(percentile(&self.means, 0.5)),
            to_text(self.means[0]),
            to_text(percentile(&self.means, 0.9)),
            to_text(self.cpu_ns as f64 / self.iterations as f64),
            peak_rss_kib(),
            self.iterations,
        );
        for (name, value) in &self.notes {
            json += &format!(", \"{}\": {}", name, to_text(*value));
        }
        json + "}"
    }
}

pub struct Row {
    pub name: &'static str,
    pub run: fn(&mut Bench),
    pub workers_min: usize,
}

fn read_command_line(list: &mut bool, name: &mut String) -> Option<Arguments> {
    let mut wanted = Arguments { workers: 2, seconds: 3.0, is_smoke: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => *list = true,
            "--smoke" => wanted.is_smoke = true,
            "--workers" => wanted.workers = words.next()?.parse().ok()?,
            "--seconds" => wanted.seconds = words.next()?.parse().ok()?,
            _ if name.is_empty() && !word.starts_with('-') => *name = word,
            _ => return None,
        }
    }
    let has_sense = wanted.seconds > 0.0 && wanted.seconds <= 3600.0;
    let has_task = *list || wanted.is_smoke || !name.is_empty();
    (has_sense && has_task).then_some(wanted)
}

/// The program. Returns its exit status.
pub fn run_rows(rows: &[Row]) -> i32 {
    let (mut list, mut name) = (false, String::new());
    let wanted = match read_command_line(&mut list, &mut name) {
        Some(wanted) => wanted,
        None => {
            eprintln!(
                "usage: sched-tokio ROW [--workers N] [--seconds S] | --list | --smoke [ROW]"
            );
            return 2;
        }
    };
    let mut was_found = list;
    for row in rows {
        if list {
            println!("{}", row.name);
        } else if name.is_empty() || name == row.name {
            if wanted.workers < row.workers_min {
                eprintln!("{}: needs more workers than that", row.name);
                return 2;
            }
            let mut bench = Bench::new(row.name, wanted.clone());
            (row.run)(&mut bench);
            println!("{}", bench.to_json());
            was_found = true;
        }
    }
    if !was_found {
        eprintln!("sched-tokio: there is no row of that name; --list shows them");
        return 2;
    }
    0
}
