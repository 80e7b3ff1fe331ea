//! Models, as operators write them.

use super::{Reader, listed};
use domain::catalog::Violation;
use domain::config::{Kind, Modality, Model, Route};
use proto::admin::v1;

pub(super) fn read(name: &str, spec: &v1::ModelSpec) -> Result<Model, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Model, name);
    let inputs = reader.field("input_modalities", modalities(&spec.input_modalities));
    let outputs = reader.field("output_modalities", modalities(&spec.output_modalities));
    reader.finish(|| {
        Some(Model {
            name: name.to_owned(),
            display_name: spec.display_name.clone(),
            origin: spec.origin.clone(),
            context_length: spec.context_length,
            max_output_tokens: spec.max_output_tokens,
            input_modalities: inputs?,
            output_modalities: outputs.map(text_if_empty)?,
            image_tokens_max: spec.image_tokens_max,
            audio_tokens_max: spec.audio_tokens_max,
            hidden_reasoning: spec.hidden_reasoning,
            routes: spec.routes.iter().map(read_route).collect(),
        })
    })
}

fn read_route(route: &v1::Route) -> Route {
    Route {
        upstream: route.upstream.clone(),
        model: route.model.clone(),
        priority: route.priority,
        weight: route.weight.max(1),
    }
}

fn modalities(names: &[String]) -> Result<Vec<Modality>, String> {
    names.iter().map(|name| modality(name)).collect()
}

fn modality(name: &str) -> Result<Modality, String> {
    Modality::parse(name).ok_or_else(|| {
        format!("\"{name}\" is not a modality: use {}", listed(Modality::ALL, Modality::name))
    })
}

fn text_if_empty(modalities: Vec<Modality>) -> Vec<Modality> {
    if modalities.is_empty() { vec![Modality::Text] } else { modalities }
}
