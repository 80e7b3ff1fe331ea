//! `bench`: the driver's command line.

use bench::driver::{self, Options};
use bench::say;
use clap::Parser;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let options = Options::parse().completed();
    let runtime = Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from);
    match done.and_then(|runtime| runtime.block_on(driver::run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::note(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
