//! What a wallet holds.

use crate::rows;
use domain::escrow::wallet::Wallet;
use domain::id::OrgUid;
use domain::money::{Currency, Nano};
use sqlx::AnyConnection;
use storage::StorageError;

/// A wallet as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Of all three.
    pub currency: Currency,
    /// Credits less charges.
    pub posted: Nano,
    /// Held by data planes.
    pub held: Nano,
    /// What can still be held, the credit limit included.
    pub free: Nano,
}

/// The balance of an org's wallet, if it has one.
///
/// # Errors
/// When the database cannot be read.
pub async fn balance(
    connection: &mut AnyConnection,
    org: OrgUid,
) -> Result<Option<Balance>, StorageError> {
    let row = sqlx::query(
        "SELECT currency, posted, held, credit_limit FROM account
         WHERE org_uid = $1 AND key_uid = 0",
    )
    .bind(org.0)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let wallet = Wallet {
        posted: rows::nano(&row, "posted")?,
        held: rows::nano(&row, "held")?,
        credit_limit: rows::nano(&row, "credit_limit")?,
    };
    Ok(Some(Balance {
        currency: rows::currency(&row, "currency")?,
        posted: wallet.posted,
        held: wallet.held,
        free: wallet.free(),
    }))
}
