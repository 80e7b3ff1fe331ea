//! One connection to one of the endpoints: calls that end in time, and that a server without a leader refuses at once instead
//! of letting them wait.

use super::diff::{Event, Held, Listing};
use super::keys::Keys;
use super::{Broken, EtcdError, EtcdSettings};
use futures::StreamExt;
use rpc::kv_client::KvClient;
use rpc::lease_client::LeaseClient;
use rpc::watch_client::WatchClient;
use std::future::{Future, ready};
use std::time::Duration;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status, Streaming};

mod rpc {
    #![expect(
        unreachable_pub,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        reason = "made by tonic from what etcd documents"
    )]
    tonic::include_proto!("etcdserverpb");
}

/// Most keys of one page of a listing.
const PAGE: i64 = 500;

type Guarded = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    kv: KvClient<Guarded>,
    watch: WatchClient<Guarded>,
    lease: LeaseClient<Guarded>,
    call_timeout: Duration,
}

/// The moment at which a server answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// A watch that has begun.
#[derive(Debug)]
pub(super) struct Watch {
    messages: Streaming<rpc::WatchResponse>,
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum Said {
    /// These happened; all up to this revision was said.
    Events(i64, Vec<Event>),
    /// Nothing did, and nothing else is known.
    Nothing,
    /// What comes next was forgotten there.
    Compacted,
}

/// A value that is to be put.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) key: Vec<u8>,
    pub(super) value: String,
    /// With which it goes; 0: it stays.
    pub(super) lease: i64,
}

impl Client {
    pub(super) async fn connect(settings: &EtcdSettings, endpoint: &str) -> Result<Self, Broken> {
        let endpoint = describe(settings, endpoint)?;
        let connected = timeout(settings.call_timeout, endpoint.connect()).await;
        let channel = connected.map_err(|_| Broken::NoAnswer)?.map_err(EtcdError::from)?;
        let guard: fn(Request<()>) -> Result<Request<()>, Status> = only_with_leader;
        Ok(Self {
            kv: KvClient::with_interceptor(channel.clone(), guard),
            watch: WatchClient::with_interceptor(channel.clone(), guard),
            lease: LeaseClient::with_interceptor(channel, guard),
            call_timeout: settings.call_timeout,
        })
    }

    /// What time it is there.
    pub(super) async fn moment(&self, keys: &Keys) -> Result<Moment, Broken> {
        let asked = rpc::RangeRequest { key: keys.head(), ..rpc::RangeRequest::default() };
        moment(self.in_time(self.kv.clone().range(asked)).await?.header)
    }

    /// All keys at one moment, some at a time.
    pub(super) async fn list(&self, keys: &Keys) -> Result<Listing, Broken> {
        let (mut from, to) = keys.range();
        let mut listing = Listing { cluster: 0, revision: 0, keys: Vec::new() };
        loop {
            let asked = rpc::RangeRequest {
                key: from,
                range_end: to.clone(),
                limit: PAGE,
                revision: listing.revision,
            };
            let page = self.in_time(self.kv.clone().range(asked)).await?;
            let at = moment(page.header)?;
            if listing.revision == 0 {
                (listing.cluster, listing.revision) = (at.cluster, at.revision);
            }
            listing.keys.extend(page.kvs.into_iter().map(held));
            match listing.keys.last() {
                Some(last) if page.more => from = [last.key.as_slice(), &[0]].concat(),
                _ => return Ok(listing),
            }
        }
    }

    /// A watch from a revision on. It has begun once this returns: the call itself succeeds before.
    pub(super) async fn watch(&self, keys: &Keys, from: i64) -> Result<Watch, Broken> {
        let (key, range_end) = keys.range();
        let create =
            rpc::WatchCreateRequest { key, range_end, start_revision: from, progress_notify: true };
        let request_union = Some(rpc::watch_request::RequestUnion::CreateRequest(create));
        let asked = rpc::WatchRequest { request_union };
        // The watch lives as long as its requests do not end.
        let asked = futures::stream::once(ready(asked)).chain(futures::stream::pending());
        let mut messages = self.in_time(self.watch.clone().watch(asked)).await?;
        let created = timeout(self.call_timeout, messages.message()).await;
        match created.map_err(|_| Broken::NoAnswer)?? {
            Some(first) if first.created && !first.canceled => Ok(Watch { messages }),
            Some(first) => Err(Broken::Canceled(first.cancel_reason)),
            None => Err(Broken::Ended),
        }
    }

    /// Puts values, all or none.
    pub(super) async fn put(&self, puts: Vec<Put>) -> Result<(), Broken> {
        let success = puts.into_iter().map(put_operation).collect();
        let asked = rpc::TxnRequest { success, ..rpc::TxnRequest::default() };
        self.in_time(self.kv.clone().txn(asked)).await.map(drop)
    }

