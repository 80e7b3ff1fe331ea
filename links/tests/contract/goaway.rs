//! A control plane that stops: its data planes go elsewhere one by one, or at once if there is nowhere else.

use crate::carrier::{Carrier, Site, impatient, soon};
use crate::feed;
use crate::fleet::{ControlPlane, for_wire, subscribe, ways};
use crate::objects::{delta, rev};
use crate::over_every_carrier;
use crate::raw;
use futures::stream;
use links::escrow::{
    EscrowConnection, EscrowLink, EscrowLinkSettings, FromDataPlane, Hello, SliceReport,
    ToDataPlane, Want, escrow_listener,
};
use links::feed::{FeedSubscriber, FeedUpdate};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;
use tonic::service::Routes;

over_every_carrier! {
    a_control_plane_that_stops_loses_its_data_planes_one_by_one_to_another,
    with_nowhere_else_to_go_a_data_plane_leaves_at_once,
    one_that_knows_nothing_of_it_is_served_to_the_end,
    who_starts_over_leaves_nothing_behind,
    a_desk_that_stops_answers_what_was_asked_before_it_is_left,
}

const FEED: &str = "/turnpike.feed.v1.FeedService/Sync";
const ESCROW: &str = "/turnpike.escrow.v1.EscrowService/Sync";

