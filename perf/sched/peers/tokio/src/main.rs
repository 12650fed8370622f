// SPDX-License-Identifier: MIT
//
// sched-tokio: the rows of perf-sched on Tokio, written from the same definitions. A row and its twin
// in perf/sched/*.cc do the same things in the same order; the order of the files is theirs, too.

// The compiler cannot know what features.rs may say.
#![allow(unknown_lints, unexpected_cfgs)]

mod bench;
mod block_on;
mod channels;
mod forkjoin;
mod memory;
mod net;
mod notify;
mod remote;
mod spawn;
mod time;
mod wake;

use tokio::runtime::{Builder, Runtime};

/// A runtime with drivers, as #[tokio::main] makes it. No workers: the calling thread.
pub fn runtime(workers: usize) -> Runtime {
    builder(workers).enable_all().build().unwrap()
}

/// The same without drivers, for the rows whose definition leaves them out.
pub fn runtime_without_drivers(workers: usize) -> Runtime {
    builder(workers).build().unwrap()
}

fn builder(workers: usize) -> Builder {
    if workers == 0 {
        return Builder::new_current_thread();
    }
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

fn main() {
    let mut rows = Vec::new();
    rows.extend(spawn::rows());
    rows.extend(remote::rows());
    rows.extend(block_on::rows());
    rows.extend(channels::rows());
    rows.extend(notify::rows());
    rows.extend(time::rows());
    rows.extend(net::rows());
    rows.extend(forkjoin::rows());
    rows.extend(wake::rows());
    rows.extend(memory::rows());
    std::process::exit(bench::run_rows(&rows));
}
