// SPDX-License-Identifier: MIT
//
// Twin of perf/sched/net.cc.

use crate::bench::{Bench, Row};
use crate::runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROUND_TRIPS: usize = 100;

async fn echo(mut peer: TcpStream) {
    let mut buffer = [0; 4];
    while peer.read_exact(&mut buffer).await.is_ok() {
        if peer.write_all(&buffer).await.is_err() {
            break;
        }
    }
}

async fn connect_to_echo() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let client = tokio::spawn(TcpStream::connect(at));
    let (server, _) = listener.accept().await.unwrap();
    server.set_nodelay(true).unwrap();
    tokio::spawn(echo(server));
    let client = client.await.unwrap().unwrap();
    client.set_nodelay(true).unwrap();
    client
}

fn tcp_pingpong(b: &mut Bench) {
    let rt = runtime(b.workers());
    let mut server = rt.block_on(connect_to_echo());
    b.measure(|| {
        rt.block_on(async {
            let mut buffer = [0; 4];
            for i in 0..ROUND_TRIPS {
                buffer.fill(i as u8);
                server.write_all(&buffer).await.unwrap();
                server.read_exact(&mut buffer).await.unwrap();
                assert_eq!(buffer[3], i as u8);
            }
        })
    });
}

pub fn rows() -> Vec<Row> {
    vec![Row { name: "tcp_pingpong_1conn_100rt", run: tcp_pingpong, workers_min: 0 }]
}
