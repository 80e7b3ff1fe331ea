//! `Admission`: the proof that a request may cost money, and everything that must be known when it ends.
//!
//! It is ended by `settle`. If a bug drops it instead, it still ends itself: charged as interrupted, never forgotten.

use crate::body::request::ClientRequest;
use crate::clock::now;
use crate::dialect::{Facts, Reported};
use crate::limits::LimitTicket;
use crate::pipeline::admit::AdmitOrder;
use crate::pipeline::authenticate::Caller;
use crate::pipeline::route::{Candidate, RoutePlan};
use crate::pipeline::settle;
use crate::plane::Shared;
use crate::purse::PurseHold;
use crate::record::Record;
use crate::trace::RequestTrace;
use crate::transcript::{Spoken, Transcript};
use crate::upstream::words;
use bytes::Bytes;
use domain::price::Rates;
use domain::time::Timestamp;
use domain::tokens::{Metered, Provenance, Quantities, TokenClass};
use domain::usage::Outcome;
use http::StatusCode;
use links::spool::Ticket;
use proto::convert::usage as convert;
use proto::usage::v1 as usage;
use std::sync::Arc;

/// What was taken, and must be given back or settled.
pub(crate) struct Money {
    pub(crate) hold: PurseHold,
    pub(crate) ticket: Ticket,
    pub(crate) limit: LimitTicket,
}

/// An admitted request.
pub(crate) struct Admission {
    pub(crate) plane: Arc<Shared>,
    pub(crate) record: usage::Admitted,
    pub(crate) caller: Caller,
    pub(crate) plan: RoutePlan,
    pub(crate) request: ClientRequest,
    pub(crate) attempts: Vec<usage::Attempt>,
    pub(crate) meter: Meter,
    pub(crate) trace: RequestTrace,
    /// What is said, if its org wants that kept.
    pub(crate) content: Option<Record>,
    /// When the current attempt began.
    pub(crate) attempt_began: Timestamp,
    /// Which candidate serves; the first one until another does.
    pub(crate) serving: usize,
    money: Option<Money>,
}

/// What a request has used so far.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) transcript: Transcript,
    pub(crate) reported: Option<Reported>,
    /// Input as our tokeniser counts it, once it had to.
    pub(crate) input_counted: Option<u64>,
    /// Output as our tokeniser counts it, once it had to.
    pub(crate) spoken: Option<Spoken>,
    pub(crate) upstream_id: String,
    pub(crate) finish_reason: String,
    pub(crate) first_token_us: u64,
    /// An upstream has taken the request, so that its input is known to have been processed.
    pub(crate) was_processed: bool,
}

impl Meter {
    /// Takes what a piece of the answer told.
    pub(crate) fn learn(&mut self, facts: &Facts) {
        if self.upstream_id.is_empty()
            && let Some(id) = facts.id.as_deref().and_then(words::id)
        {
            self.upstream_id = id.to_owned();
        }
        if let Some(reason) = &facts.finish_reason {
            self.finish_reason = words::finish_reason(reason).to_owned();
        }
        self.reported = match (self.reported, facts.usage) {
            (Some(before), Some(later)) => Some(before.then(later)),
            (before, later) => later.or(before),
        };
    }
}

impl Admission {
    pub(crate) fn new(
        plane: Arc<Shared>,
        record: usage::Admitted,
        order: Box<AdmitOrder>,
        money: Money,
    ) -> Self {
        let AdmitOrder { caller, plan, request, .. } = *order;
        let sink = caller.org.store_content.then(|| plane.parts.content.clone());
        let content = sink.map(|sink| Record::begin(sink, &request.body));
        Self {
            plane,
            record,
            caller,
            plan,
            request,
            attempts: Vec::new(),
            meter: Meter::default(),
            trace: RequestTrace::default(),
            content,
            attempt_began: Timestamp(0),
            serving: 0,
            money: Some(money),
        }
    }

