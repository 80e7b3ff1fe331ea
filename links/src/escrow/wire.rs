//! The escrow messages on the wire. A message that cannot be read is an error, never a guess.

use super::{Denial, DenialReason, FromDataPlane, Grant, Hello, SliceReport, ToDataPlane, Want};
use domain::id::{Account, Partition};
use domain::money::Nano;
use domain::name::{BadDataPlane, check_data_plane};
use proto::escrow::v1::{self, sync_request, sync_response};
use proto::usage::v1::PartitionMark;
use std::time::Duration;
use thiserror::Error;

/// A message that is not what it claims to be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Unreadable {
    #[error("a message without content")]
    Empty,
    #[error("no hello as the first message")]
    NoHello,
    #[error("a second hello")]
    SecondHello,
    #[error("hello.data_plane: {0}")]
    Name(#[from] BadDataPlane),
    #[error("a message without its account")]
    NoAccount,
    #[error("{field} = {value}, which is out of range")]
    OutOfRange { field: &'static str, value: i64 },
    #[error("denial reason {0}, which this version does not know")]
    Reason(i32),
}

pub(super) fn hello_to_wire(hello: &Hello) -> v1::SyncRequest {
    request(sync_request::Message::Hello(v1::Hello {
        data_plane: hello.data_plane.clone(),
        incarnation: hello.incarnation,
        slices: hello.slices.iter().map(slice_to_wire).collect(),
    }))
}

pub(super) fn hello_from_wire(message: Option<v1::SyncRequest>) -> Result<Hello, Unreadable> {
    let message = message.and_then(|message| message.message);
    let Some(sync_request::Message::Hello(hello)) = message else {
        return Err(Unreadable::NoHello);
    };
    check_data_plane(&hello.data_plane)?;
    Ok(Hello {
        data_plane: hello.data_plane,
        incarnation: hello.incarnation,
        slices: slices_from_wire(hello.slices)?,
    })
}

pub(super) fn request_to_wire(message: &FromDataPlane) -> v1::SyncRequest {
    request(match message {
        FromDataPlane::Want(want) => sync_request::Message::Want(v1::Want {
            want_id: want.want_id,
            account: account_to_wire(want.account),
            need_nano: want.need.get(),
            want_nano: want.want.get(),
            granted_seen_nano: want.granted_seen.get(),
        }),
        FromDataPlane::Report(slices) => sync_request::Message::Report(v1::Report {
            slices: slices.iter().map(slice_to_wire).collect(),
        }),
        FromDataPlane::Final(slices) => sync_request::Message::FinalReport(v1::FinalReport {
            slices: slices.iter().map(slice_to_wire).collect(),
        }),
    })
}

pub(super) fn request_from_wire(message: v1::SyncRequest) -> Result<FromDataPlane, Unreadable> {
    match message.message.ok_or(Unreadable::Empty)? {
        sync_request::Message::Hello(_) => Err(Unreadable::SecondHello),
        sync_request::Message::Want(want) => Ok(FromDataPlane::Want(Want {
            want_id: want.want_id,
            account: account_from_wire(want.account)?,
            need: total("need_nano", want.need_nano)?,
            want: total("want_nano", want.want_nano)?,
            granted_seen: total("granted_seen_nano", want.granted_seen_nano)?,
        })),
        sync_request::Message::Report(report) => {
            slices_from_wire(report.slices).map(FromDataPlane::Report)
        }
        sync_request::Message::FinalReport(report) => {
            slices_from_wire(report.slices).map(FromDataPlane::Final)
        }
    }
}

/// What a control plane says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// To the data plane.
    Message(ToDataPlane),
    /// To its link alone: after that time, another control plane is to be asked.
    GoAway(Duration),
}

pub(super) fn goaway_to_wire(after: Duration, reason: &str) -> v1::SyncResponse {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let goaway = v1::GoAway { after_ms, reason: reason.to_owned() };
    v1::SyncResponse { message: Some(sync_response::Message::Goaway(goaway)) }
}

/// `None` for what does not travel.
pub(super) fn response_to_wire(message: &ToDataPlane) -> Option<v1::SyncResponse> {
    let message = match message {
        ToDataPlane::Welcome(slices) => sync_response::Message::Welcome(v1::Welcome {
            slices: slices.iter().map(grant_to_wire).collect(),
        }),
        ToDataPlane::Grant(grant) => sync_response::Message::Grant(grant_to_wire(grant)),
        ToDataPlane::Denial(denial) => sync_response::Message::Denial(v1::Denial {
            want_id: denial.want_id,
            account: account_to_wire(denial.account),
            reason: reason_to_wire(denial.reason).into(),
            free_nano: denial.free.get(),
        }),
        ToDataPlane::Recall(account) => {
            sync_response::Message::Recall(v1::Recall { account: account_to_wire(*account) })
        }
        ToDataPlane::Billed(marks) => sync_response::Message::Billed(v1::Billed {
            partitions: marks.iter().map(mark_to_wire).collect(),
        }),
        ToDataPlane::Resend(from) => sync_response::Message::Resend(v1::Resend {
            partitions: from.iter().map(mark_to_wire).collect(),
        }),
        ToDataPlane::Disconnected => return None,
    };
    Some(v1::SyncResponse { message: Some(message) })
}

