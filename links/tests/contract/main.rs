//! What the links promise, shown over both carriers by the same functions: memory, and TCP on the loopback interface.

mod carrier;
mod raw;
mod objects;
mod feed;
mod scripted_feed;
mod escrow;
mod scripted_escrow;
mod heartbeat;

/// Runs each named promise once per carrier.
macro_rules! over_both_carriers {
    ($($promise:ident,)+) => {
        mod over_pipe {
            $(#[tokio::test]
            async fn $promise() {
                $crate::carrier::soon(super::$promise($crate::carrier::Carrier::Pipe)).await;
            })+
        }
        mod over_tcp {
            $(#[tokio::test]
            async fn $promise() {
                $crate::carrier::soon(super::$promise($crate::carrier::Carrier::Tcp)).await;
            })+
        }
    };
}
pub(crate) use over_both_carriers;
