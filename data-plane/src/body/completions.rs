//! What a completion asks for: a continuation of one prompt or of several.

use crate::body::envelope::Field;
use crate::body::fields::Fields;
use crate::body::inputs;
use crate::body::request::Ask;
use crate::error::ApiError;

/// Reads it.
pub(crate) fn ask(fields: Fields<'_>) -> Result<Ask, ApiError> {
    let prompt = fields.needed(Field::Prompt, "send a text, tokens, or a list of either")?;
    let mut size = inputs::measure(prompt).ok_or_else(|| {
        ApiError::invalid("prompt", "`prompt` must be a text, tokens, or a list of either")
    })?;
    // What else is in the body, a suffix for instance, may become input, too.
    let rest = fields.text.len().saturating_sub(prompt.len());
    size.text_bytes = size.text_bytes.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX));
    let shown = fields.count(Field::N, 1)?.unwrap_or(1);
    let made = fields.count(Field::BestOf, 0)?.unwrap_or(shown).max(shown);
    Ok(Ask {
        size,
        output_limit: fields.count(Field::MaxTokens, 0)?,
        choices: made.saturating_mul(size.prompts),
        echoes: if fields.flag(Field::Echo)? { shown } else { 0 },
        hides_output: made > shown,
    })
}