    /// Something was delivered.
    pub(crate) fn note_delivered(&mut self, bytes: &Bytes) {
        if let Some(content) = &mut self.content {
            content.hear(bytes);
        }
    }

    /// The key or its org was revoked since: no new attempt, and no more money, so that a stream ends within what it holds.
    pub(crate) fn is_withdrawn(&self) -> bool {
        !self.caller.is_welcome(&self.plane.parts.configuration, now())
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.record.request_id
    }

    /// The hold, until it is settled.
    pub(crate) fn hold(&mut self) -> Option<&mut PurseHold> {
        self.money.as_mut().map(|money| &mut money.hold)
    }

    pub(crate) fn limit(&self) -> Option<&LimitTicket> {
        self.money.as_ref().map(|money| &money.limit)
    }

    /// The money, to be settled by whoever takes it.
    pub(crate) fn take_money(&mut self) -> Option<Money> {
        self.money.take()
    }

    pub(crate) fn candidate(&self) -> Option<&Candidate> {
        self.plan.candidates.get(self.serving)
    }

    /// Output tokens per choice that the hold pays for; `None` if it pays for all that was asked for.
    pub(crate) fn output_bound(&self) -> Option<u64> {
        if self.plan.is_windowed {
            return None;
        }
        let held = self.money.as_ref()?.hold.amount();
        let paid = self.plan.prices.affordable_output(self.plan.input_tokens_max, held)?;
        let per_choice = paid.checked_div(self.plan.choices)?.max(1);
        (per_choice < self.plan.output_limit).then_some(per_choice)
    }

    /// The rates of the candidate that serves, for so much input.
    pub(crate) fn rates(&self, input_tokens: u64) -> Rates {
        let at = self.plan.routed_at;
        let card = self.candidate().and_then(|candidate| candidate.price.schedule.at(at));
        card.map_or(Rates::NONE, |card| card.rates(input_tokens, at))
    }

    /// What is metered as of now: reported where it can be believed, else counted, else guessed.
    pub(crate) fn metered(&self) -> (Metered, bool) {
        if !self.meter.was_processed {
            return (Metered::default(), false);
        }
        let (mut metered, is_odd) = self.believable();
        let rates = self.rates(0);
        let request = u64::from(rates.get(TokenClass::Request).is_some());
        metered.quantities.set(TokenClass::Request, request);
        let searches = self
            .meter
            .reported
            .map_or(0, |reported| reported.quantities.get(TokenClass::WebSearch));
        // More than were asked for were not held for, and a search without a price is the company's.
        let paid = if rates.get(TokenClass::WebSearch).is_some() {
            self.request.ask.size.searches
        } else {
            0
        };
        metered.quantities.set(TokenClass::WebSearch, searches.min(paid));
        (metered, is_odd || searches > self.request.ask.size.searches)
    }

    fn believable(&self) -> (Metered, bool) {
        let mut quantities = Quantities::NONE;
        let reported = self.meter.reported.unwrap_or(Reported { quantities, is_odd: false });
        let input_is_possible = reported.quantities.input_total() <= self.input_ceiling();
        let output_is_possible = reported.quantities.output_total() <= self.output_ceiling();
        let mut metered = Metered::default();
        if reported.quantities.input_total() > 0 && input_is_possible {
            copy(&reported.quantities, &mut quantities, &TokenClass::INPUT);
        } else {
            let input = self.meter.input_counted.unwrap_or_else(|| self.input_guess());
            quantities.set(TokenClass::Input, input);
            metered.input = counted_or_guessed(self.meter.input_counted.is_some());
        }
        let said_nothing = self.meter.transcript.bytes() == 0;
        let has_output = reported.quantities.output_total() > 0 || said_nothing;
        if self.meter.reported.is_some() && has_output && output_is_possible {
            copy(&reported.quantities, &mut quantities, &TokenClass::OUTPUT);
        } else {
            let spoken = self.meter.spoken.unwrap_or_else(|| self.meter.transcript.guess());
            quantities.set(TokenClass::Output, spoken.answer);
            quantities.set(TokenClass::Reasoning, spoken.reasoning);
            metered.output = counted_or_guessed(self.meter.spoken.is_some());
        }
        metered.quantities = quantities;
        (metered, reported.is_odd || !input_is_possible || !output_is_possible)
    }

