//! What operators can do, written once for all kinds. The gRPC services and the process itself (for the demo's seed) both
//! call this.

use crate::authority::{Authority, Changed, Fate, Step};
use crate::descriptors::Descriptors;
use crate::errors::{AdminError, Failure, Refusal};
use crate::listing::{self, ListQuery, Listing, Page, Tokens};
use crate::resource::{Parts, Resource, Stamps, parts_of};
use crate::rows::{self, Row};
use crate::settings::Secret;
use domain::config::Kind;
use domain::time::Timestamp;
use proto::admin::v1;
use std::sync::Arc;

/// The operations of the admin API.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) authority: Arc<Authority>,
    pub(crate) descriptors: Descriptors,
}

/// A new object, and what is shown of it once.
pub(crate) struct Made<R> {
    /// As stored.
    pub(crate) message: R,
    /// A key's.
    pub(crate) secret: Option<Secret>,
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

    pub(crate) async fn list<R: Resource>(&self, query: ListQuery) -> Result<Page<R>, AdminError> {
        let listing = Listing {
            db: self.authority.database(),
            limits: self.authority.limits(),
            descriptors: &self.descriptors,
            generation: self.generation(),
        };
        let Page { items, next_page_token } = listing.page(R::KIND, &query).await?;
        let items = items.into_iter().map(shown).collect::<Result<_, _>>()?;
        Ok(Page { items, next_page_token })
    }

    /// Of the configuration that is served.
    pub(crate) fn generation(&self) -> u64 {
        self.authority.publisher().head().generation
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

    pub(crate) fn data_planes(
        &self,
        query: &ListQuery,
    ) -> Result<v1::ListDataPlanesResponse, AdminError> {
        let publisher = self.authority.publisher();
        let mut told: Vec<(String, v1::DataPlane)> = publisher
            .data_planes()
            .into_iter()
            .map(|status| {
                let (name, applied) = (status.name.clone(), status.applied.rev);
                (status.name, v1::DataPlane { name, applied, rejects: status.rejects })
            })
            .collect();
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let tokens = Tokens::of(self.generation(), &["data planes", &query.filter]);
        let page = listing::page_of(told, self.authority.limits(), &tokens, query)?;
        Ok(v1::ListDataPlanesResponse {
            head: publisher.head().rev,
            data_planes: page.items,
            next_page_token: page.next_page_token,
        })
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
    let stamps = Stamps {
        etag: row.rev.to_string(),
        create_time: wire_time(row.created),
        update_time: wire_time(row.updated),
    };
    R::from_stored(row.name, row.spec, stamps).ok_or_else(|| Failure::Unreadable {
        table: "config_object",
        row: R::KIND.to_string(),
        reason: "its spec is of another kind".to_owned(),
    })
}

fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    const MICROS_PER_SECOND: u64 = 1_000_000;
    const NANOS_PER_MICRO: u64 = 1_000;
    let nanos = at.0.wrapping_rem(MICROS_PER_SECOND).saturating_mul(NANOS_PER_MICRO);
    prost_types::Timestamp {
        seconds: i64::try_from(at.0.wrapping_div(MICROS_PER_SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

fn applied(fate: &Fate) -> v1::AppliedObject {
    let row = fate.row();
    v1::AppliedObject {
        kind: row.spec.kind().to_string(),
        name: row.name.clone(),
        action: fate.action().to_owned(),
    }
}
