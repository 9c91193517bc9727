//! The arms with the allocator of the system.

fn main() -> std::process::ExitCode {
    regrow_bench_harness::main(&regrow_bench_arms::arms())
}
