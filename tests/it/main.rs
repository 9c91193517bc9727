//! Tests across the crates.

mod children;
mod docs;
mod edges;
mod examples;
mod operations;
mod runtime;
mod scrape;
mod semantics;
mod stream;
mod supervision;
mod tidy;
mod tools;
mod tree;
mod walk;
