//! The gRPC services, and which of them are open: health and reflection are, everything else is behind the operator
//! gate.

mod config;
mod apply;
mod money;
mod gaps;
mod operators;
mod audit;
mod content;
mod account;
mod health;

pub use account::AccountDesk;
pub(crate) use config::with_secret;
pub(crate) use health::Health;

use crate::admin::Admin;
use crate::errors::explain_bare;
use crate::operator::{Gate, enter};
use axum::middleware::from_fn_with_state;
use proto::admin::v1::apply_service_server::ApplyServiceServer;
use proto::admin::v1::audit_service_server::AuditServiceServer;
use proto::admin::v1::content_service_server::ContentServiceServer;
use proto::admin::v1::entity_service_server::EntityServiceServer;
use proto::admin::v1::fx_rate_service_server::FxRateServiceServer;
use proto::admin::v1::key_service_server::KeyServiceServer;
use proto::admin::v1::markup_rule_service_server::MarkupRuleServiceServer;
use proto::admin::v1::model_service_server::ModelServiceServer;
use proto::admin::v1::money_service_server::MoneyServiceServer;
use proto::admin::v1::operator_service_server::OperatorServiceServer;
use proto::admin::v1::org_service_server::OrgServiceServer;
use proto::admin::v1::plan_service_server::PlanServiceServer;
use proto::admin::v1::price_book_service_server::PriceBookServiceServer;
use proto::admin::v1::upstream_service_server::UpstreamServiceServer;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::{Builder, Error};
use tower::util::MapResponseLayer;

/// All services of the admin port, and the one that tells how they are.
pub(crate) async fn routes(admin: &Admin, gate: Gate) -> Result<(Routes, Health), Error> {
    let reporter = HealthReporter::new();
    let mut names = Vec::new();
    let mut guarded = Routes::default();
    let bytes_max = admin.authority.limits().request_bytes_max;
    macro_rules! guard {
        ($($server:ident),*) => {$(
            names.push($server::<Admin>::NAME);
            reporter.set_serving::<$server<Admin>>().await;
            let server = $server::new(admin.clone()).max_decoding_message_size(bytes_max);
            guarded = guarded.add_service(server);
        )*};
    }
    guard!(
        EntityServiceServer,
        PlanServiceServer,
        UpstreamServiceServer,
        ModelServiceServer,
        PriceBookServiceServer,
        MarkupRuleServiceServer,
        FxRateServiceServer,
        OrgServiceServer,
        KeyServiceServer,
        ApplyServiceServer,
        MoneyServiceServer,
        OperatorServiceServer,
        AuditServiceServer,
        ContentServiceServer
    );
    // A layer covers what was added before it, unknown paths included; what is added later is open.
    let gated: Routes = guarded.into_axum_router().layer(from_fn_with_state(gate, enter)).into();
    let open = gated
        .add_service(HealthServer::new(HealthService::from_health_reporter(reporter.clone())))
        .add_service(reflection(&names).build_v1()?)
        .add_service(reflection(&names).build_v1alpha()?);
    let explained = open.into_axum_router().layer(MapResponseLayer::new(explain_bare));
    Ok((Routes::from(explained).prepare(), Health::new(reporter, names)))
}

/// Tells of the services of this port only, though the descriptors have those between roles too; and of the messages
/// that errors carry, without which a client that knows nothing else cannot show them.
fn reflection(names: &[&'static str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(<HealthServer<HealthService> as NamedService>::NAME);
    names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
}
