//! What operators can do, written once for all kinds. The gRPC services and the process itself (for the demo's seed) both
//! call this.

use crate::authority::{Authority, Changed, Fate, Step};
use crate::errors::{AdminError, Failure, Refusal};
use crate::listing;
use crate::resource::{Parts, Resource, parts_of};
use crate::rows::{self, Row};
use crate::settings::Secret;
use domain::config::Kind;
use proto::admin::v1;
use std::sync::Arc;

/// The operations of the admin API.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) authority: Arc<Authority>,
}

/// A new object, and what is shown of it once.
pub(crate) struct Made<R> {
    /// As stored.
    pub(crate) message: R,
    /// A key's.
    pub(crate) secret: Option<Secret>,
}

/// A page of objects.
pub(crate) struct Listed<R> {
    /// By name.
    pub(crate) messages: Vec<R>,
    /// Empty: this was the last page.
    pub(crate) next_page_token: String,
}

impl Admin {
    pub(crate) async fn create<R: Resource>(
        &self,
        message: Option<R>,
        validate_only: bool,
    ) -> Result<Made<R>, AdminError> {
        let step = Step::Create(required(message)?);
        match self.one(step, validate_only).await? {
            Fate::Created { after, secret } => {
                // A key that was only tried does not exist, and neither does its secret.
                let secret = secret.filter(|_| !validate_only);
                Ok(Made { message: shown(after)?, secret })
            }
            other => Ok(Made { message: shown(other.into_row())?, secret: None }),
        }
    }

    pub(crate) async fn get<R: Resource>(&self, name: &str) -> Result<R, AdminError> {
        Ok(shown(self.find(R::KIND, name).await?)?)
    }

    pub(crate) async fn list<R: Resource>(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<Listed<R>, AdminError> {
        let (db, limits) = (self.authority.database(), self.authority.limits());
        let page = listing::page(db, limits, R::KIND, page_size, page_token).await?;
        let messages = page.rows.into_iter().map(shown).collect::<Result<_, _>>()?;
        Ok(Listed { messages, next_page_token: page.next_page_token })
    }

    pub(crate) async fn update<R: Resource>(
        &self,
        message: Option<R>,
        mask: Option<prost_types::FieldMask>,
        validate_only: bool,
    ) -> Result<R, AdminError> {
        let mask = mask.map(|mask| mask.paths).unwrap_or_default();
        let step = Step::Update(required(message)?, mask);
        Ok(shown(self.one(step, validate_only).await?.into_row())?)
    }

    pub(crate) async fn delete(
        &self,
        kind: Kind,
        name: String,
        etag: String,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        self.one(Step::Delete { kind, name, etag }, validate_only).await.map(drop)
    }

    pub(crate) async fn apply(
        &self,
        request: v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, AdminError> {
        let most = self.authority.limits().apply_objects_max;
        if request.objects.len() > most {
            let reason = format!("{} are too many at once: at most {most}", request.objects.len());
            return Err(Refusal::Argument { field: "objects", reason }.into());
        }
        let steps: Vec<Step> = request
            .objects
            .into_iter()
            .enumerate()
            .map(|(index, object)| parts_of(object).map(Step::Put).ok_or_else(|| empty(index)))
            .collect::<Result<_, _>>()?;
        let Changed { revision, fates } =
            self.authority.change(steps, request.validate_only).await?;
        Ok(v1::ApplyResponse {
            revision: revision.rev,
            objects: fates.iter().map(applied).collect(),
        })
    }

    pub(crate) fn data_planes(&self) -> v1::ListDataPlanesResponse {
        let publisher = self.authority.publisher();
        let told = publisher.data_planes().into_iter().map(|status| v1::DataPlane {
            name: status.name,
            applied: status.applied.rev,
            rejects: status.rejects,
        });
        v1::ListDataPlanesResponse { head: publisher.head().rev, data_planes: told.collect() }
    }

    /// The row of an object.
    pub(crate) async fn find(&self, kind: Kind, name: &str) -> Result<Row, AdminError> {
        let mut read = self.authority.database().read().await?;
        let row = rows::find(&mut read, kind, name).await?;
        read.finish().await?;
        row.ok_or_else(|| Refusal::NotFound { kind, name: name.to_owned() }.into())
    }

    async fn one(&self, step: Step, validate_only: bool) -> Result<Fate, AdminError> {
        let kind = step.kind();
        let changed = self.authority.change(vec![step], validate_only).await?;
        changed.fates.into_iter().next().ok_or_else(|| missing(kind).into())
    }
}

fn required<R: Resource>(message: Option<R>) -> Result<Parts, Refusal> {
    message.map(R::into_parts).ok_or_else(|| missing(R::KIND))
}

fn missing(kind: Kind) -> Refusal {
    Refusal::field(kind, "", "spec", format!("the request has no {kind}"))
}

fn empty(index: usize) -> Refusal {
    let reason = format!("the one at index {index} is empty: give it a kind, a name and a spec");
    Refusal::Argument { field: "objects", reason }
}

/// As callers see it: without secrets, which rows keep apart from specs.
fn shown<R: Resource>(row: Row) -> Result<R, Failure> {
    let parts = Parts { etag: row.rev.to_string(), name: row.name, spec: row.spec };
    R::from_parts(parts).ok_or_else(|| Failure::Unreadable {
        table: "config_object",
        row: R::KIND.to_string(),
        reason: "its spec is of another kind".to_owned(),
    })
}

fn applied(fate: &Fate) -> v1::AppliedObject {
    let row = fate.row();
    v1::AppliedObject {
        kind: row.spec.kind().to_string(),
        name: row.name.clone(),
        action: fate.action().to_owned(),
    }
}
