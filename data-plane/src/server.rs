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
use crate::stopping::Open;
use crate::upstream::client::Upstreams;
use chores::chores;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use impatience::Impatient;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after the system could not give a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long who was let in last may take to ask, only to be told to go elsewhere.
const LAST_QUESTION: Duration = Duration::from_millis(100);

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
            let plane = plane.shared.clone();
            let listens = plane.stopping.opened();
            let upstreams = Upstreams::new(&plane.parts.settings, plane.parts.seal_key)?;
            let core = Arc::new(Core::new(plane, upstreams));
            let runtime = Builder::new_current_thread().enable_all().build()?;
            thread::Builder::new().name(format!("core-{index}")).spawn(move || {
                if let Err(error) = runtime.block_on(accept(core, socket, listens)) {
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

async fn accept(core: Arc<Core>, socket: StdListener, listens: Open) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    tokio::spawn(chores(core.clone()));
    let house = House::new(core.clone());
    tokio::select! {
        () = house.let_in(&listener) => {}
        () = core.closing.cancelled() => {}
    }
    house.let_in_the_last(&listener.into_std()?);
    drop(listens);
    // Running requests go on in their tasks until the process ends.
    std::future::pending().await
}

/// Where clients of one core are let in, as long as there are places.
struct House {
    core: Arc<Core>,
    api: Arc<Api>,
    room: Arc<Semaphore>,
}

impl House {
    fn new(core: Arc<Core>) -> Self {
        let room = Arc::new(Semaphore::new(core.plane.parts.settings.limits.connections));
        let api = Arc::new(Api::new(core.clone()));
        Self { core, api, room }
    }

    /// Lets in who comes, for ever. A full house leaves new clients in the backlog.
    async fn let_in(&self, listener: &TcpListener) {
        let mut is_short = false;
        while let Ok(place) = self.room.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, address)) => {
                    is_short = false;
                    self.seat(stream, address.ip(), place);
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
    }

    /// A socket that is closed resets all who wait in its backlog, so they are let in and told. Who comes in the moment between
    /// that and the close is reset unread, and who comes later refused: neither has said anything that could be lost.
    fn let_in_the_last(&self, socket: &StdListener) {
        for _ in 0..BACKLOG {
            let Ok(place) = self.room.clone().try_acquire_owned() else { return };
            let Ok((stream, address)) = socket.accept() else { return };
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            match stream {
                Ok(stream) => self.seat(stream, address.ip(), place),
                Err(error) => tracing::debug!(%error, "a client that waited could not be told"),
            }
        }
    }

    fn seat(&self, stream: TcpStream, address: IpAddr, place: OwnedSemaphorePermit) {
        let present = (metric::connection(), self.core.plane.stopping.opened(), place);
        let connection = serve(self.core.clone(), self.api.clone(), address, stream);
        tokio::spawn(async move {
            connection.await;
            drop(present);
        });
    }
}

async fn serve(core: Arc<Core>, api: Arc<Api>, address: IpAddr, stream: TcpStream) {
    let settings = &core.plane.parts.settings;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Impatient::new(stream, settings.pace.write, core.ending.clone());
    let peer = Arc::new(Peer::new(address));
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        has_asked.store(true, Ordering::Relaxed);
        gate::serve(&api, &peer, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.pace.head)
        .max_buf_size(settings.limits.head_bytes.max(8 << 10))
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = until_closing(&core, &has_asked, std::pin::pin!(connection)).await {
        tracing::debug!(%error, "a client connection ended early");
    }
}

/// A connection that rests stays open as long as anyone listens, so that a client who asks on it is told to go elsewhere and does
/// not find it closed, not knowing what became of its request. Each stage wakes it: a request on it may have to look at that.
async fn until_closing<C: GracefulConnection>(
    core: &Core,
    has_asked: &AtomicBool,
    mut connection: Pin<&mut C>,
) -> Result<(), C::Error> {
    for stage in [&core.refusing, &core.ending, &core.closing] {
        tokio::select! {
            biased;
            served = connection.as_mut() => return served,
            () = stage.cancelled() => {}
        }
    }
    if !has_asked.load(Ordering::Relaxed) {
        let served = timeout(LAST_QUESTION, connection.as_mut()).await;
        if served.is_ok() || !has_asked.load(Ordering::Relaxed) {
            return served.unwrap_or(Ok(()));
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
