//! A pipe of a few bytes is the socket.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_millis(600);

fn pipe() -> (Impatient<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(4);
    (Impatient::new(ours, PATIENCE, CancellationToken::new()), theirs)
}

#[tokio::test]
async fn a_socket_that_takes_nothing_fails_after_the_patience_and_not_before() {
    let (mut ours, _theirs) = pipe();
    let began = Instant::now();
    let failed = ours.write_all(b"five!").await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() >= PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn each_byte_that_is_taken_buys_the_whole_patience_again() {
    let (mut ours, mut theirs) = pipe();
    let began = Instant::now();
    let reader = tokio::spawn(async move {
        for _ in 0..12 {
            sleep(PATIENCE / 6).await;
            theirs.read_u8().await.unwrap();
        }
        theirs
    });
    ours.write_all(&[0; 16]).await.unwrap();
    assert!(began.elapsed() > PATIENCE, "longer in all than it may be stuck at once");
    drop(reader.await.unwrap());
}

#[tokio::test]
async fn what_is_taken_at_once_needs_no_timer() {
    let (mut ours, mut theirs) = pipe();
    for _ in 0..3 {
        ours.write_all(b"four").await.unwrap();
        theirs.read_exact(&mut [0; 4]).await.unwrap();
    }
    assert!(ours.alarm.is_none());
}

#[tokio::test]
async fn the_end_of_the_process_makes_it_hurry() {
    let (ours, _theirs) = duplex(4);
    let ending = CancellationToken::new();
    let mut ours = Impatient::new(ours, PATIENCE * 1_000, ending.clone());
    let writing = tokio::spawn(async move { ours.write_all(b"five!").await });
    sleep(Duration::from_millis(20)).await;
    ending.cancel();
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
}
