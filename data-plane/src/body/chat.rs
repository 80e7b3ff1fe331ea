//! What a chat completion asks for.

use crate::body::envelope::Field;
use crate::body::fields::Fields;
use crate::body::request::Ask;
use crate::body::size::{ServerTools, measure};
use crate::error::ApiError;
use crate::settings::Limits;

/// Reads it.
pub(crate) fn ask(fields: Fields<'_>, limits: &Limits) -> Result<Ask, ApiError> {
    let messages = fields.needed(Field::Messages, "send a list of at least one message")?;
    let Some(mut size) = measure(fields.text.len(), messages) else {
        let message = "`messages` must be a list of at least one message";
        return Err(ApiError::invalid("messages", message));
    };
    let server_tools =
        fields.value(Field::Tools).map_or_else(ServerTools::default, ServerTools::of);
    let searches = server_tools.search || fields.value(Field::WebSearchOptions).is_some();
    size.open_ended |= server_tools.any || searches;
    size.searches = if searches { limits.web_searches } else { 0 };
    Ok(Ask {
        size,
        output_limit: output_limit(fields)?,
        choices: fields.count(Field::N, 1)?.unwrap_or(1),
        echoes: 0,
        hides_output: false,
    })
}

/// Servers differ in which of the two names they obey: of two bounds the larger one counts, and none if one says 0.
fn output_limit(fields: Fields<'_>) -> Result<Option<u64>, ApiError> {
    let older = fields.count(Field::MaxTokens, 0)?;
    let newer = fields.count(Field::MaxCompletionTokens, 0)?;
    let bounds = [older, newer];
    Ok(if bounds.contains(&Some(0)) { Some(0) } else { older.max(newer) })
}