pub(super) fn response_from_wire(message: v1::SyncResponse) -> Result<Told, Unreadable> {
    Ok(Told::Message(match message.message.ok_or(Unreadable::Empty)? {
        sync_response::Message::Welcome(welcome) => {
            let slices = welcome.slices.into_iter().map(grant_from_wire);
            ToDataPlane::Welcome(slices.collect::<Result<_, _>>()?)
        }
        sync_response::Message::Grant(grant) => ToDataPlane::Grant(grant_from_wire(grant)?),
        sync_response::Message::Denial(denial) => ToDataPlane::Denial(Denial {
            want_id: denial.want_id,
            account: account_from_wire(denial.account)?,
            reason: reason_from_wire(denial.reason)?,
            free: amount("free_nano", denial.free_nano)?,
        }),
        sync_response::Message::Recall(recall) => {
            ToDataPlane::Recall(account_from_wire(recall.account)?)
        }
        sync_response::Message::Billed(billed) => {
            ToDataPlane::Billed(billed.partitions.iter().map(mark_from_wire).collect())
        }
        sync_response::Message::Resend(resend) => {
            ToDataPlane::Resend(resend.partitions.iter().map(mark_from_wire).collect())
        }
        sync_response::Message::Goaway(goaway) => {
            return Ok(Told::GoAway(Duration::from_millis(goaway.after_ms)));
        }
    }))
}

const fn request(message: sync_request::Message) -> v1::SyncRequest {
    v1::SyncRequest { message: Some(message) }
}

fn slice_to_wire(slice: &SliceReport) -> v1::SliceState {
    v1::SliceState {
        account: account_to_wire(slice.account),
        granted_seen_nano: slice.granted_seen.get(),
        released_nano: slice.released.get(),
        spent_nano: slice.spent.get(),
        inflight_nano: slice.inflight.get(),
    }
}

fn slices_from_wire(slices: Vec<v1::SliceState>) -> Result<Vec<SliceReport>, Unreadable> {
    slices.into_iter().map(slice_from_wire).collect()
}

fn slice_from_wire(slice: v1::SliceState) -> Result<SliceReport, Unreadable> {
    Ok(SliceReport {
        account: account_from_wire(slice.account)?,
        granted_seen: total("granted_seen_nano", slice.granted_seen_nano)?,
        released: total("released_nano", slice.released_nano)?,
        spent: total("spent_nano", slice.spent_nano)?,
        inflight: total("inflight_nano", slice.inflight_nano)?,
    })
}

fn grant_to_wire(grant: &Grant) -> v1::Grant {
    v1::Grant {
        want_id: grant.want_id,
        account: account_to_wire(grant.account),
        granted_total_nano: grant.granted_total.get(),
        free_nano: grant.free.get(),
    }
}

fn grant_from_wire(grant: v1::Grant) -> Result<Grant, Unreadable> {
    Ok(Grant {
        want_id: grant.want_id,
        account: account_from_wire(grant.account)?,
        granted_total: total("granted_total_nano", grant.granted_total_nano)?,
        free: amount("free_nano", grant.free_nano)?,
    })
}

const fn mark_to_wire((partition, next_seq): &(Partition, u64)) -> PartitionMark {
    PartitionMark { partition: partition.0, next_seq: *next_seq }
}

const fn mark_from_wire(mark: &PartitionMark) -> (Partition, u64) {
    (Partition(mark.partition), mark.next_seq)
}

const fn reason_to_wire(reason: DenialReason) -> v1::DenialReason {
    match reason {
        DenialReason::Insufficient => v1::DenialReason::Insufficient,
        DenialReason::InFlight => v1::DenialReason::InFlight,
        DenialReason::Frozen => v1::DenialReason::Frozen,
    }
}

fn reason_from_wire(reason: i32) -> Result<DenialReason, Unreadable> {
    match v1::DenialReason::try_from(reason) {
        Ok(v1::DenialReason::Insufficient) => Ok(DenialReason::Insufficient),
        Ok(v1::DenialReason::InFlight) => Ok(DenialReason::InFlight),
        Ok(v1::DenialReason::Frozen) => Ok(DenialReason::Frozen),
        Ok(v1::DenialReason::Unspecified) | Err(_) => Err(Unreadable::Reason(reason)),
    }
}

fn account_to_wire(account: Account) -> Option<v1::Account> {
    let (org_uid, key_uid) = account.uids();
    Some(v1::Account { org_uid, key_uid })
}

fn account_from_wire(account: Option<v1::Account>) -> Result<Account, Unreadable> {
    let account = account.ok_or(Unreadable::NoAccount)?;
    Ok(Account::from_uids(account.org_uid, account.key_uid))
}

/// An amount that may be negative: what is free after a chargeback.
fn amount(field: &'static str, value: i64) -> Result<Nano, Unreadable> {
    Nano::new(value).map_err(|_| Unreadable::OutOfRange { field, value })
}

/// An amount that starts at nothing and only grows, or a need.
fn total(field: &'static str, value: i64) -> Result<Nano, Unreadable> {
    if value < 0 {
        return Err(Unreadable::OutOfRange { field, value });
    }
    amount(field, value)
}

#[cfg(test)]
mod tests;
