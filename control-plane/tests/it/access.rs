//! Who may call what: everything is behind the operator token but health and reflection.

use super::harness::{Rig, TOKEN};
use prost_reflect::DescriptorPool;
use proto::admin::v1::GetPlanRequest;
use proto::admin::v1::plan_service_client::PlanServiceClient;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

/// Calls a method by its path with an empty message, which is a valid one of every type.
async fn call(channel: &Channel, path: &str, authorization: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path: PathAndQuery = path.parse().unwrap();
    grpc.unary(request, path, codec).await.map(drop)
}

fn admin_methods() -> Vec<String> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let methods = pool
        .services()
        .filter(|service| service.full_name().starts_with("turnpike.admin."))
        .flat_map(|service| {
            let name = service.full_name().to_owned();
            service
                .methods()
                .map(move |method| format!("/{name}/{}", method.name()))
                .collect::<Vec<_>>()
        });
    methods.collect()
}

#[tokio::test]
async fn no_method_of_any_service_answers_without_the_operator_token() {
    let rig = Rig::start().await;
    let methods = admin_methods();
    assert!(methods.len() > 50, "the sweep sees them all: {}", methods.len());
    let almost = format!("Bearer {TOKEN}x");
    let prefix = format!("Bearer {}", TOKEN.split_at(8).0);
    let basic = format!("Basic {TOKEN}");
    let wrong = [
        None,
        Some(almost.as_str()),
        Some(prefix.as_str()),
        Some(basic.as_str()),
        Some("Bearer "),
        Some(""),
    ];
    for path in &methods {
        for authorization in wrong {
            let status = call(&rig.channel, path, authorization).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{path} with {authorization:?}");
            let details = status.get_error_details();
            assert!(details.error_info().is_some(), "{path}");
            assert!(!status.message().contains(TOKEN));
        }
        let right = call(&rig.channel, path, Some(&format!("Bearer {TOKEN}"))).await;
        let code = right.err().map_or(Code::Ok, |status| status.code());
        assert!(
            !matches!(code, Code::Unauthenticated | Code::Unimplemented),
            "{path} is served with the token: {code:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_token_is_told_with_its_remedy_and_unknown_paths_are_closed_too() {
    let rig = Rig::start().await;
    let mut anonymous = PlanServiceClient::new(rig.channel.clone());
    let request = GetPlanRequest { name: "starter".to_owned() };
    let status = anonymous.get_plan(request).await.unwrap_err();
    assert!(status.message().contains("TURNPIKE_ADMIN_TOKEN"), "{}", status.message());
    for path in ["/turnpike.admin.v1.NoSuchService/Get", "/turnpike.feed.v1.FeedService/Sync"] {
        let status = call(&rig.channel, path, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{path}");
    }
}

#[tokio::test]
async fn health_is_open_and_tells_of_every_service() {
    let rig = Rig::start().await;
    let mut health = HealthClient::new(rig.channel.clone());
    for service in ["", "turnpike.admin.v1.OrgService", "turnpike.admin.v1.MoneyService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service:?} is serving");
    }
}

#[tokio::test]
async fn reflection_is_open_and_lists_what_is_served_here_and_nothing_else() {
    let rig = Rig::start().await;
    let mut reflection = ServerReflectionClient::new(rig.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"turnpike.admin.v1.KeyService".to_owned()), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");
    assert!(
        !names.iter().any(|name| name.contains("Feed") || name.contains("Escrow")),
        "{names:?}"
    );
}

#[tokio::test]
async fn health_says_that_nothing_is_served_once_the_process_stops() {
    let rig = Rig::start().await;
    let mut health = HealthClient::new(rig.channel.clone());
    rig.control_plane.stop_serving().await;
    for service in ["", "turnpike.admin.v1.OrgService", "turnpike.admin.v1.MoneyService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, 2, "{service:?} is not serving");
    }
}

#[tokio::test]
async fn errors_that_the_server_did_not_make_have_an_error_info_too() {
    let limits = control_plane::AdminLimits { request_bytes_max: 100, ..Default::default() };
    let rig = Rig::start_with(limits).await;
    let token = format!("Bearer {TOKEN}");
    let unknown =
        call(&rig.channel, "/turnpike.admin.v1.PlanService/Frobnicate", Some(&token)).await;
    let name = "x".repeat(1_000);
    let large = rig.plans().get_plan(GetPlanRequest { name }).await.map(drop);
    for (answer, code, reason) in [
        (unknown, Code::Unimplemented, "UNKNOWN_METHOD"),
        (large, Code::OutOfRange, "MESSAGE_TOO_LARGE"),
    ] {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), code);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, reason);
    }
}
