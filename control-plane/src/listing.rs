//! Pages of lists: which objects, in which order, how many, and where the next page begins.
//!
//! A page is cut from rows in an order that no change of other rows disturbs, so a token stays good while objects come
//! and go. How a filter is written and what a token holds are the files below.

mod filter;
mod order;
mod token;

pub(crate) use filter::Filter;
pub(crate) use token::{Cursor, Tokens};

use crate::descriptors::Descriptors;
use crate::errors::{AdminError, Failure, Refusal};
use crate::operator::{Scope, Sight};
use crate::resource::Spec;
use crate::rows::{self, Order, Place, Row, Span};
use crate::settings::AdminLimits;
use domain::config::Kind;
use domain::id::OrgUid;
use std::ops::Range;
use storage::{Database, Read};

/// Rows that are read at once while looking for those that a filter lets through.
const CHUNK: u32 = 500;

/// What every list is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    /// Objects at most; 0 for the default.
    pub(crate) page_size: i32,
    /// Of the page before; empty: begin.
    pub(crate) page_token: String,
    /// Which objects; empty: all.
    pub(crate) filter: String,
    /// In which order; empty: by name.
    pub(crate) order_by: String,
}

/// One page.
pub(crate) struct Page<T> {
    /// Some objects.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; empty: this is the last.
    pub(crate) next_page_token: String,
}

/// Who lists what.
pub(crate) struct Listing<'a> {
    pub(crate) db: &'a Database,
    pub(crate) limits: &'a AdminLimits,
    pub(crate) descriptors: &'a Descriptors,
    pub(crate) generation: u64,
    pub(crate) scope: &'a Scope,
}

impl Listing<'_> {
    /// One page of a kind.
    pub(crate) async fn page(
        &self,
        kind: Kind,
        query: &ListQuery,
    ) -> Result<Page<Row>, AdminError> {
        let size = page_size_within(self.limits, query.page_size)?;
        let filter = Filter::parse(&query.filter, self.limits)?;
        filter.check_spec(&self.descriptors.of(kind)?)?;
        let order = order::parse(&query.order_by)?;
        let tokens = Tokens::of(self.generation, &[kind.name(), &query.filter, &query.order_by]);
        let after = tokens.read(&query.page_token)?.map(Place::from);
        let names = own_names(kind, self.scope, filter.names(kind));
        let span = Span { kind, order, after, names };
        let mut read = self.db.read().await?;
        let found = self.collect(&mut read, span, &filter, size).await?;
        read.finish().await?;
        let next_page_token =
            found.goes_on_after.map(|place| tokens.write(place.into())).unwrap_or_default();
        Ok(Page { items: found.rows, next_page_token })
    }

    /// Rows up to the size of a page, or to the number that one call may look at.
    async fn collect(
        &self,
        read: &mut Read,
        mut span: Span,
        filter: &Filter,
        size: u32,
    ) -> Result<Found, AdminError> {
        let mut basket = Basket::new(size, self.limits);
        let mut sight = Sight::of(self.scope);
        // A token tells its place, so it never tells of a row that is not to be seen.
        let mut told = span.after.clone();
        let chunk = if filter.is_empty() { size.saturating_add(1) } else { CHUNK };
        loop {
            let rows = rows::span(read, &span, chunk).await?;
            let is_end = rows.len() < usize::try_from(chunk).unwrap_or(usize::MAX);
            for row in rows {
                let place = row.place(span.order);
                if !sight.sees(read, &row).await? {
                    span.pass_over(&row, place);
                    continue;
                }
                let fits = filter.is_empty() || self.lets_through(filter, &row)?;
                match basket.offer(row, fits) {
                    Offered::Looked => told = Some(place.clone()),
                    Offered::Full => return Ok(basket.end(told)),
                }
                span.after = Some(place);
            }
            if is_end {
                return Ok(basket.end(None));
            }
        }
    }

    fn lets_through(&self, filter: &Filter, row: &Row) -> Result<bool, AdminError> {
        Ok(filter.matches_name(&row.name)
            && filter.matches_spec(&self.descriptors.open(&row.spec)?))
    }
}

