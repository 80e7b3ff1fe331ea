//! Accounts: wallets against the ledger, budgets against what was charged to them, both against their slices and against
//! what is configured.

use super::report::{Names, Report};
use crate::ledger;
use crate::rows;
use domain::id::Account;
use domain::money::Money;
use prost::Message;
use proto::admin::v1::{KeySpec, OrgSpec};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use storage::{Read, StorageError};

/// What comes in and goes out of one account.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    credits: i128,
    debits: i128,
}

/// By the name and the currency of a ledger account.
type ByLedgerAccount<T> = BTreeMap<(String, String), T>;

/// Compares every account with all that says what it should be.
pub(super) async fn check(read: &mut Read, report: &mut Report) -> Result<(), StorageError> {
    let names = Names::read(read).await?;
    let mut flows = flows(read).await?;
    let charged = charged_to_budgets(read).await?;
    let held = held_by_slices(read).await?;
    let configured = configured(read).await?;
    let found = sqlx::query(
        "SELECT org_uid, key_uid, currency, credited, posted, held, credit_limit FROM account
         ORDER BY org_uid, key_uid",
    )
    .fetch_all(&mut **read)
    .await?;
    for row in found {
        let account = rows::account(&row)?;
        let name = names.account(account);
        let flow = match account {
            Account::Wallet(org) => {
                let wallet = (ledger::wallet(org), rows::text(&row, "currency")?);
                flows.remove(&wallet).unwrap_or_default()
            }
            Account::Budget(..) => Flow {
                credits: i128::from(rows::integer(&row, "credited")?),
                debits: charged.get(&account).copied().unwrap_or(0),
            },
        };
        compare(&row, &name, flow, held.get(&account).copied().unwrap_or(0), report)?;
        compare_configured(&row, &name, configured.get(&account).copied(), report)?;
    }
    for ((account, currency), flow) in flows {
        let balance = flow.credits.saturating_sub(flow.debits);
        report.differ(account, "posted", format!("{balance} {currency}"), "no account".to_owned());
    }
    Ok(())
}

fn compare(
    row: &AnyRow,
    name: &str,
    flow: Flow,
    held: i128,
    report: &mut Report,
) -> Result<(), StorageError> {
    let found = |column| Ok::<_, StorageError>(i128::from(rows::integer(row, column)?));
    let posted = flow.credits.saturating_sub(flow.debits);
    report.compare(|| name.to_owned(), "credited", flow.credits, found("credited")?);
    report.compare(|| name.to_owned(), "posted", posted, found("posted")?);
    report.compare(|| name.to_owned(), "held", held, found("held")?);
    let free =
        found("posted")?.saturating_add(found("credit_limit")?).saturating_sub(found("held")?);
    if free < 0 {
        report.differ(name.to_owned(), "free", "nothing or more".to_owned(), free.to_string());
    }
    Ok(())
}

/// What a wallet's org or a budget's key says of it now.
#[derive(Clone, Copy, Debug)]
enum Configured {
    CreditLimit(i64),
    Budget(i64),
}

fn compare_configured(
    row: &AnyRow,
    name: &str,
    configured: Option<Configured>,
    report: &mut Report,
) -> Result<(), StorageError> {
    let limit = rows::integer(row, "credit_limit")?;
    let credited = rows::integer(row, "credited")?;
    match configured {
        Some(Configured::CreditLimit(expected)) => {
            report.compare(|| name.to_owned(), "credit_limit", expected, limit);
        }
        Some(Configured::Budget(budget)) => {
            report.compare(|| name.to_owned(), "credit_limit", 0, limit);
            // A budget that was taken away and given again counts anew, on top of what it was before.
            if credited < budget {
                let expected = format!("{budget} or more");
                report.differ(name.to_owned(), "credited", expected, credited.to_string());
            }
        }
        None if row_is_budget(row)? => report.compare(|| name.to_owned(), "credit_limit", 0, limit),
        None => {}
    }
    Ok(())
}

fn row_is_budget(row: &AnyRow) -> Result<bool, StorageError> {
    Ok(rows::account(row)?.key().is_some())
}

