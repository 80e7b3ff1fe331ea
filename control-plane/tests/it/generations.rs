//! A data plane that has applied more than the database knows: a new generation, once, and only if it can be true.

use super::audit;
use super::feed::View;
use super::harness::Rig;
use super::samples;
use domain::id::Revision;
use links::feed::{FeedHello, FeedSubscriber};
use links::pipe::pipe;
use proto::admin::v1::Plan;
use proto::admin::v1::object::Object as Any;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;

/// Far beyond what any step takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn plan(name: &str) -> Vec<Any> {
    vec![Any::Plan(Plan { name: name.to_owned(), ..samples::plan() })]
}

fn head(rig: &Rig) -> Revision {
    rig.control_plane.publisher().head()
}

const fn beyond(head: Revision, by: u64) -> Option<Revision> {
    Some(Revision { rev: head.rev + by, ..head })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_applied_more_than_the_database_knows_is_given_a_new_generation() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let mut follower = View::of(&rig).await;
    let neighbour = rig.neighbour().await;
    let before = head(&rig);

    let ahead = timeout(DEADLINE, View::begin(&rig.control_plane, "ahead", beyond(before, 5)));
    let mut ahead = ahead.await.expect("it is given a state");
    let begun = head(&rig);
    assert_eq!(ahead.snapshot.revision, begun);
    assert_eq!(begun.generation, before.generation + 1);
    assert!(begun.rev > before.rev + 5, "no revision means two things: {begun:?}");
    timeout(DEADLINE, follower.follow_into(begun.generation)).await.expect("it follows");
    assert_eq!(follower.everything(), ahead.everything());
    let recorded = audit::records(&rig).await.swap_remove(0);
    assert_eq!((recorded.resource.as_str(), recorded.outcome.as_str()), ("Configuration", "done"));
    assert!(recorded.detail.contains("data plane ahead"), "{}", recorded.detail);
    assert!(audit::verify(&rig, None).await.ok);

    // Changes go on, with uids that nothing that was lost can have had.
    rig.apply(plan("newest")).await.unwrap();
    ahead.follow_to(begun.rev + 1).await;
    assert_eq!(ahead.snapshot.plans.len(), follower.snapshot.plans.len() + 1);
    let newest = "SELECT CAST(MAX(uid) AS TEXT) AS line FROM config_object";
    assert!(rig.table(newest).await[0].parse::<i64>().unwrap() > 1_000_000);
    // Another control plane takes the generation over, where it can be there at all.
    if rig.database.is_shared() {
        let followed = async {
            while neighbour.publisher().head() < head(&rig) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, followed).await.expect("it takes it over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_raises_the_generation_by_what_cannot_be_or_again_and_again() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let before = head(&rig);
    let impossible = [
        beyond(before, 2_000_000),
        Some(Revision { rev: u64::MAX, ..before }),
        Some(Revision { generation: before.generation + 7, rev: 3 }),
    ];
    let mut liars = Vec::new();
    for (number, applied) in impossible.into_iter().enumerate() {
        liars.push(hello(&rig, &format!("liar-{number}"), applied));
    }
    let first = View::begin(&rig.control_plane, "first", beyond(before, 1));
    timeout(DEADLINE, first).await.expect("it is given a state");
    let begun = head(&rig);
    assert_eq!(begun.generation, before.generation + 1);

    // The second time is too soon, and everybody else goes on.
    let again = hello(&rig, "again", beyond(begun, 1));
    let mut follower = View::of(&rig).await;
    rig.apply(plan("newest")).await.unwrap();
    follower.follow_to(begun.rev + 1).await;
    assert_eq!(head(&rig).generation, begun.generation);
    drop((liars, again));
}

/// Somebody who subscribes, and may never be given anything.
fn hello(rig: &Rig, name: &str, applied: Option<Revision>) -> FeedSubscriber {
    let (listener, connector) = pipe();
    let service = rig.control_plane.publisher().service();
    tokio::spawn(async move {
        Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
    });
    let (data_plane, cell) = (name.to_owned(), "sg".to_owned());
    FeedSubscriber::start(connector.channel(), FeedHello { data_plane, cell, applied })
}
