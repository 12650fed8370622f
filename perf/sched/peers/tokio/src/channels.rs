// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/channels.cc. The rows with recv_many exist from Tokio 1.34 on.

use crate::bench::{keep, Bench, Row};
use crate::runtime;
use std::future::Future;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

const MESSAGES: usize = 5000;
const SENDERS: usize = 5;
const ROOMY: usize = 1_000_000;
const TIGHT: usize = 100;

/// Bounded and unbounded receivers have nothing in common but their methods' names.
macro_rules! receive_all {
    ($rx:expr, one) => {{
        let mut received = 0;
        while received < MESSAGES {
            keep(&$rx.recv().await.unwrap());
            received += 1;
        }
        received
    }};
    ($rx:expr, many) => {{
        let mut buffer = Vec::with_capacity(MESSAGES);
        let mut received = 0;
        while received < MESSAGES {
            buffer.clear();
            received += $rx.recv_many(&mut buffer, MESSAGES).await;
        }
        received
    }};
}

fn contend(tx: mpsc::Sender<usize>) {
    for _ in 0..SENDERS {
        let tx = tx.clone();
        tokio::spawn(async move {
            for i in 0..MESSAGES / SENDERS {
                tx.send(i).await.unwrap();
            }
        });
    }
}

fn contend_unbounded(tx: mpsc::UnboundedSender<usize>) {
    for _ in 0..SENDERS {
        let tx = tx.clone();
        tokio::spawn(async move {
            for i in 0..MESSAGES / SENDERS {
                tx.send(i).unwrap();
            }
        });
    }
}

/// An iteration is one block_on of a future that says how many messages it received.
fn measure_messages<F: Future<Output = usize>>(b: &mut Bench, make: impl Fn() -> F) {
    let rt = runtime(b.workers());
    b.measure(|| assert_eq!(rt.block_on(make()), MESSAGES));
}

fn mpsc_contention<const CAPACITY: usize>(b: &mut Bench) {
    measure_messages(b, || async {
        let (tx, mut rx) = mpsc::channel(CAPACITY);
        contend(tx);
        receive_all!(rx, one)
    });
}

fn mpsc_contention_unbounded(b: &mut Bench) {
    measure_messages(b, || async {
        let (tx, mut rx) = mpsc::unbounded_channel();
        contend_unbounded(tx);
        receive_all!(rx, one)
    });
}

fn mpsc_uncontented_bounded(b: &mut Bench) {
    measure_messages(b, || async {
        let (tx, mut rx) = mpsc::channel(ROOMY);
        for i in 0..MESSAGES {
            tx.send(i).await.unwrap();
        }
        receive_all!(rx, one)
    });
}

fn mpsc_uncontented_unbounded(b: &mut Bench) {
    measure_messages(b, || async {
        let (tx, mut rx) = mpsc::unbounded_channel();
        for i in 0..MESSAGES {
            tx.send(i).unwrap();
        }
        receive_all!(rx, one)
    });
}

#[cfg(has_recv_many)]
mod many {
    use super::*;

    pub fn mpsc_contention<const CAPACITY: usize>(b: &mut Bench) {
        measure_messages(b, || async {
            let (tx, mut rx) = mpsc::channel(CAPACITY);
            contend(tx);
            receive_all!(rx, many)
        });
    }

    pub fn mpsc_contention_unbounded(b: &mut Bench) {
        measure_messages(b, || async {
            let (tx, mut rx) = mpsc::unbounded_channel();
            contend_unbounded(tx);
            receive_all!(rx, many)
        });
    }

    pub fn mpsc_uncontented_bounded(b: &mut Bench) {
        measure_messages(b, || async {
            let (tx, mut rx) = mpsc::channel(ROOMY);
            for i in 0..MESSAGES {
                tx.send(i).await.unwrap();
            }
            receive_all!(rx, many)
        });
    }

    pub fn mpsc_uncontented_unbounded(b: &mut Bench) {
        measure_messages(b, || async {
            let (tx, mut rx) = mpsc::unbounded_channel();
            for i in 0..MESSAGES {
                tx.send(i).unwrap();
            }
            receive_all!(rx, many)
        });
    }
}

