//! What a request for embeddings asks for: vectors, and no words.

use crate::body::envelope::Field;
use crate::body::fields::Fields;
use crate::body::inputs;
use crate::body::request::Ask;
use crate::error::ApiError;

/// Reads it.
pub(crate) fn ask(fields: Fields<'_>) -> Result<Ask, ApiError> {
    if fields.flag(Field::Stream)? {
        return Err(ApiError::invalid("stream", "embeddings are not streamed: leave out `stream`"));
    }
    let input = fields.needed(Field::Input, "send a text, tokens, or a list of either")?;
    let size = inputs::measure(input).ok_or_else(|| {
        ApiError::invalid("input", "`input` must be a text, tokens, or a list of either")
    })?;
    Ok(Ask { size, output_limit: Some(0), choices: 0, echoes: 0, hides_output: false })
}
