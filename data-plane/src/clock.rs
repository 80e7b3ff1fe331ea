//! The one place where the data plane reads the wall clock. How a configuration ages is not told by it alone: that is
//! `configuration::age`'s business.

use domain::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock's time.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
