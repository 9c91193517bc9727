//! Tests across the crates.

mod artefacts;
mod children;
mod conformance;
mod docs;
mod dynamic;
mod echo;
mod edges;
mod examples;
mod exports;
mod json;
mod operations;
mod otlp;
mod push;
mod reconfigure;
mod runtime;
mod scrape;
mod semantics;
mod stream;
mod supervision;
mod tasks;
mod threads;
mod tidy;
mod tools;
mod traces;
mod tree;
mod walk;
