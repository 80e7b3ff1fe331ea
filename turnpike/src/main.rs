//! The binary. In reading order: the command line, what it needs to talk to a control plane (client, objects, output),
//! configuration, and the roles that `turnpike up` composes.

mod cli;

mod client;
mod objects;
mod output;
mod progress;
mod failure;
mod suggest;

mod config;
mod up;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
