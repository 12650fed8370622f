// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/spawn.cc.

use crate::bench::{Bench, Row};
use crate::runtime;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{mpsc, Arc};
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::yield_now;

const MANY: usize = 10_000;

fn finish_one(remaining: &AtomicUsize, done: &mpsc::SyncSender<()>) {
    if remaining.fetch_sub(1, Relaxed) == 1 {
        done.send(()).unwrap();
    }
}

fn spawn_finishers(remaining: &Arc<AtomicUsize>, done: &mpsc::SyncSender<()>) {
    for _ in 0..MANY {
        let (remaining, done) = (remaining.clone(), done.clone());
        tokio::spawn(async move { finish_one(&remaining, &done) });
    }
}

fn spawn_many_local(b: &mut Bench) {
    let rt = runtime(b.workers());
    let (done, when_done) = mpsc::sync_channel(1000);
    let remaining = Arc::new(AtomicUsize::new(0));
    b.measure(|| {
        remaining.store(MANY, Relaxed);
        rt.block_on(async {
            spawn_finishers(&remaining, &done);
            when_done.recv().unwrap();
        });
    });
}

fn spawn_many_from_worker(b: &mut Bench) {
    let rt = runtime(b.workers());
    let (done, when_done) = mpsc::sync_channel(1000);
    let remaining = Arc::new(AtomicUsize::new(0));
    b.measure(|| {
        remaining.store(MANY, Relaxed);
        let (remaining, done) = (remaining.clone(), done.clone());
        rt.spawn(async move { spawn_finishers(&remaining, &done) });
        when_done.recv().unwrap();
    });
}

async fn spawn_and_join() {
    let mut children = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        children.push(tokio::spawn(async {}));
    }
    for child in children {
        child.await.unwrap();
    }
}

fn spawn_join_from_worker(b: &mut Bench) {
    let rt = runtime(b.workers());
    b.measure(|| rt.block_on(async { tokio::spawn(spawn_and_join()).await.unwrap() }));
}

fn spawn_join_empty(b: &mut Bench) {
    b.set_workers(1);
    let rt = runtime(1);
    b.measure_batches(|count| {
        let begin = Instant::now();
        let all = async move {
            for _ in 0..count {
                tokio::spawn(async {}).await.unwrap();
            }
        };
        rt.block_on(async { tokio::spawn(all).await.unwrap() });
        begin.elapsed()
    });
}

fn yield_many(b: &mut Bench) {
    const YIELDERS: usize = 200;
    const YIELDS: usize = 1000;
    let rt = runtime(b.workers());
    let (done, when_done) = mpsc::sync_channel(YIELDERS);
    b.measure(|| {
        for _ in 0..YIELDERS {
            let done = done.clone();
            rt.spawn(async move {
                for _ in 0..YIELDS {
                    yield_now().await;
                }
                done.send(()).unwrap();
            });
        }
        for _ in 0..YIELDERS {
            when_done.recv().unwrap();
        }
    });
}

async fn ping(remaining: Arc<AtomicUsize>, done: mpsc::SyncSender<()>) {
    let (ping_tx, ping_rx) = oneshot::channel::<()>();
    let (pong_tx, pong_rx) = oneshot::channel::<()>();
    tokio::spawn(async move {
        ping_rx.await.unwrap();
        pong_tx.send(()).unwrap();
    });
    ping_tx.send(()).unwrap();
    pong_rx.await.unwrap();
    finish_one(&remaining, &done);
}

fn ping_pong(b: &mut Bench) {
    const PAIRS: usize = 1000;
    let rt = runtime(b.workers());
    let (done, when_done) = mpsc::sync_channel(1000);
    let remaining = Arc::new(AtomicUsize::new(0));
    b.measure(|| {
        remaining.store(PAIRS, Relaxed);
        let (remaining, done) = (remaining.clone(), done.clone());
        rt.spawn(async move {
            for _ in 0..PAIRS {
                tokio::spawn(ping(remaining.clone(), done.clone()));
            }
        });
        when_done.recv().unwrap();
    });
}

fn spawn_next(done: mpsc::SyncSender<()>, left: usize) {
    if left == 0 {
        done.send(()).unwrap();
    } else {
        tokio::spawn(async move { spawn_next(done, left - 1) });
    }
}

fn chained_spawn(b: &mut Bench) {
    const CHAIN: usize = 1000;
    let rt = runtime(b.workers());
    let (done, when_done) = mpsc::sync_channel(1000);
    b.measure(|| {
        let done = done.clone();
        rt.spawn(async move { spawn_next(done, CHAIN) });
        when_done.recv().unwrap();
    });
}

pub fn rows() -> Vec<Row> {
    vec![
        Row { name: "spawn_many_local", run: spawn_many_local, workers_min: 1 },
        Row { name: "spawn_many_from_worker", run: spawn_many_from_worker, workers_min: 1 },
        Row { name: "spawn_join_from_worker", run: spawn_join_from_worker, workers_min: 0 },
        Row { name: "spawn_join_empty", run: spawn_join_empty, workers_min: 1 },
        Row { name: "yield_many", run: yield_many, workers_min: 1 },
        Row { name: "ping_pong", run: ping_pong, workers_min: 1 },
        Row { name: "chained_spawn", run: chained_spawn, workers_min: 1 },
    ]
}
