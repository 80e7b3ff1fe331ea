//! The objects of a snapshot: entities, plans, upstreams, models, orgs and keys.

use super::super::Unreadable;
use super::prices::{sell_price_from_proto, sell_price_to_proto};
use crate::feed::v1;
use domain::config::{Dialect, Entity, Modality, Plan, Upstream, VendorPages};
use domain::id::{KeyUid, OrgUid};
use domain::jurisdiction::{Allowed, Jurisdiction};
use domain::key::{KeyDigest, PreviousDigest};
use domain::money::Currency;
use domain::name::Glob;
use domain::operation::Operation;
use domain::snapshot::{Key, Model, Org, Route};
use domain::time::Timestamp;
use std::sync::Arc;

impl From<&Entity> for v1::Entity {
    fn from(entity: &Entity) -> Self {
        Self {
            name: entity.name.clone(),
            jurisdiction: entity.jurisdiction.to_string(),
            currency: entity.currency.to_string(),
            allowed: Some((&entity.allowed).into()),
            charge_empty_answers: entity.charge_empty_answers,
            charge_cut_answers: entity.charge_cut_answers,
            display_name: entity.display_name.clone(),
            key_prefix: entity.key_prefix.clone(),
        }
    }
}

impl TryFrom<v1::Entity> for Entity {
    type Error = Unreadable;

    fn try_from(entity: v1::Entity) -> Result<Self, Unreadable> {
        Ok(Self {
            name: entity.name,
            display_name: entity.display_name,
            jurisdiction: jurisdiction(&entity.jurisdiction)?,
            currency: Currency::parse(&entity.currency)
                .map_err(|wrong| Unreadable::new("currency", wrong))?,
            key_prefix: entity.key_prefix,
            allowed: allowed(entity.allowed)?,
            charge_empty_answers: entity.charge_empty_answers,
            charge_cut_answers: entity.charge_cut_answers,
        })
    }
}

impl From<&Plan> for v1::Plan {
    fn from(plan: &Plan) -> Self {
        Self {
            name: plan.name.clone(),
            requests_per_minute: plan.requests_per_minute,
            tokens_per_minute: plan.tokens_per_minute,
            concurrency: plan.concurrency,
        }
    }
}

impl From<v1::Plan> for Plan {
    fn from(plan: v1::Plan) -> Self {
        Self {
            name: plan.name,
            requests_per_minute: plan.requests_per_minute,
            tokens_per_minute: plan.tokens_per_minute,
            concurrency: plan.concurrency,
        }
    }
}

impl From<&Upstream> for v1::Upstream {
    fn from(upstream: &Upstream) -> Self {
        Self {
            name: upstream.name.clone(),
            vendor: upstream.vendor.clone(),
            dialect: upstream.dialect.name().to_owned(),
            base_url: upstream.base_url.clone(),
            sealed_credential: upstream.sealed_credential.clone(),
            jurisdiction: upstream.jurisdiction.to_string(),
            stops_on_abort: upstream.stops_on_abort,
            collects_no_data: upstream.collects_no_data,
            zero_data_retention: upstream.zero_data_retention,
            privacy_policy_url: upstream.vendor_pages.privacy_policy.clone(),
            terms_of_service_url: upstream.vendor_pages.terms_of_service.clone(),
            status_page_url: upstream.vendor_pages.status.clone(),
        }
    }
}

impl TryFrom<v1::Upstream> for Upstream {
    type Error = Unreadable;

    fn try_from(upstream: v1::Upstream) -> Result<Self, Unreadable> {
        let unknown =
            || Unreadable::new("dialect", format!("unknown dialect {:?}", upstream.dialect));
        Ok(Self {
            dialect: Dialect::parse(&upstream.dialect).ok_or_else(unknown)?,
            jurisdiction: jurisdiction(&upstream.jurisdiction)?,
            name: upstream.name,
            vendor: upstream.vendor,
            base_url: upstream.base_url,
            sealed_credential: upstream.sealed_credential,
            stops_on_abort: upstream.stops_on_abort,
            collects_no_data: upstream.collects_no_data,
            zero_data_retention: upstream.zero_data_retention,
            vendor_pages: VendorPages {
                privacy_policy: upstream.privacy_policy_url,
                terms_of_service: upstream.terms_of_service_url,
                status: upstream.status_page_url,
            },
        })
    }
}

impl From<&Model> for v1::Model {
    fn from(model: &Model) -> Self {
        let names = |list: &[Modality]| list.iter().map(|item| item.name().to_owned()).collect();
        Self {
            name: model.name.clone(),
            display_name: model.display_name.clone(),
            description: model.description.clone(),
            context_length: model.context_length,
            max_output_tokens: model.max_output_tokens,
            input_modalities: names(&model.input_modalities),
            output_modalities: names(&model.output_modalities),
            image_tokens_max: model.image_tokens_max,
            audio_tokens_max: model.audio_tokens_max,
            hidden_reasoning: model.hidden_reasoning,
            routes: model.routes.iter().map(v1::Route::from).collect(),
            aliases: model.aliases.clone(),
            operations: model.operations.iter().map(|o| o.name().to_owned()).collect(),
            supported_parameters: model.supported_parameters.clone(),
            created_us: model.created.0,
        }
    }
}

impl TryFrom<v1::Model> for Model {
    type Error = Unreadable;

    fn try_from(model: v1::Model) -> Result<Self, Unreadable> {
        Ok(Self {
            input_modalities: modalities("input_modalities", &model.input_modalities)?,
            output_modalities: modalities("output_modalities", &model.output_modalities)?,
            name: model.name,
            display_name: model.display_name,
            description: model.description,
            context_length: model.context_length,
            max_output_tokens: model.max_output_tokens,
            image_tokens_max: model.image_tokens_max,
            audio_tokens_max: model.audio_tokens_max,
            hidden_reasoning: model.hidden_reasoning,
            routes: model.routes.into_iter().map(Route::try_from).collect::<Result<_, _>>()?,
            aliases: model.aliases,
            operations: operations(&model.operations)?,
            supported_parameters: model.supported_parameters,
            created: Timestamp(model.created_us),
        })
    }
}

