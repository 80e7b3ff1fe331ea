//! Operators, as the wire has them.

use crate::admin::Admin;
use crate::authority::{OperatorChange, OperatorFate, OperatorStep};
use crate::errors::{AdminError, OperatorRefusal, Refusal};
use crate::listing::{Cursor, Tokens, page_size_within};
use crate::operator::{Caller, Operator, Role, Scope, Sight};
use crate::read;
use crate::rows;
use domain::time::Timestamp;
use proto::admin::v1;
use proto::admin::v1::operator_service_server::OperatorService;
use tonic::{Request, Response, Status};

/// What an update may name.
const FIELDS: [&str; 3] = ["role", "expire_time", "disabled"];

#[tonic::async_trait]
impl OperatorService for Admin {
    async fn create_operator(
        &self,
        request: Request<v1::CreateOperatorRequest>,
    ) -> Result<Response<v1::CreateOperatorResponse>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call =
            self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
        let step = creation(request.operator.unwrap_or_default())?;
        Ok(Response::new(self.authority.change_operator(call, step, with_token).await?))
    }

    async fn get_operator(
        &self,
        request: Request<v1::GetOperatorRequest>,
    ) -> Result<Response<v1::Operator>, Status> {
        let caller = Caller::of(&request)?;
        let name = request.into_inner().name;
        Ok(Response::new(shown(&find(self, &caller, name).await?)))
    }

    async fn list_operators(
        &self,
        request: Request<v1::ListOperatorsRequest>,
    ) -> Result<Response<v1::ListOperatorsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(list(self, &caller, request.into_inner()).await?))
    }

    async fn update_operator(
        &self,
        request: Request<v1::UpdateOperatorRequest>,
    ) -> Result<Response<v1::Operator>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call =
            self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
        let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        let step = update(request.operator.unwrap_or_default(), &mask)?;
        let answer = |fate: OperatorFate| shown(&fate.operator);
        Ok(Response::new(self.authority.change_operator(call, step, answer).await?))
    }

    async fn delete_operator(
        &self,
        request: Request<v1::DeleteOperatorRequest>,
    ) -> Result<Response<()>, Status> {
        let (caller, request) = (Caller::of(&request)?, request.into_inner());
        let call =
            self.authority.call(caller, &request.request_id, request.validate_only, &request)?;
        let step = OperatorStep::Delete { name: request.name, etag: request.etag };
        Ok(Response::new(self.authority.change_operator(call, step, |_| ()).await?))
    }
}

async fn find(admin: &Admin, caller: &Caller, name: String) -> Result<Operator, AdminError> {
    let mut read = admin.authority.database().read().await?;
    let mut sight = Sight::of(&caller.operator.scope);
    let found = match rows::find_operator(&mut read, &name).await? {
        Some(found) if sight.sees_operator_of(&mut read, &found.scope).await? => Some(found),
        _ => None,
    };
    read.finish().await?;
    found.ok_or_else(|| OperatorRefusal::NotFound { name }.into())
}

