//! The nine kinds as the wire has them: each message is a name, a spec and an etag. This is the one list of them; all
//! else is written once for every kind.

use domain::config::Kind;
use prost::{DecodeError, Message};
use proto::admin::v1;

/// A message of one kind, apart.
pub(crate) struct Parts {
    /// Unique among its kind.
    pub(crate) name: String,
    /// What is configured.
    pub(crate) spec: Spec,
    /// What the caller believes to be changing; empty: whatever it is.
    pub(crate) etag: String,
}

/// What only the server sets.
pub(crate) struct Stamps {
    /// Of the last change.
    pub(crate) etag: String,
    /// When it came to be.
    pub(crate) create_time: prost_types::Timestamp,
    /// When it last changed.
    pub(crate) update_time: prost_types::Timestamp,
    /// Until when a key's secret of before is good.
    pub(crate) previous_secret_expire_time: Option<prost_types::Timestamp>,
}

/// A message that stands for an object of one kind.
pub(crate) trait Resource: Sized {
    /// Which.
    const KIND: Kind;
    /// A missing spec is an empty one.
    fn into_parts(self) -> Parts;
    /// None when the spec is of another kind.
    fn from_stored(name: String, spec: Spec, stamps: Stamps) -> Option<Self>;
}

macro_rules! resources {
    ($($kind:ident: $spec:ident $(with $stamp:ident)?;)*) => {
        /// The spec of an object of any kind.
        #[derive(Clone, PartialEq)]
        pub(crate) enum Spec {
            $(
                /// Of this kind.
                $kind(v1::$spec),
            )*
        }

        impl Spec {
            /// Whose spec it is.
            pub(crate) const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// As rows keep it.
            pub(crate) fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$kind(spec) => spec.encode_to_vec(),)*
                }
            }

            /// From a row.
            pub(crate) fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, DecodeError> {
                match kind {
                    $(Kind::$kind => v1::$spec::decode(bytes).map(Self::$kind),)*
                }
            }
        }

        $(
            impl Resource for v1::$kind {
                const KIND: Kind = Kind::$kind;

                fn into_parts(self) -> Parts {
                    let spec = Spec::$kind(self.spec.unwrap_or_default());
                    Parts { name: self.name, spec, etag: self.etag }
                }

                fn from_stored(name: String, spec: Spec, stamps: Stamps) -> Option<Self> {
                    let Spec::$kind(spec) = spec else { return None };
                    Some(Self {
                        name,
                        spec: Some(spec),
                        etag: stamps.etag,
                        create_time: Some(stamps.create_time),
                        update_time: Some(stamps.update_time),
                        $($stamp: stamps.$stamp,)?
                    })
                }
            }
        )*

        /// The parts of any one of them; None when nothing is set.
        pub(crate) fn parts_of(object: v1::Object) -> Option<Parts> {
            Some(match object.object? {
                $(v1::object::Object::$kind(message) => message.into_parts(),)*
            })
        }
    };
}

resources! {
    Entity: EntitySpec;
    Plan: PlanSpec;
    Upstream: UpstreamSpec;
    FxRate: FxRateSpec;
    PriceBook: PriceBookSpec;
    MarkupRule: MarkupRuleSpec;
    Model: ModelSpec;
    Org: OrgSpec;
    Key: KeySpec with previous_secret_expire_time;
}
