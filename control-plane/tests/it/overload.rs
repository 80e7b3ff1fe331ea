//! Callers that ask for too much, too fast or for too short a time (`docs/faults.md`, 80): a status that says so, and all
//! or nothing.

use super::feed::View;
use super::harness::{Operator, Rig, objects_of, told};
use super::samples;
use control_plane::AdminLimits;
use proto::admin::v1::apply_service_client::ApplyServiceClient;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::plan_service_client::PlanServiceClient;
use proto::admin::v1::{ApplyRequest, GetPlanRequest, Plan};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Request};

const PARALLEL: usize = 10_000;
const WRITES: usize = 100;
const CONNECTIONS: usize = 100;

fn plan(name: &str) -> Any {
    Any::Plan(Plan { name: name.to_owned(), ..samples::plan() })
}

fn wordy_model(bytes: usize) -> Any {
    let mut model = samples::model();
    model.spec.as_mut().unwrap().display_name = "x".repeat(bytes);
    Any::Model(model)
}

#[tokio::test]
async fn a_text_of_five_megabytes_is_refused_by_its_field_and_changes_nothing() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig.apply([wordy_model(256)]).await.unwrap();
    let before = rig.rows().await;
    for bytes in [257, 5 << 20] {
        let refused = told(rig.apply([wordy_model(bytes)]).await);
        assert_eq!(refused.code, Code::InvalidArgument, "{}", refused.text);
        let named = "Model \"demo/chat\": display_name".to_owned();
        assert!(refused.fields.contains(&named), "{:?}", refused.fields);
        assert!(refused.text.contains("at most 256"), "{}", refused.text);
    }
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_by_its_size_and_changes_nothing() {
    let limits = AdminLimits { request_bytes_max: 1 << 20, ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    rig.apply(samples::all()).await.unwrap();
    let before = rig.rows().await;
    let refused = rig.apply([wordy_model(5 << 20)]).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
    assert!(refused.message().contains("too large"), "{refused:?}");
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn a_deadline_of_a_millisecond_leaves_all_or_nothing() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let (mut done, mut late) = (0, 0);
    for number in 0..60 {
        let objects = objects_of([plan(&format!("hasty-{number}"))]);
        let mut request = Request::new(ApplyRequest { objects, ..ApplyRequest::default() });
        request.set_timeout(Duration::from_millis(1 + number % 12));
        match rig.applies().apply(request).await {
            Ok(_) => done += 1,
            Err(status) => {
                let code = status.code();
                assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
                late += 1;
            }
        }
    }
    assert!(late > 0, "all {done} were in time: this showed nothing");
    let last = rig.apply([plan("last")]).await.unwrap().revision;
    let rows = rig.rows().await;
    assert_eq!(rows.head, [last.to_string()]);
    let stored = rows.objects.iter().filter(|line| line.starts_with("Plan ")).count();
    assert_eq!(View::of(&rig).await.snapshot.plans.len(), stored);
    // Every plan but the first came with a revision of its own.
    assert_eq!(u64::try_from(stored).unwrap(), last);
    assert!(stored >= done, "what was answered is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_at_once_are_all_answered_rightly() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let channels: Vec<_> = (0..CONNECTIONS).map(|_| rig.another_channel()).collect();
    let mut calls = JoinSet::new();
    for number in 0..PARALLEL {
        let channel = channels[number % CONNECTIONS].clone();
        if number % (PARALLEL / WRITES) == 0 {
            let mut client = ApplyServiceClient::with_interceptor(channel, Operator);
            let objects = objects_of([plan(&format!("crowd-{number}"))]);
            let request = ApplyRequest { objects, ..ApplyRequest::default() };
            calls.spawn(async move { client.apply(request).await.map(drop) });
        } else {
            let mut client = PlanServiceClient::with_interceptor(channel, Operator);
            let request = GetPlanRequest { name: samples::plan().name };
            calls.spawn(async move { client.get_plan(request).await.map(drop) });
        }
    }
    while let Some(answered) = calls.join_next().await {
        answered.unwrap().unwrap();
    }
    let expected = u64::try_from(WRITES + 1).unwrap();
    assert_eq!(rig.rows().await.head, [expected.to_string()]);
    assert_eq!(View::of(&rig).await.snapshot.plans.len(), WRITES + 1);
}
