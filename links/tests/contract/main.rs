//! What the links promise, shown over every carrier by the same functions: memory, and TCP on the loopback interface, bare
//! and with TLS.
//!
//! `cfg(test)` on each part only tells clippy that these are tests.

#[cfg(test)]
mod carrier;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod content;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod feed_acks;
#[cfg(test)]
mod feed_beats;
#[cfg(test)]
mod scripted_feed;
#[cfg(test)]
mod escrow;
#[cfg(test)]
mod scripted_escrow;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod account;
#[cfg(test)]
mod heartbeat;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod ways;
#[cfg(test)]
mod goaway;
#[cfg(test)]
mod beats;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod signature;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_reload;

/// Runs each named promise once per carrier.
macro_rules! over_every_carrier {
    ($($promise:ident,)+) => {
        mod over_pipe {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::carrier::soon(super::$promise($crate::carrier::Carrier::Pipe)).await;
            })+
        }
        mod over_tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::carrier::soon(super::$promise($crate::carrier::Carrier::Tcp)).await;
            })+
        }
        mod over_tls {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::carrier::soon(super::$promise($crate::carrier::Carrier::Tls)).await;
            })+
        }
    };
}
pub(crate) use over_every_carrier;
