//! The rig: what loads gateways, what stands behind them, and the driver that measures them side by side.
//!
//! In reading order: small helps, the least work that a gateway does (for the proxies that ours is compared with), the load
//! generator, the upstream, the driver. The proxies themselves, and what needs our own crates, are in `bin/`.

pub mod say;
pub mod listen;
pub mod awake;
pub mod http;
pub mod procfs;
pub mod work;
pub mod load;
pub mod mock;
pub mod driver;
