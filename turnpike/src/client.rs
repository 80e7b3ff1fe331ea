//! The CLI's end of the admin gRPC: the connection with its token, typed calls for money and `apply`, and calls by kind.
//!
//! Get, list and delete go by the descriptors alone, so a new kind of object needs no code here.

use crate::failure::{Failure, TOKEN_VARIABLE};
use clap::Args;
use domain::config::Kind;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, Value};
use proto::admin::v1 as admin;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::InterceptedService;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PAGE_SIZE: i32 = 500;

/// Which control plane, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// Where the control plane's admin API listens
    #[arg(
        long,
        env = "TURNPIKE_ADMIN_ADDR",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    #[arg(help_heading = "Connection", hide_env_values = true)]
    pub(crate) admin_addr: String,
    /// File that holds the operator's token; without it TURNPIKE_ADMIN_TOKEN is used
    #[arg(long, env = "TURNPIKE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    #[arg(help_heading = "Connection", hide_env_values = true)]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// How many seconds an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Connection")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
}

/// Which objects of a kind, and in which order, as the admin API has it; empty: all, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    /// What fits.
    pub(crate) filter: String,
    /// By what.
    pub(crate) order_by: String,
}

/// A control plane to talk to.
pub(crate) struct Client {
    address: String,
    channel: Authorized,
}

type Authorized = InterceptedService<Channel, Bearer>;

