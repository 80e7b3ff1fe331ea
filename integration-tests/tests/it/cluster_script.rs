//! What `scripts/cluster` builds and runs: a whole cluster, and a key that it answers.

use integration_tests::{Client, PATIENCE, say};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

/// The rest of the first line that begins like this.
async fn told(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> String {
    let looking = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(rest) = line.strip_prefix(name) {
                return rest.trim().to_owned();
            }
        }
        panic!("it ended before it said {name}");
    };
    timeout(PATIENCE * 2, looking).await.unwrap()
}

#[tokio::test]
async fn the_cluster_prints_a_key_that_every_data_plane_answers_and_ends_well() {
    let mut cluster = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(cluster.stdout.take().unwrap()).lines();
    let mut planes = Vec::new();
    for _ in 0..3 {
        planes.push(told(&mut lines, "data plane ").await);
    }
    let key = told(&mut lines, "key ").await;
    for plane in planes {
        let reply = Client::new(&plane).chat(&key, say(3)).await.unwrap();
        assert_eq!(reply.status, 200, "{plane}: {}", reply.text());
    }
    let id = Pid::from_raw(cluster.id().unwrap().try_into().unwrap()).unwrap();
    // It is told once it can be stopped.
    told(&mut lines, ". target/cluster.env").await;
    kill_process(id, Signal::INT).unwrap();
    let ended = timeout(PATIENCE, cluster.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}
