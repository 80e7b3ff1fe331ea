//! A listening socket with a long queue, for the rig's own servers.

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

const BACKLOG: u32 = 4096;

/// Listens there.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
