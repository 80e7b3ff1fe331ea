//! Grants: many wants, one transaction, accounts first.

use super::learned::tell_raised;
use crate::slices::{self, Holder};
use crate::{accounts, rows};
use domain::escrow::office::{self, Verdict};
use domain::escrow::wallet::{Ask, Wallet};
use domain::id::Account;
use domain::money::Nano;
use links::escrow::Want;
use std::collections::{BTreeMap, BTreeSet};
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
    let mut till = Till::open(database.write().await?, asked).await?;
    let mut answers = Vec::with_capacity(asked.len());
    for asked in asked {
        answers.push(till.answer(asked, data_planes).await?);
    }
    // What nothing came of need not be made durable; it was true all the same.
    if till.is_changed {
        till.write.commit().await?;
    } else {
        till.write.rollback().await?;
    }
    Ok(answers)
}

/// Accounts that are locked, and a transaction on them.
struct Till {
    write: Write,
    wallets: BTreeMap<(i64, i64), Wallet>,
    is_changed: bool,
}

impl Till {
    async fn open(mut write: Write, asked: &[Asked]) -> Result<Self, StorageError> {
        let accounts: BTreeSet<(i64, i64)> =
            asked.iter().map(|asked| asked.want.account.uids()).collect();
        let mut wallets = BTreeMap::new();
        for (org, key) in accounts {
            if let Some(row) = accounts::lock(&mut write, Account::from_uids(org, key)).await? {
                wallets.insert((org, key), row.wallet);
            }
        }
        Ok(Self { write, wallets, is_changed: false })
    }

    async fn answer(&mut self, asked: &Asked, data_planes: u32) -> Result<Answer, StorageError> {
        let Asked { holder, want } = asked;
        let account = want.account;
        let Some(wallet) = self.wallets.get_mut(&account.uids()) else {
            return Ok(Answer::Unknown);
        };
        let mut slice = slices::read(&mut self.write, holder, account).await?;
        let (held, before) = (wallet.held, slice);
        let ask = Ask { need: want.need, want: want.want };
        let answer = office::answer(wallet, &mut slice, ask, want.granted_seen, data_planes);
        let free = wallet.free();
        tell_raised(holder, account, before, want.granted_seen, answer.raised);
        if slice != before {
            let more = wallet.held.saturating_minus(held);
            accounts::hold(&mut self.write, account, more).await?;
            slices::save(&mut self.write, holder, account, slice).await?;
            self.is_changed = true;
        }
        match answer.verdict {
            Verdict::Granted { total } => Ok(Answer::Granted { granted_total: total, free }),
            Verdict::Short { is_underway } => {
                let holders = other_holders(&mut self.write, asked).await?;
                Ok(Answer::Short { free, holders, is_underway })
            }
        }
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
