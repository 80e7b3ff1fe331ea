//! What every call passes first: whose token it is, whether it is still good, whether the role may make this call. Rows
//! are read on each call, so that a token which was taken away is refused at once, by every replica.

use super::{Access, Binding, Caller, Operator, ROOT, Role, Scope, could_be_stored};
use crate::audit::{Auditor, Denied};
use crate::errors::{self, AdminError, Failure};
use crate::rows;
use crate::settings::Secret;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use domain::key::{Pepper, digest};
use storage::Database;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const SCHEME: &str = "bearer";

/// Lets calls through that carry the token of somebody who may make them.
#[derive(Clone)]
pub(crate) struct Gate {
    root: blake3::Hash,
    pepper: Pepper,
    db: Database,
    auditor: Auditor,
}

impl Gate {
    pub(crate) fn new(token: &Secret, pepper: &Pepper, db: Database, auditor: Auditor) -> Self {
        let root = blake3::hash(token.expose().as_bytes());
        Self { root, pepper: pepper.clone(), db, auditor }
    }

    async fn admit(&self, request: &Parts) -> Result<Caller, Status> {
        let operator = self.authenticate(&request.headers).await?;
        let Some(access) = Access::of_path(request.uri.path()) else {
            return Err(Status::unimplemented("there is no such method"));
        };
        let connection = request.extensions.get::<TcpConnectInfo>();
        let address = connection.and_then(TcpConnectInfo::remote_addr);
        let client = address.map(|address| self.auditor.client(address.ip())).unwrap_or_default();
        let caller = Caller { operator, client, method: access.method };
        let Some(reason) = why_not(&caller, access) else { return Ok(caller) };
        if access.changes {
            self.auditor.denied(Denied { caller: &caller, resource: "", request_id: "" }).await;
        }
        Err(caller.denied(String::new(), &reason).into())
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Operator, Status> {
        let Some(token) = bearer(headers) else {
            return Err(unauthenticated(
                "OPERATOR_TOKEN_MISSING",
                "an operator token is needed: send \"authorization: Bearer <token>\"; the command line takes it from TURNPIKE_ADMIN_TOKEN",
            ));
        };
        // Comparing hashes takes the same time whatever was presented.
        if blake3::hash(token.expose().as_bytes()) == self.root {
            return Ok(Operator::built_in(ROOT));
        }
        let found = if could_be_stored(&token) { self.find(&token).await? } else { None };
        let Some(operator) = found else {
            return Err(unauthenticated(
                "OPERATOR_TOKEN_WRONG",
                "this operator token is not, or no longer, one of this control plane's",
            ));
        };
        still_good(operator)
    }

    async fn find(&self, token: &Secret) -> Result<Option<Operator>, AdminError> {
        let digest = digest(&self.pepper, token.expose());
        let mut read = self.db.read().await?;
        let found = rows::operator_by_digest(&mut read, digest).await?;
        read.finish().await.map_err(Failure::from)?;
        Ok(found)
    }
}

/// As a layer round all services.
pub(crate) async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    match gate.admit(&head).await {
        Ok(caller) => {
            head.extensions.insert(caller);
            next.run(Request::from_parts(head, body)).await
        }
        Err(status) => status.into_http(),
    }
}

fn still_good(operator: Operator) -> Result<Operator, Status> {
    if operator.disabled {
        let told =
            format!("operator {:?} is disabled; ask another one to enable it", operator.name);
        return Err(unauthenticated("OPERATOR_DISABLED", &told));
    }
    if operator.expires.is_some_and(|at| at <= crate::now()) {
        let told =
            format!("the token of operator {:?} has expired; ask for a new one", operator.name);
        return Err(unauthenticated("OPERATOR_EXPIRED", &told));
    }
    Ok(operator)
}

/// Why the caller may not make this call at all, whatever it is about.
fn why_not(caller: &Caller, access: &Access) -> Option<String> {
    let Operator { role, scope, .. } = &caller.operator;
    if !access.roles.contains(role) {
        let allowed: Vec<&str> = access.roles.iter().copied().map(Role::name).collect();
        return Some(format!("{} is for the roles {}", access.method, allowed.join(", ")));
    }
    let is_beyond = access.binding == Binding::Zone && *scope != Scope::Everything;
    is_beyond.then(|| format!("{} is about the whole zone", access.method))
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| Secret::new(token.trim()))
}

fn unauthenticated(reason: &str, message: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, errors::DOMAIN, []);
    Status::with_error_details(Code::Unauthenticated, message, details)
}
