//! Stored prompts and completions, as the wire has them. Nobody gets one before the audit chain says who it was.

use crate::admin::Admin;
use crate::audit::Entry;
use crate::content::{ContentError, Kept};
use crate::errors::{AdminError, Failure, Refusal};
use crate::operator::{Caller, Scope};
use domain::config::Kind;
use proto::admin::v1;
use proto::admin::v1::content_service_server::ContentService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl ContentService for Admin {
    async fn get_content(
        &self,
        request: Request<v1::GetContentRequest>,
    ) -> Result<Response<v1::StoredContent>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(content(self, &caller, request.into_inner().request_id).await?))
    }
}

async fn content(
    admin: &Admin,
    caller: &Caller,
    request_id: String,
) -> Result<v1::StoredContent, AdminError> {
    let kept = kept(admin, &request_id).await?;
    let catalog = admin.authority.catalog().await;
    let org = catalog.orgs.values().find(|org| org.uid == kept.org);
    let org = org.map(|org| org.name.clone()).unwrap_or_default();
    if caller.operator.scope != Scope::Everything {
        let own = admin.find(&caller.operator.scope, Kind::Org, &org).await;
        own.map_err(|_| Refusal::NoContent { id: request_id.clone() })?;
    }
    note(admin, caller, &request_id, &org).await?;
    Ok(v1::StoredContent {
        request_id,
        org,
        ended_at: crate::rfc3339(kept.ended),
        prompt: kept.content.prompt,
        completion: kept.content.completion,
        prompt_cut: kept.content.prompt_cut,
        completion_cut: kept.content.completion_cut,
    })
}

async fn kept(admin: &Admin, request_id: &str) -> Result<Kept, AdminError> {
    let none = || Refusal::NoContent { id: request_id.to_owned() };
    let store = admin.contents.get().ok_or_else(none)?;
    match store.read(request_id).await {
        Ok(kept) => Ok(kept.ok_or_else(none)?),
        Err(ContentError::Storage(error)) => Err(error.into()),
        Err(ContentError::Unreadable(reason)) => Err(Failure::Unreadable {
            table: "content",
            row: request_id.to_owned(),
            reason: reason.to_string(),
        }
        .into()),
    }
}

/// Somebody reads what a customer said: that must not go unseen.
async fn note(
    admin: &Admin,
    caller: &Caller,
    request_id: &str,
    org: &str,
) -> Result<(), AdminError> {
    let entry = Entry {
        resource: format!("Content {request_id}"),
        detail: format!("read; of org {org}"),
        ..Entry::default()
    };
    let mut write = admin.authority.database().write().await?;
    admin.authority.auditor().append(&mut write, caller, "", &[entry]).await?;
    write.commit().await?;
    Ok(())
}