impl Span {
    /// Goes on after a row that is not to be seen. Keys are named after their orgs, so by name all those of a foreign org
    /// are left behind at once: none of them comes after `org0`, and no other key before it.
    fn pass_over(&mut self, row: &Row, place: Place) {
        let is_forward = self.order == Order::BY_NAME;
        let name = match &row.spec {
            Spec::Key(key) if is_forward => place.name.max(format!("{}0", key.org)),
            _ => place.name,
        };
        let before = self.after.take().filter(|after| is_forward && after.name > name);
        self.after = before.or(Some(Place { name, ..place }));
    }
}

/// An org's operator has keys under the org's name alone.
fn own_names(kind: Kind, scope: &Scope, names: Range<String>) -> Range<String> {
    match scope {
        Scope::Org(org) if kind == Kind::Key => {
            let (start, end) = (format!("{org}/"), format!("{org}0"));
            names.start.max(start)..names.end.min(end)
        }
        _ => names,
    }
}

/// All orgs that the scope's operator may see.
pub(crate) async fn orgs_of(db: &Database, scope: &Scope) -> Result<Vec<OrgUid>, Failure> {
    let mut read = db.read().await?;
    let mut sight = Sight::of(scope);
    let mut span = Span::all(Kind::Org);
    let mut orgs = Vec::new();
    loop {
        let rows = rows::span(&mut read, &span, CHUNK).await?;
        let Some(last) = rows.last() else { break };
        span.after = Some(last.place(span.order));
        for row in &rows {
            if sight.sees(&mut read, row).await? {
                orgs.push(OrgUid(row.uid));
            }
        }
    }
    read.finish().await?;
    Ok(orgs)
}

struct Found {
    rows: Vec<Row>,
    goes_on_after: Option<Place>,
}

/// What a page has room for.
struct Basket {
    rows: Vec<Row>,
    size: usize,
    bytes_left: usize,
    looks_left: u32,
}

enum Offered {
    Looked,
    Full,
}

impl Basket {
    fn new(size: u32, limits: &AdminLimits) -> Self {
        Self {
            rows: Vec::new(),
            size: usize::try_from(size).unwrap_or(usize::MAX),
            bytes_left: limits.page_bytes_max,
            looks_left: limits.filter_rows_max,
        }
    }

    /// Takes a row that fits; one at least, else a large one could never be listed.
    fn offer(&mut self, row: Row, fits: bool) -> Offered {
        let Some(looks_left) = self.looks_left.checked_sub(u32::from(!fits)) else {
            return Offered::Full;
        };
        self.looks_left = looks_left;
        if !fits {
            return Offered::Looked;
        }
        let bytes = row.spec.encode().len();
        let has_room = self.rows.len() < self.size && bytes <= self.bytes_left;
        if !has_room && !self.rows.is_empty() {
            return Offered::Full;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.rows.push(row);
        Offered::Looked
    }

    fn end(self, goes_on_after: Option<Place>) -> Found {
        Found { rows: self.rows, goes_on_after }
    }
}

/// A page of what is at hand in order of name.
pub(crate) fn page_of<T>(
    items: Vec<(String, T)>,
    limits: &AdminLimits,
    tokens: &Tokens,
    query: &ListQuery,
) -> Result<Page<T>, Refusal> {
    let size = usize::try_from(page_size_within(limits, query.page_size)?).unwrap_or(usize::MAX);
    let filter = Filter::parse(&query.filter, limits)?;
    filter.check_fields(&["name"])?;
    let after = tokens.read(&query.page_token)?;
    let comes_later = |name: &String| after.as_ref().is_none_or(|after| *name > after.name);
    let mut left =
        items.into_iter().filter(|(name, _)| comes_later(name) && filter.matches_name(name));
    let page: Vec<(String, T)> = left.by_ref().take(size).collect();
    let last = page.last().map(|(name, _)| Cursor { sort: 0, name: name.clone() });
    let next_page_token = match (left.next(), last) {
        (Some(_), Some(last)) => tokens.write(last),
        _ => String::new(),
    };
    Ok(Page { items: page.into_iter().map(|(_, item)| item).collect(), next_page_token })
}

/// What a caller asks for, within what the server gives.
pub(crate) fn page_size_within(limits: &AdminLimits, page_size: i32) -> Result<u32, Refusal> {
    match u32::try_from(page_size) {
        Ok(0) => Ok(limits.page_size_default),
        Ok(size) => Ok(size.min(limits.page_size_max)),
        Err(_) => Err(Refusal::Argument {
            field: "page_size",
            reason: format!("{page_size} is negative; leave it out for the default"),
        }),
    }
}
