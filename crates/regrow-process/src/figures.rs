//! What agents use: one look at all processes of the machine for all agents of a run, every few seconds, off the runtime's workers.
//!
//! Each life enlists when it is spawned and is told what was read of its processes; what that means is decided where the life is
//! driven. While nobody is enlisted there is no task.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regrow_core::figures::{MemoryLimit, Reading};
use tokio::sync::{Notify, watch};

use crate::os::{self, Crew, Identity, MAX_NOTED, Member, Strangers};

/// How often agents are looked at, unless told otherwise.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// A life that has just begun is looked at after this time, with all others that begin meanwhile.
const SOON: Duration = Duration::from_secs(1);

/// What one look at all processes has cost, and what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampled {
    /// When it ended.
    pub at: Instant,
    /// How long it took, on a thread that nobody waits for.
    pub took: Duration,
    /// How many agents were looked at.
    pub agents: usize,
    /// How many processes belong to them.
    pub processes: usize,
}

/// One process of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeProcess {
    /// What it calls itself, at most 15 bytes; never its arguments, which may be secrets.
    pub name: String,
    /// What it uses.
    pub reading: Reading,
    /// Its memory, in which a page that three processes share counts a third; `None` where the system does not tell.
    pub proportional_bytes: Option<u64>,
}

/// What was read of one life.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) readings: Arc<[Reading]>,
    /// The memory that counts against a limit: added up, or where that would be unjust, with no page counted twice.
    pub(crate) memory_bytes: u64,
}

/// Looks at all lives of one run.
#[derive(Debug)]
pub(crate) struct Sampler {
    instance: Arc<str>,
    state: Mutex<State>,
    /// One more life has begun.
    enlisted: Notify,
    strangers: Mutex<Strangers>,
}

#[derive(Debug)]
struct State {
    every: Duration,
    lives: BTreeMap<u64, Enlisted>,
    next: u64,
    task: Task,
    last: Option<Sampled>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    None,
    Runs,
}

#[derive(Debug)]
struct Enlisted {
    crew: Crew,
    limit: Option<MemoryLimit>,
    told: watch::Sender<Option<Sample>>,
}

/// A life that is looked at until this is dropped.
#[derive(Debug)]
pub(crate) struct Enlistment {
    sampler: Arc<Sampler>,
    number: u64,
    /// What is read of it.
    pub(crate) samples: watch::Receiver<Option<Sample>>,
}

impl Drop for Enlistment {
    fn drop(&mut self) {
        self.sampler.state().lives.remove(&self.number);
    }
}

impl Enlistment {
    /// Who was found to belong to the life so far.
    pub(crate) fn seen(&self) -> Vec<Identity> {
        let state = self.sampler.state();
        let life = state.lives.get(&self.number);
        life.map_or_else(Vec::new, |life| life.crew.seen.clone())
    }
}

impl Sampler {
    pub(crate) fn new(instance: Arc<str>) -> Self {
        Self {
            instance,
            state: Mutex::new(State {
                every: PERIOD,
                lives: BTreeMap::new(),
                next: 0,
                task: Task::None,
                last: None,
            }),
            enlisted: Notify::new(),
            strangers: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_period(&self, every: Duration) {
        self.state().every = every;
    }

    pub(crate) fn period(&self) -> Duration {
        self.state().every
    }

    pub(crate) fn last(&self) -> Option<Sampled> {
        self.state().last
    }

    /// Looks at this life from now on. With a `limit` of memory also when looking is switched off.
    pub(crate) fn enlist(
        self: &Arc<Self>,
        agent: &str,
        generation: u32,
        leader: Identity,
        limit: Option<MemoryLimit>,
    ) -> Enlistment {
        let (told, samples) = watch::channel(None);
        let crew = Crew {
            agent: agent.into(),
            generation,
            leader,
            seen: Vec::new(),
        };
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.lives.insert(number, Enlisted { crew, limit, told });
        if state.pause().is_some() && state.task == Task::None {
            state.task = Task::Runs;
            tokio::spawn(Arc::clone(self).run());
        }
        drop(state);
        self.enlisted.notify_one();
        Enlistment {
            sampler: Arc::clone(self),
            number,
            samples,
        }
    }

    async fn run(self: Arc<Self>) {
        let mut due = Instant::now() + SOON;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.enlisted.notified() => {
                    due = due.min(Instant::now() + SOON);
                    continue;
                }
            }
            let Some(pause) = self.go_on() else { return };
            let looked = Arc::clone(&self);
            if let Err(error) = os::blocking(move || looked.look()).await {
                // What is not there will not come; anything else may be over the next time.
                if error.kind() == io::ErrorKind::Unsupported {
                    self.state().task = Task::None;
                    return;
                }
                tracing::warn!(%error, "failed to look at what agents use");
            }
            due = Instant::now() + pause;
        }
    }

