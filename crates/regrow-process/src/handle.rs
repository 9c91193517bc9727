//! A look at a process from outside: who it is now, and what it writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use regrow_core::figures::Figures;
use regrow_core::lifecycle::Stage;
use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::{Order, Orders, SignalError, SignalTo, orders};
use crate::environment;
use crate::os::Signal;
use crate::probes::{Around, for_commands};
use crate::stdin::{Inlet, StdinError, StdinWriter};
use crate::stdio::Output;

/// A view of one agent over all its lives. It keeps nothing alive; clones show the same agent.
#[derive(Debug, Clone, Default)]
pub struct ProcessHandle {
    status: Arc<Mutex<ProcessStatus>>,
    figures: Arc<Mutex<Option<Figures>>>,
    /// Where the present life takes its orders.
    orders: Arc<Mutex<Option<Orders>>>,
    traffic: Traffic,
    output: Output,
    inlet: Inlet,
    surroundings: Surroundings,
}

/// What the present life was started with, where somebody needs it.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    needed: Arc<AtomicBool>,
    present: Arc<Mutex<Option<Arc<Around>>>>,
}

/// How much is done with an agent right now, by others than regrow.
#[derive(Debug, Clone)]
struct Traffic(Arc<watch::Sender<usize>>);

impl Default for Traffic {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

/// Something that is done with an agent, such as a request, until this is dropped. An agent that is to stop finishes it first, if
/// that does not take longer than its plan allows.
#[derive(Debug)]
#[must_use = "dropped, it is done"]
pub struct InFlight(Traffic);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0
            .0
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// What is known of an agent's process right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Its pid; `None` while none runs.
    pub pid: Option<u32>,
    /// The port that it was told to listen on.
    pub port: Option<u16>,
    /// The Unix socket that it was told to listen on.
    pub socket: Option<Arc<Path>>,
    /// The life that runs, or the last one; 0 before the first.
    pub generation: u32,
    /// How far a stop has come.
    pub stopping_stage: Option<Stage>,
    /// Whether it is held.
    pub paused: bool,
    /// What it does, in its own words: its last `STATUS=` to `NOTIFY_SOCKET`. One line of at most 256 characters, without control
    /// characters; `None` while it says nothing, and while none runs.
    pub says: Option<String>,
    /// Whether it has said, by `STOPPING=1`, that it has begun to end.
    pub says_stopping: bool,
    /// How many messages to `NOTIFY_SOCKET` were not believed in this life: of more than 4,096 bytes, or not from one of its processes.
    pub notices_refused: u64,
    /// When the process was spawned; `None` while none runs.
    pub spawned_at: Option<SystemTime>,
    /// What the last life left running that could not be ended.
    pub leaked: Vec<u32>,
}

impl ProcessStatus {
    /// Whether it is there for new work: it runs, is not held, is not being stopped, and has not said that it ends.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        let is_ending = self.stopping_stage.is_some() || self.says_stopping;
        self.pid.is_some() && !self.paused && !is_ending
    }

    /// Nothing was said in this life.
    pub(crate) fn be_silent(&mut self) {
        self.says = None;
        self.says_stopping = false;
        self.notices_refused = 0;
    }
}

impl ProcessHandle {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            ..Self::default()
        }
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> ProcessStatus {
        lock(&self.status).clone()
    }

    /// What it writes, over all its lives.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Where to write to it.
    pub fn stdin(&self) -> StdinWriter {
        StdinWriter::new(self.inlet.clone())
    }

    /// Writes these bytes to its standard input, whole, as soon as it reads them; answers which life got them. How long it may take and
    /// for which life it is meant can be said with [`ProcessHandle::stdin`].
    ///
    /// # Errors
    ///
    /// When there is no life to write to, or it does not read within 10 s.
    pub async fn write_stdin(&self, bytes: impl Into<Vec<u8>>) -> Result<u32, StdinError> {
        self.stdin().write(bytes).await
    }

    /// From the next life on it is kept what each was started with.
    pub(crate) fn keep_surroundings(&self) {
        self.surroundings.needed.store(true, Ordering::Relaxed);
    }

    /// A life was started with this.
    pub(crate) fn show_surroundings(&self, with: environment::Surroundings, cwd: Option<&Path>) {
        if self.surroundings.needed.load(Ordering::Relaxed) {
            *lock(&self.surroundings.present) = Some(Arc::new(Around {
                env: for_commands(&with.env),
                given: with.given,
                cwd: cwd.map(Path::to_owned),
            }));
        }
    }

    /// What the last life was started with, if that is kept.
    pub(crate) fn surroundings(&self) -> Option<Arc<Around>> {
        lock(&self.surroundings.present).clone()
    }

    pub(crate) fn inlet(&self) -> &Inlet {
        &self.inlet
    }

    /// What the life that runs uses, itself and all its descendants, and has used up; `None` while none runs, in its first second, and
    /// where [`Host::sample_every`](crate::Host::sample_every) switched it off.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        *lock(&self.figures)
    }

    pub(crate) fn show(&self, figures: Option<Figures>) {
        *lock(&self.figures) = figures;
    }

    /// Sends a signal to the process, or to its whole group. One to a paused process is there when it goes on, but for SIGKILL,
    /// which ends it at once. What SIGKILL and the like end counts as ended by itself, as if somebody outside had sent it.
    ///
    /// # Errors
    ///
    /// When no process runs, for SIGSTOP and SIGCONT (pause and resume the child instead), and when the system refuses.
    pub async fn signal(&self, signal: Signal, to: SignalTo) -> Result<(), SignalError> {
        if matches!(signal, Signal::Stop | Signal::Cont) {
            return Err(SignalError::Reserved { signal });
        }
        let orders = lock(&self.orders).clone().ok_or(SignalError::NotRunning)?;
        let (reply, answer) = oneshot::channel();
        let order = Order { signal, to, reply };
        orders.try_send(order).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => SignalError::Busy,
            mpsc::error::TrySendError::Closed(_) => SignalError::NotRunning,
        })?;
        answer.await.unwrap_or(Err(SignalError::NotRunning))
    }

    /// Notes that something begins that is done with the agent, such as a request.
    pub fn begin(&self) -> InFlight {
        self.traffic.0.send_modify(|count| *count += 1);
        InFlight(self.traffic.clone())
    }

    /// How much is done with the agent right now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        *self.traffic.0.borrow()
    }

    /// Waits until nothing is done with the agent.
    pub(crate) async fn idle(&self) {
        // The sender is ours, so it is not gone.
        drop(
            self.traffic
                .0
                .subscribe()
                .wait_for(|count| *count == 0)
                .await,
        );
    }

    /// A new life begins: from now on it takes the orders.
    pub(crate) fn take_orders(&self) -> mpsc::Receiver<Order> {
        let (sender, receiver) = orders();
        *lock(&self.orders) = Some(sender);
        receiver
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ProcessStatus)) {
        change(&mut lock(&self.status));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
