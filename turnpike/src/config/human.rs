//! Times and sizes as people write them: `30 s`, `10 min`, `32 MiB`.

/// Serde for `Duration` as `30 s`, `1h 30m` or `300ms`.
pub(super) mod duration {
    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    /// Days are not the same length everywhere; here each has 24 hours.
    const DAY_SECONDS: u64 = 24 * 60 * 60;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        match SignedDuration::try_from(*value) {
            Ok(signed) => to.collect_str(&format_args!("{signed:#}")),
            Err(too_long) => Err(serde::ser::Error::custom(too_long)),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        read(from, |length| !length.is_zero())
    }

    /// Reads one that may be of some lengths only.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        from: D,
        may_be: impl Fn(&Duration) -> bool,
    ) -> Result<Duration, D::Error> {
        let text = Text::deserialize(from)?;
        parse(&text.0).filter(may_be).ok_or_else(|| {
            let text = text.0;
            D::Error::custom(format_args!(
                "\"{text}\" is no length of time; write it as 30 s, 300 ms, 10 min or 90 days"
            ))
        })
    }

    fn parse(text: &str) -> Option<Duration> {
        let text = text.trim();
        match ["days", "day", "d"].iter().find_map(|unit| text.strip_suffix(unit)) {
            Some(days) => {
                let days = u64::from(days.trim().parse::<u32>().ok()?);
                Some(Duration::from_secs(DAY_SECONDS * days))
            }
            None => Duration::try_from(text.parse::<SignedDuration>().ok()?).ok(),
        }
    }

    /// Any scalar as its text, so that a bare `30` is told that its unit is missing.
    struct Text(String);

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            super::Scalar::deserialize(from).map(|scalar| match scalar {
                super::Scalar::Number(number) => Self(number.to_string()),
                super::Scalar::Text(text) => Self(text),
            })
        }
    }
}

/// Serde for a `Duration` that may be absent.
pub(super) mod optional_duration {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Length(#[serde(with = "super::duration")] Duration);

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Length).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Length>::deserialize(from)?.map(|Length(length)| length))
    }
}

/// Serde for a `Duration` that may be absent, or none at all (`0 s`).
pub(super) mod optional_pause {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Pause(#[serde(with = "super::duration")] Duration);

    impl<'de> Deserialize<'de> for Pause {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            super::duration::read(from, |_| true).map(Self)
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Pause).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Pause>::deserialize(from)?.map(|Pause(pause)| pause))
    }
}

/// Serde for bytes as `32 MiB`, `10 GB` or a plain number.
pub(super) mod bytes {
    use super::Scalar;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u64); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];

    pub(crate) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        let whole = UNITS.into_iter().find_map(|(unit, size)| {
            Some((value.checked_div(size)?, unit)).filter(|_| value.is_multiple_of(size))
        });
        match whole {
            Some((count, unit)) if unit != "B" => to.collect_str(&format_args!("{count} {unit}")),
            Some(_) | None => to.serialize_u64(*value),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let parsed = match Scalar::deserialize(from)? {
            Scalar::Number(number) => Ok(number),
            Scalar::Text(text) => parse(&text).ok_or(text),
        };
        match parsed {
            Ok(size) if size > 0 => Ok(size),
            Ok(_) => Err(D::Error::custom("must be more than 0")),
            Err(text) => Err(D::Error::custom(format_args!(
                "\"{text}\" is no size; write it as 32 MiB or 65536"
            ))),
        }
    }

    fn parse(text: &str) -> Option<u64> {
        let text = text.trim();
        let (digits, size) = UNITS
            .into_iter()
            .find_map(|(unit, size)| text.strip_suffix(unit).map(|digits| (digits, size)))
            .unwrap_or((text, 1));
        digits.trim_end().parse::<u64>().ok()?.checked_mul(size)
    }
}

/// A scalar of YAML or of the environment.
#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "text such as `30 s` or `32 MiB` was expected")]
enum Scalar {
    Number(u64),
    Text(String),
}
