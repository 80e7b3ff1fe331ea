//! The admin API by descriptors alone, requests and answers as JSON: any method, also one that is not written yet.

use integration_tests::Gateway;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Calls one life of one gateway.
pub(crate) struct Api {
    channel: Channel,
    token: String,
}

/// All methods of the admin API.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let services: Vec<_> =
        pool.services().filter(|found| found.package_name() == "turnpike.admin.v1").collect();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// `turnpike.admin.v1.PlanService/GetPlan`.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

impl Api {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let face = gateway.demo_env();
        let address = face.get("TURNPIKE_ADMIN_ADDR").to_owned();
        let channel = Channel::from_shared(address).unwrap().connect_lazy();
        Self { channel, token: format!("Bearer {}", face.get("TURNPIKE_ADMIN_TOKEN")) }
    }

    pub(crate) async fn call(&self, method: &str, request: &Value) -> Result<Value, Status> {
        let found = methods().into_iter().find(|found| path(found) == method).unwrap();
        let message = DynamicMessage::deserialize(found.input(), request)
            .unwrap_or_else(|error| panic!("{method}: {error} in {request}"));
        let mut request = Request::new(message.encode_to_vec());
        request.metadata_mut().insert("authorization", self.token.parse().unwrap());
        let path: PathAndQuery = format!("/{method}").parse().unwrap();
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let answer = grpc.unary(request, path, Plain).await?.into_inner();
        let answer = DynamicMessage::decode(found.output(), answer.as_slice()).unwrap();
        Ok(serde_json::to_value(answer).unwrap())
    }
}

/// Messages as their bytes.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
