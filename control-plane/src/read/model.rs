//! Models, as operators write them.

use super::{Reader, listed};
use domain::catalog::Violation;
use domain::config::{Kind, Modality, Model, Route};
use domain::operation::Operation;
use proto::admin::v1;

pub(super) fn read(name: &str, spec: &v1::ModelSpec) -> Result<Model, Vec<Violation>> {
    let mut reader = Reader::new(Kind::Model, name);
    let inputs = reader.field("input_modalities", modalities(&spec.input_modalities));
    let outputs = reader.field("output_modalities", modalities(&spec.output_modalities));
    let operations = reader.field("operations", operations(&spec.operations));
    reader.finish(|| {
        Some(Model {
            name: name.to_owned(),
            display_name: spec.display_name.clone(),
            description: spec.description.clone(),
            origin: spec.origin.clone(),
            context_length: spec.context_length,
            max_output_tokens: spec.max_output_tokens,
            input_modalities: inputs?,
            output_modalities: outputs.map(text_if_empty)?,
            image_tokens_max: spec.image_tokens_max,
            audio_tokens_max: spec.audio_tokens_max,
            hidden_reasoning: spec.hidden_reasoning,
            aliases: spec.aliases.clone(),
            operations: operations?,
            supported_parameters: spec.supported_parameters.clone(),
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
        supported_parameters: route.supported_parameters.clone(),
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

fn operations(names: &[String]) -> Result<Vec<Operation>, String> {
    names.iter().map(|name| operation(name)).collect()
}

fn operation(name: &str) -> Result<Operation, String> {
    Operation::parse(name).ok_or_else(|| {
        format!("\"{name}\" is not an operation: use {}", listed(Operation::ALL, Operation::name))
    })
}

fn text_if_empty(modalities: Vec<Modality>) -> Vec<Modality> {
    if modalities.is_empty() { vec![Modality::Text] } else { modalities }
}
