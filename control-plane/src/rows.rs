//! The tables of the configuration (its head, its objects, its log, every price that ever was) and of who may change it:
//! operators, the audit chain, kept answers. SQL and nothing else; what rows mean is the callers' business.

mod head;
mod object;
mod span;
mod log;
mod price;
mod operator;
mod audit;
mod answer;
mod data_plane;

pub(crate) use answer::{AnswerRow, find_answer, forget_answer, forget_answers, insert_answer};
pub(crate) use audit::{
    AuditHead, AuditQuery, append_audit, audit_after, audit_before, audit_head, lock_audit,
};
pub(crate) use data_plane::{heard, heard_since, joined};
pub(crate) use head::{Minted, begin_generation, head, mint, raise_generation, take_uid};
pub(crate) use log::{append_log, logged_after};
pub(crate) use object::{Row, delete, find, first_keys_of, insert, is_taken, update};
pub(crate) use operator::{
    delete_operator, find_operator, insert_operator, operator_by_digest, operators_after,
    operators_of, update_operator,
};
pub(crate) use price::{append_prices, latest_prices};
pub(crate) use span::{Order, Place, SortBy, Span, span};

use crate::errors::Failure;
use hex::FromHexError;

/// Numbers of rows are BIGINT; ours fit unless somebody wrote them by hand.
pub(crate) fn to_database(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// And back.
pub(crate) fn from_database(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn bytes(table: &'static str, row: &str, text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).map_err(|wrong: FromHexError| unreadable(table, row, wrong))
}

fn unreadable(table: &'static str, row: &str, wrong: impl std::fmt::Display) -> Failure {
    Failure::Unreadable { table, row: row.to_owned(), reason: wrong.to_string() }
}
