//! What can go wrong with an admin call: what its caller has to change, and what is our fault. How either looks on the
//! wire is `errors::status`'s business.

mod bare;
mod page_token;
mod status;

pub(crate) use bare::explain_bare;
pub use page_token::TokenFault;
pub(crate) use status::DOMAIN;

use crate::descriptors::NoDescriptor;
use crate::mask::BadMask;
use domain::catalog::Violation;
use domain::config::Kind;
use domain::id::Revision;
use domain::time::Timestamp;
use std::fmt::Display;
use storage::StorageError;
use thiserror::Error;

/// Why an admin call did not do what it was asked. Nothing was changed, unless it says that this is not known.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The caller has to change something.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not the caller's fault.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What a caller has to change.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Fields that cannot be accepted; the text tells the first. Never empty.
    #[error("{}", first(.0))]
    Invalid(Vec<Violation>),
    /// An argument of the call itself.
    #[error("{field}: {reason}")]
    Argument {
        /// Which.
        field: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A page token that leads nowhere.
    #[error("page_token: {0}")]
    PageToken(#[from] TokenFault),
    /// There is no such object.
    #[error("there is no {kind} {name:?}; `turnpike get {kind}` lists those there are")]
    NotFound {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
    },
    /// There is one already.
    #[error("{kind} {name:?} exists already; update it instead")]
    AlreadyExists {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
    },
    /// The object changed since the caller read it.
    #[error(
        "{kind} {name:?} has changed since it was read (etag {given:?}, now {current:?}); read it again"
    )]
    Stale {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
        /// What the caller believed.
        given: String,
        /// What it is.
        current: String,
    },
    /// Something else needs the object; the text tells the first of them.
    #[error("{kind} {name:?}: cannot be deleted: {}", first(needed_by))]
    InUse {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
        /// What needs it, for people.
        needed_by: Vec<String>,
    },
    /// Money that is held or spent stands in the way.
    #[error("{kind} {name:?}: {reason}")]
    Money {
        /// Of which kind.
        kind: Kind,
        /// Which.
        name: String,
        /// What is in the way, and the remedy.
        reason: String,
    },
    /// Two secrets of a key are good already.
    #[error(
        "key {name:?} is being rotated: the secret of before is good until {}; wait for that, repeat that rotation with its \
         request_id to be told its secret again, or rotate with no overlap, which ends both at once",
        crate::rfc3339(*until)
    )]
    StillRotating {
        /// Which.
        name: String,
        /// When its overlap ends.
        until: Timestamp,
    },
    /// It is not this operator's to do.
    #[error("{reason}")]
    Denied {
        /// What it was about, for the record; empty: not known.
        resource: String,
        /// Who may not, and why not.
        reason: String,
    },
    /// The id stands for another call.
    #[error(
        "request_id: {id:?} was used for another request; repeat that one unchanged, or choose a new id"
    )]
    RequestIdReused {
        /// Which id.
        id: String,
    },
    /// A data plane that is not forgotten.
    #[error("data plane {name}: {reason}")]
    DataPlane {
        /// Which, for people.
        name: String,
        /// Why not, and the remedy.
        reason: String,
    },
    /// Missing usage events that are not given up.
    #[error("usage events {gap}: {reason}")]
    UsageGap {
        /// Which, for people.
        gap: String,
        /// Why not, and the remedy.
        reason: String,
    },
    /// Something about operators.
    #[error(transparent)]
    Operator(#[from] OperatorRefusal),
    /// Nothing is known of such a request.
    #[error(
        "no request {id:?}: looked among the ids of our answers (x-request-id) and of upstreams; one that \
         just ended is there within a second"
    )]
    UnknownRequest {
        /// What was looked for.
        id: String,
    },
    /// Nothing of it was kept.
    #[error(
        "no content of request {id:?} is kept: only that of orgs with store_content, for as long as \
         control_plane.content.retention says"
    )]
    NoContent {
        /// What was looked for.
        id: String,
    },
    /// Something was known of it, and was deleted because it is old.
    #[error(
        "request {id:?} was settled so long ago that its record was deleted (billing.usage_retention); \
         `turnpike usage` has it in the sum of its day"
    )]
    RolledUp {
        /// What was looked for.
        id: String,
    },
}