    /// Its text at four bytes a token; what files and pictures come to is not known, and so not charged.
    fn input_guess(&self) -> u64 {
        self.request.ask.size.text_bytes.div_ceil(4).min(self.plan.input_tokens_max)
    }

    /// No token is shorter than a byte; chat templates add some that are in no byte of ours.
    fn input_ceiling(&self) -> u64 {
        let context = self.candidate().map_or(0, |candidate| candidate.model.context_length);
        self.plan.input_tokens_max.max(context.min(4096))
    }

    /// The words heard, or all that can be thought unheard or made unshown, and a few tokens that say nothing (ends of turns, calls
    /// of tools).
    fn output_ceiling(&self) -> u64 {
        let thinks = |c: &&Candidate| c.model.hidden_reasoning;
        let unheard = self.candidate().filter(thinks).map_or(0, |c| c.model.max_output_tokens);
        let unshown = if self.request.ask.hides_output { self.plan.output_limit } else { 0 };
        let unspoken = unheard.max(unshown).saturating_add(32).saturating_mul(self.plan.choices);
        self.meter.transcript.bytes().saturating_add(unspoken)
    }

    /// Whether the tokeniser has to say what nobody reported.
    pub(crate) fn needs_counting(&self) -> bool {
        let (metered, _) = self.metered();
        let guessed = |side: Provenance| side == Provenance::Estimated;
        self.meter.was_processed && (guessed(metered.input) || guessed(metered.output))
    }

    /// An upstream that has begun its stream has taken the input. Until the first top-up only a record of it lets a crash
    /// charge that; it is worth one where the input costs more than the window of output that a crash may cost anyway.
    pub(crate) fn note_taken_input(&mut self) {
        let window = self.plane.parts.settings.output_window_tokens;
        let prices = &self.plan.prices;
        if prices.cost(self.input_guess(), 0) > prices.output_cost(window) {
            self.note_progress();
        }
    }

    /// Writes down what was metered so far, so that a crash charges just that.
    pub(crate) fn note_progress(&mut self) {
        let (metered, _) = self.metered();
        let rates = self.rates(metered.quantities.input_total());
        let price = self.candidate().map(Candidate::price_ref);
        let Some(money) = self.money.as_mut() else {
            return;
        };
        let progress = usage::Progress {
            request_id: self.record.request_id.clone(),
            hold_nano: money.hold.amount().get(),
            lines: convert::lines(&metered, &rates),
            upstream_id: self.meter.upstream_id.clone(),
            price,
            attempts: self.attempts.clone(),
        };
        if let Err(error) = money.ticket.progress(&progress) {
            tracing::warn!(%error, "progress of a request was not written; a crash would charge it less");
        }
    }
}

fn copy(from: &Quantities, to: &mut Quantities, classes: &[TokenClass]) {
    for class in classes {
        to.set(*class, from.get(*class));
    }
}

fn counted_or_guessed(is_counted: bool) -> Provenance {
    if is_counted { Provenance::Counted } else { Provenance::Estimated }
}

impl Candidate {
    /// Which compiled price this is.
    pub(crate) fn price_ref(&self) -> usage::PriceRef {
        usage::PriceRef {
            revision: self.price.revision,
            model: self.model.name.clone(),
            upstream: self.upstream.name.clone(),
            entity: self.price.entity.clone(),
            audience: self.price.audience.clone(),
            org: self.price.org.clone().unwrap_or_default(),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.money.is_some() {
            tracing::error!(
                request_id = self.request_id(),
                "an admission was dropped; it ends as interrupted"
            );
            settle::conclude(self, Outcome::Interrupted, StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
