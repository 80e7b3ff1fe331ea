//! What crosses between roles, both ends of each in one place.
//!
//! In reading order: how two roles reach each other (in one process, over TCP, over TLS, by several ways), come back together and part,
//! what flows down (configuration), what flows both ways (money), what flows up (usage, from the spool), what control planes tell
//! each other, and how secrets travel.

pub mod pipe;
pub mod tcp;
pub mod tls;
mod ways;
mod reconnect;
mod farewell;
mod ending;

pub mod feed;
pub mod escrow;
pub mod account;

pub mod spool;
pub mod usage;

pub mod content;

pub mod coordination;

pub mod seal;

pub use farewell::Farewell;
pub use reconnect::ReconnectSettings;
pub use ways::Ways;
