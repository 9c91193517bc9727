//! What tests across the crates share with tools.

pub mod chaos;
pub mod otp_trace;