    /// Puts a value unless the key has one. The value that it has in the end.
    pub(super) async fn put_if_absent(&self, put: Put) -> Result<Vec<u8>, Broken> {
        let absent = rpc::Compare {
            result: rpc::compare::CompareResult::Equal.into(),
            target: rpc::compare::CompareTarget::Version.into(),
            key: put.key.clone(),
            target_union: Some(rpc::compare::TargetUnion::Version(0)),
        };
        let asked = rpc::RangeRequest { key: put.key.clone(), ..rpc::RangeRequest::default() };
        let range = rpc::request_op::Request::RequestRange(asked);
        let value = put.value.clone().into_bytes();
        let asked = rpc::TxnRequest {
            compare: vec![absent],
            success: vec![put_operation(put)],
            failure: vec![rpc::RequestOp { request: Some(range) }],
        };
        let answer = self.in_time(self.kv.clone().txn(asked)).await?;
        let found = answer.responses.into_iter().find_map(|response| match response.response {
            Some(rpc::response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        Ok(found.map_or(value, |found| found.value))
    }

    /// A lease of so many seconds.
    pub(super) async fn grant(&self, seconds: i64) -> Result<i64, Broken> {
        let asked = rpc::LeaseGrantRequest { ttl: seconds };
        Ok(self.in_time(self.lease.clone().lease_grant(asked)).await?.id)
    }

    /// Prolongs a lease. Whether there was any left.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<bool, Broken> {
        let asked = futures::stream::once(ready(rpc::LeaseKeepAliveRequest { id: lease }));
        let mut answers = self.in_time(self.lease.clone().lease_keep_alive(asked)).await?;
        let answer = timeout(self.call_timeout, answers.message()).await;
        let answer = answer.map_err(|_| Broken::NoAnswer)??;
        Ok(answer.is_some_and(|answer| answer.ttl > 0))
    }

    /// Gives a lease back, with all keys that go with it.
    pub(super) async fn revoke(&self, lease: i64) -> Result<(), Broken> {
        let asked = rpc::LeaseRevokeRequest { id: lease };
        self.in_time(self.lease.clone().lease_revoke(asked)).await.map(drop)
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Broken> {
        let answer = timeout(self.call_timeout, call).await.map_err(|_| Broken::NoAnswer)?;
        Ok(answer?.into_inner())
    }
}

impl Watch {
    /// What it says next. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Said, Broken> {
        let message = match self.messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(Broken::Ended),
            Err(status) if is_compaction(&status) => return Ok(Said::Compacted),
            Err(status) => return Err(status.into()),
        };
        if message.compact_revision > 0 {
            return Ok(Said::Compacted);
        }
        if message.canceled {
            return Err(Broken::Canceled(message.cancel_reason));
        }
        if message.created {
            return Ok(Said::Nothing);
        }
        let now = moment(message.header)?;
        let events: Vec<Event> = message.events.into_iter().filter_map(event).collect();
        // While it catches up, the header is ahead of what is yet to be said; without events it is not.
        let upto = events.iter().map(Event::revision).max().unwrap_or(now.revision);
        Ok(Said::Events(upto, events))
    }
}

/// What is written down in a request for etcd to refuse it where it could only wait.
#[expect(clippy::unnecessary_wraps, reason = "an interceptor may refuse")]
fn only_with_leader(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    Ok(request)
}

/// Where and how it is reached. Certificates are read anew for each connection.
pub(super) fn describe(settings: &EtcdSettings, endpoint: &str) -> Result<Endpoint, EtcdError> {
    let described = Endpoint::from_shared(endpoint.to_owned())?
        .tcp_nodelay(true)
        .connect_timeout(settings.call_timeout)
        .http2_keep_alive_interval(settings.ping_interval)
        .keep_alive_timeout(settings.ping_timeout)
        .keep_alive_while_idle(true);
    let Some(files) = &settings.tls else { return Ok(described) };
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| EtcdError::File { path: path.to_owned(), error })
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&files.ca)?));
    if let Some((cert, key)) = &files.identity {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(described.tls_config(tls)?)
}

fn moment(header: Option<rpc::ResponseHeader>) -> Result<Moment, Broken> {
    let header = header.ok_or(Broken::NoHeader)?;
    Ok(Moment { cluster: header.cluster_id, revision: header.revision })
}

fn held(found: rpc::KeyValue) -> Held {
    Held { key: found.key, value: found.value, revision: found.mod_revision }
}

fn event(event: rpc::Event) -> Option<Event> {
    let is_put = event.r#type == i32::from(rpc::event::EventType::Put);
    let found = held(event.kv?);
    Some(if is_put {
        Event::Put(found)
    } else {
        Event::Gone { key: found.key, revision: found.revision }
    })
}

fn put_operation(put: Put) -> rpc::RequestOp {
    let asked = rpc::PutRequest { key: put.key, value: put.value.into_bytes(), lease: put.lease };
    rpc::RequestOp { request: Some(rpc::request_op::Request::RequestPut(asked)) }
}

/// It may come as an error of the stream as well.
fn is_compaction(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("compacted")
}
