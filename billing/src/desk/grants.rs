//! Grants: many wants, one transaction, accounts first.

use super::learned::prove_granted;
use crate::slices::{self, Holder};
use crate::{accounts, rows};
use domain::escrow::wallet::{self, Ask, Wallet};
use domain::id::Account;
use domain::money::Nano;
use links::escrow::Want;
use std::collections::BTreeMap;
use storage::{Database, StorageError, Write};

/// A want and who has it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) holder: Holder,
    pub(super) want: Want,
}

/// What the accounts say to a want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Granted, and committed.
    Granted { granted_total: Nano, free: Nano },
    /// Not enough is free.
    Short {
        free: Nano,
        /// Others who hold money of the account.
        holders: Vec<Holder>,
        /// The data plane has been granted more than it knows of yet.
        is_underway: bool,
    },
    /// There is no such account.
    Unknown,
}

/// Serves wants in their order, out of accounts that are locked ascending. `data_planes` share what is free.
pub(super) async fn serve(
    database: &Database,
    asked: &[Asked],
    data_planes: u32,
) -> Result<Vec<Answer>, StorageError> {
    let mut write = database.write().await?;
    let mut wallets = lock(&mut write, asked).await?;
    let before = wallets.clone();
    let mut answers = Vec::with_capacity(asked.len());
    for asked in asked {
        answers.push(match wallets.get_mut(&asked.want.account.uids()) {
            Some(wallet) => answer(&mut write, wallet, asked, data_planes).await?,
            None => Answer::Unknown,
        });
    }
    // What nothing came of need not be made durable; it was true all the same.
    if wallets == before {
        write.rollback().await?;
    } else {
        write.commit().await?;
    }
    Ok(answers)
}

async fn lock(
    write: &mut Write,
    asked: &[Asked],
) -> Result<BTreeMap<(i64, i64), Wallet>, StorageError> {
    let mut accounts: Vec<(i64, i64)> =
        asked.iter().map(|asked| asked.want.account.uids()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut wallets = BTreeMap::new();
    for (org, key) in accounts {
        if let Some(row) = accounts::lock(write, Account::from_uids(org, key)).await? {
            wallets.insert((org, key), row.wallet);
        }
    }
    Ok(wallets)
}

async fn answer(
    write: &mut Write,
    wallet: &mut Wallet,
    asked: &Asked,
    data_planes: u32,
) -> Result<Answer, StorageError> {
    let Asked { holder, want } = asked;
    let mut slice = slices::read(write, holder, want.account).await?;
    let before = slice;
    let backed = prove_granted(holder, want.account, &mut slice, want.granted_seen, *wallet);
    wallet.held = wallet.held.saturating_plus(backed);
    let ask = Ask { need: want.need, want: want.want };
    // A total that left its range could not be told any more.
    let granted = wallet::grant(wallet.free(), ask, data_planes)
        .and_then(|amount| Some((amount, slice.totals.granted.plus(amount).ok()?)));
    if let Some((amount, total)) = granted {
        slice.totals.granted = total;
        wallet.held = wallet.held.saturating_plus(amount);
    }
    if slice != before {
        let more = granted.map_or(Nano::ZERO, |(amount, _)| amount).saturating_plus(backed);
        accounts::hold(write, want.account, more).await?;
        slices::save(write, holder, want.account, slice).await?;
    }
    match granted {
        Some((_, granted_total)) => Ok(Answer::Granted { granted_total, free: wallet.free() }),
        None => Ok(Answer::Short {
            free: wallet.free(),
            holders: other_holders(write, asked).await?,
            is_underway: slice.totals.granted > want.granted_seen,
        }),
    }
}

async fn other_holders(write: &mut Write, asked: &Asked) -> Result<Vec<Holder>, StorageError> {
    let (org, key) = asked.want.account.uids();
    let found = sqlx::query(
        "SELECT data_plane, incarnation FROM slice
         WHERE org_uid = $1 AND key_uid = $2 AND granted - released - settled > 0",
    )
    .bind(org)
    .bind(key)
    .fetch_all(&mut **write)
    .await?;
    let mut holders = Vec::with_capacity(found.len());
    for row in found {
        let incarnation = rows::integer(&row, "incarnation")?.cast_unsigned();
        let holder = Holder { data_plane: rows::text(&row, "data_plane")?, incarnation };
        if holder != asked.holder {
            holders.push(holder);
        }
    }
    Ok(holders)
}