impl From<&Route> for v1::Route {
    fn from(route: &Route) -> Self {
        Self {
            upstream: route.upstream.clone(),
            model: route.model.clone(),
            priority: route.priority,
            weight: route.weight,
            prices: route.prices.iter().map(|price| sell_price_to_proto(price)).collect(),
            supported_parameters: route.supported_parameters.clone(),
        }
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = Unreadable;

    fn try_from(route: v1::Route) -> Result<Self, Unreadable> {
        let prices = route
            .prices
            .into_iter()
            .map(|price| sell_price_from_proto(price).map(Arc::new))
            .collect::<Result<_, _>>();
        Ok(Self {
            prices: prices.map_err(|wrong| wrong.within(&format!("routes[{}]", route.upstream)))?,
            upstream: route.upstream,
            model: route.model,
            priority: route.priority,
            weight: route.weight,
            supported_parameters: route.supported_parameters,
        })
    }
}

impl From<&Org> for v1::Org {
    fn from(org: &Org) -> Self {
        Self {
            uid: org.uid.0,
            name: org.name.clone(),
            entity: org.entity.clone(),
            plan: org.plan.clone(),
            audience: org.audience.clone(),
            allowed: Some((&org.allowed).into()),
            disabled: org.disabled,
            store_content: org.store_content,
        }
    }
}

impl TryFrom<v1::Org> for Org {
    type Error = Unreadable;

    fn try_from(org: v1::Org) -> Result<Self, Unreadable> {
        Ok(Self {
            uid: OrgUid(org.uid),
            name: org.name,
            entity: org.entity,
            plan: org.plan,
            audience: org.audience,
            allowed: allowed(org.allowed)?,
            disabled: org.disabled,
            store_content: org.store_content,
        })
    }
}

impl From<&Key> for v1::Key {
    fn from(key: &Key) -> Self {
        Self {
            uid: key.uid.0,
            digest: key.digest.0.to_vec(),
            previous: key.previous.as_deref().map(v1::PreviousDigest::from),
            org_uid: key.org.0,
            name: key.name.clone(),
            models: key.models.iter().map(|glob| glob.0.clone()).collect(),
            budgeted: key.budgeted,
            expires_us: key.expires.map_or(0, |at| at.0),
            disabled: key.disabled,
            allowed: Some((&key.allowed).into()),
        }
    }
}

impl TryFrom<v1::Key> for Key {
    type Error = Unreadable;

    fn try_from(key: v1::Key) -> Result<Self, Unreadable> {
        let previous = key.previous.map(PreviousDigest::try_from).transpose();
        Ok(Self {
            uid: KeyUid(key.uid),
            digest: digest(&key.digest)?,
            previous: previous.map_err(|wrong| wrong.within("previous"))?.map(Box::new),
            org: OrgUid(key.org_uid),
            name: key.name,
            models: key.models.into_iter().map(Glob).collect(),
            budgeted: key.budgeted,
            expires: (key.expires_us > 0).then_some(Timestamp(key.expires_us)),
            disabled: key.disabled,
            allowed: allowed(key.allowed)?,
        })
    }
}

impl From<&PreviousDigest> for v1::PreviousDigest {
    fn from(previous: &PreviousDigest) -> Self {
        Self { digest: previous.digest.0.to_vec(), until_us: previous.until.0 }
    }
}

impl TryFrom<v1::PreviousDigest> for PreviousDigest {
    type Error = Unreadable;

    fn try_from(previous: v1::PreviousDigest) -> Result<Self, Unreadable> {
        Ok(Self { digest: digest(&previous.digest)?, until: Timestamp(previous.until_us) })
    }
}

fn digest(bytes: &[u8]) -> Result<KeyDigest, Unreadable> {
    let whole = bytes.try_into().map_err(|_| Unreadable::new("digest", "must be 16 bytes"));
    whole.map(KeyDigest)
}

impl From<&Allowed> for v1::Allowed {
    fn from(allowed: &Allowed) -> Self {
        Self { any: *allowed == Allowed::Any, jurisdictions: allowed.to_list() }
    }
}

fn allowed(message: Option<v1::Allowed>) -> Result<Allowed, Unreadable> {
    let message = message.ok_or_else(|| Unreadable::missing("allowed"))?;
    if message.any {
        return Ok(Allowed::Any);
    }
    let places = message.jurisdictions.iter().map(|code| Jurisdiction::parse(code));
    places
        .collect::<Result<_, _>>()
        .map(Allowed::Only)
        .map_err(|wrong| Unreadable::new("allowed", wrong))
}

fn jurisdiction(code: &str) -> Result<Jurisdiction, Unreadable> {
    Jurisdiction::parse(code).map_err(|wrong| Unreadable::new("jurisdiction", wrong))
}

fn operations(names: &[String]) -> Result<Vec<Operation>, Unreadable> {
    let read = |name: &String| {
        let unknown = || Unreadable::new("operations", format!("unknown operation {name:?}"));
        Operation::parse(name).ok_or_else(unknown)
    };
    names.iter().map(read).collect()
}

fn modalities(field: &str, names: &[String]) -> Result<Vec<Modality>, Unreadable> {
    let read = |name: &String| {
        Modality::parse(name)
            .ok_or_else(|| Unreadable::new(field, format!("unknown modality {name:?}")))
    };
    names.iter().map(read).collect()
}
