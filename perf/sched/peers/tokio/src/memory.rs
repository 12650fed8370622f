// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/memory.cc.

use crate::bench::{resident_bytes, Bench, Row};
use crate::runtime;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::*};
use std::sync::{mpsc, Arc};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::yield_now;

struct Hall {
    doors: Notify,
    sum: AtomicI64,
    awaited: AtomicUsize,
    remaining: AtomicUsize,
    all_wait: mpsc::SyncSender<()>,
    all_gone: mpsc::SyncSender<()>,
}

async fn wait_idle(hall: Arc<Hall>, number: i32) {
    if hall.awaited.fetch_sub(1, Relaxed) == 1 {
        hall.all_wait.send(()).unwrap();
    }
    hall.doors.notified().await;
    hall.sum.fetch_add(number as i64, Relaxed);
    if hall.remaining.fetch_sub(1, AcqRel) == 1 {
        hall.all_gone.send(()).unwrap();
    }
}

fn fill_hall(rt: &Runtime, hall: &Arc<Hall>, count: usize, all_wait: &mpsc::Receiver<()>) -> f64 {
    let before = resident_bytes();
    hall.sum.store(0, Relaxed);
    hall.awaited.store(count, Relaxed);
    hall.remaining.store(count, Relaxed);
    let hall = hall.clone();
    rt.spawn(async move {
        for i in 0..count {
            tokio::spawn(wait_idle(hall.clone(), i as i32));
            if i % 64 == 0 {
                yield_now().await;
            }
        }
    });
    all_wait.recv().unwrap();
    resident_bytes() - before
}

fn empty_hall(hall: &Hall, all_gone: &mpsc::Receiver<()>) {
    loop {
        hall.doors.notify_waiters();
        if all_gone.recv_timeout(Duration::from_millis(1)).is_ok() {
            break;
        }
    }
}

fn idle_task_memory(b: &mut Bench) {
    let count = if b.is_smoke() { 10_000 } else { 1_000_000 };
    let (all_wait, when_all_wait) = mpsc::sync_channel(1);
    let (all_gone, when_all_gone) = mpsc::sync_channel(1);
    let hall = Arc::new(Hall {
        doors: Notify::new(),
        sum: AtomicI64::new(0),
        awaited: AtomicUsize::new(0),
        remaining: AtomicUsize::new(0),
        all_wait,
        all_gone,
    });
    let rt = runtime(b.workers());
    fill_hall(&rt, &hall, 1000, &when_all_wait);
    empty_hall(&hall, &when_all_gone);
    let mut bytes = 0.0;
    b.measure_once(count as u64, || bytes = fill_hall(&rt, &hall, count, &when_all_wait));
    b.note("bytes_per_task", bytes / count as f64);
    empty_hall(&hall, &when_all_gone);
    assert_eq!(hall.sum.load(Relaxed), count as i64 * (count as i64 - 1) / 2);
}

pub fn rows() -> Vec<Row> {
    vec![Row { name: "idle_task_memory", run: idle_task_memory, workers_min: 1 }]
}
