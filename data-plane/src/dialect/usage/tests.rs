//! Classes are disjoint and add up to what the upstream said.

use super::read;
use domain::tokens::{Quantities, TokenClass};

fn quantities(classes: &[(TokenClass, u64)]) -> Quantities {
    classes.iter().fold(Quantities::NONE, |all, (class, n)| all.with(*class, *n))
}

#[test]
fn every_shape_of_usage_maps_into_disjoint_classes() {
    use TokenClass::{
        AudioIn, CacheRead, CacheWrite5m, ImageIn, Input, Output, Reasoning, WebSearch,
    };
    type Classes = &'static [(TokenClass, u64)];
    let table: [(&str, Classes, bool); 12] = [
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#,
            &[(Input, 10), (Output, 5)],
            false,
        ),
        (
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":10,"cache_write_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":40}}"#,
            &[
                (Input, 25),
                (CacheRead, 60),
                (AudioIn, 10),
                (CacheWrite5m, 5),
                (Output, 10),
                (Reasoning, 40),
            ],
            false,
        ),
        // DeepSeek
        (
            r#"{"prompt_tokens":1000,"completion_tokens":500,"prompt_cache_hit_tokens":800,"prompt_cache_miss_tokens":200}"#,
            &[(Input, 200), (CacheRead, 800), (Output, 500)],
            false,
        ),
        // Moonshot
        (
            r#"{"prompt_tokens":10,"cached_tokens":4,"completion_tokens":1}"#,
            &[(Input, 6), (CacheRead, 4), (Output, 1)],
            false,
        ),
        (
            r#"{"prompt_tokens":10,"prompt_tokens_details":{"image_tokens":4},"completion_tokens":1}"#,
            &[(Input, 6), (ImageIn, 4), (Output, 1)],
            false,
        ),
        // OpenRouter
        (
            r#"{"prompt_tokens":10,"completion_tokens":1,"server_tool_use":{"web_search_requests":3}}"#,
            &[(Input, 10), (Output, 1), (WebSearch, 3)],
            false,
        ),
        // Lies: parts larger than the whole, sums that do not add up, numbers that are none.
        (
            r#"{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":99}}"#,
            &[(CacheRead, 10)],
            true,
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":99}"#,
            &[(Input, 10), (Output, 5)],
            true,
        ),
        (r#"{"prompt_tokens":-1,"completion_tokens":1.5}"#, &[], true),
        (r#"{"prompt_tokens":"10","completion_tokens":9223372036854775808}"#, &[], true),
        (r#"[10,5,15]"#, &[], true),
        (r#""many""#, &[], true),
    ];
    for (text, classes, is_odd) in table {
        let reported = read(text).unwrap();
        assert_eq!(reported.quantities, quantities(classes), "{text}");
        assert_eq!(reported.is_odd, is_odd, "{text}");
    }
}

#[test]
fn of_several_reports_the_larger_total_of_each_side_counts_once() {
    let report = |prompt: u64, cached: u64, completion: u64| {
        let details = format!(r#"{{"cached_tokens":{cached}}}"#);
        let text = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"prompt_tokens_details":{details}}}"#
        );
        read(&text).unwrap()
    };
    let table = [
        // Growing totals, and the cache told only at the end.
        (report(100, 0, 1), report(100, 60, 9), report(100, 60, 9), false),
        // The same again; a second report of one side alone.
        (report(100, 60, 9), report(100, 60, 9), report(100, 60, 9), false),
        (report(100, 60, 0), report(0, 0, 9), report(100, 60, 9), false),
        // Shrinking.
        (report(100, 60, 9), report(100, 60, 4), report(100, 60, 9), true),
        (report(100, 60, 9), report(50, 0, 10), report(100, 60, 10), true),
    ];
    for (first, second, expected, is_odd) in table {
        let both = first.then(second);
        assert_eq!(
            (both.quantities, both.is_odd),
            (expected.quantities, is_odd),
            "{first:?} {second:?}"
        );
    }
}

#[test]
fn a_usage_that_says_nothing_is_none() {
    for text in ["null", "{}", r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#] {
        assert_eq!(read(text), None, "{text}");
    }
}
