//! Grants: many wants, one transaction, accounts first.

use super::learned::{believe, tell_raised};
use crate::accounts::{self, LockedAccount};
use crate::slices::{self, Holder};
use crate::{lives, rows};
use domain::escrow::office::{self, Told, Verdict};
use domain::escrow::wallet::Ask;
use domain::id::Account;
use domain::money::Nano;
use links::escrow::Want;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
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
        holders: Vec<OtherHolder>,
        /// The data plane has been granted more than it knows of yet.
        is_underway: bool,
    },
    /// There is no such account.
    Unknown,
}

/// Somebody else who holds money of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OtherHolder {
    pub(super) holder: Holder,
    /// Connected to any control plane, as far as its row says.
    pub(super) is_live: bool,
}

/// Who is there to share what is free, and to give back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) data_planes: u32,
    /// Heard of within this time, one is live.
    pub(super) live_within: Duration,
}

/// Serves wants in their order, out of accounts that are locked ascending.
pub(super) async fn serve(
    database: &Database,
    asked: &[Asked],
    crowd: Crowd,
) -> Result<Vec<Answer>, StorageError> {
    let mut till = Till::open(database.write().await?, asked).await?;
    let mut answers = Vec::with_capacity(asked.len());
    for asked in asked {
        answers.push(till.answer(asked, crowd).await?);
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
    accounts: BTreeMap<(i64, i64), LockedAccount>,
    is_changed: bool,
}

impl Till {
    async fn open(mut write: Write, asked: &[Asked]) -> Result<Self, StorageError> {
        let accounts: BTreeSet<(i64, i64)> =
            asked.iter().map(|asked| asked.want.account.uids()).collect();
        let mut locked = BTreeMap::new();
        for (org, key) in accounts {
            if let Some(row) = accounts::lock(&mut write, Account::from_uids(org, key)).await? {
                locked.insert((org, key), row);
            }
        }
        Ok(Self { write, accounts: locked, is_changed: false })
    }

    async fn answer(&mut self, asked: &Asked, crowd: Crowd) -> Result<Answer, StorageError> {
        let Asked { holder, want } = asked;
        let account = want.account;
        let Some(row) = self.accounts.get_mut(&account.uids()) else {
            return Ok(Answer::Unknown);
        };
        let mut slice = slices::read(&mut self.write, holder, account).await?;
        let told = Told { granted_seen: want.granted_seen, released: Nano::ZERO };
        let seen = believe(holder, account, slice, told, row.ever()).granted_seen;
        let (wallet, before) = (&mut row.wallet, slice);
        let held = wallet.held;
        let ask = Ask { need: want.need, want: want.want };
        let answer = office::answer(wallet, &mut slice, ask, seen, crowd.data_planes);
        let free = wallet.free();
        tell_raised(holder, account, before, seen, answer.raised);
        if slice != before {
            let more = wallet.held.saturating_minus(held);
            accounts::hold(&mut self.write, account, more).await?;
            slices::save(&mut self.write, holder, account, slice).await?;
            self.is_changed = true;
        }
        match answer.verdict {
            Verdict::Granted { total } => Ok(Answer::Granted { granted_total: total, free }),
            Verdict::Short { is_underway } => {
                let holders = other_holders(&mut self.write, asked, crowd).await?;
                Ok(Answer::Short { free, holders, is_underway })
            }
        }
    }
}

async fn other_holders(
    write: &mut Write,
    asked: &Asked,
    crowd: Crowd,
) -> Result<Vec<OtherHolder>, StorageError> {
    let (org, key) = asked.want.account.uids();
    let found = sqlx::query(
        "SELECT slice.data_plane AS data_plane, slice.incarnation AS incarnation,
             CAST(COALESCE(life.heard_us, 0) AS BIGINT) AS heard_us
         FROM slice LEFT JOIN life ON life.data_plane = slice.data_plane
             AND life.incarnation = slice.incarnation AND life.state = 'active'
         WHERE slice.org_uid = $1 AND slice.key_uid = $2
         AND slice.granted - slice.released - slice.settled - slice.unbacked > 0",
    )
    .bind(org)
    .bind(key)
    .fetch_all(&mut **write)
    .await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let live_within = i64::try_from(crowd.live_within.as_micros()).unwrap_or(i64::MAX);
    let since = write.now_us().await?.saturating_sub(live_within);
    let mut holders = Vec::with_capacity(found.len());
    for row in found {
        let (holder, is_live) = (lives::holder(&row)?, rows::integer(&row, "heard_us")? > since);
        if holder != asked.holder {
            holders.push(OtherHolder { holder, is_live });
        }
    }
    Ok(holders)
}
