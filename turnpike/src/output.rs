//! What goes to stdout: tables for people, one JSON or YAML document for programs. Everything else goes to stderr.

use crate::failure::Failure;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table as Grid, presets};
use domain::money::{Currency, Money, Nano};
use prost_reflect::{DynamicMessage, ReflectMessage, SerializeOptions};
use serde_json::Value as Json;
use std::io::{self, ErrorKind, Write};

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Prints to stdout. A reader that has gone away (`| head`) has all that it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| {
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    });
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something beside the data, on stderr. Where stderr is closed there is nobody to tell.
pub(crate) fn note(text: &str) {
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

/// One document in the format asked for; `table` makes the form for people.
pub(crate) fn print_document(
    format: Format,
    document: &Json,
    table: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => print(&table()),
        Format::Json => print(&json_text(document)?),
        Format::Yaml => print(&yaml_text(document)?),
    }
}

pub(crate) fn json_text(document: &Json) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(|error| Failure::failed(error.to_string()))
}

pub(crate) fn yaml_text(document: &Json) -> Result<String, Failure> {
    serde_yaml_ng::to_string(document).map_err(|error| Failure::failed(error.to_string()))
}

/// A message as protobuf's JSON: fields named as in the `.proto` files, defaults included, 64-bit integers as text, maps
/// in order of their keys.
pub(crate) fn message_json(message: &DynamicMessage) -> Result<Json, Failure> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let mut json = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Failure::failed(error.to_string()))?;
    sort_maps(&message.descriptor(), &mut json);
    Ok(json)
}

/// Maps have no order of their own, and output that changes from call to call is of no use to `diff`.
fn sort_maps(descriptor: &prost_reflect::MessageDescriptor, json: &mut Json) {
    for field in descriptor.fields() {
        let Some(value) = json.get_mut(field.name()) else { continue };
        match (field.is_map(), value, field.kind().as_message()) {
            (true, Json::Object(entries), _) => entries.sort_keys(),
            (false, Json::Array(items), Some(inner)) => {
                items.iter_mut().for_each(|item| sort_maps(inner, item));
            }
            (false, single, Some(inner)) => sort_maps(inner, single),
            _ => {}
        }
    }
}

/// Columns without borders; numbers to the right.
pub(crate) struct Table {
    grid: Grid,
}

impl Table {
    /// An empty table; a header that ends in `>` aligns its column to the right.
    pub(crate) fn new(headers: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_header(headers.iter().map(|header| header.trim_end_matches('>')));
        for (column, header) in grid.column_iter_mut().zip(headers) {
            column.set_padding((0, 2));
            if header.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { grid }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line break inside a cell would break the table for `awk` and for eyes.
        self.grid.add_row(cells.into_iter().map(|cell| cell.replace(['\n', '\r'], " ")));
    }

    /// The lines, without trailing blanks.
    pub(crate) fn text(&self) -> String {
        self.grid.trim_fmt()
    }
}

/// `9.99 USD`. Amounts that no ledger can hold are shown as they are.
pub(crate) fn amount(nano: i64, currency: &str) -> String {
    match (Nano::new(nano), Currency::parse(currency)) {
        (Ok(amount), Ok(currency)) => Money { amount, currency }.to_string(),
        (Ok(amount), Err(_)) => format!("{amount} {currency}").trim_end().to_owned(),
        (Err(_), _) => format!("{nano} nano {currency}").trim_end().to_owned(),
    }
}
