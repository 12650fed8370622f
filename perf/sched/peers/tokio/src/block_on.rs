// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/block_on.cc.

use crate::bench::{keep, Bench, Row};
use crate::{runtime, runtime_without_drivers};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::{yield_now, JoinHandle};

async fn work() -> usize {
    let value = 1 + 1;
    yield_now().await;
    keep(&value);
    value
}

fn scheduler_spawn<const COUNT: usize>(b: &mut Bench) {
    let rt = runtime_without_drivers(b.workers());
    b.measure(|| {
        rt.block_on(async {
            let mut children = Vec::with_capacity(COUNT);
            for _ in 0..COUNT {
                children.push(tokio::spawn(work()));
            }
            for child in children {
                keep(&child.await.unwrap());
            }
        })
    });
}

fn basic_scheduler_spawn<const COUNT: usize>(b: &mut Bench) {
    b.set_workers(0);
    scheduler_spawn::<COUNT>(b);
}

const CT_COUNT: usize = 1000;

async fn join_all(children: &mut Vec<JoinHandle<()>>) {
    for child in children.drain(..) {
        child.await.unwrap();
    }
}

fn ct_spawn_many_local(b: &mut Bench) {
    b.set_workers(0);
    let rt = runtime(0);
    let mut children = Vec::with_capacity(CT_COUNT);
    b.measure(|| {
        rt.block_on(async {
            for _ in 0..CT_COUNT {
                children.push(tokio::spawn(async {}));
            }
            join_all(&mut children).await;
        })
    });
}

fn spawn_outside(b: &mut Bench, rt: &Runtime) {
    let mut children = Vec::with_capacity(CT_COUNT);
    b.measure(|| {
        for _ in 0..CT_COUNT {
            children.push(rt.spawn(async {}));
        }
        rt.block_on(join_all(&mut children));
    });
}

fn ct_spawn_many_remote_idle(b: &mut Bench) {
    b.set_workers(0);
    let rt = runtime(0);
    spawn_outside(b, &rt);
}

fn respawn(goes_on: Arc<AtomicBool>) {
    if goes_on.load(Relaxed) {
        tokio::spawn(async move { respawn(goes_on) });
    }
}

fn ct_spawn_many_remote_busy(b: &mut Bench) {
    b.set_workers(0);
    let rt = runtime(0);
    let goes_on = Arc::new(AtomicBool::new(true));
    let first = goes_on.clone();
    rt.spawn(async move { respawn(first) });
    spawn_outside(b, &rt);
    goes_on.store(false, Relaxed);
}

pub fn rows() -> Vec<Row> {
    vec![
        Row { name: "threaded_scheduler_spawn", run: scheduler_spawn::<1>, workers_min: 1 },
        Row { name: "threaded_scheduler_spawn10", run: scheduler_spawn::<10>, workers_min: 1 },
        Row { name: "basic_scheduler_spawn", run: basic_scheduler_spawn::<1>, workers_min: 0 },
        Row { name: "basic_scheduler_spawn10", run: basic_scheduler_spawn::<10>, workers_min: 0 },
        Row { name: "ct_spawn_many_local", run: ct_spawn_many_local, workers_min: 0 },
        Row { name: "ct_spawn_many_remote_idle", run: ct_spawn_many_remote_idle, workers_min: 0 },
        Row { name: "ct_spawn_many_remote_busy", run: ct_spawn_many_remote_busy, workers_min: 0 },
    ]
}
