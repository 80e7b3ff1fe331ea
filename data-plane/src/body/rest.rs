//! What is left of a body that nobody will use. It is read and thrown away for a moment: a socket that is closed while bytes wait in it
//! resets its connection, and the answer is lost with it to a client that is still writing.

use axum::body::Body;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use std::time::Duration;
use tokio::time::timeout;

/// How long a client may go on with what nobody will use.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads on beside the answer.
pub(crate) fn discard(headers: &HeaderMap, body: Body, bytes_max: usize) {
    // Who waits to be asked for a body does not send it to one who refuses.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let mut body = Limited::new(body, bytes_max);
    tokio::spawn(timeout(PATIENCE, async move { while let Some(Ok(_)) = body.frame().await {} }));
}
