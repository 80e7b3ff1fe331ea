//! What is read of a filter, for any text.

use super::{Filter, Term, Wanted};
use crate::settings::AdminLimits;
use domain::config::Kind;

fn read(text: &str) -> Option<Filter> {
    Filter::parse(text, &AdminLimits::default()).ok()
}

#[test]
fn terms_are_read_with_quotes_escapes_and_prefixes() {
    let term = |field: &str, wanted: Wanted| Term { field: field.to_owned(), wanted };
    let exactly = |text: &str| Wanted::Exactly(text.to_owned());
    let beginning = |text: &str| Wanted::Beginning(text.to_owned());
    let table = [
        ("", vec![]),
        ("  ", vec![]),
        ("a=b", vec![term("a", exactly("b"))]),
        ("spec.a = \"\"", vec![term("a", exactly(""))]),
        ("a = \"b \\\"c\\\" \\\\\"", vec![term("a", exactly("b \"c\" \\"))]),
        ("a.b = c/d-e_f.g*", vec![term("a.b", beginning("c/d-e_f.g"))]),
        ("a = b AND c = AND", vec![term("a", exactly("b")), term("c", exactly("AND"))]),
    ];
    for (text, terms) in table {
        assert_eq!(read(text), Some(Filter { terms }), "{text}");
    }
}

#[test]
fn names_are_narrowed_to_what_can_fit() {
    let table = [
        ("name = b", Kind::Plan, "b", true),
        ("name = b", Kind::Plan, "b0", false),
        ("name = b*", Kind::Plan, "b/c", true),
        ("name = b*", Kind::Plan, "c", false),
        ("org = acme", Kind::Key, "acme/ci", true),
        ("org = acme", Kind::Key, "acme-two/ci", false),
        ("org = acme", Kind::MarkupRule, "anything", true),
        ("org = acme AND name = acme/b*", Kind::Key, "acme/a", false),
        ("disabled = true", Kind::Key, "anything", true),
    ];
    for (text, kind, name, is_inside) in table {
        let names = read(text).unwrap().names(kind);
        assert_eq!(names.contains(&name.to_owned()), is_inside, "{text} {kind} {name}");
    }
}
