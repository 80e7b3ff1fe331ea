//! "Did you mean": the nearest of some known names.

/// The known name that is nearest to what was written, if any is near enough to be meant.
pub(crate) fn closest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = written.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be added, dropped or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut diagonal = done;
        let mut left = done.saturating_add(1);
        for (cell, other) in row.iter_mut().skip(1).zip(to.chars()) {
            let changed = diagonal.saturating_add(usize::from(letter != other));
            diagonal = *cell;
            left = changed.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = done.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "cores", "admin_listen", "name"];
        let table = [
            ("listn", Some("listen")),
            ("adminlisten", Some("admin_listen")),
            ("nmae", Some("name")),
            ("core", Some("cores")),
            ("hedging", None),
            ("", None),
        ];
        for (written, meant) in table {
            assert_eq!(closest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn distance_counts_edits_in_both_directions() {
        for (from, to, edits) in
            [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(from, to), edits, "{from} {to}");
            assert_eq!(distance(to, from), edits, "{to} {from}");
        }
    }
}
