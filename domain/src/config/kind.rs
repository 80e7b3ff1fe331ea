//! The kinds of configured objects, and their names.

use std::fmt;

/// Kinds of configured objects, in an order in which each refers only to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Entity`](super::Entity)
    Entity,
    /// [`Plan`](super::Plan)
    Plan,
    /// [`Upstream`](super::Upstream)
    Upstream,
    /// [`FxRate`](super::FxRate)
    FxRate,
    /// [`PriceBook`](super::PriceBook)
    PriceBook,
    /// [`Model`](super::Model)
    Model,
    /// [`Org`](super::Org)
    Org,
    /// [`MarkupRule`](super::MarkupRule)
    MarkupRule,
    /// [`Key`](super::Key)
    Key,
}

impl Kind {
    /// All, in order of reference.
    pub const ALL: [Self; 9] = [
        Self::Entity,
        Self::Plan,
        Self::Upstream,
        Self::FxRate,
        Self::PriceBook,
        Self::Model,
        Self::Org,
        Self::MarkupRule,
        Self::Key,
    ];

    /// As written in `apply` files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entity => "Entity",
            Self::Plan => "Plan",
            Self::Upstream => "Upstream",
            Self::FxRate => "FxRate",
            Self::PriceBook => "PriceBook",
            Self::Model => "Model",
            Self::Org => "Org",
            Self::MarkupRule => "MarkupRule",
            Self::Key => "Key",
        }
    }

    /// The kind of that name; letter case, `-` and `_` do not matter, a plural `s` neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |s: &str| s.to_ascii_lowercase().replace(['-', '_'], "");
        let wanted = plain(text);
        let plural = |name: &str| match name {
            "entity" => "entities".to_owned(),
            other => format!("{other}s"),
        };
        Self::ALL.into_iter().find(|kind| {
            let name = plain(kind.name());
            wanted == name || wanted == plural(&name)
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
