//! Connections to the upstream: kept, the last used first, driven by a task of their own or by the request's.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

pub(crate) type RequestBody = UnsyncBoxBody<Bytes, hyper::Error>;
type Driven = Pin<Box<Connection<TokioIo<TcpStream>, RequestBody>>>;

/// Where requests go.
pub(crate) struct Upstream {
    address: SocketAddr,
    polls_itself: bool,
    idle: RefCell<Vec<Sender>>,
}

/// One connection, for one request at a time.
pub(crate) struct Sender {
    sending: SendRequest<RequestBody>,
    /// `None` when a task of its own drives it.
    driven: Option<Driven>,
}

impl Upstream {
    pub(crate) fn new(address: SocketAddr, polls_itself: bool) -> Self {
        Self { address, polls_itself, idle: RefCell::default() }
    }

    pub(crate) async fn take(&self) -> Option<Sender> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else { break };
            if !sender.sending.is_closed() && sender.is_ready().await {
                return Some(sender);
            }
        }
        let mut sender = self.dial().await?;
        sender.is_ready().await.then_some(sender)
    }

    pub(crate) fn give_back(&self, sender: Sender) {
        self.idle.borrow_mut().push(sender);
    }

    async fn dial(&self) -> Option<Sender> {
        let tcp = TcpStream::connect(self.address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let (sending, connection) = handshake(TokioIo::new(tcp)).await.ok()?;
        if self.polls_itself {
            return Some(Sender { sending, driven: Some(Box::pin(connection)) });
        }
        spawn_local(async move { drop(connection.await) });
        Some(Sender { sending, driven: None })
    }
}

impl Sender {
    pub(crate) fn is_driven_here(&self) -> bool {
        self.driven.is_some()
    }

    /// Moves bytes between the socket and the body.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driven) = &mut self.driven
            && driven.as_mut().poll(cx).is_ready()
        {
            self.driven = None;
        }
    }

    async fn is_ready(&mut self) -> bool {
        if self.sending.is_ready() {
            return true;
        }
        poll_fn(|cx| {
            self.drive(cx);
            self.sending.poll_ready(cx).map(|ready| ready.is_ok())
        })
        .await
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.sending.send_request(request));
        let driven = &mut self.driven;
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let Some(connection) = driven else { return Poll::Pending };
            if connection.as_mut().poll(cx).is_ready() {
                *driven = None;
            }
            answer.as_mut().poll(cx)
        })
        .await
    }
}
