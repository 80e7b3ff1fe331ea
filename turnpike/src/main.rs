//! The binary. In reading order: the command line, what it needs to talk to a control plane (client, objects, output),
//! configuration, the roles that `turnpike up` composes, and their memory.

mod cli;

mod client;
mod objects;
mod output;
mod progress;
mod failure;
mod suggest;

mod config;
mod up;
mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