fn mpsc_send<const SIZE: usize>(b: &mut Bench) {
    let rt = runtime(b.workers());
    b.measure_batches(|count| {
        let begin = Instant::now();
        rt.block_on(async {
            for _ in 0..count {
                let (tx, mut rx) = mpsc::channel::<[u8; SIZE]>(1000);
                tx.send([0; SIZE]).await.unwrap();
                keep(&rx.recv().await.unwrap());
            }
        });
        begin.elapsed()
    });
}

fn mpsc_create_medium<const CAPACITY: usize>(b: &mut Bench) {
    let rt = runtime(b.workers());
    b.measure_batches(|count| {
        let begin = Instant::now();
        rt.block_on(async {
            for _ in 0..count {
                keep(&mpsc::channel::<[u8; 512]>(CAPACITY));
            }
        });
        begin.elapsed()
    });
}

fn mpsc_1p1c_cap128_100k(b: &mut Bench) {
    const STREAM: usize = 100_000;
    let rt = runtime(b.workers());
    b.measure(|| {
        let sum = rt.block_on(async {
            let (tx, mut rx) = mpsc::channel(128);
            let producer = tokio::spawn(async move {
                for i in 0..STREAM {
                    tx.send(i).await.unwrap();
                }
            });
            let consumer = tokio::spawn(async move {
                let mut sum = 0;
                while let Some(value) = rx.recv().await {
                    sum += value;
                }
                sum
            });
            producer.await.unwrap();
            consumer.await.unwrap()
        });
        assert_eq!(sum, STREAM * (STREAM - 1) / 2);
    });
}

fn request_reply(b: &mut Bench) {
    const REQUESTS: usize = 1000;
    let rt = runtime(b.workers());
    let (tx, mut rx) = mpsc::channel::<oneshot::Sender<u32>>(10);
    rt.spawn(async move {
        while let Some(reply) = rx.recv().await {
            reply.send(1).unwrap();
        }
    });
    b.measure(|| {
        rt.block_on(async {
            for _ in 0..REQUESTS {
                let (reply_tx, reply_rx) = oneshot::channel();
                tx.send(reply_tx).await.unwrap();
                assert_eq!(reply_rx.await.unwrap(), 1);
            }
        })
    });
}

fn ct_request_reply(b: &mut Bench) {
    b.set_workers(0);
    request_reply(b);
}

pub fn rows() -> Vec<Row> {
    let row = |name, run| Row { name, run, workers_min: 0 };
    #[allow(unused_mut)]
    let mut rows = vec![
        row("mpsc_contention_bounded", mpsc_contention::<ROOMY>),
        row("mpsc_contention_bounded_full", mpsc_contention::<TIGHT>),
        row("mpsc_contention_unbounded", mpsc_contention_unbounded),
        row("mpsc_uncontented_bounded", mpsc_uncontented_bounded),
        row("mpsc_uncontented_unbounded", mpsc_uncontented_unbounded),
        row("mpsc_send_medium_1000", mpsc_send::<512>),
        row("mpsc_send_large_1000", mpsc_send::<32_768>),
        row("mpsc_create_medium_1", mpsc_create_medium::<1>),
        row("mpsc_create_medium_100", mpsc_create_medium::<100>),
        row("mpsc_create_medium_100000", mpsc_create_medium::<100_000>),
        row("mpsc_1p1c_cap128_100k", mpsc_1p1c_cap128_100k),
        Row { name: "request_reply", run: request_reply, workers_min: 1 },
        row("ct_request_reply", ct_request_reply),
    ];
    #[cfg(has_recv_many)]
    rows.extend([
        row("mpsc_contention_bounded_recv_many", many::mpsc_contention::<ROOMY>),
        row("mpsc_contention_bounded_full_recv_many", many::mpsc_contention::<TIGHT>),
        row("mpsc_contention_unbounded_recv_many", many::mpsc_contention_unbounded),
        row("mpsc_uncontented_bounded_recv_many", many::mpsc_uncontented_bounded),
        row("mpsc_uncontented_unbounded_recv_many", many::mpsc_uncontented_unbounded),
    ]);
    rows
}