/// What flows through every wallet of the ledger.
async fn flows(read: &mut Read) -> Result<ByLedgerAccount<Flow>, StorageError> {
    let credits = wallet_sums(
        read,
        "SELECT credit AS account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM posting
         GROUP BY credit, currency",
    )
    .await?;
    let debits = wallet_sums(
        read,
        "SELECT debit AS account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM posting
         GROUP BY debit, currency",
    )
    .await?;
    let mut flows = ByLedgerAccount::<Flow>::new();
    for (account, amount) in credits {
        flows.entry(account).or_default().credits = amount;
    }
    for (account, amount) in debits {
        flows.entry(account).or_default().debits = amount;
    }
    Ok(flows)
}

async fn wallet_sums(
    read: &mut Read,
    statement: &'static str,
) -> Result<ByLedgerAccount<i128>, StorageError> {
    let found = sqlx::query(statement).fetch_all(&mut **read).await?;
    let mut sums = ByLedgerAccount::new();
    for row in found {
        let account = rows::text(&row, "account")?;
        if account.starts_with(ledger::WALLET) {
            let amount = i128::from(rows::integer(&row, "amount")?);
            sums.insert((account, rows::text(&row, "currency")?), amount);
        }
    }
    Ok(sums)
}

async fn charged_to_budgets(read: &mut Read) -> Result<BTreeMap<Account, i128>, StorageError> {
    let found = sqlx::query(
        "SELECT org_uid, key_uid,
             CAST(SUM(charge_nano - budget_shortfall_nano) AS BIGINT) AS amount
         FROM (SELECT org_uid, key_uid, charge_nano, budget_shortfall_nano FROM usage_record
               WHERE budgeted = 1
               UNION ALL
               SELECT org_uid, key_uid, charge_nano, budget_shortfall_nano FROM usage_rollup
               WHERE budgeted = 1) AS charges
         GROUP BY org_uid, key_uid",
    )
    .fetch_all(&mut **read)
    .await?;
    sums(&found)
}

async fn held_by_slices(read: &mut Read) -> Result<BTreeMap<Account, i128>, StorageError> {
    let found = sqlx::query(
        "SELECT org_uid, key_uid,
             CAST(SUM(granted - released - settled - unbacked) AS BIGINT) AS amount
         FROM slice GROUP BY org_uid, key_uid",
    )
    .fetch_all(&mut **read)
    .await?;
    sums(&found)
}

fn sums(found: &[AnyRow]) -> Result<BTreeMap<Account, i128>, StorageError> {
    let sum = |row| Ok((rows::account(row)?, i128::from(rows::integer(row, "amount")?)));
    found.iter().map(sum).collect()
}

/// What configuration says of accounts. What cannot be read is the control plane's business.
async fn configured(read: &mut Read) -> Result<BTreeMap<Account, Configured>, StorageError> {
    let found = sqlx::query(
        "SELECT account.org_uid AS org_uid, account.key_uid AS key_uid, config_object.spec AS spec
         FROM account JOIN config_object ON config_object.uid =
             CASE WHEN account.key_uid = 0 THEN account.org_uid ELSE account.key_uid END",
    )
    .fetch_all(&mut **read)
    .await?;
    let mut configured = BTreeMap::new();
    for row in found {
        let account = rows::account(&row)?;
        let spec = hex::decode(rows::text(&row, "spec")?).unwrap_or_default();
        let value = match account {
            Account::Wallet(_) => OrgSpec::decode(spec.as_slice())
                .ok()
                .and_then(|spec| amount(&spec.credit_limit))
                .map(Configured::CreditLimit),
            Account::Budget(..) => KeySpec::decode(spec.as_slice())
                .ok()
                .and_then(|spec| amount(&spec.budget))
                .map(Configured::Budget),
        };
        configured.extend(value.map(|value| (account, value)));
    }
    Ok(configured)
}

/// Money as people wrote it; nothing when they wrote nothing.
fn amount(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    Money::parse(text).ok().map(|money| money.amount.get())
}
