//! The one table of who may call what, and how what a call is about is bound to the caller's scope. The gate refuses what
//! is not in it, so a new method is closed until it gets a row.

use super::Role;
use super::role::Role::{Admin, Billing, Owner, Viewer};

/// What a call is about, and so where its scope is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// The whole zone: only for those who are responsible for everything. Looked at by the gate.
    Zone,
    /// Each object that the request names, as it is and as it will be: in the transaction that changes it.
    Change,
    /// The one object that it names; a foreign one is not found.
    Read,
    /// Objects of a kind: only one's own are listed.
    List,
    /// The wallet of the org that it names, written from above like the org itself.
    Wallet,
    /// Usage of orgs: only one's own.
    Usage,
    /// The state of data planes, which belong to nobody; names of objects are shown to those of the zone alone.
    Fleet,
    /// Operators whose scope lies within one's own.
    Operators,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Access {
    /// `Service/Method`.
    pub(crate) method: &'static str,
    /// Who may call it.
    pub(crate) roles: &'static [Role],
    /// To what it is bound.
    pub(crate) binding: Binding,
    /// Whether refused attempts are recorded.
    pub(crate) changes: bool,
}

const ALL: &[Role] = &[Owner, Admin, Billing, Viewer];
const CONFIGURE: &[Role] = &[Owner, Admin];
const INSPECT: &[Role] = &[Owner, Admin, Billing];
const PAY: &[Role] = &[Owner, Billing];

const fn reads(method: &'static str, roles: &'static [Role], binding: Binding) -> Access {
    Access { method, roles, binding, changes: false }
}

const fn writes(method: &'static str, roles: &'static [Role], binding: Binding) -> Access {
    Access { method, roles, binding, changes: true }
}

macro_rules! table {
    ($($one:literal $many:literal),*; $($row:expr),* $(,)?) => {
        /// The table.
        pub(crate) const ACCESS: &[Access] = &[
            $(
                writes(concat!($one, "Service/Create", $one), CONFIGURE, Binding::Change),
                reads(concat!($one, "Service/Get", $one), ALL, Binding::Read),
                reads(concat!($one, "Service/List", $many), ALL, Binding::List),
                writes(concat!($one, "Service/Update", $one), CONFIGURE, Binding::Change),
                writes(concat!($one, "Service/Delete", $one), CONFIGURE, Binding::Change),
            )*
            $($row,)*
        ];
    };
}

table! {
    "Entity" "Entities",
    "Plan" "Plans",
    "Upstream" "Upstreams",
    "Model" "Models",
    "PriceBook" "PriceBooks",
    "MarkupRule" "MarkupRules",
    "FxRate" "FxRates",
    "Org" "Orgs",
    "Key" "Keys";

    writes("KeyService/ImportKeys", CONFIGURE, Binding::Change),
    writes("KeyService/RotateKey", CONFIGURE, Binding::Change),
    writes("ApplyService/Apply", CONFIGURE, Binding::Change),
    writes("ApplyService/DeleteObjects", CONFIGURE, Binding::Change),
    reads("ApplyService/ListDataPlanes", ALL, Binding::Fleet),

    writes("MoneyService/CreditOrg", PAY, Binding::Wallet),
    reads("MoneyService/GetBalance", ALL, Binding::Read),
    reads("MoneyService/Explain", ALL, Binding::Usage),
    reads("MoneyService/ListUsage", ALL, Binding::Usage),
    reads("MoneyService/Reconcile", INSPECT, Binding::Zone),
    reads("MoneyService/ListUsageGaps", INSPECT, Binding::Zone),
    writes("MoneyService/WriteOffUsage", PAY, Binding::Zone),
    writes("MoneyService/ForgetDataPlane", PAY, Binding::Zone),

    writes("ContentService/GetContent", CONFIGURE, Binding::Usage),

    writes("OperatorService/CreateOperator", CONFIGURE, Binding::Operators),
    reads("OperatorService/GetOperator", CONFIGURE, Binding::Operators),
    reads("OperatorService/ListOperators", CONFIGURE, Binding::Operators),
    writes("OperatorService/UpdateOperator", CONFIGURE, Binding::Operators),
    writes("OperatorService/DeleteOperator", CONFIGURE, Binding::Operators),

    reads("AuditService/ListAuditRecords", CONFIGURE, Binding::Zone),
    reads("AuditService/VerifyAudit", CONFIGURE, Binding::Zone),
}

impl Access {
    /// The row of `/turnpike.admin.v1.Service/Method`.
    pub(crate) fn of_path(path: &str) -> Option<&'static Self> {
        let method = path.strip_prefix("/turnpike.admin.v1.")?;
        ACCESS.iter().find(|row| row.method == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_covers_another_exactly_when_it_may_call_all_that_the_other_may() {
        for role in Role::ALL {
            for other in Role::ALL {
                let may = ACCESS
                    .iter()
                    .all(|row| row.roles.contains(&role) || !row.roles.contains(&other));
                assert_eq!(role.covers(other), may, "{role} over {other}");
            }
        }
    }

    #[test]
    fn no_method_has_two_rows() {
        for (index, row) in ACCESS.iter().enumerate() {
            let first = ACCESS.iter().position(|other| other.method == row.method);
            assert_eq!(first, Some(index), "{}", row.method);
        }
    }
}
