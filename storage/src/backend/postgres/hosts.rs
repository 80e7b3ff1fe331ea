//! The servers of one database, of which one takes writes: `postgres://user@one,two:5433/name`. When the one that is used
//! does not answer or is no primary any more, all are looked at, and new connections go to the one that is.

use super::UNFIT_TO_WRITE;
use crate::StorageError;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Row as _};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Where a database may be.
#[derive(Debug)]
pub(crate) struct Hosts {
    all: Vec<AnyConnectOptions>,
    /// Which one is used. Locked while it is looked for another one, so that one caller looks and the others wait.
    used: Mutex<usize>,
    /// How long one of them may take to answer.
    pub(crate) patience: Duration,
}

impl Hosts {
    pub(super) fn of(url: &str, patience: Duration) -> Result<Self, StorageError> {
        let options =
            |url: String| Ok(AnyConnectOptions::from_str(&url)?.disable_statement_logging());
        let all = each_alone(url).into_iter().map(options).collect::<Result<_, StorageError>>()?;
        Ok(Self { all, used: Mutex::new(0), patience })
    }

    /// Whether there is a choice.
    pub(crate) const fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Leads pools to the server that takes writes; false when none does. One that is new to the pools gets their new
    /// connections only: those that are open notice by themselves that theirs does no more.
    pub(crate) async fn find_primary(&self, pools: [&AnyPool; 2]) -> bool {
        let mut used = self.used.lock().await;
        let count = self.all.len();
        for number in (0..count).map(|step| used.wrapping_add(step).checked_rem(count).unwrap_or(0))
        {
            let Some(options) = self.all.get(number) else { continue };
            if !timeout(self.patience, takes_writes(options)).await.unwrap_or(false) {
                continue;
            }
            if *used != number {
                tracing::warn!(server = number, "the database is at another of its servers now");
                for pool in pools {
                    pool.set_connect_options(options.clone());
                }
                *used = number;
            }
            return true;
        }
        false
    }

    /// Connects to the first one, for the sake of what it says.
    pub(super) async fn greet(&self) -> Result<(), StorageError> {
        let Some(first) = self.all.first() else { return Err(StorageError::UnknownKind) };
        let connected = timeout(self.patience, AnyConnection::connect_with(first)).await;
        let connection = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(connection.close().await?)
    }

    pub(super) fn first(&self) -> Option<AnyConnectOptions> {
        self.all.first().cloned()
    }
}

async fn takes_writes(options: &AnyConnectOptions) -> bool {
    let looked = async {
        let mut connection = AnyConnection::connect_with(options).await?;
        let row = sqlx::query(UNFIT_TO_WRITE).fetch_one(&mut connection).await?;
        let unfit: i64 = row.try_get("unfit")?;
        connection.close().await?;
        Ok::<bool, sqlx::Error>(unfit == 0)
    };
    looked.await.unwrap_or(false)
}

/// A URL for each of its hosts.
fn each_alone(url: &str) -> Vec<String> {
    let Some((kind, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, database) = rest.split_at(end);
    let (user, hosts) = match place.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), place),
    };
    hosts.split(',').map(|host| format!("{kind}://{user}{host}{database}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_url() {
        let rows = [
            (
                "postgres://u:p@one:1,two:2/db?a=b",
                vec!["postgres://u:p@one:1/db?a=b", "postgres://u:p@two:2/db?a=b"],
            ),
            ("postgres://one,two", vec!["postgres://one", "postgres://two"]),
            ("postgres://u:p,q@one/db", vec!["postgres://u:p,q@one/db"]),
        ];
        for (url, expected) in rows {
            assert_eq!(each_alone(url), expected);
        }
    }
}
