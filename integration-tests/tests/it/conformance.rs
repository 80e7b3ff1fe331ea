//! The OpenAI Python SDK's own tests: what passes against a mock of OpenAI's API passes through Turnpike, too, also when
//! every byte on the way comes in slices. `integration-tests/conformance` has what they need.

mod mock;
mod suite;
mod toxiproxy;

use integration_tests::Gateway;
use mock::Mock;
use std::collections::BTreeSet;
use suite::Suite;
use toxiproxy::Toxiproxy;

/// What clients are served, of OpenAI's API. A test that asks for anything else is not about us.
const SERVED: [(&str, &str); 5] = [
    ("POST", "/chat/completions"),
    ("POST", "/completions"),
    ("POST", "/embeddings"),
    ("GET", "/models"),
    ("GET", "/models/gpt-4o-mini"),
];

/// How many of the tests that must be, so that a change of theirs does not leave us with none.
const LEAST: usize = 100;

/// The models that the tests name, each under its own name.
const MODELS: [(&str, &str); 4] = [
    ("gpt-5.4", "text"),
    ("gpt-4o-mini", "text"),
    ("gpt-3.5-turbo-instruct", "text"),
    ("text-embedding-3-small", "embeddings"),
];

/// A catalog in which the mock is the only upstream of the tests' models.
async fn configure(gateway: &Gateway, mock: &str) {
    let mut documents = format!(
        "kind: Upstream\nname: mock\nspec: {{vendor: mock, dialect: openai, base_url: '{mock}', \
         credential: none, jurisdiction: SG, stops_on_abort: true}}\n---\n\
         kind: PriceBook\nname: mock\nspec:\n  currency: USD\n  upstreams: [mock]\n  entries:\n  \
         - {{model: 'sdk/*', prices: {{input: '0.1', cache_read: '0.1', cache_write_5m: '0.1', \
         cache_write_1h: '0.1', output: '0.1', reasoning: '0.1', request: '0', web_search: '0'}}}}\n"
    );
    for (name, output) in MODELS {
        documents += &format!(
            "---\nkind: Model\nname: sdk/{name}\nspec: {{origin: us, aliases: [{name}], \
             context_length: 10000, max_output_tokens: 1000, input_modalities: [text], \
             output_modalities: [{output}], routes: [{{upstream: mock, model: {name}}}]}}\n"
        );
    }
    gateway.admin().apply(&documents).await;
}

#[expect(clippy::print_stdout, reason = "scripts/conformance shows it")]
fn heading(passed: usize, wanted: usize) {
    println!("{:<44} {:>6} {:>6}", "the OpenAI SDK's own tests", "passed", "lost");
    println!("{:<44} {passed:>6}", "without a gateway");
    println!("{:<44} {wanted:>6}", "of these, on what is served");
}

/// Prints a row of the table.
#[expect(clippy::print_stdout, reason = "scripts/conformance shows it")]
fn row(what: &str, wanted: &BTreeSet<String>, passed: &BTreeSet<String>) -> BTreeSet<String> {
    let lost: BTreeSet<String> = wanted.difference(passed).cloned().collect();
    println!("{what:<44} {:>6} {:>6}", wanted.intersection(passed).count(), lost.len());
    lost.iter().for_each(|test| println!("    lost: {test}"));
    lost
}

#[tokio::test]
async fn the_sdks_own_tests_pass_through_turnpike() {
    let mock = Mock::start().await;
    let suite = Suite::new();
    let baseline = suite.run(mock.url(), None).await;
    let wanted = baseline.passed_asking_only(&SERVED);
    assert!(wanted.len() >= LEAST, "only {} tests ask for what is served", wanted.len());

    let gateway = Gateway::demo().start().await;
    let through = suite.choosing(&wanted, gateway.api_key());
    configure(&gateway, mock.url()).await;
    let whole = suite.run(gateway.base_url(), Some(&through)).await;

    let toxiproxy = Toxiproxy::start().await;
    configure(&gateway, &toxiproxy.slicing("upstream", mock.url()).await).await;
    let client_side = toxiproxy.slicing("client", gateway.base_url()).await;
    let sliced = suite.run(&client_side, Some(&through)).await;

    heading(baseline.passed().len(), wanted.len());
    let mut lost = row("through Turnpike", &wanted, &whole.passed());
    lost.extend(row("through Turnpike, in slices", &wanted, &sliced.passed()));
    assert!(lost.is_empty(), "{lost:?}\n{}\n{}", whole.output, sliced.output);
    gateway.admin().reconciled().await;
}
