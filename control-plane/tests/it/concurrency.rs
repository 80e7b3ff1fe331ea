//! Writers at once, and callers that leave in the middle.

use super::feed::View;
use super::harness::{Operator, Rig, objects_of};
use super::kind;
use super::samples;
use proto::admin::v1::apply_service_client::ApplyServiceClient;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{ApplyRequest, CreateOrgRequest, DeleteOrgRequest, DeletePlanRequest, Plan};
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tonic::Code;

/// Far beyond what any step takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn plan(name: &str) -> Vec<Any> {
    vec![Any::Plan(Plan { name: name.to_owned(), ..samples::plan() })]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_get_gapless_revisions_and_data_planes_get_each() {
    let rig = Rig::start().await;
    let mut view = View::of(&rig).await;
    let writer = |who: &'static str| {
        let mut client = ApplyServiceClient::with_interceptor(rig.channel.clone(), Operator);
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..20 {
                let objects = objects_of(plan(&format!("{who}-{number}")));
                let request = ApplyRequest { objects, validate_only: false, ..Default::default() };
                revisions.push(client.apply(request).await.unwrap().into_inner().revision);
            }
            revisions
        })
    };
    let (left, right) = (writer("left"), writer("right"));
    let (left, right) = (left.await.unwrap(), right.await.unwrap());
    assert!(left.is_sorted() && right.is_sorted());
    let all: BTreeSet<u64> = left.into_iter().chain(right).collect();
    assert_eq!(all, (1..=40).collect(), "each revision once, none left out");
    view.follow_to(40).await;
    assert_eq!(view.snapshot.plans.len(), 40);
    assert_eq!(rig.rows().await.log.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_that_are_each_right_alone_are_never_both_made_when_together_they_are_wrong() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    for round in 0..15 {
        rig.apply(plan("contested")).await.unwrap();
        let mut org = samples::org();
        org.name = "late".to_owned();
        org.spec.as_mut().unwrap().plan = "contested".to_owned();
        let create =
            CreateOrgRequest { org: Some(org), validate_only: false, ..Default::default() };
        let delete = DeletePlanRequest { name: "contested".to_owned(), ..Default::default() };
        let (mut orgs, mut plans) = (rig.orgs(), rig.plans());
        let creating = tokio::spawn(async move { orgs.create_org(create).await });
        let deleting = tokio::spawn(async move { plans.delete_plan(delete).await });
        match (creating.await.unwrap(), deleting.await.unwrap()) {
            (Ok(_), Err(status)) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "round {round}");
                let request = DeleteOrgRequest { name: "late".to_owned(), ..Default::default() };
                rig.orgs().delete_org(request).await.unwrap();
            }
            (Err(status), Ok(_)) => {
                assert_eq!(status.code(), Code::InvalidArgument, "round {round}");
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

/// Polls a future a number of times, then drops it. Returns whether it had ended.
async fn poll_some(future: impl Future, times: usize) -> bool {
    let mut future = std::pin::pin!(future);
    for _ in 0..times {
        let ended = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ended {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_leaves_all_or_nothing() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let mut view = View::of(&rig).await;
    let mut left = 0;
    for times in 0..60 {
        let name = format!("left-after-{times}");
        let objects = objects_of(plan(&name));
        left += usize::from(!poll_some(rig.control_plane.apply(objects), times).await);

        // Whatever became of it: rows, log, memory and feed agree, and the next change follows without a gap.
        let next = rig.apply(plan(&format!("next-{times}"))).await.unwrap().revision;
        view.follow_to(next).await;
        let rows = rig.rows().await;
        assert_eq!(rows.head, [next.to_string()]);
        let stored = rows.objects.iter().any(|line| line.starts_with(&format!("Plan {name} ")));
        assert_eq!(view.snapshot.plans.contains_key(&name), stored, "after {times} polls");
        let logged = rows.log.iter().filter(|line| line.contains(&hex::encode(&name))).count();
        assert_eq!(logged, usize::from(stored), "after {times} polls");
    }
    assert!(left > 0, "no caller left in the middle: this showed nothing");
    let before = view.everything();
    assert_eq!(View::of(&rig).await.everything(), before);
}

#[tokio::test]
async fn a_change_that_has_begun_reaches_data_planes_though_its_caller_left() {
    let rig = Rig::start().await;
    let mut view = View::of(&rig).await;
    for times in 1..40 {
        let name = format!("left-after-{times}");
        poll_some(rig.control_plane.apply(objects_of(plan(&name))), times).await;
        let next = view.snapshot.revision.rev + 1;
        // Nobody changes anything else meanwhile.
        tokio::time::timeout(DEADLINE, view.follow_to(next)).await.unwrap();
        assert!(view.snapshot.plans.contains_key(&name), "after {times} polls");
    }
}

#[tokio::test]
async fn a_commit_that_fails_changes_nothing_and_the_next_change_goes_on() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let mut view = View::of(&rig).await;
    // A constraint that is checked at the COMMIT and nowhere before.
    rig.sql("CREATE TABLE nowhere (id BIGINT PRIMARY KEY)").await;
    rig.sql(
        "CREATE TABLE doomed (id BIGINT REFERENCES nowhere (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let dooms = "INSERT INTO doomed VALUES (1)";
    for statement in kind().behind_insert("config_object", "NEW.name = 'doomed'", dooms) {
        rig.sql(&statement).await;
    }
    let before = rig.rows().await;
    let failed = rig.apply(plan("doomed")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert_eq!(rig.rows().await, before);
    assert_eq!(rig.control_plane.publisher().head().rev, 1);

    assert_eq!(rig.apply(plan("fine")).await.unwrap().revision, 2);
    view.follow_to(2).await;
    assert!(view.snapshot.plans.contains_key("fine"));
    assert!(!view.snapshot.plans.contains_key("doomed"));
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_all_or_nothing() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    for times in 0..40 {
        let name = format!("hung-up-after-{times}");
        let mut client = rig.applies();
        let request = ApplyRequest {
            objects: objects_of(plan(&name)),
            validate_only: false,
            ..Default::default()
        };
        poll_some(client.apply(request), times).await;
    }
    let last = rig.apply(plan("last")).await.unwrap().revision;
    let rows = rig.rows().await;
    assert_eq!(rows.head, [last.to_string()]);
    let view = View::of(&rig).await;
    let stored = rows.objects.iter().filter(|line| line.starts_with("Plan ")).count();
    assert_eq!(view.snapshot.plans.len(), stored);
    // Every plan but the first came with a revision of its own.
    assert_eq!(u64::try_from(stored).unwrap(), last);
    let rig = rig.restart().await;
    assert_eq!(View::of(&rig).await.everything(), view.everything());
}
