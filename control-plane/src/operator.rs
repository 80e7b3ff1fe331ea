//! Who may call, and how far they reach: operators with a role and a scope, the table of what each role may call, and the
//! gate that every call passes. What is stored of operators is `rows`' business, changing them `authority`'s.

mod role;
mod scope;
mod sight;
mod access;
mod gate;

pub(crate) use access::{Access, Binding};
pub(crate) use gate::{Gate, enter};
pub(crate) use role::Role;
pub(crate) use scope::{Belongs, Scope};
pub(crate) use sight::Sight;

use crate::errors::{AdminError, Refusal};
use crate::settings::Secret;
use domain::time::Timestamp;
use tonic::{Request, Status};

/// What the owner of the token file is called. No operator can have this name.
pub(crate) const ROOT: &str = "root";
/// What the process itself is called, when it seeds a demo.
const PROCESS: &str = "process";
/// Of both of them; rows begin at 1.
const ROOT_UID: i64 = 0;

/// Someone with a token, as stored. Of the token there is only a digest, and that is not kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    /// Unique.
    pub(crate) name: String,
    /// Never reused.
    pub(crate) uid: i64,
    /// Counts its changes.
    pub(crate) rev: u64,
    /// What it may do.
    pub(crate) role: Role,
    /// To what.
    pub(crate) scope: Scope,
    /// When its token ends.
    pub(crate) expires: Option<Timestamp>,
    /// Whether its token is refused.
    pub(crate) disabled: bool,
    /// When it came to be.
    pub(crate) created: Timestamp,
}

impl Operator {
    /// Of one with that name which was deleted and made again, it differs.
    pub(crate) fn etag(&self) -> String {
        format!("{}.{}", self.uid, self.rev)
    }

    /// Whether there is a row of it.
    pub(crate) const fn is_stored(&self) -> bool {
        self.uid != ROOT_UID
    }

    fn built_in(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            uid: ROOT_UID,
            rev: 0,
            role: Role::Owner,
            scope: Scope::Everything,
            expires: None,
            disabled: false,
            created: Timestamp::default(),
        }
    }
}

/// The proof that somebody may make the call that he makes. What it may be about is still to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) operator: Operator,
    /// Keyed hash of the address; empty: the process itself.
    pub(crate) client: String,
    /// What is called, for instance `OrgService/GetOrg`.
    pub(crate) method: &'static str,
}

impl Caller {
    /// The one whom the gate let in.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Self>();
        caller.cloned().ok_or_else(|| Status::internal("a call came past the gate"))
    }

    /// The process itself.
    pub(crate) fn process(method: &'static str) -> Self {
        Self { operator: Operator::built_in(PROCESS), client: String::new(), method }
    }

    /// Refuses to write what is not the caller's.
    pub(crate) fn expect_writes(
        &self,
        belongs: &Belongs,
        resource: impl FnOnce() -> String,
    ) -> Result<(), AdminError> {
        if self.operator.scope.writes(belongs) {
            return Ok(());
        }
        Err(self.denied(resource(), "it is outside of what this operator may change"))
    }

    /// A refusal that will be recorded.
    pub(crate) fn denied(&self, resource: String, reason: &str) -> AdminError {
        let Operator { name, role, scope, .. } = &self.operator;
        let reason = format!("operator {name:?} ({role} of {scope}) may not do this: {reason}");
        Refusal::Denied { resource, reason }.into()
    }
}

/// Whether a token could be one of ours at all; junk costs no look-up.
fn could_be_stored(token: &Secret) -> bool {
    domain::key::is_well_formed(token.expose())
}