    /// How long until the next look but one; `None` ends the task.
    fn go_on(&self) -> Option<Duration> {
        let mut state = self.state();
        let pause = state.pause();
        if pause.is_none() {
            state.task = Task::None;
        }
        pause
    }

    /// One look at all lives.
    fn look(&self) -> io::Result<()> {
        let began = Instant::now();
        let (lives, crews): (Vec<(u64, Option<MemoryLimit>)>, Vec<Crew>) = self
            .state()
            .watched()
            .map(|(number, life)| ((*number, life.limit), life.crew.clone()))
            .unzip();
        let members = self.members(&crews)?;
        let at = Instant::now();
        let processes = members.iter().map(Vec::len).sum();
        for ((number, limit), members) in lives.into_iter().zip(members) {
            let readings: Arc<[Reading]> = members.iter().map(|member| member.reading).collect();
            let memory_bytes = memory(&readings, limit);
            let sample = Sample {
                at,
                readings,
                memory_bytes,
            };
            self.tell(number, sample);
        }
        self.state().last = Some(Sampled {
            at: Instant::now(),
            took: began.elapsed(),
            agents: crews.len(),
            processes,
        });
        Ok(())
    }

    fn tell(&self, number: u64, sample: Sample) {
        let mut state = self.state();
        let Some(life) = state.lives.get_mut(&number) else {
            return;
        };
        let living = sample.readings.iter().filter(|reading| reading.is_living);
        let seen = living.map(|reading| Identity::from(reading.who));
        // The ended are of no use: so it does not grow.
        life.crew.seen = seen
            .filter(|process| *process != life.crew.leader)
            .take(MAX_NOTED)
            .collect();
        life.told.send_replace(Some(sample));
    }

    fn members(&self, crews: &[Crew]) -> io::Result<Vec<Vec<Member>>> {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        os::members(&self.instance, crews, &mut strangers)
    }

    /// The processes of the agent as they are now, at most 1,024; `None` when none runs.
    pub(crate) async fn tree(
        self: &Arc<Self>,
        agent: &str,
    ) -> io::Result<Option<Vec<TreeProcess>>> {
        let crew = {
            let state = self.state();
            let mut of_agent = state.lives.values().map(|life| &life.crew);
            of_agent.find(|crew| *crew.agent == *agent).cloned()
        };
        let Some(crew) = crew else { return Ok(None) };
        let sampler = Arc::clone(self);
        os::blocking(move || {
            let members = sampler.members(&[crew])?.pop().unwrap_or_default();
            let living = members
                .into_iter()
                .filter(|member| member.reading.is_living);
            let shown = living
                .take(MAX_NOTED)
                .map(|Member { reading, name }| TreeProcess {
                    name,
                    proportional_bytes: os::proportional_memory(reading.who.into()),
                    reading,
                });
            Ok(Some(shown.collect()))
        })
        .await
    }
}

impl State {
    /// Those that are looked at.
    fn watched(&self) -> impl Iterator<Item = (&u64, &Enlisted)> {
        let is_off = self.every.is_zero();
        self.lives
            .iter()
            .filter(move |(_, life)| !is_off || life.limit.is_some())
    }

    /// How long between two looks; `None` when there is nobody to look at. Who has a limit does not have to wait for figures that are
    /// wanted more rarely.
    fn pause(&self) -> Option<Duration> {
        self.watched().next()?;
        let is_limited = self.lives.values().any(|life| life.limit.is_some());
        Some(match self.every {
            Duration::ZERO => PERIOD,
            every if is_limited => every.min(PERIOD),
            every => every,
        })
    }
}

/// The memory of a life that counts against its limit. What the processes share is looked up only where it may matter, because the
/// system looks at every page for it; of at most 1,024 processes.
fn memory(readings: &[Reading], limit: Option<MemoryLimit>) -> u64 {
    let living = || readings.iter().filter(|reading| reading.is_living);
    let sum = |bytes: &dyn Fn(usize, &Reading) -> u64| {
        let all = living().enumerate();
        all.map(|(index, reading)| bytes(index, reading))
            .fold(0, u64::saturating_add)
    };
    let plain = sum(&|_, reading| reading.memory_bytes);
    if limit.is_none_or(|limit| !limit.is_doubtful(plain, living().count())) {
        return plain;
    }
    sum(&|index, reading| {
        let looked_up = (index < MAX_NOTED).then(|| os::proportional_memory(reading.who.into()));
        looked_up.flatten().unwrap_or(reading.memory_bytes)
    })
}

impl From<regrow_core::figures::Who> for Identity {
    fn from(who: regrow_core::figures::Who) -> Self {
        Self {
            pid: who.pid,
            start_time: who.start_time,
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
