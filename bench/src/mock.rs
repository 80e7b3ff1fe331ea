//! The upstream: an OpenAI-compatible mock that costs as little as it can beside the gateway that is measured.
//!
//! Bodies are built once and shared; of a request nothing is read but the model's name and whether it wants a stream. Not
//! the simulator, which plays faults and logs all it does: this one is a target for load and nothing else.

mod payload;
mod shape;

use crate::awake::awake;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use payload::{Payload, Script};
use shape::Shape;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::sleep;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const REQUEST_ID: HeaderValue = HeaderValue::from_static("req_mock");

/// What was built for each shape.
#[derive(Default)]
struct Mock {
    answers: RefCell<HashMap<Shape, Bytes>>,
    scripts: RefCell<HashMap<Shape, Rc<Script>>>,
    is_awake: Rc<Cell<bool>>,
}

/// Asked for by the driver, not by gateways: from then on it does not rest, or does again.
pub const AWAKE: &str = "/awake";
/// See `AWAKE`.
pub const AT_REST: &str = "/at-rest";

/// Serves for ever. Must run within a `LocalSet`.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = crate::listen::listen(address)?;
    let mock = Rc::<Mock>::default();
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        tcp.set_nodelay(true)?;
        let mock = mock.clone();
        spawn_local(async move {
            let service = service_fn(move |request| answer(mock.clone(), request));
            drop(http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await);
        });
    }
}

async fn answer(
    mock: Rc<Mock>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Infallible> {
    match request.uri().path() {
        AWAKE => mock.stay_awake(),
        AT_REST => mock.is_awake.set(false),
        _ => {}
    }
    if request.method() != Method::POST || !request.uri().path().ends_with("/chat/completions") {
        let text = Bytes::from_static(br#"{"object":"list","data":[]}"#);
        return Ok(response(JSON, Payload::whole(text)));
    }
    let Ok(body) = request.into_body().collect().await else {
        let mut refused = response(JSON, Payload::whole(Bytes::from_static(b"{}")));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refused);
    };
    let body = body.to_bytes();
    let shape = Shape::of(&body);
    if shape.latency_ms > 0 {
        sleep(Duration::from_millis(shape.latency_ms)).await;
    }
    if !shape::is_true(&body, b"\"stream\"") {
        return Ok(response(JSON, Payload::whole(mock.answer(shape))));
    }
    let has_usage = shape::is_true(&body, b"\"include_usage\"");
    Ok(response(EVENTS, Payload::stream(mock.script(shape), &shape, has_usage)))
}

fn response(content_type: HeaderValue, payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert("x-request-id", REQUEST_ID);
    response
}

impl Mock {
    fn answer(&self, shape: Shape) -> Bytes {
        let mut answers = self.answers.borrow_mut();
        answers.entry(shape).or_insert_with(|| payload::answer(&shape)).clone()
    }

    fn stay_awake(&self) {
        if !self.is_awake.replace(true) {
            let is_awake = self.is_awake.clone();
            spawn_local(awake(move || is_awake.get()));
        }
    }

    fn script(&self, shape: Shape) -> Rc<Script> {
        let mut scripts = self.scripts.borrow_mut();
        scripts.entry(shape).or_insert_with(|| Rc::new(Script::new(&shape))).clone()
    }
}
