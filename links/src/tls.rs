//! gRPC between machines: TLS 1.3 both ways, with certificates out of files that are read again when they change. A URI in
//! each certificate says who it speaks for; the address at which somebody is found says nothing.
//!
//! Who may call at all is the gate's business; whether a message fits its sender is that of the link whose message it is.

mod client;
mod gate;
mod identity;
mod material;
mod server;

pub use client::{BadAddress, Served, channel};
pub use gate::{Gate, GateLayer, Peer};
pub use identity::{Identity, NoIdentity, Role};
pub use material::{End, Loads, Material, TlsError, TlsFiles};
pub use server::{Secured, incoming, server};

pub(crate) use gate::Claim;
