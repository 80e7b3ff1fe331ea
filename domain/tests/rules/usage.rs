//! What is charged for each way in which a request can end.

use domain::tokens::{Quantities, TokenClass};
use domain::usage::{ChargePolicy, Outcome, chargeable};

const KIND: ChargePolicy = ChargePolicy { empty: false, cut: false };
const STRICT: ChargePolicy = ChargePolicy { empty: true, cut: true };

#[test]
fn only_policy_makes_an_answer_free_and_never_a_hang_up() {
    let input = Quantities::NONE.with(TokenClass::Input, 7);
    let answer = input.with(TokenClass::Output, 3);
    let table = [
        (Outcome::Completed, answer, KIND, true),
        (Outcome::Completed, input, KIND, false),
        (Outcome::Completed, input, STRICT, true),
        (Outcome::Completed, input.with(TokenClass::Reasoning, 1), KIND, true),
        (Outcome::UpstreamFailed, answer, KIND, false),
        (Outcome::UpstreamFailed, answer, STRICT, true),
        (Outcome::ClientGone, input, KIND, true),
        (Outcome::ClientGone, answer, KIND, true),
        (Outcome::OutOfMoney, answer, KIND, true),
        (Outcome::Interrupted, answer, KIND, true),
    ];
    for (outcome, metered, policy, charged) in table {
        let expected = if charged { metered } else { Quantities::NONE };
        assert_eq!(chargeable(outcome, metered, policy), expected, "{outcome:?} under {policy:?}");
    }
}

#[test]
fn outcomes_lead_back_from_their_names() {
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::parse(outcome.name()), Some(outcome));
    }
    assert_eq!(Outcome::parse("ok"), None);
}
