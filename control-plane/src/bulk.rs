//! Many keys made, or many objects deleted, by one call: all or nothing.

use crate::admin::{Admin, all_applied};
use crate::authority::{Call, Changed, Fate, Step};
use crate::errors::{AdminError, Refusal};
use crate::key_secret::Foreign;
use crate::operator::Scope;
use crate::resource::Resource;
use crate::settings::Secret;
use domain::config::Kind;
use domain::key::{FOREIGN_LENGTH_MAX, FOREIGN_LENGTH_MIN, is_importable};
use proto::admin::v1;
use std::collections::BTreeMap;

impl Admin {
    /// Makes keys, with secrets of another system or new ones.
    pub(crate) async fn import(
        &self,
        call: Call,
        keys: Vec<v1::KeyImport>,
    ) -> Result<v1::ImportKeysResponse, AdminError> {
        let most = self.authority.limits().import_keys_max;
        if keys.len() > most {
            let reason = format!("{} are too many at once: at most {most}", keys.len());
            return Err(Refusal::Argument { field: "keys", reason }.into());
        }
        let steps = steps(keys)?;
        let answer = |Changed { revision, fates, .. }: Changed| {
            let keys = fates.into_iter().map(imported).collect();
            Ok(v1::ImportKeysResponse { revision: revision.rev, keys })
        };
        self.authority.change(call, steps, answer).await
    }

    /// Deletes objects, which may refer to each other.
    pub(crate) async fn delete_objects(
        &self,
        call: Call,
        objects: Vec<v1::ObjectName>,
        allow_missing: bool,
    ) -> Result<v1::ApplyResponse, AdminError> {
        let most = self.authority.limits().apply_objects_max;
        if objects.len() > most {
            let reason = format!("{} are too many at once: at most {most}", objects.len());
            return Err(Refusal::Argument { field: "objects", reason }.into());
        }
        let mut steps = Vec::with_capacity(objects.len());
        for v1::ObjectName { kind: text, name } in objects {
            let unknown = || {
                let kinds = Kind::ALL.map(Kind::name).join(", ");
                let reason = format!("there is no kind {text:?}; there are {kinds}");
                Refusal::Argument { field: "objects", reason }
            };
            let kind = Kind::parse(&text).ok_or_else(unknown)?;
            // That something is missing is said by the change alone: a repeated call is answered before it looks.
            if !allow_missing || self.is_there(&call.caller.operator.scope, kind, &name).await? {
                steps.push(Step::Delete { kind, name, etag: String::new() });
            }
        }
        self.authority.change(call, steps, all_applied).await
    }

    async fn is_there(&self, scope: &Scope, kind: Kind, name: &str) -> Result<bool, AdminError> {
        match self.find(scope, kind, name).await {
            Ok(_) => Ok(true),
            Err(AdminError::Refused(Refusal::NotFound { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What is wrong is told with the key's name, never with its secret.
fn steps(keys: Vec<v1::KeyImport>) -> Result<Vec<Step>, Refusal> {
    let mut seen: BTreeMap<[u8; 32], String> = BTreeMap::new();
    let mut steps = Vec::with_capacity(keys.len());
    for (index, v1::KeyImport { key, secret, sha256 }) in keys.into_iter().enumerate() {
        let parts = key.map(Resource::into_parts).ok_or_else(|| {
            let reason = format!("the one at index {index} is empty: give it a key");
            Refusal::Argument { field: "keys", reason }
        })?;
        let refused = |field, reason: String| Refusal::field(Kind::Key, &parts.name, field, reason);
        let foreign = foreign(secret, &sha256).map_err(|bad| refused(bad.field, bad.reason))?;
        if let Some(foreign) = &foreign
            && let Some(other) = seen.insert(foreign.sha256(), parts.name.clone())
        {
            let field = if matches!(foreign, Foreign::Secret(_)) { "secret" } else { "sha256" };
            return Err(refused(field, format!("is that of {other:?} in the same request, too")));
        }
        steps.push(Step::Import(parts, foreign));
    }
    Ok(steps)
}

struct BadSecret {
    field: &'static str,
    reason: String,
}

/// What is known of a secret of another system; nothing: there is none.
fn foreign(secret: String, sha256: &str) -> Result<Option<Foreign>, BadSecret> {
    let bad = |field, reason: &str| BadSecret { field, reason: reason.to_owned() };
    match (secret.is_empty(), sha256.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Err(bad("sha256", "must be left out where the secret is given")),
        (false, true) if is_importable(&secret) => Ok(Some(Foreign::Secret(Secret::new(secret)))),
        (false, true) => {
            let lengths = format!("{FOREIGN_LENGTH_MIN} to {FOREIGN_LENGTH_MAX}");
            Err(bad("secret", &format!("must have {lengths} visible ASCII characters")))
        }
        (true, false) => {
            let mut hash = [0; 32];
            let reason = "must be 64 hexadecimal digits: the SHA-256 of the secret";
            hex::decode_to_slice(sha256, &mut hash).map_err(|_| bad("sha256", reason))?;
            Ok(Some(Foreign::Sha256(hash)))
        }
    }
}

fn imported(fate: Fate) -> v1::ImportedKey {
    let action = fate.action().to_owned();
    let secret = match &fate {
        Fate::Created { secret: Some(secret), .. } => secret.expose().to_owned(),
        Fate::Created { .. } | Fate::Updated { .. } | Fate::Unchanged(_) | Fate::Deleted(_) => {
            String::new()
        }
    };
    v1::ImportedKey { name: fate.into_row().name, action, secret }
}
