//! The listener: one thread per core, each with its own socket, runtime and upstream connections.
//!
//! An accept loop of our own, because the ready-made one sets neither head time-outs nor `TCP_NODELAY`.

mod chores;
mod gate;
mod impatience;

use crate::api::Api;
use crate::client_address::Peer;
use crate::metric;
use crate::plane::{Core, DataPlane};
use crate::settings::DataPlaneSettings;
use crate::upstream::client::Upstreams;
use chores::chores;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use impatience::Impatient;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after the system could not give a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why it does not listen.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address in data_plane.listen")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Certificates or threads are missing.
    #[error("cannot start a core: {0}")]
    Core(#[from] io::Error),
}

/// The sockets, bound but not served, so that their address is known before anything else starts.
pub struct Listener {
    address: SocketAddr,
    sockets: Vec<StdListener>,
}

impl Listener {
    /// Binds one socket per core to the same address.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(settings: &DataPlaneSettings) -> Result<Self, StartError> {
        let refuse = |source| StartError::Listen { address: settings.listen, source };
        refuse_taken(settings.listen).map_err(refuse)?;
        let first = socket(settings.listen).map_err(refuse)?;
        let address = first.local_addr().map_err(refuse)?;
        let mut sockets = vec![first];
        for _ in 1..settings.cores.max(1) {
            sockets.push(socket(address).map_err(refuse)?);
        }
        Ok(Self { address, sockets })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves from a thread per socket until the process ends.
    ///
    /// # Errors
    /// When a core cannot be started.
    pub fn serve(self, plane: &DataPlane) -> Result<(), StartError> {
        for (index, socket) in self.sockets.into_iter().enumerate() {
            let plane = plane.clone();
            let upstreams =
                Upstreams::new(&plane.shared.parts.settings, plane.shared.parts.seal_key)?;
            let ending = plane.shared.ending.child_token();
            let core = Arc::new(Core { plane: plane.shared.clone(), upstreams, ending });
            let runtime = Builder::new_current_thread().enable_all().build()?;
            thread::Builder::new().name(format!("core-{index}")).spawn(move || {
                if let Err(error) = runtime.block_on(accept(core, socket)) {
                    tracing::error!(%error, "a core stopped listening");
                }
            })?;
        }
        Ok(())
    }
}

/// Sockets that share a port would also share it with another process that does the same; this one tells.
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn accept(core: Arc<Core>, socket: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    tokio::spawn(chores(core.clone()));
    let room = Arc::new(Semaphore::new(core.plane.parts.settings.limits.connections));
    let api = Arc::new(Api::new(core.clone()));
    let mut is_short = false;
    loop {
        // A full house leaves new clients in the backlog.
        let Ok(place) = room.clone().acquire_owned().await else {
            return Ok(());
        };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.plane.draining.cancelled() => break,
        };
        match stream {
            Ok((stream, address)) => {
                is_short = false;
                let connection = serve(core.clone(), api.clone(), address.ip(), stream);
                tokio::spawn(async move {
                    let present = metric::connection();
                    connection.await;
                    drop((present, place));
                });
            }
            Err(error) => {
                // Said once, until one is accepted again: a shortage of descriptors lasts.
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Running requests go on in their tasks until the process ends.
    std::future::pending().await
}

async fn serve(core: Arc<Core>, api: Arc<Api>, address: IpAddr, stream: TcpStream) {
    let settings = &core.plane.parts.settings;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Impatient::new(stream, settings.pace.write, core.plane.ending.clone());
    let peer = Arc::new(Peer::new(address));
    let service = service_fn(|request| gate::serve(&api, &peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.pace.head)
        .max_buf_size(settings.limits.head_bytes.max(8 << 10))
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = core.plane.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a client connection ended early");
    }
}
