//! The program from outside: real daemons, real agents, real signals.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod agents;
mod breakers;
mod cli;
mod doctor;
mod endings;
mod figures;
mod gateway;
mod handover;
mod hold;
mod http_api;
mod jobs;
mod kit;
mod limits;
mod losses;
mod pools;
mod ports;
mod probes;
mod queries;
mod real;
mod sample_agents;
mod streams;
mod telemetry;
mod wrong;
