//! Supervision trees that grow back: Erlang/OTP's supervision for Rust, on `ractor` and `tokio`.
//!
//! An agent is a [`ractor::Actor`] and nothing else. A [`Supervisor`] is a value that says which children there are, in which
//! order they start, and what happens when one fails. [`System::start`] brings it up, as a barrier: it returns when every child has
//! started, or rolls back. From then on whatever dies is started again by its rules; [`Address`] reaches a child over all its
//! lives; [`Telemetry`] tells what happens; [`System::shut_down`] stops everything in order and reports what did not go quietly.
//!
//! ```
//! use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
//! use regrow::{ChildSpec, Supervisor, System};
//!
//! #[derive(Clone)]
//! struct Counter;
//!
//! enum CounterMsg { Add(u64), Get(RpcReplyPort<u64>) }
//!
//! impl Actor for Counter {
//!     type Msg = CounterMsg;
//!     type State = u64;
//!     type Arguments = ();
//!     async fn pre_start(&self, _: ActorRef<CounterMsg>, _: ()) -> Result<u64, ActorProcessingErr> {
//!         Ok(0)
//!     }
//!     async fn handle(&self, _: ActorRef<CounterMsg>, message: CounterMsg, sum: &mut u64) -> Result<(), ActorProcessingErr> {
//!         match message {
//!             CounterMsg::Add(n) => *sum = sum.checked_add(n).ok_or("too much")?,
//!             CounterMsg::Get(reply) => drop(reply.send(*sum)),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let system = System::start(Supervisor::new("root").child(ChildSpec::actor("counter", Counter, ()))).await?;
//! let counter = system.address::<CounterMsg>("root/counter")?;
//! counter.send(CounterMsg::Add(2))?;
//! assert_eq!(counter.call(CounterMsg::Get).await?, 2);
//! let report = system.shut_down().await;
//! assert!(report.killed.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! In a build where something turns on `ractor`'s feature `cluster`, turn on regrow's of that name too; `async-trait` needs nothing.
//!
//! Panics must unwind: with `panic = "abort"` there is nothing left that could supervise.

#[cfg(panic = "abort")]
compile_error!(
    "regrow needs panic = \"unwind\": with \"abort\" the first panic ends the whole program"
);

mod adapter;
mod address;
pub mod breaker;
mod call_timer;
mod child;
mod exit;
pub mod genai;
mod launch;
#[cfg(feature = "otlp")]
pub mod otlp;
mod panics;
mod path;
pub mod pool;
pub mod probe;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub mod registry;
mod started;
#[cfg(feature = "statsd")]
pub mod statsd;
mod supervisor;
mod system;
mod task;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
mod thread;
mod time;
pub mod trace;
pub mod watchdog;
mod whose;

pub use address::{Address, CallError, LookupError, SendError};
pub use child::{ChildInfo, ChildSpec, LastExit, StartContext};
pub use exit::{BoxError, ExitReason, Ignore, Intensity, Panic, StartFailure};
pub use path::ChildPath;
pub use registry::{ClaimError, RegisterError, Registered, Registry, Watcher};
pub use regrow_core::health::{Criticality, HealthPolicy};
pub use regrow_core::index::{Entry, LeaveReason, Profile, Status, Term};
pub use regrow_core::names::Conflict;
pub use regrow_core::pick::{Candidate, Select};
pub use regrow_core::query::{Query, QueryError};
pub use regrow_core::supervision::{ChildPlan, Condition, Order};
pub use regrow_core::watch::{Because, Notice};
pub use regrow_core::{
    AutoShutdown, Backoff, ChildKind, Desired, ExitKind, FirstRestart, GiveUp, Health, InvalidId,
    Phase, Restart, RestartIntensity, Shutdown, StopCause, Strategy, Unresponsive,
};
pub use started::{Control, Done, Started};
pub use supervisor::{
    ChildCounts, DynamicSupervisor, InvalidTree, OperateError, PartitionSupervisor, Partitions,
    Reconfigured, RouteError, StartReport, Supervisor,
};
pub use system::{HealthReport, ShutdownReport, StartError, System};
pub use task::TaskContext;
pub use telemetry::{Event, Payload, Telemetry};
pub use thread::ThreadContext;

/// The Rust of the README, which has to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeDoctests;
