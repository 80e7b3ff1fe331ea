//! Where `apply` documents come from: a file, all files of a directory, or stdin; one or many documents each.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::Value as Json;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Text with documents, and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// For messages.
    pub(crate) name: String,
    /// YAML, or JSON.
    pub(crate) text: String,
}

/// Reads what the arguments of `-f` name: a file, a directory (its `*.yaml` and `*.yml`, and those of the directories
/// in it, in order of their names), or `-` for stdin.
pub(crate) fn collect(arguments: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            sources.push(Source { name: "stdin".to_owned(), text });
        } else if argument.is_dir() {
            let files = yaml_files(argument)?;
            if files.is_empty() {
                let place = argument.display();
                return Err(Failure::usage(format!("there is no *.yaml or *.yml file in {place}")));
            }
            for file in files {
                sources.push(read(&file)?);
            }
        } else {
            sources.push(read(argument)?);
        }
    }
    Ok(sources)
}

fn read(path: &Path) -> Result<Source, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(Source { name: path.display().to_string(), text })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        })
        .map_err(|error| unreadable(directory, &error))?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(yaml_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// The documents of a source with their numbers, from 1. A list of objects counts as that many documents with one
/// number, so that the JSON form of `get` can be applied too. Empty documents are none.
pub(super) fn documents(source: &Source) -> Vec<(usize, Result<Json, String>)> {
    let mut documents = Vec::new();
    for (index, document) in serde_yaml_ng::Deserializer::from_str(&source.text).enumerate() {
        let number = index.saturating_add(1);
        match value(document) {
            Ok(Json::Null) => {}
            Ok(Json::Array(items)) => {
                documents.extend(items.into_iter().map(|item| (number, Ok(item))));
            }
            Ok(single) => documents.push((number, Ok(single))),
            Err(reason) => {
                // What follows a syntax error cannot be told apart from it.
                documents.push((number, Err(reason)));
                break;
            }
        }
    }
    documents
}

/// By way of YAML's own value, because that refuses a key that is there twice.
fn value(document: serde_yaml_ng::Deserializer<'_>) -> Result<Json, String> {
    let mut yaml =
        serde_yaml_ng::Value::deserialize(document).map_err(|error| error.to_string())?;
    yaml.apply_merge().map_err(|error| error.to_string())?;
    serde_json::to_value(yaml).map_err(|error| error.to_string())
}
