//! The arms with the allocator of the system; and one life of a process, for those that restart processes.

use std::process::ExitCode;

use regrow_bench_arms::{BEACON, beacon};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if let (Some(BEACON), Some(socket)) = (arguments.next().as_deref(), arguments.next()) {
        return beacon(&socket);
    }
    regrow_bench_harness::main(&regrow_bench_arms::arms())
}
