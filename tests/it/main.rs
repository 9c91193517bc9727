//! Tests across the crates.

mod supervision;
