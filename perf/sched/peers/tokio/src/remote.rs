// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/remote.cc.

use crate::bench::{Bench, Row};
use crate::{runtime, runtime_without_drivers};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::{spawn_blocking, yield_now, JoinHandle};

type Handles = Vec<JoinHandle<()>>;

async fn join_all(children: &mut Handles) {
    for child in children.drain(..) {
        child.await.unwrap();
    }
}

fn spawn_and_join(rt: &Runtime, children: &mut Handles, count: usize) {
    for _ in 0..count {
        children.push(rt.spawn(async {}));
    }
    rt.block_on(join_all(children));
}

fn stall() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(10) {
        std::thread::yield_now();
    }
}

fn spawn_many_remote_idle(b: &mut Bench) {
    const COUNT: usize = 10_000;
    let rt = runtime(b.workers());
    let mut children = Vec::with_capacity(COUNT);
    b.measure(|| spawn_and_join(&rt, &mut children, COUNT));
}

fn spawn_many_remote_busy1(b: &mut Bench) {
    const COUNT: usize = 10_000;
    let rt = runtime(b.workers());
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..2 * b.workers() {
        let goes_on = goes_on.clone();
        rt.spawn(async move {
            while goes_on.load(Relaxed) {
                yield_now().await;
                stall();
            }
        });
    }
    let mut children = Vec::with_capacity(COUNT);
    b.measure(|| spawn_and_join(&rt, &mut children, COUNT));
    goes_on.store(false, Relaxed);
}

#[cfg(has_lifo_limit)]
fn stall_and_respawn(goes_on: Arc<AtomicBool>) {
    tokio::spawn(async move {
        if goes_on.load(Relaxed) {
            stall();
            stall_and_respawn(goes_on);
        }
    });
}

#[cfg(has_lifo_limit)]
fn spawn_many_remote_busy2(b: &mut Bench) {
    const COUNT: usize = 1000;
    let rt = runtime(b.workers());
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..b.workers() {
        let goes_on = goes_on.clone();
        rt.block_on(async { stall_and_respawn(goes_on) });
    }
    let mut children = Vec::with_capacity(COUNT);
    b.measure(|| spawn_and_join(&rt, &mut children, COUNT));
    goes_on.store(false, Relaxed);
}

fn spawn_from_threads(rt: &Runtime, children: &mut [Handles]) -> Duration {
    const COUNT: usize = 12_800;
    let thread_count = children.len();
    let begin = Instant::now();
    let start = Barrier::new(thread_count);
    std::thread::scope(|scope| {
        for own in children.iter_mut() {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for _ in 0..COUNT / thread_count {
                    own.push(rt.spawn(async {}));
                }
            });
        }
    });
    let time = begin.elapsed();
    for own in children {
        rt.block_on(join_all(own));
    }
    time
}

fn remote_spawn<const THREADS: usize>(b: &mut Bench) {
    let rt = runtime_without_drivers(b.workers());
    let mut children: Vec<Handles> = (0..THREADS).map(|_| Vec::new()).collect();
    b.measure_batches(|count| (0..count).map(|_| spawn_from_threads(&rt, &mut children)).sum());
}

async fn submit_batches() {
    const BATCHES: usize = 100;
    const BATCH_SIZE: usize = 16;
    let mut batch = Vec::with_capacity(BATCH_SIZE);
    for _ in 0..BATCHES {
        for _ in 0..BATCH_SIZE {
            batch.push(spawn_blocking(|| {}));
        }
        join_all(&mut batch).await;
    }
}

fn spawn_blocking_rows<const SUBMITTERS: usize>(b: &mut Bench) {
    let rt = runtime(b.workers());
    b.measure(|| {
        rt.block_on(async {
            let mut submitters: Handles =
                (0..SUBMITTERS).map(|_| tokio::spawn(submit_batches())).collect();
            join_all(&mut submitters).await;
        })
    });
}

pub fn rows() -> Vec<Row> {
    let row = |name, run| Row { name, run, workers_min: 1 };
    #[allow(unused_mut)]
    let mut rows = vec![
        row("spawn_many_remote_idle", spawn_many_remote_idle),
        row("spawn_many_remote_busy1", spawn_many_remote_busy1),
        row("remote_spawn_t1", remote_spawn::<1>),
        row("remote_spawn_t2", remote_spawn::<2>),
        row("spawn_blocking_c1", spawn_blocking_rows::<1>),
        row("spawn_blocking_c2", spawn_blocking_rows::<2>),
        row("spawn_blocking_c64", spawn_blocking_rows::<64>),
    ];
    #[cfg(has_lifo_limit)]
    rows.push(row("spawn_many_remote_busy2", spawn_many_remote_busy2));
    rows
}
