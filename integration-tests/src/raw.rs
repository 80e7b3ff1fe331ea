//! A connection without any HTTP of its own: sends what no client library would, and shows every byte that comes back.

use crate::patience::PATIENCE;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// An open connection; dropping it hangs up.
#[derive(Debug)]
pub struct RawConnection(TcpStream);

/// All that came before the other side closed the connection.
#[derive(Clone, Debug)]
pub struct Transcript(pub String);

impl RawConnection {
    /// Connects to a URL such as `http://127.0.0.1:8080/v1`; its path does not matter.
    pub async fn open(url: &str) -> Self {
        Self::over(TcpSocket::new_v4().unwrap(), url).await
    }

    /// The same with room for so few bytes that were not read yet.
    pub async fn open_narrow(url: &str, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        Self::over(socket, url).await
    }

    async fn over(socket: TcpSocket, url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let address = address.split_once('/').map_or(address, |(address, _)| address);
        let stream = socket.connect(address.parse().unwrap()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends bytes; what the other side does not want any more is lost.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.unwrap().is_ok()
    }

    /// Sends bytes one by one with pauses, until all are sent or the other side has closed the connection.
    pub async fn drip(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            if !self.send([*byte]).await {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// The next bytes, at most so many; none once the other side has closed the connection, well or not.
    pub async fn some(&mut self, most: usize) -> Vec<u8> {
        let mut read = vec![0; most];
        let length = timeout(PATIENCE, self.0.read(&mut read)).await.unwrap().unwrap_or(0);
        read.truncate(length);
        read
    }

    /// What comes up to and including a text.
    pub async fn until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(text.as_bytes()) {
            let byte = timeout(PATIENCE, self.0.read_u8()).await;
            let byte = byte.unwrap_or_else(|_| panic!("no {text:?} in {read:?}"));
            let so_far = || String::from_utf8_lossy(&read).into_owned();
            read.push(byte.unwrap_or_else(|end| panic!("{end} before {text:?}: {}", so_far())));
        }
        String::from_utf8(read).unwrap()
    }

    /// Everything until the other side closes; that it does is part of what is asked.
    pub async fn until_closed(mut self) -> Transcript {
        let mut read = Vec::new();
        let closed = timeout(PATIENCE, async {
            // A reset ends a connection as well as a proper close.
            while self.0.read_buf(&mut read).await.is_ok_and(|length| length > 0) {}
        });
        let is_closed = closed.await.is_ok();
        let read = String::from_utf8_lossy(&read).into_owned();
        assert!(is_closed, "the connection stays open after {read:?}");
        Transcript(read)
    }
}

impl Transcript {
    /// The status of each answer, in order.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let answers = self.0.split("HTTP/1.").skip(1);
        answers.map(|answer| answer.split(' ').nth(1).unwrap().parse().unwrap()).collect()
    }
}
