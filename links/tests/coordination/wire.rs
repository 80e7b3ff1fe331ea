//! A way to a server that can be cut, or that can fall silent with all its connections open.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Cut,
    Silent,
}

/// The way.
pub(crate) struct Wire {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Wire {
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Open);
        tokio::spawn(carry(listener, server.to_owned(), state.subscribe()));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends all connections, and every new one.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Nothing gets through any more, but nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(crate) fn heal(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn carry(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut until_cut = state.clone();
        let (server, state) = (server.clone(), state.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = join(client, &server, &state) => {}
                // Whoever made this wire may be gone.
                _ = until_cut.wait_for(|state| *state == State::Cut) => {}
            }
        });
    }
}

async fn join(client: TcpStream, server: &str, state: &watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, state.clone()) => {}
        () = pass(from_server, to_client, state.clone()) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        let is_gone = state.wait_for(|state| *state != State::Silent).await.is_err();
        if read == 0 || is_gone || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
