//! Every message both ways, and every way in which one can be wrong.

use super::*;
use domain::id::{KeyUid, OrgUid};

const WALLET: Account = Account::Wallet(OrgUid(4));
const BUDGET: Account = Account::Budget(OrgUid(4), KeyUid(9));

fn nano(value: i64) -> Nano {
    Nano::new(value).unwrap()
}

fn slice(account: Account) -> SliceReport {
    SliceReport {
        account,
        granted_seen: nano(100),
        released: nano(20),
        spent: nano(30),
        inflight: nano(7),
    }
}

fn want() -> Want {
    Want { want_id: 5, account: BUDGET, need: nano(3), want: nano(8), granted_seen: nano(100) }
}

fn grant(free: i64) -> Grant {
    Grant { want_id: 5, account: WALLET, granted_total: Nano::MAX, free: nano(free) }
}

#[test]
fn every_message_of_a_data_plane_survives_the_wire() {
    let hello = Hello {
        data_plane: "dp-1".into(),
        incarnation: u64::MAX,
        slices: vec![slice(WALLET), slice(BUDGET)],
    };
    assert_eq!(hello_from_wire(Some(hello_to_wire(&hello))), Ok(hello));
    let messages = [
        FromDataPlane::Want(want()),
        FromDataPlane::Report(vec![slice(BUDGET)]),
        FromDataPlane::Report(Vec::new()),
        FromDataPlane::Final(vec![slice(BUDGET)]),
        FromDataPlane::Final(Vec::new()),
    ];
    for message in messages {
        assert_eq!(request_from_wire(request_to_wire(&message)), Ok(message));
    }
}

#[test]
fn every_message_of_the_control_plane_survives_the_wire() {
    let denial = |reason| {
        ToDataPlane::Denial(Denial { want_id: 6, account: WALLET, reason, free: nano(-2) })
    };
    let messages = [
        ToDataPlane::Welcome(vec![grant(1), grant(-1)]),
        ToDataPlane::Grant(grant(0)),
        denial(DenialReason::Insufficient),
        denial(DenialReason::InFlight),
        denial(DenialReason::Frozen),
        ToDataPlane::Recall(BUDGET),
        ToDataPlane::Billed(vec![(Partition(0), 1), (Partition(63), u64::MAX)]),
    ];
    for message in messages {
        let wire = response_to_wire(&message).unwrap();
        assert_eq!(response_from_wire(wire), Ok(Told::Message(message)));
    }
    assert_eq!(response_to_wire(&ToDataPlane::Disconnected), None);
    let after = Duration::from_millis(1_234);
    assert_eq!(response_from_wire(goaway_to_wire(after, "why")), Ok(Told::GoAway(after)));
}

#[test]
fn a_request_that_cannot_be_read_says_why() {
    let want = |change: fn(&mut v1::Want)| {
        let Some(sync_request::Message::Want(mut want)) =
            request_to_wire(&FromDataPlane::Want(want())).message
        else {
            panic!("not a want")
        };
        change(&mut want);
        request(sync_request::Message::Want(want))
    };
    let slice = |change: fn(&mut v1::SliceState)| {
        let mut slice = slice_to_wire(&slice(WALLET));
        change(&mut slice);
        request(sync_request::Message::Report(v1::Report { slices: vec![slice] }))
    };
    let out_of_range = |field, value| Unreadable::OutOfRange { field, value };
    let hello = Hello { data_plane: "dp-1".into(), incarnation: 1, slices: Vec::new() };
    let rows = [
        (v1::SyncRequest { message: None }, Unreadable::Empty),
        (hello_to_wire(&hello), Unreadable::SecondHello),
        (want(|want| want.account = None), Unreadable::NoAccount),
        (want(|want| want.need_nano = -1), out_of_range("need_nano", -1)),
        (want(|want| want.want_nano = i64::MAX), out_of_range("want_nano", i64::MAX)),
        (want(|want| want.granted_seen_nano = -5), out_of_range("granted_seen_nano", -5)),
        (slice(|slice| slice.account = None), Unreadable::NoAccount),
        (slice(|slice| slice.released_nano = -1), out_of_range("released_nano", -1)),
        (slice(|slice| slice.spent_nano = i64::MIN), out_of_range("spent_nano", i64::MIN)),
        (slice(|slice| slice.inflight_nano = -1), out_of_range("inflight_nano", -1)),
    ];
    for (message, expected) in rows {
        assert_eq!(request_from_wire(message.clone()), Err(expected), "{message:?}");
    }
}

#[test]
fn a_hello_needs_to_come_first_and_to_have_a_name() {
    let named = |name: &str| {
        let hello = Hello { data_plane: name.into(), incarnation: 1, slices: Vec::new() };
        Some(hello_to_wire(&hello))
    };
    let rows = [
        (None, Unreadable::NoHello),
        (Some(v1::SyncRequest { message: None }), Unreadable::NoHello),
        (Some(request_to_wire(&FromDataPlane::Want(want()))), Unreadable::NoHello),
        (named(""), Unreadable::Name(BadDataPlane)),
        (named("dp\0"), Unreadable::Name(BadDataPlane)),
    ];
    for (message, expected) in rows {
        assert_eq!(hello_from_wire(message), Err(expected));
    }
}

#[test]
fn a_response_that_cannot_be_read_says_why() {
    let grant = |change: fn(&mut v1::Grant)| {
        let mut grant = grant_to_wire(&grant(1));
        change(&mut grant);
        sync_response::Message::Grant(grant)
    };
    let denial = |reason| {
        let account = account_to_wire(WALLET);
        sync_response::Message::Denial(v1::Denial { want_id: 1, account, reason, free_nano: 0 })
    };
    let out_of_range = |field, value| Unreadable::OutOfRange { field, value };
    let welcome = v1::Welcome { slices: vec![v1::Grant::default()] };
    let rows = [
        (None, Unreadable::Empty),
        (Some(grant(|grant| grant.account = None)), Unreadable::NoAccount),
        (
            Some(grant(|grant| grant.granted_total_nano = -1)),
            out_of_range("granted_total_nano", -1),
        ),
        (Some(grant(|grant| grant.free_nano = i64::MIN)), out_of_range("free_nano", i64::MIN)),
        (Some(denial(0)), Unreadable::Reason(0)),
        (Some(denial(99)), Unreadable::Reason(99)),
        (Some(sync_response::Message::Welcome(welcome)), Unreadable::NoAccount),
        (Some(sync_response::Message::Recall(v1::Recall { account: None })), Unreadable::NoAccount),
    ];
    for (message, expected) in rows {
        let response = v1::SyncResponse { message };
        assert_eq!(response_from_wire(response.clone()), Err(expected), "{response:?}");
    }
}
