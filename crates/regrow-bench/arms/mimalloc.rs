//! The arms with mimalloc.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    regrow_bench_harness::main(&regrow_bench_arms::arms())
}
