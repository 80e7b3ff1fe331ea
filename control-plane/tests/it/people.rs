//! Two entities with orgs, keys, rules and usage, and operators of every role and scope over them.

use super::harness::{Rig, TOKEN};
use super::samples;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use proto::admin::v1;
use proto::admin::v1::object::Object as Any;
use proto::usage::v1::UsageEvent;
use std::sync::LazyLock;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};

pub(crate) const ROLES: [&str; 4] = ["owner", "admin", "billing", "viewer"];
/// Entity and org of a scope, as they are written.
pub(crate) const SCOPES: [(&str, &str); 3] = [("", ""), ("global", ""), ("", "acme")];

/// Who is asked of: `own` to the narrowest scope, a `sibling` within the same entity, `foreign` to it.
pub(crate) const ORGS: [(&str, &str); 3] =
    [("acme", "own"), ("near", "sibling"), ("far", "foreign")];

pub(crate) fn entity(name: &str) -> v1::Entity {
    samples::named_entity(name, "SG", "USD", &format!("sk-{name}-"))
}

pub(crate) fn org(name: &str, entity: &str) -> v1::Org {
    let mut org = samples::org();
    org.name = name.to_owned();
    org.spec.as_mut().unwrap().entity = entity.to_owned();
    org
}

pub(crate) fn key(org: &str, name: &str) -> v1::Key {
    let mut key = samples::key();
    key.name = format!("{org}/{name}");
    key.spec.as_mut().unwrap().org = org.to_owned();
    key
}

pub(crate) fn rule(name: &str, entity: &str) -> v1::MarkupRule {
    let mut rule = samples::markup_rule();
    rule.name = name.to_owned();
    rule.spec.as_mut().unwrap().entity = entity.to_owned();
    rule
}

pub(crate) fn operator(name: &str, role: &str, (entity, org): (&str, &str)) -> v1::Operator {
    let spec = v1::OperatorSpec {
        role: role.to_owned(),
        entity: entity.to_owned(),
        org: org.to_owned(),
        ..Default::default()
    };
    v1::Operator { name: name.to_owned(), spec: Some(spec), ..Default::default() }
}

/// The control plane with all of them.
pub(crate) async fn town() -> Rig {
    let rig = Rig::start().await;
    rig.apply(samples::all()).await.unwrap();
    rig.apply([
        Any::Entity(entity("rival")),
        Any::Org(org("near", "global")),
        Any::Org(org("far", "rival")),
        Any::MarkupRule(rule("of-global", "global")),
        Any::MarkupRule(rule("of-rival", "rival")),
    ])
    .await
    .unwrap();
    for (org, _) in ORGS {
        let request = v1::CreateKeyRequest { key: Some(key(org, "k")), ..Default::default() };
        rig.keys().create_key(request).await.unwrap();
        record_usage(&rig, org).await;
    }
    rig
}

/// Makes an operator and returns its token.
pub(crate) async fn hire(rig: &Rig, name: &str, role: &str, scope: (&str, &str)) -> String {
    let operator = Some(operator(name, role, scope));
    let request = v1::CreateOperatorRequest { operator, ..Default::default() };
    let path = "OperatorService/CreateOperator";
    let bytes = call(rig, TOKEN, path, &request.encode_to_vec()).await.unwrap();
    v1::CreateOperatorResponse::decode(bytes.as_slice()).unwrap().token
}

/// One request that the org's key made, as billing would have recorded it.
async fn record_usage(rig: &Rig, org: &str) {
    let event = UsageEvent {
        request_id: format!("req-{org}"),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let mut write = rig.database.write().await.unwrap();
    let row = sqlx::query("SELECT uid FROM config_object WHERE kind = 'Org' AND name = $1")
        .bind(org)
        .fetch_one(&mut *write)
        .await
        .unwrap();
    let uid: i64 = sqlx::Row::get(&row, "uid");
    let event = UsageEvent { org_uid: uid, ..event };
    sqlx::query(
        "INSERT INTO usage_record (data_plane, incarnation, partition_no, seq, request_id, upstream_id, org_uid, key_uid,
             model, outcome, currency, charge_nano, uncollected_nano, shortfall_nano, budget_shortfall_nano, budgeted,
             input_tokens, output_tokens, ended_us, transaction_id, event)
         VALUES ('dp', 1, 1, $1, $2, '', $1, 0, 'demo/chat', 'completed', 'USD', 0, 0, 0, 0, 0, 1, 1, $1, 0, $3)",
    )
    .bind(uid)
    .bind(format!("req-{org}"))
    .bind(hex::encode(event.encode_to_vec()))
    .execute(&mut *write)
    .await
    .unwrap();
    write.commit().await.unwrap();
}

/// Calls `Service/Method` with the bytes of a message, as whoever has the token; the bytes of the answer.
pub(crate) async fn call(
    rig: &Rig,
    token: &str,
    method: &str,
    request: &[u8],
) -> Result<Vec<u8>, Status> {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).unwrap());
    let pool = LazyLock::force(&POOL);
    let (service, name) = method.split_once('/').unwrap();
    let service = pool.get_service_by_name(&format!("turnpike.admin.v1.{service}")).unwrap();
    let found = service.methods().find(|found| found.name() == name).unwrap();
    let message = DynamicMessage::decode(found.input(), request).unwrap();
    let mut grpc = Grpc::new(rig.channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let path: PathAndQuery = format!("/turnpike.admin.v1.{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<DynamicMessage, Kept>::default();
    grpc.unary(request, path, codec).await.map(|answer| answer.into_inner().0)
}

/// A message of any type, as its bytes.
#[derive(Clone, Debug, Default)]
struct Kept(Vec<u8>);

impl Message for Kept {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buffer: &mut impl prost::bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        // Every field of our answers that tests look at is length-delimited or a number.
        prost::encoding::encode_key(tag, wire_type, &mut self.0);
        match wire_type {
            prost::encoding::WireType::LengthDelimited => {
                let mut bytes: Vec<u8> = Vec::new();
                prost::encoding::bytes::merge(wire_type, &mut bytes, buffer, context)?;
                prost::encoding::encode_varint(bytes.len() as u64, &mut self.0);
                self.0.extend(bytes);
            }
            _ => {
                let mut number = 0_u64;
                prost::encoding::uint64::merge(wire_type, &mut number, buffer, context)?;
                prost::encoding::encode_varint(number, &mut self.0);
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}
