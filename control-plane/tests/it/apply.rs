//! `apply`: any order, one transaction, one revision, all or nothing.

use super::feed::View;
use super::harness::{Rig, objects_of, told};
use super::samples;
use control_plane::AdminLimits;
use domain::config::Kind;
use proto::admin::v1::object::Object as Any;
use proto::admin::v1::{
    ApplyRequest, ListDataPlanesRequest, MarkupRule, MarkupRuleSpec, Object, Plan,
};
use std::time::Duration;
use tonic::Code;

fn actions(response: &proto::admin::v1::ApplyResponse) -> Vec<String> {
    response
        .objects
        .iter()
        .map(|object| format!("{} {} {}", object.kind, object.name, object.action))
        .collect()
}

#[tokio::test]
async fn objects_in_any_order_are_one_revision_and_data_planes_have_them_all() {
    let rig = Rig::start().await;
    let mut view = View::of(&rig).await;
    let applied = rig.apply(samples::all()).await.unwrap();
    assert_eq!(applied.revision, 1);
    let kinds: Vec<&str> = applied.objects.iter().map(|object| object.kind.as_str()).collect();
    let made = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Key).map(Kind::name);
    assert_eq!(kinds, made.collect::<Vec<_>>(), "in order of reference");
    assert!(applied.objects.iter().all(|object| object.action == "created"));

    view.follow_to(1).await;
    assert_eq!(view.updates, 2, "the empty snapshot, and one delta");
    assert!(view.snapshot.models.contains_key("demo/chat"));
    assert_eq!(view.snapshot.orgs.len(), 1);
    assert_eq!(rig.rows().await.accounts.len(), 1, "the org has its wallet");
}

#[tokio::test]
async fn what_is_the_same_already_is_unchanged_and_mints_no_revision() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let before = rig.rows().await;
    let again = rig.apply(samples::all()).await.unwrap();
    assert_eq!(again.revision, 1);
    assert!(again.objects.iter().all(|object| object.action == "unchanged"));
    assert_eq!(rig.rows().await, before);

    let mut plan = samples::plan();
    plan.spec.as_mut().unwrap().concurrency = Some(9);
    let partly = rig.apply([Any::Org(samples::org()), Any::Plan(plan)]).await.unwrap();
    assert_eq!(partly.revision, 2);
    assert_eq!(actions(&partly), ["Plan starter updated", "Org acme unchanged"]);
}

#[tokio::test]
async fn a_failed_apply_leaves_no_row_no_revision_and_no_word_to_data_planes() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let mut view = View::of(&rig).await;
    let before = rig.rows().await;

    // The first object alone would be right; the second is not.
    let new = Any::Plan(Plan { name: "another".to_owned(), ..samples::plan() });
    let mut org = samples::org();
    org.spec.as_mut().unwrap().plan = "missing".to_owned();
    told(rig.apply([new.clone(), Any::Org(org)]).await);
    assert_eq!(rig.rows().await, before);
    assert_eq!(rig.control_plane.publisher().head().rev, 1);

    // The next one continues without a gap, and nothing of the failed one comes along.
    let mut fixed = samples::plan();
    fixed.spec.as_mut().unwrap().concurrency = Some(2);
    assert_eq!(rig.apply([Any::Plan(fixed)]).await.unwrap().revision, 2);
    view.follow_to(2).await;
    assert_eq!(view.updates, 2, "a snapshot and one delta");
    assert!(!view.snapshot.plans.contains_key("another"));
}

#[tokio::test]
async fn a_trial_says_what_would_happen_and_does_nothing() {
    let rig = Rig::start().await;
    let before = rig.rows().await;
    let request = ApplyRequest {
        objects: objects_of(samples::all()),
        validate_only: true,
        ..Default::default()
    };
    let tried = rig.applies().apply(request).await.unwrap().into_inner();
    assert_eq!(tried.revision, 0);
    assert!(tried.objects.iter().all(|object| object.action == "created"));
    assert_eq!(rig.rows().await, before);
    assert_eq!(rig.control_plane.publisher().head().rev, 0);
}

