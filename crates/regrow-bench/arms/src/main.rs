//! The arms with the allocator of the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    regrow_bench_harness::main(&regrow_bench_arms::arms())
}
