//! `order_by`: the orders in which lists can be had.

use crate::errors::Refusal;
use crate::rows::{Order, SortBy};

/// Reads `name`, `create_time` or `update_time`, each perhaps with ` desc`; empty text means by name.
pub(super) fn parse(order_by: &str) -> Result<Order, Refusal> {
    let words: Vec<&str> = order_by.split_whitespace().collect();
    let (field, descending) = match words.as_slice() {
        [] => ("name", false),
        [field] | [field, "asc"] => (*field, false),
        [field, "desc"] => (*field, true),
        _ => return Err(refused(order_by)),
    };
    let by = match field {
        "name" => SortBy::Name,
        "create_time" => SortBy::Created,
        "update_time" => SortBy::Updated,
        _ => return Err(refused(order_by)),
    };
    Ok(Order { by, descending })
}

fn refused(order_by: &str) -> Refusal {
    Refusal::Argument {
        field: "order_by",
        reason: format!(
            "{order_by:?} is no order: use one of name, create_time, update_time, perhaps followed by \" desc\""
        ),
    }
}
