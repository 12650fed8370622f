// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/time.cc.

use crate::bench::{keep, Bench, Row};
use crate::runtime;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

async fn time_out_at_once(count: u64) {
    for _ in 0..count {
        keep(&timeout(SECOND, async { 1 }).await.unwrap());
    }
}

async fn time_out_after_a_turn(count: u64) {
    for _ in 0..count {
        timeout(SECOND, yield_now()).await.unwrap();
    }
}

async fn create_sleeps(count: u64) {
    for _ in 0..count {
        keep(&sleep(SECOND));
    }
}

fn measure_shared<F>(b: &mut Bench, run: fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = b.workers() as u64;
    let rt = runtime(if tasks == 1 { 0 } else { b.workers() });
    b.measure_batches(|count| {
        let begin = Instant::now();
        rt.block_on(async {
            let share = |i| count / tasks + u64::from(i < count % tasks);
            let children: Vec<_> = (0..tasks).map(|i| tokio::spawn(run(share(i)))).collect();
            for child in children {
                child.await.unwrap();
            }
        });
        begin.elapsed()
    });
}

pub fn rows() -> Vec<Row> {
    let row = |name, run| Row { name, run, workers_min: 1 };
    vec![
        row("time_timeout", |b| measure_shared(b, time_out_at_once)),
        row("time_sleep_create", |b| measure_shared(b, create_sleeps)),
        row("time_register_cancel", |b| measure_shared(b, time_out_after_a_turn)),
    ]
}
