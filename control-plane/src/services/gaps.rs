//! Missing usage events, page by page.

use crate::admin::Admin;
use crate::authority::usage_gap;
use crate::errors::{AdminError, TokenFault};
use crate::listing::{Cursor, Tokens, page_size_within};
use billing::{GapName, GapQuery};
use domain::id::Partition;
use proto::admin::v1;

/// A page; the token of the next names the last gap.
pub(super) async fn list(
    admin: &Admin,
    request: &v1::ListUsageGapsRequest,
) -> Result<v1::ListUsageGapsResponse, AdminError> {
    let size = page_size_within(admin.authority.limits(), request.page_size)?;
    let which = if request.written_off { "all" } else { "awaited" };
    let tokens = Tokens::of(admin.generation(), &["usage gaps", which]);
    let after = match tokens.read(&request.page_token)? {
        Some(cursor) => Some(read_name(&cursor.name).ok_or(TokenFault::Garbled)?),
        None => None,
    };
    let query = GapQuery { written_off: request.written_off, after, limit: size.saturating_add(1) };
    let mut gaps = billing::usage_gaps(admin.authority.database(), &query).await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let is_last = gaps.len() <= size;
    gaps.truncate(size);
    let last = gaps.last().filter(|_| !is_last).map(|last| write_name(&last.name));
    let next_page_token =
        last.map(|name| tokens.write(Cursor { sort: 0, name })).unwrap_or_default();
    Ok(v1::ListUsageGapsResponse {
        gaps: gaps.into_iter().map(usage_gap).collect(),
        next_page_token,
    })
}

/// The data plane's name last: it may hold anything.
fn write_name(gap: &GapName) -> String {
    let GapName { data_plane, incarnation, partition, from_seq, to_seq } = gap;
    format!("{incarnation} {} {from_seq} {to_seq} {data_plane}", partition.0)
}

fn read_name(text: &str) -> Option<GapName> {
    let mut parts = text.splitn(5, ' ');
    let incarnation = parts.next()?.parse().ok()?;
    let partition = Partition(parts.next()?.parse().ok()?);
    let (from_seq, to_seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(GapName { data_plane: parts.next()?.to_owned(), incarnation, partition, from_seq, to_seq })
}
