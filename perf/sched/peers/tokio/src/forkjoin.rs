// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/forkjoin.cc.

use crate::bench::{Bench, Row};
use crate::runtime;
use std::future::Future;
use std::pin::Pin;

const LEAVES: u64 = 1_000_000;
const FAN_OUT: u64 = 10;

type Boxed = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Not async itself: a future that spawns its own kind must not contain its own type.
fn spawn_skynet(first: u64, size: u64) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(skynet(first, size))
}

async fn skynet(first: u64, size: u64) -> u64 {
    if size == 1 {
        return first;
    }
    let share = size / FAN_OUT;
    let children: [_; FAN_OUT as usize] =
        std::array::from_fn(|i| spawn_skynet(first + i as u64 * share, share));
    let mut sum = 0;
    for child in children {
        sum += child.await.unwrap();
    }
    sum
}

fn skynet_1m(b: &mut Bench) {
    let rt = runtime(b.workers());
    let size = if b.is_smoke() { LEAVES / 100 } else { LEAVES };
    b.measure(|| {
        let sum = rt.block_on(async { spawn_skynet(0, size).await.unwrap() });
        assert_eq!(sum, size * (size - 1) / 2);
    });
}

fn spawn_fib_both(n: u32) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(fib_both(n))
}

async fn fib_both(n: u32) -> u64 {
    if n < 2 {
        return n as u64;
    }
    let first = spawn_fib_both(n - 1);
    let second = spawn_fib_both(n - 2);
    first.await.unwrap() + second.await.unwrap()
}

fn fib_one(n: u32) -> Boxed {
    Box::pin(async move {
        if n < 2 {
            return n as u64;
        }
        let first = tokio::spawn(fib_one(n - 1));
        let second = fib_one(n - 2).await;
        second + first.await.unwrap()
    })
}

fn measure_fib(b: &mut Bench, fib: fn(u32) -> tokio::task::JoinHandle<u64>) {
    let rt = runtime(b.workers());
    let (n, expected) = if b.is_smoke() { (15, 610) } else { (25, 75_025) };
    b.measure(|| assert_eq!(rt.block_on(async { fib(n).await.unwrap() }), expected));
}

fn fib25_both(b: &mut Bench) {
    measure_fib(b, spawn_fib_both);
}

fn fib25_spawn_one(b: &mut Bench) {
    measure_fib(b, |n| tokio::spawn(fib_one(n)));
}

pub fn rows() -> Vec<Row> {
    vec![
        Row { name: "skynet_1m", run: skynet_1m, workers_min: 0 },
        Row { name: "fib25_both", run: fib25_both, workers_min: 0 },
        Row { name: "fib25_spawn_one", run: fib25_spawn_one, workers_min: 0 },
    ]
}