/// A page of those that the caller may see, by name.
async fn list(
    admin: &Admin,
    caller: &Caller,
    request: v1::ListOperatorsRequest,
) -> Result<v1::ListOperatorsResponse, AdminError> {
    let size = page_size_within(admin.authority.limits(), request.page_size)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let tokens = Tokens::of(admin.generation(), &["operators"]);
    let begin = tokens.read(&request.page_token)?.map(|cursor| cursor.name).unwrap_or_default();
    let mut read = admin.authority.database().read().await?;
    let mut sight = Sight::of(&caller.operator.scope);
    let (mut seen, mut after) = (Vec::new(), begin);
    while seen.len() <= size {
        let batch = rows::operators_after(&mut read, &after, BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = last.name.clone();
        for operator in batch {
            if sight.sees_operator_of(&mut read, &operator.scope).await? {
                seen.push(operator);
            }
        }
    }
    read.finish().await?;
    let is_last = seen.len() <= size;
    seen.truncate(size);
    let last = seen.last().filter(|_| !is_last);
    let next = last.map(|last| tokens.write(Cursor { sort: 0, name: last.name.clone() }));
    Ok(v1::ListOperatorsResponse {
        operators: seen.iter().map(shown).collect(),
        next_page_token: next.unwrap_or_default(),
    })
}

/// Operators that are read at once.
const BATCH: u32 = 100;

fn creation(message: v1::Operator) -> Result<OperatorStep, AdminError> {
    let spec = message.spec.unwrap_or_default();
    if !spec.entity.is_empty() && !spec.org.is_empty() {
        let reason = "must be left out where an entity is named: an operator has one scope";
        return Err(argument("operator.spec.org", reason));
    }
    Ok(OperatorStep::Create {
        name: message.name,
        role: role(&spec)?,
        scope: Scope::new(&spec.entity, &spec.org),
        expires: expires(&spec)?,
        disabled: spec.disabled,
    })
}

fn update(message: v1::Operator, mask: &[String]) -> Result<OperatorStep, AdminError> {
    let spec = message.spec.unwrap_or_default();
    let plain: Vec<&str> =
        mask.iter().map(|path| path.strip_prefix("spec.").unwrap_or(path)).collect();
    let is_whole = plain.is_empty() || plain.iter().any(|path| matches!(*path, "*" | "spec"));
    let foreign = plain.iter().find(|path| !FIELDS.contains(path)).filter(|_| !is_whole);
    if let Some(path) = foreign {
        let reason = format!("\"{path}\" cannot be updated: name any of {}", FIELDS.join(", "));
        return Err(argument("update_mask", &reason));
    }
    let named = |field: &str| is_whole || plain.contains(&field);
    let has_scope = is_whole && !(spec.entity.is_empty() && spec.org.is_empty());
    let change = OperatorChange {
        role: if named("role") { Some(role(&spec)?) } else { None },
        expires: if named("expire_time") { Some(expires(&spec)?) } else { None },
        disabled: named("disabled").then_some(spec.disabled),
        scope: has_scope.then(|| Scope::new(&spec.entity, &spec.org)),
    };
    Ok(OperatorStep::Update { name: message.name, etag: message.etag, change })
}

fn role(spec: &v1::OperatorSpec) -> Result<Role, AdminError> {
    let known: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
    Role::parse(&spec.role).ok_or_else(|| {
        let reason = format!("{:?} is no role: write one of {}", spec.role, known.join(", "));
        argument("operator.spec.role", &reason)
    })
}

fn expires(spec: &v1::OperatorSpec) -> Result<Option<Timestamp>, AdminError> {
    let read = spec.expire_time.as_ref().map(read::moment).transpose();
    read.map_err(|reason| argument("operator.spec.expire_time", reason))
}

fn argument(field: &'static str, reason: &str) -> AdminError {
    Refusal::Argument { field, reason: reason.to_owned() }.into()
}

fn shown(operator: &Operator) -> v1::Operator {
    let (entity, org) = operator.scope.parts();
    v1::Operator {
        name: operator.name.clone(),
        spec: Some(v1::OperatorSpec {
            role: operator.role.name().to_owned(),
            entity: entity.to_owned(),
            org: org.to_owned(),
            expire_time: operator.expires.map(crate::wire_time),
            disabled: operator.disabled,
        }),
        etag: operator.etag(),
        create_time: Some(crate::wire_time(operator.created)),
    }
}

/// The only answer with a token; it is empty when the operator was only tried.
fn with_token(fate: OperatorFate) -> v1::CreateOperatorResponse {
    let token = fate.token.as_ref().map(|token| token.expose().to_owned());
    v1::CreateOperatorResponse {
        operator: Some(shown(&fate.operator)),
        token: token.unwrap_or_default(),
    }
}
