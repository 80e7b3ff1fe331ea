//! What coordination promises, shown over both carriers by the same functions: within one process, and over a real etcd. What
//! only etcd can do wrong has tests of its own.
//!
//! `cfg(test)` on each part only tells clippy that these are tests.

#[cfg(test)]
mod site;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod etcd_faults;
#[cfg(test)]
mod etcd_lies;
#[cfg(test)]
mod etcd_tls;

/// Runs each named promise once per carrier.
macro_rules! over_both_carriers {
    ($($promise:ident,)+) => {
        mod within_one_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::site::Site::local()).await;
            })+
        }
        mod over_etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::site::Site::etcd()).await;
            })+
        }
    };
}
pub(crate) use over_both_carriers;