#[tokio::test]
async fn the_same_object_twice_an_empty_one_and_too_many_are_refused() {
    let limits = AdminLimits { apply_objects_max: 3, ..AdminLimits::default() };
    let rig = Rig::start_with(limits).await;
    let twice = told(rig.apply([Any::Plan(samples::plan()), Any::Plan(samples::plan())]).await);
    assert_eq!(twice.code, Code::InvalidArgument);
    assert_eq!(twice.fields, ["Plan \"starter\": name"]);
    assert!(twice.text.contains("twice"), "{}", twice.text);

    let request = ApplyRequest {
        objects: vec![Object::default()],
        validate_only: false,
        ..Default::default()
    };
    let empty = told(rig.applies().apply(request).await);
    assert_eq!(empty.fields, ["objects"]);

    let many = told(rig.apply(samples::all()).await);
    assert_eq!(many.fields, ["objects"]);
    assert!(many.text.contains("at most 3"), "{}", many.text);
    assert!(rig.rows().await.objects.is_empty());
}

#[tokio::test]
async fn an_object_that_moves_out_of_its_jurisdiction_takes_effect_for_none() {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    let before = rig.rows().await;
    let mut upstream = samples::upstream();
    upstream.spec.as_mut().unwrap().jurisdiction = "CN".to_owned();
    let refused = told(rig.apply([Any::Upstream(upstream)]).await);
    assert_eq!(refused.fields, ["Model \"demo/chat\": routes[alpha]"]);
    assert_eq!(rig.rows().await, before);
}

#[tokio::test]
async fn an_operator_sees_what_each_data_plane_has_applied() {
    let rig = Rig::start().await;
    let mut view = View::of(&rig).await;
    rig.apply(samples::all()).await.unwrap();
    view.follow_to(1).await;
    rig.control_plane.publisher().applied_everywhere(rig.control_plane.publisher().head()).await;
    // Where there may be other control planes, it is written down for them a moment later.
    let listed = async || {
        let request = ListDataPlanesRequest::default();
        rig.applies().list_data_planes(request).await.unwrap().into_inner()
    };
    let told = async {
        while listed().await.data_planes.iter().all(|plane| plane.applied == 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    let listed = listed().await;
    assert_eq!(listed.head, 1);
    assert_eq!(listed.data_planes.len(), 1);
    assert_eq!((listed.data_planes[0].name.as_str(), listed.data_planes[0].applied), ("dp-1", 1));
}

#[tokio::test]
async fn what_no_markup_rule_prices_is_sold_at_cost_and_said() {
    let rig = Rig::start().await;
    let mut objects = samples::all();
    assert_eq!(rig.apply(objects.clone()).await.unwrap().warnings, Vec::<String>::new());

    let rig = Rig::start().await;
    objects.retain(|object| !matches!(object, Any::MarkupRule(_)));
    let request = ApplyRequest {
        objects: objects_of(objects.clone()),
        validate_only: true,
        ..ApplyRequest::default()
    };
    let tried = rig.applies().apply(request).await.unwrap().into_inner();
    let applied = rig.apply(objects).await.unwrap();
    assert_eq!(tried.warnings, applied.warnings, "before it is done, too");
    let [warning] = &applied.warnings[..] else { panic!("{:?}", applied.warnings) };
    for named in ["global", "demo/chat", "MarkupRule", "0 percent"] {
        assert!(warning.contains(named), "{warning}");
    }
    let free = MarkupRuleSpec { percent: "0".to_owned(), ..MarkupRuleSpec::default() };
    let meant = MarkupRule { spec: Some(free), ..samples::markup_rule() };
    assert_eq!(rig.apply([Any::MarkupRule(meant)]).await.unwrap().warnings, Vec::<String>::new());
}
