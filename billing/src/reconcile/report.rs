//! What was found, and how rows are called in it.

use super::Difference;
use crate::rows;
use domain::id::Account;
use std::collections::HashMap;
use storage::{Read, StorageError};

/// Differences that are listed; more of them say no more.
const LISTED_MAX: usize = 10_000;

/// Collects differences.
#[derive(Debug, Default)]
pub(super) struct Report {
    differences: Vec<Difference>,
    is_cut: bool,
}

impl Report {
    /// Notes a difference, if it is one.
    pub(super) fn compare<T: PartialEq + ToString>(
        &mut self,
        row: impl FnOnce() -> String,
        field: &str,
        expected: T,
        found: T,
    ) {
        if expected != found {
            self.differ(row(), field, expected.to_string(), found.to_string());
        }
    }

    /// Notes a difference.
    pub(super) fn differ(&mut self, row: String, field: &str, expected: String, found: String) {
        if self.differences.len() >= LISTED_MAX {
            self.is_cut = true;
            return;
        }
        self.differences.push(Difference { row, field: field.to_owned(), expected, found });
    }

    pub(super) fn into_differences(mut self) -> Vec<Difference> {
        if self.is_cut {
            self.differences.push(Difference {
                row: "reconciliation".to_owned(),
                field: "differences".to_owned(),
                expected: format!("at most {LISTED_MAX}"),
                found: "more, which are not listed".to_owned(),
            });
        }
        self.differences
    }
}

/// Names of orgs and keys by uid.
#[derive(Debug)]
pub(super) struct Names(HashMap<i64, String>);

impl Names {
    pub(super) async fn read(read: &mut Read) -> Result<Self, StorageError> {
        let found =
            sqlx::query("SELECT uid, name FROM config_object").fetch_all(&mut **read).await?;
        let mut names = HashMap::with_capacity(found.len());
        for row in found {
            names.insert(rows::integer(&row, "uid")?, rows::text(&row, "name")?);
        }
        Ok(Self(names))
    }

    /// What an account is called: by names, or by numbers when the org or key was deleted.
    pub(super) fn account(&self, account: Account) -> String {
        let name = |uid: i64| self.0.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}"));
        match account {
            Account::Wallet(org) => format!("wallet {}", name(org.0)),
            Account::Budget(_, key) => format!("budget {}", name(key.0)),
        }
    }
}
