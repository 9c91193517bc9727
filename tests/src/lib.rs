//! What tests across the crates share with tools.

pub mod otp_trace;
