// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/wake.cc.

use crate::bench::{Bench, Row};
use crate::runtime;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::yield_now;

const PAUSE: Duration = Duration::from_micros(300);

struct Target {
    wake: Notify,
    origin: Instant,
    stamp_ns: AtomicU64,
    acknowledged: AtomicU64,
}

impl Target {
    fn new() -> Arc<Target> {
        Arc::new(Target {
            wake: Notify::new(),
            origin: Instant::now(),
            stamp_ns: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn is_acknowledged(&self, number: u64) -> bool {
        self.acknowledged.load(Acquire) >= number
    }

    /// False if it takes longer than any wake-up does when the machine is not taken by others.
    fn spin_until_acknowledged(&self, number: u64) -> bool {
        let begin = Instant::now();
        while !self.is_acknowledged(number) {
            if begin.elapsed() > Duration::from_millis(20) {
                return false;
            }
        }
        true
    }

    fn way_there(&self, begin: u64) -> Duration {
        Duration::from_nanos(self.stamp_ns.load(Relaxed) - begin)
    }
}

async fn acknowledge(with: Arc<Target>) {
    for count in 1.. {
        with.wake.notified().await;
        with.stamp_ns.store(with.now_ns(), Relaxed);
        with.acknowledged.store(count, Release);
    }
}

fn wake_remote(b: &mut Bench) {
    let rt = runtime(b.workers());
    let with = Target::new();
    rt.spawn(acknowledge(with.clone()));
    let (mut round_trips_ns, mut count) = (0, 0);
    b.start_samples();
    while b.wants_sample() {
        std::thread::sleep(PAUSE);
        let begin = with.now_ns();
        with.wake.notify_one();
        count += 1;
        while !with.is_acknowledged(count) {}
        round_trips_ns += with.now_ns() - begin;
        b.add_sample(with.way_there(begin));
    }
    b.note("roundtrip_mean_ns", round_trips_ns as f64 / count as f64);
}

fn wake_blockon_roundtrip(b: &mut Bench) {
    let rt = runtime(b.workers());
    let (request, reply) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (their_request, their_reply) = (request.clone(), reply.clone());
    rt.spawn(async move {
        loop {
            their_request.notified().await;
            their_reply.notify_one();
        }
    });
    b.start_samples();
    while b.wants_sample() {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        rt.block_on(async {
            request.notify_one();
            reply.notified().await;
        });
        b.add_sample(begin.elapsed());
    }
}

async fn wake_other_worker(mut b: Bench, with: Arc<Target>, decoy: Arc<Notify>) -> Bench {
    let (mut count, mut given_up) = (0, 0.0);
    b.start_samples();
    while b.wants_sample() {
        for _ in 0..4 {
            yield_now().await;
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(150) {}
        let begin = with.now_ns();
        with.wake.notify_one();
        decoy.notify_one();
        count += 1;
        if with.spin_until_acknowledged(count) {
            b.add_sample(with.way_there(begin));
        } else {
            given_up += 1.0;
        }
        while !with.is_acknowledged(count) {
            yield_now().await;
        }
    }
    b.note("given_up", given_up);
    b
}

fn wake_worker(b: &mut Bench) {
    b.set_workers(2);
    let rt = runtime(2);
    let with = Target::new();
    let decoy = Arc::new(Notify::new());
    rt.spawn(acknowledge(with.clone()));
    let waiting = decoy.clone();
    rt.spawn(async move {
        loop {
            waiting.notified().await;
        }
    });
    std::thread::sleep(Duration::from_millis(1));
    let mine = b.take();
    *b = rt.block_on(async { tokio::spawn(wake_other_worker(mine, with, decoy)).await.unwrap() });
}

pub fn rows() -> Vec<Row> {
    vec![
        Row { name: "wake_remote", run: wake_remote, workers_min: 1 },
        Row { name: "wake_blockon_roundtrip", run: wake_blockon_roundtrip, workers_min: 1 },
        Row { name: "wake_worker", run: wake_worker, workers_min: 1 },
    ]
}
