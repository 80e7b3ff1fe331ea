//! What operators can do, written once for all kinds. The gRPC services and the process itself (for the demo's seed) both
//! call this.

use crate::authority::{Answer, Authority, Call, Changed, Fate, Step};
use crate::content::ContentStore;
use crate::descriptors::Descriptors;
use crate::errors::{AdminError, Failure, Refusal};
use crate::listing::{self, ListQuery, Listing, Page, Tokens};
use crate::operator::{Caller, Scope, Sight};
use crate::resource::{Parts, Resource, Stamps, parts_of};
use crate::rows::{self, Row};
use crate::settings::Secret;
use domain::config::Kind;
use proto::admin::v1;
use std::sync::{Arc, OnceLock};

/// What operators of a part of the zone are told of an object that a data plane rejects.
const REJECTED: &str = "an object was rejected; its name is told to operators of the whole zone";

/// The operations of the admin API.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) authority: Arc<Authority>,
    /// Stored prompts and completions, once somebody keeps them.
    pub(crate) contents: Arc<OnceLock<ContentStore>>,
    pub(crate) descriptors: Descriptors,
}

/// An object that is new or has a new secret, and what is shown of it once.
pub(crate) struct Made<R> {
    /// As stored.
    pub(crate) message: R,
    /// A key's.
    pub(crate) secret: Option<Secret>,
}

impl Admin {
    pub(crate) async fn create<R: Resource, A: Answer>(
        &self,
        call: Call,
        message: Option<R>,
        answer: fn(Changed) -> Result<A, AdminError>,
    ) -> Result<A, AdminError> {
        let step = Step::Create(required(message)?);
        self.authority.change(call, vec![step], answer).await
    }

    pub(crate) async fn get<R: Resource>(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<R, AdminError> {
        Ok(shown(self.find(&caller.operator.scope, R::KIND, name).await?)?)
    }

    pub(crate) async fn list<R: Resource>(
        &self,
        caller: &Caller,
        query: ListQuery,
    ) -> Result<Page<R>, AdminError> {
        let listing = Listing {
            db: self.authority.database(),
            limits: self.authority.limits(),
            descriptors: &self.descriptors,
            generation: self.generation(),
            scope: &caller.operator.scope,
        };
        let Page { items, next_page_token } = listing.page(R::KIND, &query).await?;
        let items = items.into_iter().map(shown).collect::<Result<_, _>>()?;
        Ok(Page { items, next_page_token })
    }

    /// Of the configuration that is served.
    pub(crate) fn generation(&self) -> u64 {
        self.authority.publisher().head().generation
    }

    pub(crate) async fn update<R: Resource + Answer>(
        &self,
        call: Call,
        message: Option<R>,
        mask: Option<prost_types::FieldMask>,
    ) -> Result<R, AdminError> {
        let mask = mask.map(|mask| mask.paths).unwrap_or_default();
        let step = Step::Update(required(message)?, mask);
        self.authority.change(call, vec![step], |changed| Ok(made(changed)?.message)).await
    }

    pub(crate) async fn delete(
        &self,
        call: Call,
        kind: Kind,
        name: String,
        etag: String,
    ) -> Result<(), AdminError> {
        self.authority.change(call, vec![Step::Delete { kind, name, etag }], |_| Ok(())).await
    }

    pub(crate) async fn apply(
        &self,
        call: Call,
        objects: Vec<v1::Object>,
    ) -> Result<v1::ApplyResponse, AdminError> {
        let most = self.authority.limits().apply_objects_max;
        if objects.len() > most {
            let reason = format!("{} are too many at once: at most {most}", objects.len());
            return Err(Refusal::Argument { field: "objects", reason }.into());
        }
        let steps: Vec<Step> = objects
            .into_iter()
            .enumerate()
            .map(|(index, object)| parts_of(object).map(Step::Put).ok_or_else(|| empty(index)))
            .collect::<Result<_, _>>()?;
        self.authority.change(call, steps, all_applied).await
    }

    /// The state of data planes. What they reject may be others' objects, whose names are for the zone alone.
    pub(crate) async fn data_planes(
        &self,
        caller: &Caller,
        query: &ListQuery,
    ) -> Result<v1::ListDataPlanesResponse, AdminError> {
        let is_told = caller.operator.scope == Scope::Everything;
        let reject = |text: String| if is_told { text } else { REJECTED.to_owned() };
        let planes = self.authority.fleet().list().await?.into_iter();
        let told = planes.map(|plane| {
            let rejects = plane.rejects.into_iter().map(reject).collect();
            (plane.name.clone(), v1::DataPlane { rejects, ..plane })
        });
        let told: Vec<(String, v1::DataPlane)> = told.collect();
        let tokens = Tokens::of(self.generation(), &["data planes", &query.filter]);
        let page = listing::page_of(told, self.authority.limits(), &tokens, query)?;
        Ok(v1::ListDataPlanesResponse {
            head: self.authority.publisher().head().rev,
            data_planes: page.items,
            next_page_token: page.next_page_token,
        })
    }

    /// The row of an object that the scope's operator may see. One that he may not see is not found, in the same words.
    pub(crate) async fn find(
        &self,
        scope: &Scope,
        kind: Kind,
        name: &str,
    ) -> Result<Row, AdminError> {
        let mut read = self.authority.database().read().await?;
        let found = match rows::find(&mut read, kind, name).await? {
            Some(row) if Sight::of(scope).sees(&mut read, &row).await? => Some(row),
            _ => None,
        };
        read.finish().await?;
        found.ok_or_else(|| Refusal::NotFound { kind, name: name.to_owned() }.into())
    }
}

/// The one new object, and its secret if it has one.
pub(crate) fn made<R: Resource>(changed: Changed) -> Result<Made<R>, AdminError> {
    match changed.fates.into_iter().next() {
        Some(Fate::Created { after, secret } | Fate::Updated { after, secret, .. }) => {
            Ok(Made { message: shown(after)?, secret })
        }
        Some(other) => Ok(Made { message: shown(other.into_row())?, secret: None }),
        None => Err(missing(R::KIND).into()),
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
        create_time: crate::wire_time(row.created),
        update_time: crate::wire_time(row.updated),
        previous_secret_expire_time: row.previous.map(|previous| crate::wire_time(previous.until)),
    };
    R::from_stored(row.name, row.spec, stamps).ok_or_else(|| Failure::Unreadable {
        table: "config_object",
        row: R::KIND.to_string(),
        reason: "its spec is of another kind".to_owned(),
    })
}

/// What became of each object.
pub(crate) fn all_applied(changed: Changed) -> Result<v1::ApplyResponse, AdminError> {
    let Changed { revision, fates, warnings } = changed;
    let objects = fates.iter().map(applied).collect();
    Ok(v1::ApplyResponse { revision: revision.rev, objects, warnings })
}

fn applied(fate: &Fate) -> v1::AppliedObject {
    let row = fate.row();
    v1::AppliedObject {
        kind: row.spec.kind().to_string(),
        name: row.name.clone(),
        action: fate.action().to_owned(),
    }
}