/// What a caller who changes operators has to change.
#[derive(Debug, Error)]
pub enum OperatorRefusal {
    /// There is no such operator.
    #[error("there is no operator {name:?}; `turnpike operator list` lists those there are")]
    NotFound {
        /// Which.
        name: String,
    },
    /// There is one already.
    #[error("operator {name:?} exists already; choose another name")]
    Exists {
        /// Which.
        name: String,
    },
    /// The operator changed since the caller read it.
    #[error(
        "operator {name:?} has changed since it was read (etag {given:?}, now {current:?}); read it again"
    )]
    Stale {
        /// Which.
        name: String,
        /// What the caller believed.
        given: String,
        /// What it is.
        current: String,
    },
    /// The last way in cannot be removed.
    #[error(
        "\"root\" is the owner of the token file (control_plane.operator_token_file): it can be changed there alone"
    )]
    Root,
    /// The caller itself was changed while its call waited.
    #[error("this operator was changed while the call waited; call again")]
    CallerChanged,
}

/// What is not the caller's fault.
#[derive(Debug, Error)]
pub enum Failure {
    /// The database; nothing was changed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A row that this program cannot read.
    #[error("row {row:?} of table {table} cannot be read: {reason}")]
    Unreadable {
        /// Of which table.
        table: &'static str,
        /// Which.
        row: String,
        /// Why not.
        reason: String,
    },
    /// The commit was cut off, and whether it happened could not be read.
    #[error("it is not known whether the change was stored; read the object before trying again")]
    OutcomeUnknown(#[source] StorageError),
    /// A standby was promoted that had not got them, or a backup was restored.
    #[error(
        "the database has lost commits: it has revision {found}, this control plane {known}; a new generation begins, try again \
         in a moment"
    )]
    CommitsLost {
        /// In memory.
        known: u64,
        /// In the database.
        found: u64,
    },
    /// The database has gone back to what was before commits were lost.
    #[error("the database went back from generation {known} to {found}; restart the control plane")]
    Generation {
        /// In memory.
        known: u64,
        /// In the database.
        found: u64,
    },
    /// The feed is at another revision than the configuration.
    #[error("the feed is at {feed:?} instead of {state:?}; restart the control plane")]
    OutOfStep {
        /// Where the feed is.
        feed: Revision,
        /// Where it should be.
        state: Revision,
    },
    /// The compiled descriptors do not fit the generated code.
    #[error("the spec of {0} has no usable descriptor")]
    NoDescriptor(Kind),
    /// The operating system gives no random numbers.
    #[error("no random numbers can be had from the operating system")]
    NoRandomness,
    /// A defect of ours.
    #[error(
        "the change died of a defect, which the log tells; read the object before trying again"
    )]
    Died,
    /// The process is ending.
    #[error("the control plane is shutting down; try again once it is back")]
    ShuttingDown,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<StorageError> for AdminError {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<TokenFault> for AdminError {
    fn from(fault: TokenFault) -> Self {
        Self::Refused(fault.into())
    }
}

impl From<NoDescriptor> for AdminError {
    fn from(NoDescriptor(kind): NoDescriptor) -> Self {
        Self::Failed(Failure::NoDescriptor(kind))
    }
}

impl From<OperatorRefusal> for AdminError {
    fn from(refusal: OperatorRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<BadMask> for AdminError {
    fn from(bad: BadMask) -> Self {
        match bad {
            BadMask::NoDescriptor(missing) => missing.into(),
            told => Refusal::Argument { field: "update_mask", reason: told.to_string() }.into(),
        }
    }
}

impl Refusal {
    /// One field of one object.
    pub(crate) fn field(kind: Kind, name: &str, field: &str, reason: impl Display) -> Self {
        Self::Invalid(vec![Violation {
            kind,
            name: name.to_owned(),
            field: field.to_owned(),
            reason: reason.to_string(),
        }])
    }
}

fn first(all: &[impl Display]) -> String {
    all.first().map(ToString::to_string).unwrap_or_default()
}
