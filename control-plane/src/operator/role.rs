//! Roles, and which of them is above which.

use std::fmt;

/// What an operator may do. What each may call is in `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Owner,
    /// Configures, and looks at everything; puts no money into wallets.
    Admin,
    /// Puts money into wallets, and looks at everything; configures nothing.
    Billing,
    /// Looks at configuration and usage.
    Viewer,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Billing, Self::Viewer];

    /// As written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }

    /// The role of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether it may do all that the other may: only then may it grant, change or take away the other.
    pub(crate) const fn covers(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Owner, _)
                | (_, Self::Viewer)
                | (Self::Admin, Self::Admin)
                | (Self::Billing, Self::Billing)
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
