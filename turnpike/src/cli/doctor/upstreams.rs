//! Upstreams, as they are seen from here: name, connection, TLS. No credential is sent, so whatever they answer is fine.

use super::finding::Finding;
use crate::client::{Client, Which};
use crate::failure::innermost;
use bytes::Bytes;
use domain::config::Kind;
use http::{Method, Request};
use http_body_util::Empty;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use prost_reflect::{DynamicMessage, Value};
use std::time::Duration;
use tokio::time::timeout;

const CHECK: &str = "upstreams";
const MEND: &str = "check its base_url, name resolution, proxies and firewalls of this machine, and its certificate";

/// Looks at each that is configured.
pub(super) async fn examine(client: &Client, patience: Duration) -> Vec<Finding> {
    let upstreams = match client.list(Kind::Upstream, &Which::default()).await {
        Ok(upstreams) => upstreams,
        Err(failure) => {
            return vec![Finding::wrong(CHECK, failure.message, "look at the server's log")];
        }
    };
    if upstreams.is_empty() {
        let mend = "apply an Upstream, and a Model with a route to it";
        return vec![Finding::warning(CHECK, "none is configured", mend)];
    }
    let looks = upstreams.iter().map(|upstream| look(upstream, patience));
    futures::future::join_all(looks).await
}

async fn look(upstream: &DynamicMessage, patience: Duration) -> Finding {
    let name = text(upstream, "name");
    let spec = upstream.get_field_by_name("spec");
    let base_url = spec.as_deref().and_then(Value::as_message).map(|spec| text(spec, "base_url"));
    let base_url = base_url.unwrap_or_default();
    match timeout(patience, ask(&base_url)).await {
        Ok(Ok(status)) => Finding::ok(CHECK, format!("{name} at {base_url} answers ({status})")),
        Ok(Err(why)) => Finding::wrong(CHECK, format!("{name} at {base_url}: {why}"), MEND),
        Err(_) => {
            let found =
                format!("{name} at {base_url} does not answer within {} s", patience.as_secs());
            Finding::wrong(CHECK, found, MEND)
        }
    }
}

/// Any answer will do: it shows that the way there is open.
async fn ask(base_url: &str) -> Result<u16, String> {
    let https = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|error| format!("this machine has no certificates to trust: {error}"))?
        .https_or_http()
        .enable_http1()
        .build();
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(base_url)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = HttpClient::builder(TokioExecutor::new()).build(https).request(request).await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| innermost(&error))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}
