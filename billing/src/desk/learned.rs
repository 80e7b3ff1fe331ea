//! What data planes tell of their slices, learned: totals are merged by maximum, and what was released is free again.

use crate::slices::{self, Holder};
use crate::{accounts, metric, rows};
use domain::escrow::office::{self, Told};
use domain::escrow::row::{Raised, SliceRow};
use domain::escrow::wallet::Wallet;
use domain::id::Account;
use domain::money::Nano;
use links::escrow::{Grant, SliceReport};
use std::collections::HashMap;
use storage::{Database, StorageError, Write};

/// The totals of one holder's slices that the database has, or was told and could not take. They only grow, so a report
/// that says no more than this needs no transaction. To be forgotten whenever commits may have been lost.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Account, (Nano, Nano)>);

impl Known {
    fn note(&mut self, report: &SliceReport, slice: SliceRow) {
        let granted = slice.totals.granted.max(report.granted_seen);
        let released = slice.totals.released.max(report.released);
        self.0.insert(report.account, (granted, released));
    }

    fn is_news(&self, report: &SliceReport) -> bool {
        let (granted, released) = self.0.get(&report.account).copied().unwrap_or_default();
        report.granted_seen > granted || report.released > released
    }
}

/// Learns from reports, and returns the accounts in which money came free. Accounts are locked ascending.
pub(super) async fn learn(
    database: &Database,
    holder: &Holder,
    known: &mut Known,
    reports: &[SliceReport],
    chunk: usize,
) -> Result<Vec<Account>, StorageError> {
    let mut news: Vec<SliceReport> =
        reports.iter().filter(|report| known.is_news(report)).copied().collect();
    news.sort_by_key(|report| report.account.uids());
    let mut freed = Vec::new();
    for reports in news.chunks(chunk.max(1)) {
        let learned = database.in_time(learn_some(database, holder, reports)).await?;
        for (report, slice, was_freed) in learned {
            known.note(&report, slice);
            freed.extend(was_freed.then_some(report.account));
        }
    }
    Ok(freed)
}

async fn learn_some(
    database: &Database,
    holder: &Holder,
    reports: &[SliceReport],
) -> Result<Vec<(SliceReport, SliceRow, bool)>, StorageError> {
    let mut write = database.write().await?;
    let mut learned = Vec::with_capacity(reports.len());
    for report in reports {
        learned.extend(learn_one(&mut write, holder, report).await?);
    }
    write.commit().await?;
    Ok(learned)
}

async fn learn_one(
    write: &mut Write,
    holder: &Holder,
    report: &SliceReport,
) -> Result<Option<(SliceReport, SliceRow, bool)>, StorageError> {
    let account = report.account;
    let Some(row) = accounts::lock(write, account).await? else {
        tracing::error!(?account, data_plane = holder.data_plane, "a slice of no known account");
        return Ok(None);
    };
    let mut slice = slices::read(write, holder, account).await?;
    let (mut wallet, before) = (row.wallet, slice);
    let told = Told { granted_seen: report.granted_seen, released: report.released };
    let told = believe(holder, account, slice, told, row.ever());
    let learned = office::learn(&mut wallet, &mut slice, told);
    tell_raised(holder, account, before, told.granted_seen, learned.raised);
    if slice != before {
        accounts::hold(write, account, wallet.held.saturating_minus(row.wallet.held)).await?;
        slices::save(write, holder, account, slice).await?;
    }
    Ok(Some((*report, slice, learned.freed.is_positive())))
}

/// What of totals can be; what cannot is told to operators.
pub(super) fn believe(
    holder: &Holder,
    account: Account,
    slice: SliceRow,
    told: Told,
    ever: Nano,
) -> Told {
    let believed = office::believe(&slice, told, ever);
    if believed != told {
        tracing::error!(
            ?account,
            data_plane = holder.data_plane,
            incarnation = holder.incarnation,
            granted_nano = slice.totals.granted.get(),
            granted_seen_nano = told.granted_seen.get(),
            ever_nano = ever.get(),
            "a data plane tells of more than its account ever had; it is not believed"
        );
        metric::claim_refused();
    }
    believed
}

/// A commit that was lost is told to operators.
pub(super) fn tell_raised(
    holder: &Holder,
    account: Account,
    before: SliceRow,
    granted_seen: Nano,
    raised: Raised,
) {
    if !raised.is_news() {
        return;
    }
    tracing::error!(
        ?account,
        data_plane = holder.data_plane,
        incarnation = holder.incarnation,
        granted_nano = before.totals.granted.get(),
        granted_seen_nano = granted_seen.get(),
        unbacked_nano = raised.unbacked.get(),
        "the commit of a grant was lost; what is not backed is the company's loss"
    );
    metric::unbacked(raised.unbacked.get());
}

/// The control plane's side of all slices of a holder.
pub(super) async fn welcome(
    database: &Database,
    holder: &Holder,
    known: &mut Known,
) -> Result<Vec<Grant>, StorageError> {
    let mut read = database.read().await?;
    let found = sqlx::query(
        "SELECT slice.org_uid AS org_uid, slice.key_uid AS key_uid, slice.granted AS granted,
             slice.released AS released, account.posted AS posted, account.held AS held,
             account.credit_limit AS credit_limit
         FROM slice
         JOIN account ON account.org_uid = slice.org_uid AND account.key_uid = slice.key_uid
         WHERE slice.data_plane = $1 AND slice.incarnation = $2",
    )
    .bind(holder.data_plane.as_str())
    .bind(holder.incarnation_column())
    .fetch_all(&mut *read)
    .await?;
    read.finish().await?;
    let mut grants = Vec::with_capacity(found.len());
    for row in found {
        let account = rows::account(&row)?;
        let granted_total = rows::nano(&row, "granted")?;
        known.0.insert(account, (granted_total, rows::nano(&row, "released")?));
        let wallet = Wallet {
            posted: rows::nano(&row, "posted")?,
            held: rows::nano(&row, "held")?,
            credit_limit: rows::nano(&row, "credit_limit")?,
        };
        grants.push(Grant { want_id: 0, account, granted_total, free: wallet.free() });
    }
    Ok(grants)
}
