//! What a change of an org or key means to its account: opened with it, its limits follow. Postings are billing's
//! business.

use super::step::Fate;
use crate::errors::{AdminError, Failure, Refusal};
use crate::read;
use crate::resource::Spec;
use crate::rows::Row;
use billing::accounts::{self, AccountError, Traces};
use domain::catalog::{Catalog, Object};
use domain::config::{Key, Kind};
use domain::id::{Account, OrgUid};
use domain::money::Nano;
use sqlx::AnyConnection;
use storage::Write;

/// Brings accounts in line with what becomes of objects. Accounts are locked ascending, as by everyone who moves money.
pub(super) async fn follow_all(
    write: &mut Write,
    fates: &[Fate],
    before: &Catalog,
    after: &Catalog,
) -> Result<(), AdminError> {
    let account_of = |fate: &Fate| match &fate.row().spec {
        Spec::Org(_) => Some((fate.row().uid, 0)),
        Spec::Key(key) => after.orgs.get(&key.org).map(|org| (org.uid.0, fate.row().uid)),
        _ => None,
    };
    let mut following: Vec<((i64, i64), &Fate)> =
        fates.iter().filter_map(|fate| Some((account_of(fate)?, fate))).collect();
    following.sort_by_key(|(account, _)| *account);
    for (_, fate) in following {
        match (fate, &fate.row().spec) {
            (Fate::Deleted(row), Spec::Org(_)) => expect_no_money(write, row).await?,
            (_, Spec::Org(_)) => follow_org(write, fate, before, after).await?,
            _ => follow_key(write, fate, before, after).await?,
        }
    }
    Ok(())
}

/// From here on nothing comes into the wallet of an org that is deleted, and what came in while the deletion was planned
/// is seen.
async fn expect_no_money(write: &mut Write, row: &Row) -> Result<(), AdminError> {
    match accounts::posted(write, Account::Wallet(OrgUid(row.uid))).await {
        Ok(_) | Err(AccountError::Unknown) => {}
        Err(error) => return Err(refused(Kind::Org, &row.name, error)),
    }
    match what_keeps(write, row.uid).await? {
        None => Ok(()),
        Some(reason) => {
            let (name, needed_by) = (row.name.clone(), vec![reason.to_owned()]);
            Err(Refusal::InUse { kind: Kind::Org, name, needed_by }.into())
        }
    }
}

/// Why an org's money keeps it from being deleted, as of now: it is asked again once nobody can move any.
pub(super) async fn what_keeps(
    connection: &mut AnyConnection,
    org: i64,
) -> Result<Option<&'static str>, Failure> {
    let traces = accounts::traces(connection, OrgUid(org)).await?;
    Ok(match traces {
        Some(Traces { money: true, .. }) => {
            Some("its wallet is not empty; disable the org instead")
        }
        Some(Traces { history: true, .. }) => {
            Some("the ledger has records of it; disable the org instead")
        }
        Some(_) | None => None,
    })
}

async fn follow_org(
    write: &mut Write,
    fate: &Fate,
    before: &Catalog,
    after: &Catalog,
) -> Result<(), AdminError> {
    let name = &fate.row().name;
    let (Some(org), Some(currency)) = (after.orgs.get(name), after.currency_of_org(name)) else {
        return Ok(());
    };
    let wallet = Account::Wallet(org.uid);
    let limit = org.credit_limit;
    let done = match before.orgs.get(name) {
        None => accounts::open(write, wallet, currency, Nano::ZERO, limit).await,
        Some(old) if old.credit_limit != limit => {
            accounts::set_credit_limit(write, wallet, limit).await
        }
        Some(_) => Ok(()),
    };
    done.map_err(|error| match error {
        AccountError::TooLow { least } => Refusal::field(
            Kind::Org,
            name,
            "credit_limit",
            format!("{least} {currency} is the least that covers what is spent and held"),
        )
        .into(),
        other => refused(Kind::Org, name, other),
    })
}

async fn follow_key(
    write: &mut Write,
    fate: &Fate,
    before: &Catalog,
    after: &Catalog,
) -> Result<(), AdminError> {
    let (old, new) = match fate {
        Fate::Created { after: row, .. } => (None, key_of(after, row)),
        Fate::Updated { before: old, after: new, .. } => (key_of(before, old), key_of(after, new)),
        // Slices of its budget may still be out; what they spent is settled against the account.
        Fate::Deleted(_) | Fate::Unchanged(_) => (None, None),
    };
    let Some(key) = new else { return Ok(()) };
    let Some(org) = after.orgs.get(&key.org) else { return Ok(()) };
    match (old.and_then(|old| old.budget), key.budget) {
        (Some(old), Some(new)) if old != new => change_budget(write, org.uid, &key, old, new).await,
        (None, Some(budget)) => open_budget(write, org.uid, &key, budget, after).await,
        _ => Ok(()),
    }
}

async fn change_budget(
    write: &mut Write,
    org: OrgUid,
    key: &Key,
    old: Nano,
    new: Nano,
) -> Result<(), AdminError> {
    let account = Account::Budget(org, key.uid);
    let delta = new.saturating_minus(old);
    accounts::set_budget(write, account, delta).await.map_err(|error| match error {
        AccountError::TooLow { least } => budget_too_low(key, old.saturating_plus(least)),
        other => refused(Kind::Key, &key.name, other),
    })
}

/// A budget counts from when it is set: one that a key had before and lost is forgotten.
async fn open_budget(
    write: &mut Write,
    org: OrgUid,
    key: &Key,
    budget: Nano,
    catalog: &Catalog,
) -> Result<(), AdminError> {
    let Some(currency) = catalog.currency_of_org(&key.org) else { return Ok(()) };
    let account = Account::Budget(org, key.uid);
    accounts::open(write, account, currency, budget, Nano::ZERO)
        .await
        .map_err(|error| refused(Kind::Key, &key.name, error))?;
    let left = accounts::posted(write, account)
        .await
        .map_err(|error| refused(Kind::Key, &key.name, error))?;
    if left == budget {
        return Ok(());
    }
    let delta = budget.saturating_minus(left);
    accounts::set_budget(write, account, delta).await.map_err(|error| match error {
        AccountError::TooLow { least } => budget_too_low(key, left.saturating_plus(least)),
        other => refused(Kind::Key, &key.name, other),
    })
}

fn key_of(catalog: &Catalog, row: &Row) -> Option<Key> {
    match read::object(catalog, row) {
        Ok(Object::Key(key)) => Some(key),
        _ => None,
    }
}

fn budget_too_low(key: &Key, least: Nano) -> AdminError {
    let reason = format!("{least} is the least that covers what is spent and held");
    Refusal::field(Kind::Key, &key.name, "budget", reason).into()
}

fn refused(kind: Kind, name: &str, error: AccountError) -> AdminError {
    match error {
        AccountError::Storage(error) => error.into(),
        told @ (AccountError::Unknown
        | AccountError::Currency(_)
        | AccountError::WalletNotEmpty
        | AccountError::TooLow { .. }
        | AccountError::OutOfRange) => {
            Refusal::Money { kind, name: name.to_owned(), reason: told.to_string() }.into()
        }
    }
}
