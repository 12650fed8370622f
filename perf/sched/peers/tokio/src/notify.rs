// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/notify.cc.

use crate::bench::{Bench, Row};
use crate::runtime;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use tokio::sync::Notify;

const ROUND_TRIPS: usize = 1000;

async fn player_a() {
    let (a, b) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (their_a, their_b) = (a.clone(), b.clone());
    let other = tokio::spawn(async move {
        for _ in 0..ROUND_TRIPS {
            their_b.notified().await;
            their_a.notify_one();
        }
    });
    for _ in 0..ROUND_TRIPS {
        b.notify_one();
        a.notified().await;
    }
    other.await.unwrap();
}

fn notify_pingpong(b: &mut Bench) {
    let rt = runtime(b.workers());
    b.measure(|| rt.block_on(async { tokio::spawn(player_a()).await.unwrap() }));
}

const WAKES: usize = 500;

fn notify_crowd(b: &mut Bench, waiters: usize, wake: fn(&Notify)) {
    let rt = runtime(b.workers());
    let notify = Arc::new(Notify::new());
    let woken = Arc::new(AtomicUsize::new(0));
    for _ in 0..waiters {
        let (notify, woken) = (notify.clone(), woken.clone());
        rt.spawn(async move {
            loop {
                notify.notified().await;
                woken.fetch_add(1, Relaxed);
            }
        });
    }
    b.measure(|| {
        woken.store(0, Relaxed);
        loop {
            wake(&notify);
            if woken.load(Relaxed) >= WAKES {
                break;
            }
        }
    });
    rt.shutdown_background();
}

fn notify_one<const WAITERS: usize>(b: &mut Bench) {
    notify_crowd(b, WAITERS, Notify::notify_one);
}

fn notify_waiters<const WAITERS: usize>(b: &mut Bench) {
    notify_crowd(b, WAITERS, Notify::notify_waiters);
}

pub fn rows() -> Vec<Row> {
    let row = |name, run| Row { name, run, workers_min: 1 };
    vec![
        Row { name: "notify_pingpong_1000rt", run: notify_pingpong, workers_min: 0 },
        row("notify_one_10", notify_one::<10>),
        row("notify_one_100", notify_one::<100>),
        row("notify_one_500", notify_one::<500>),
        row("notify_waiters_10", notify_waiters::<10>),
        row("notify_waiters_100", notify_waiters::<100>),
        row("notify_waiters_500", notify_waiters::<500>),
    ]
}
