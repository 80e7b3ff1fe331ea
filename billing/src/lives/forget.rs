//! That a data plane can never dispatch again: the word of an operator. What it holds is given up once all that it sent is
//! counted, which the desk's sweep looks after.

use super::Life;
use crate::rows;
use crate::slices::Holder;
use domain::escrow::life::{LifeState, Patience, Silence};
use domain::money::{Money, Nano};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use storage::{StorageError, Write};
use thiserror::Error;

/// Which lives, and why.
#[derive(Clone, Debug)]
pub struct ForgetOrder {
    /// The data plane.
    pub data_plane: String,
    /// One life of it; none: all that are silent.
    pub incarnation: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A life that is forgotten, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Which.
    pub incarnation: u64,
    /// How far that has come.
    pub state: LifeState,
    /// When it was last heard of.
    pub heard: Timestamp,
    /// What it holds of wallets, in each currency.
    pub held: Vec<Money>,
    /// What it held when it was given up: the most that the company bears.
    pub given_up: Vec<Money>,
    /// Events of it that are known to be missing.
    pub missing_events: u64,
    /// Events of it that came and could not be applied.
    pub kept_events: u64,
}

/// Why nothing is forgotten.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// Nobody of that name, or with that incarnation, was ever here.
    #[error("no such data plane was ever here")]
    Unknown,
    /// It was heard of just now.
    #[error(
        "it was heard of {} s ago: stop it, and wait until it has been silent for {} s",
        heard_before.as_secs(), live_within.as_secs()
    )]
    Alive {
        /// How long ago.
        heard_before: std::time::Duration,
        /// How long that must be.
        live_within: std::time::Duration,
    },
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<sqlx::Error> for ForgetError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Takes an operator's word. Durable with the caller's transaction, which records who gave it. Returns the lives that it is
/// about, and whether anything was changed: said twice, it is taken once.
///
/// # Errors
/// When it is not taken.
pub async fn forget(
    write: &mut Write,
    order: &ForgetOrder,
    patience: &Patience,
) -> Result<(Vec<Forgotten>, bool), ForgetError> {
    let now = Timestamp(u64::try_from(write.now_us().await?).unwrap_or(0));
    let mut lives = lock(write, order).await?;
    let heard = lives.iter().map(|life| life.heard).max().ok_or(ForgetError::Unknown)?;
    lives.retain(|life| !is_alive(life, patience, now));
    if lives.is_empty() {
        let heard_before = std::time::Duration::from_micros(now.0.saturating_sub(heard.0));
        return Err(ForgetError::Alive { heard_before, live_within: patience.live_within });
    }
    let mut forgotten = Vec::with_capacity(lives.len());
    let mut is_changed = false;
    for life in lives {
        let mut told = tell(write, &life).await?;
        let is_new = match life.state {
            LifeState::Active | LifeState::Final => true,
            LifeState::Forgetting => false,
            // It went on with those who had not heard of it.
            LifeState::GivenUp => !told.held.is_empty(),
        };
        if is_new {
            mark(write, &life.holder, order, now).await?;
            told.state = LifeState::Forgetting;
        }
        is_changed |= is_new;
        forgotten.push(told);
    }
    Ok((forgotten, is_changed))
}

/// One that said that it is through is gone, however lately.
fn is_alive(life: &Life, patience: &Patience, now: Timestamp) -> bool {
    life.state == LifeState::Active && patience.judge(life.heard, now) == Silence::Live
}

async fn lock(write: &mut Write, order: &ForgetOrder) -> Result<Vec<Life>, StorageError> {
    let found = sqlx::query(
        "UPDATE life SET heard_us = heard_us WHERE data_plane = $1
             AND ($2 = 0 OR incarnation = $3)
         RETURNING data_plane, incarnation, state, heard_us, ordered_us",
    )
    .bind(order.data_plane.as_str())
    .bind(i64::from(order.incarnation.is_some()))
    .bind(order.incarnation.unwrap_or(0).cast_signed())
    .fetch_all(&mut **write)
    .await?;
    let mut lives = found.iter().map(Life::of).collect::<Result<Vec<Life>, _>>()?;
    lives.sort_by_key(|life| life.holder.incarnation);
    Ok(lives)
}

async fn mark(
    write: &mut Write,
    holder: &Holder,
    order: &ForgetOrder,
    now: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE life SET state = 'forgetting', ordered_us = $3, reason = $4
         WHERE data_plane = $1 AND incarnation = $2",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .bind(rows::stored(now.0))
    .bind(order.reason.as_str())
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn tell(write: &mut Write, life: &Life) -> Result<Forgotten, StorageError> {
    let held = money(
        write,
        &life.holder,
        "SELECT account.currency AS currency,
             CAST(SUM(slice.granted - slice.released - slice.settled - slice.unbacked) AS BIGINT)
                 AS amount
         FROM slice JOIN account ON account.org_uid = slice.org_uid AND account.key_uid = slice.key_uid
         WHERE slice.data_plane = $1 AND slice.incarnation = $2 AND slice.key_uid = 0
         GROUP BY account.currency ORDER BY account.currency",
    )
    .await?;
    let given_up = money(
        write,
        &life.holder,
        "SELECT account.currency AS currency, CAST(SUM(given_up.amount) AS BIGINT) AS amount
         FROM given_up JOIN account ON account.org_uid = given_up.org_uid
             AND account.key_uid = given_up.key_uid
         WHERE given_up.data_plane = $1 AND given_up.incarnation = $2 AND given_up.key_uid = 0
         GROUP BY account.currency ORDER BY account.currency",
    )
    .await?;
    let missing_events = number(
        write,
        &life.holder,
        "SELECT CAST(COALESCE(SUM(to_seq - from_seq + 1), 0) AS BIGINT) AS events FROM usage_gap
         WHERE data_plane = $1 AND incarnation = $2",
    )
    .await?;
    let kept_events = number(
        write,
        &life.holder,
        "SELECT CAST(COUNT(*) AS BIGINT) AS events FROM usage_poison
         WHERE data_plane = $1 AND incarnation = $2",
    )
    .await?;
    Ok(Forgotten {
        incarnation: life.holder.incarnation,
        state: life.state,
        heard: life.heard,
        held,
        given_up,
        missing_events,
        kept_events,
    })
}

async fn money(
    write: &mut Write,
    holder: &Holder,
    statement: &'static str,
) -> Result<Vec<Money>, StorageError> {
    let found = sqlx::query(statement)
        .bind(holder.data_plane.as_str())
        .bind(holder.incarnation_column())
        .fetch_all(&mut **write)
        .await?;
    let read = |row: &AnyRow| {
        let (amount, currency) = (rows::nano(row, "amount")?, rows::currency(row, "currency")?);
        Ok(Money { amount, currency })
    };
    let mut amounts = found.iter().map(read).collect::<Result<Vec<Money>, StorageError>>()?;
    amounts.retain(|money| money.amount > Nano::ZERO);
    Ok(amounts)
}

async fn number(
    write: &mut Write,
    holder: &Holder,
    statement: &'static str,
) -> Result<u64, StorageError> {
    let found = sqlx::query(statement)
        .bind(holder.data_plane.as_str())
        .bind(holder.incarnation_column())
        .fetch_one(&mut **write)
        .await?;
    rows::count(&found, "events")
}