impl Client {
    /// Connects, so that an unreachable server is told before anything else.
    pub(crate) async fn connect(remote: &Remote) -> Result<Self, Failure> {
        let address = match remote.admin_addr.split_once("://") {
            Some(_) => remote.admin_addr.clone(),
            None => format!("http://{}", remote.admin_addr),
        };
        let bearer = Bearer::read(remote)?;
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|error| {
                Failure::usage(format!("--admin-addr \"{address}\" is no URL: {error}"))
            })?
            .user_agent(concat!("turnpike-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::failed(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_secs(remote.timeout));
        let connected = endpoint.connect().await;
        let channel = connected.map_err(|error| Failure::unreachable(&address, &error))?;
        Ok(Self { address, channel: InterceptedService::new(channel, bearer) })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Calls about balances, usage and bills.
    pub(crate) fn money(&self) -> admin::money_service_client::MoneyServiceClient<Authorized> {
        admin::money_service_client::MoneyServiceClient::new(self.channel.clone())
    }

    /// Calls about stored prompts and completions.
    pub(crate) fn contents(
        &self,
    ) -> admin::content_service_client::ContentServiceClient<Authorized> {
        admin::content_service_client::ContentServiceClient::new(self.channel.clone())
    }

    /// Many objects at once.
    pub(crate) fn apply(&self) -> admin::apply_service_client::ApplyServiceClient<Authorized> {
        admin::apply_service_client::ApplyServiceClient::new(self.channel.clone())
    }

    /// Calls about keys.
    pub(crate) fn keys(&self) -> admin::key_service_client::KeyServiceClient<Authorized> {
        admin::key_service_client::KeyServiceClient::new(self.channel.clone())
    }

    /// Calls about operators.
    pub(crate) fn operators(
        &self,
    ) -> admin::operator_service_client::OperatorServiceClient<Authorized> {
        admin::operator_service_client::OperatorServiceClient::new(self.channel.clone())
    }

    /// Calls about the audit chain.
    pub(crate) fn audit(&self) -> admin::audit_service_client::AuditServiceClient<Authorized> {
        admin::audit_service_client::AuditServiceClient::new(self.channel.clone())
    }

    /// The answer of a call, or what its failure means to the user.
    pub(crate) fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
        answer
            .map(Response::into_inner)
            .map_err(|status| Failure::from_status(&self.address, &status))
    }

    /// The newest revision and every live data plane, page by page.
    pub(crate) async fn data_planes(&self) -> Result<(u64, Vec<admin::DataPlane>), Failure> {
        let mut planes = Vec::new();
        let mut request = admin::ListDataPlanesRequest::default();
        loop {
            let page = self.answer(self.apply().list_data_planes(request.clone()).await)?;
            planes.extend(page.data_planes);
            if page.next_page_token.is_empty() {
                return Ok((page.head, planes));
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The server's clock, which HTTP/2 puts on each answer; none if this one had it not. To the second.
    pub(crate) async fn server_time(&self) -> Result<Option<SystemTime>, Failure> {
        let answer = self.apply().list_data_planes(admin::ListDataPlanesRequest::default()).await;
        let answer = answer.map_err(|status| Failure::from_status(&self.address, &status))?;
        let date = answer.metadata().get("date").and_then(|date| date.to_str().ok());
        let read = |date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok();
        Ok(date.and_then(read).map(SystemTime::from))
    }

    /// One object.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<DynamicMessage, Failure> {
        self.call(&method(kind, "Get")?, [("name", Value::String(name.to_owned()))]).await
    }

    /// All objects of a kind, page by page.
    pub(crate) async fn list(
        &self,
        kind: Kind,
        which: &Which,
    ) -> Result<Vec<DynamicMessage>, Failure> {
        let method = method(kind, "List")?;
        let mut objects = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = [
                ("page_size", Value::I32(PAGE_SIZE)),
                ("page_token", Value::String(page_token)),
                ("filter", Value::String(which.filter.clone())),
                ("order_by", Value::String(which.order_by.clone())),
            ];
            let page = self.call(&method, request).await?;
            for (_, value) in page.fields() {
                if let Value::List(items) = value {
                    objects.extend(items.iter().filter_map(Value::as_message).cloned());
                }
            }
            match page.get_field_by_name("next_page_token").as_deref().and_then(Value::as_str) {
                None | Some("") => return Ok(objects),
                Some(next) => page_token = next.to_owned(),
            }
        }
    }

    /// Deletes one object, whatever its etag.
    pub(crate) async fn delete(&self, kind: Kind, name: &str) -> Result<(), Failure> {
        let request = [("name", Value::String(name.to_owned()))];
        self.call(&method(kind, "Delete")?, request).await.map(|_empty| ())
    }

    async fn call<const FIELDS: usize>(
        &self,
        method: &MethodDescriptor,
        fields: [(&str, Value); FIELDS],
    ) -> Result<DynamicMessage, Failure> {
        let mut request = DynamicMessage::new(method.input());
        for (name, value) in fields {
            request.set_field_by_name(name, value);
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path: PathAndQuery = path.parse().map_err(|_| unknown_call(&path))?;
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Failure::unreachable(&self.address, &error))?;
        let codec = DynamicCodec { answer: method.output() };
        self.answer(grpc.unary(Request::new(request), path, codec).await)
    }
}

fn method(kind: Kind, verb: &str) -> Result<MethodDescriptor, Failure> {
    let service = format!("turnpike.admin.v1.{kind}Service");
    crate::objects::descriptors()?
        .get_service_by_name(&service)
        .and_then(|service| service.methods().find(|method| method.name().starts_with(verb)))
        .ok_or_else(|| unknown_call(&format!("{service}/{verb}")))
}

fn unknown_call(path: &str) -> Failure {
    Failure::failed(format!("this build does not know the call {path}"))
}

/// Puts the operator's token on each call.
#[derive(Clone)]
pub(crate) struct Bearer {
    header: Option<MetadataValue<Ascii>>,
}

impl Bearer {
    /// Without a token calls go out all the same: the server says best that it wants one.
    fn read(remote: &Remote) -> Result<Self, Failure> {
        let token = match &remote.admin_token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("cannot read the token file {}: {error}", path.display()))
            })?),
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let header = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let mut header: Option<MetadataValue<Ascii>> = header
            .map_err(|_| Failure::usage("the operator's token has characters that no token has"))?;
        if let Some(header) = &mut header {
            header.set_sensitive(true);
        }
        Ok(Self { header })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// Messages by descriptor instead of by type.
struct DynamicCodec {
    answer: MessageDescriptor,
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder { answer: self.answer.clone() }
    }
}

struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to).map_err(|error| Status::internal(error.to_string()))
    }
}

struct DynamicDecoder {
    answer: MessageDescriptor,
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.answer.clone(), from);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
