//! The audit chain, as the wire has it.

use crate::admin::Admin;
use crate::audit::Verified;
use crate::errors::{AdminError, Refusal};
use crate::listing::{Cursor, Tokens, page_size_within};
use crate::rows::{self, AuditHead, AuditQuery};
use proto::admin::v1;
use proto::admin::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl AuditService for Admin {
    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        Ok(Response::new(list(self, &request.into_inner()).await?))
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let noted = noted(request.into_inner()).map_err(AdminError::from)?;
        let verified = self.authority.auditor().verify(noted).await.map_err(AdminError::from)?;
        Ok(Response::new(shown(verified)))
    }
}

/// A page, newest first.
async fn list(
    admin: &Admin,
    request: &v1::ListAuditRecordsRequest,
) -> Result<v1::ListAuditRecordsResponse, AdminError> {
    let size = page_size_within(admin.authority.limits(), request.page_size)?;
    let list = ["audit records", &request.operator, &request.resource];
    let tokens = Tokens::of(admin.generation(), &list);
    let after = tokens.read(&request.page_token)?;
    let before = after.map_or(u64::MAX, |cursor| rows::from_database(cursor.sort));
    let query = AuditQuery {
        before,
        operator: &request.operator,
        resource: &request.resource,
        limit: size.saturating_add(1),
    };
    let mut read = admin.authority.database().read().await?;
    let mut records = rows::audit_before(&mut read, &query).await?;
    read.finish().await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let is_last = records.len() <= size;
    records.truncate(size);
    let place =
        |last: &v1::AuditRecord| Cursor { sort: rows::to_database(last.seq), name: String::new() };
    let last = records.last().filter(|_| !is_last);
    let next_page_token = last.map(|last| tokens.write(place(last))).unwrap_or_default();
    Ok(v1::ListAuditRecordsResponse { records, next_page_token })
}

fn noted(request: v1::VerifyAuditRequest) -> Result<Option<AuditHead>, Refusal> {
    let v1::VerifyAuditRequest { expected_seq: seq, expected_hash: hash } = request;
    match (seq, hash.is_empty()) {
        (0, true) => Ok(None),
        (0, false) => Err(Refusal::Argument {
            field: "expected_seq",
            reason: "is needed with a hash: the number of the record that had it".to_owned(),
        }),
        (_, true) => Err(Refusal::Argument {
            field: "expected_hash",
            reason: "is needed with a number: the hash that the record had".to_owned(),
        }),
        (seq, false) => Ok(Some(AuditHead { seq, hash })),
    }
}

fn shown(verified: Verified) -> v1::VerifyAuditResponse {
    let Verified { head, difference } = verified;
    let (differs_at, difference) =
        difference.map(|found| (found.seq, found.reason)).unwrap_or_default();
    v1::VerifyAuditResponse {
        ok: differs_at == 0,
        records: head.seq,
        head_hash: head.hash,
        differs_at,
        difference,
    }
}
