//! `scripts/chaos`: every part of a cluster through every fault, under load, one after the other. Prints a table, as
//! `docs/chaos.md` keeps it, and exits 1 if anything was not as it has to be. What happens and what must hold is the harness's.

use integration_tests::{Fault, Ordeal, Outcome, Target, Trial};
use std::env;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longer than anything waits for anything else.
const LASTING: Duration = Duration::from_secs(30);

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]
fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let trials = trials(&words);
    if trials.is_empty() {
        let (targets, faults) = (Target::ALL.map(Target::name), Fault::ALL.map(Fault::name));
        eprintln!("there is no such fault; chaos [{}] [{}]", targets.join("|"), faults.join("|"));
        return ExitCode::from(2);
    }
    println!("| part | fault | served | cut | in the books | looks at all accounts | took |");
    println!("|---|---|---|---|---|---|---|");
    let mut code = ExitCode::SUCCESS;
    for trial in trials {
        eprintln!("{} {} for {:?} …", trial.target.name(), trial.fault.name(), trial.lasting);
        let began = Instant::now();
        // What panics ends its own trial.
        let outcome = thread::spawn(move || run(trial)).join();
        if !matches!(outcome, Ok(Ok(_))) {
            code = ExitCode::FAILURE;
        }
        println!("{}", row(trial, &outcome, began.elapsed()));
    }
    code
}

fn run(trial: Trial) -> io::Result<Outcome> {
    Ok(Runtime::new()?.block_on(Ordeal::of(trial)))
}

/// Those that are named, or all.
fn trials(words: &[String]) -> Vec<Trial> {
    let all = Target::ALL.into_iter().flat_map(|target| Fault::ALL.map(|fault| (target, fault)));
    let is_named = |(target, fault): &(Target, Fault)| {
        words.iter().all(|word| [target.name(), fault.name()].contains(&&**word))
    };
    let trial = |(target, fault)| Trial { target, fault, lasting: LASTING };
    all.filter(is_named).map(trial).collect()
}

fn row(trial: Trial, outcome: &thread::Result<io::Result<Outcome>>, took: Duration) -> String {
    let (part, fault, took) = (trial.target.name(), trial.fault.name(), took.as_secs());
    match outcome {
        Ok(Ok(Outcome { told, records, looks })) => {
            let (served, cut) = (told.served.len(), told.cut.len());
            format!("| {part} | {fault} | {served} | {cut} | {records} | {looks} | {took} s |")
        }
        Ok(Err(_)) | Err(_) => format!("| {part} | {fault} | **failed** | | | | {took} s |"),
    }
}