async fn a_control_plane_that_stops_loses_its_data_planes_one_by_one_to_another(carrier: Carrier) {
    const DATA_PLANES: usize = 60;
    const WITHIN: Duration = Duration::from_millis(600);
    let [stops, stays] = [
        ControlPlane::start(carrier, 2, for_wire()).await,
        ControlPlane::start(carrier, 2, for_wire()).await,
    ];
    let begin = |number: usize| {
        let name = format!("dp-{number}");
        let ways = ways(&name, [&stops.site, &stays.site]);
        subscribe(ways, &name, Some(rev(2)))
    };
    let mut subscribers: Vec<FeedSubscriber> = (0..DATA_PLANES).map(begin).collect();
    soon(async {
        while stops.publisher.data_planes().len() + stays.publisher.data_planes().len()
            < DATA_PLANES
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let moved = stops.publisher.data_planes().len();
    assert!(moved > 10, "only {moved} of {DATA_PLANES} began there");

    let farewell = stops.publisher.farewell();
    let told = Instant::now();
    farewell.say(WITHIN);
    // How long after the word each of them was seen to have left.
    let leaving = async {
        let mut left = Vec::new();
        while left.len() < moved {
            let gone = moved - stops.publisher.data_planes().len();
            left.resize(gone.max(left.len()), told.elapsed());
            tokio::task::yield_now().await;
        }
        left
    };
    let left = soon(leaving).await;
    soon(farewell.all_left()).await;
    let (first, last) = (left[0], left[moved - 1]);
    assert!(last - first > WITHIN / 4, "they left together: {left:?}");
    stays.has_count(DATA_PLANES).await;
    stays.publisher.publish(delta(3, Vec::new())).unwrap();
    for subscriber in &mut subscribers {
        assert_eq!(soon(subscriber.next()).await, FeedUpdate::Delta(delta(3, Vec::new())));
    }
    let ended = raw::ends_with(stops.site.channel(), FEED, stream::pending()).await;
    assert_eq!(ended, Code::Unavailable, "nobody is let in any more");
}

async fn with_nowhere_else_to_go_a_data_plane_leaves_at_once(carrier: Carrier) {
    let control = ControlPlane::start(carrier, 2, for_wire()).await;
    let _subscriber = subscribe(ways("dp", [&control.site]), "dp", Some(rev(2)));
    control.has_count(1).await;
    let farewell = control.publisher.farewell();
    farewell.say(Duration::from_secs(3_600));
    soon(farewell.all_left()).await;
    control.has_count(0).await;
}

async fn one_that_knows_nothing_of_it_is_served_to_the_end(carrier: Carrier) {
    let control = ControlPlane::start(carrier, 2, for_wire()).await;
    let mut older = feed::subscribe(&control.site, "older", Some(rev(2)));
    control.has_count(1).await;
    let farewell = control.publisher.farewell();
    farewell.say(Duration::ZERO);
    control.publisher.publish(delta(3, Vec::new())).unwrap();
    assert_eq!(older.next().await, FeedUpdate::Delta(delta(3, Vec::new())));
    control.publisher.close();
    soon(farewell.all_left()).await;
}

async fn who_starts_over_leaves_nothing_behind(carrier: Carrier) {
    let control = ControlPlane::start(carrier, 2, for_wire()).await;
    let mut subscriber = subscribe(ways("dp", [&control.site]), "dp", Some(rev(2)));
    for _ in 0..3 {
        subscriber.start_over();
        assert!(matches!(soon(subscriber.next()).await, FeedUpdate::Snapshot { .. }));
    }
    let farewell = control.publisher.farewell();
    farewell.say(Duration::ZERO);
    soon(farewell.all_left()).await;
}

fn hello() -> Hello {
    Hello { data_plane: "dp".into(), incarnation: 1, slices: Vec::new() }
}

fn want(want_id: u64) -> Want {
    let nano = |value| domain::money::Nano::new(value).unwrap();
    let account = domain::id::Account::Wallet(domain::id::OrgUid(4));
    Want { want_id, account, need: nano(3), want: nano(3), granted_seen: nano(0) }
}

/// Refused, which is an answer, too.
fn answer(want: Want) -> ToDataPlane {
    let Want { want_id, account, .. } = want;
    let (reason, free) = (links::escrow::DenialReason::InFlight, domain::money::Nano::ZERO);
    ToDataPlane::Denial(links::escrow::Denial { want_id, account, reason, free })
}

async fn a_desk_that_stops_answers_what_was_asked_before_it_is_left(carrier: Carrier) {
    let (mut one, mut other) = (Site::new(carrier).await, Site::new(carrier).await);
    let (service, mut at_one) = escrow_listener();
    let _one_runs = one.serve(Routes::new(service)).await;
    let (service, mut at_other) = escrow_listener();
    let _other_runs = other.serve(Routes::new(service)).await;
    let settings = EscrowLinkSettings {
        reconnect: impatient(),
        answer_within: Duration::from_secs(3_600),
        ..EscrowLinkSettings::default()
    };
    let (link, mut messages) = EscrowLink::start_with(ways("dp", [&one, &other]), hello, settings);
    let (mut first, farewell, site, mut next) = tokio::select! {
        connection = at_one.accept() => (connection.unwrap(), at_one.farewell(), &one, at_other),
        connection = at_other.accept() => (connection.unwrap(), at_other.farewell(), &other, at_one),
    };
    first.sender().send(ToDataPlane::Welcome(Vec::new())).await.unwrap();
    assert_eq!(messages.recv().await, Some(ToDataPlane::Welcome(Vec::new())));
    link.send(FromDataPlane::Want(want(1))).unwrap();
    assert_eq!(first.next().await, Some(FromDataPlane::Want(want(1))));
    farewell.say(Duration::ZERO);
    assert_eq!(raw::ends_with(site.channel(), ESCROW, stream::pending()).await, Code::Unavailable);
    // It has been told, and stays for the answer: what it says meanwhile is heard.
    said(&link, &mut first).await;
    first.sender().send(answer(want(1))).await.unwrap();
    assert_eq!(soon(messages.recv()).await, Some(answer(want(1))));
    assert_eq!(soon(messages.recv()).await, Some(ToDataPlane::Disconnected));
    assert_eq!(first.next().await, None);
    soon(farewell.all_left()).await;
    assert_eq!(soon(next.accept()).await.unwrap().hello, hello());
}

/// Something that is said and heard.
async fn said(link: &EscrowLink, connection: &mut EscrowConnection) {
    let report = FromDataPlane::Report(Vec::<SliceReport>::new());
    link.send(report.clone()).unwrap();
    assert_eq!(connection.next().await, Some(report));
}
