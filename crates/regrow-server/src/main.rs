//! The program `regrow`: agents of any language under one supervision tree.
//!
//! `cli` reads the command line. `up` makes a daemon of a configuration; the other commands are
//! clients of its API.

mod api;
mod cli;
mod client;
mod config;
mod daemon;
mod gateway;
mod health;
mod http;
mod ports;
mod sample_agent;
mod state_dir;
mod up;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
