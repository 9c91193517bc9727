//! What the operating system knows of processes: who they are, who belongs together, and their end.
//!
//! A pid alone names nobody for long: it is given away again. An [`Identity`] is a pid together with
//! the time its process was started, and it is checked right before each signal.
//!
//! On Linux everything is read from `/proc`. Elsewhere only the process group is known.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::abilities::Abilities;
use regrow_core::figures::Reading;
use regrow_core::lifecycle::Exit;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::process::{Child, Command};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other as imp;
mod notify;
mod port;
mod signal;

pub(crate) use imp::{Groups, LifeGroup, groups_of, remove_groups};
pub(crate) use imp::{limit_descendants, own_limit, set_limit, set_nice};
pub(crate) use notify::{Datagram, Notify};
pub(crate) use port::{Claim, is_bindable};
pub use signal::{Signal, UnknownSignal};

/// Whether the memory of processes can be read here.
pub(crate) const SHOWS_MEMORY: bool = cfg!(target_os = "linux");

/// At most this many descendants of one incarnation are written down.
pub(crate) const MAX_NOTED: usize = 1024;

/// The pause between two looks of a sweep that found something.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// How much longer than it may a sweep goes on that still finds something: what has forked while it was killed is as good as caught.
pub(crate) const LAST_LOOKS: Duration = Duration::from_secs(5);

/// When it is looked for whoever belongs to a life without descending from it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// So many processes can be looked at without holding up a worker of the runtime.
const FEW: usize = 64;

/// How long the last ones that a sweep killed may take to be gone.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// After this many looks, processes that come and go are taken for somebody else's where nothing better tells: some machines are never
/// quiet.
const RESTLESS_LOOKS: u32 = 20;

/// A process that cannot be mistaken for another one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// In ticks since the machine was started; 0 where the system does not tell.
    pub(crate) start_time: u64,
}

/// The marks in the environment by which regrow knows what it started.
#[derive(Debug, Clone)]
pub(crate) enum Marks {
    /// Everything of one run of regrow.
    Run { instance: String },
    /// One life of one agent.
    Life {
        instance: String,
        agent: String,
        generation: u32,
    },
}

/// What a sweep looks for. A process belongs to the quarry if any of these holds; its descendants do, too.
#[derive(Debug, Clone)]
pub(crate) struct Quarry {
    /// It bears one of these marks.
    pub(crate) marks: Vec<Marks>,
    /// It is one of these, or in the group that one of them leads.
    pub(crate) leaders: Vec<Identity>,
    /// It was seen as a descendant of a leader.
    pub(crate) noted: Vec<Identity>,
    /// It is in one of these control groups.
    pub(crate) groups: Vec<PathBuf>,
    /// What was started before this time is somebody else's.
    pub(crate) not_before: u64,
    /// Who started it.
    pub(crate) run: WhoseRun,
}

/// Whose processes a sweep looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhoseRun {
    /// They descend from us.
    Ours,
    /// They descend from a run that is dead.
    Dead,
}

/// One life, for a look at what all lives use.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    pub(crate) agent: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) leader: Identity,
    /// Who was found to belong to it before.
    pub(crate) seen: Vec<Identity>,
}

/// A process that belongs to a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) reading: Reading,
    /// What it calls itself; never its arguments, which may be secrets.
    pub(crate) name: String,
}

/// Processes whose environment was read and bears no mark of ours.
#[derive(Debug, Default)]
pub(crate) struct Strangers(HashSet<Identity>);

/// What one look shows of a quarry.
#[derive(Debug)]
struct Look {
    /// What lives, or lived until now.
    found: Vec<Identity>,
    /// How many processes ended before it was clear whose they were.
    vanished: usize,
    /// Whoever has ended and is not reaped: it tells nobody any more whose it was, and may have started somebody right before.
    ended: HashSet<Identity>,
}

impl Look {
    /// Whether everybody who may belong to the quarry was seen, given what the look before has shown: whoever had ended by then was
    /// alone, or whom it had started was there to be seen at this look.
    fn is_sure(&self, before: &HashSet<Identity>) -> bool {
        self.vanished == 0 && self.ended.is_subset(before)
    }
}

/// The processes that tokio waits for, by their pids, with the times at which they were started. Nobody else may reap them.
static OWN: Mutex<Option<HashMap<i32, u64>>> = Mutex::new(None);

fn own() -> MutexGuard<'static, Option<HashMap<i32, u64>>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spawns `command` as the leader of a group of its own.
///
/// The child is known as ours before anybody can look for strays.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Identity)> {
    let mut own = own();
    let child = command.process_group(0).kill_on_drop(true).spawn()?;
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .unwrap_or_default();
    let start_time = imp::start_time(pid).unwrap_or_default();
    own.get_or_insert_default().insert(pid, start_time);
    drop(own);
    Ok((child, Identity { pid, start_time }))
}

/// Takes the exit status of `child`, if it ended; from then on its pid may be anybody's.
pub(crate) fn reap(child: &mut Child, leader: Identity) -> io::Result<Option<ExitStatus>> {
    let mut own = own();
    let status = child.try_wait()?;
    if let (Some(_), Some(own)) = (status, own.as_mut()) {
        own.remove(&leader.pid);
    }
    Ok(status)
}

/// Whether `pid` is a child that tokio waits for.
fn is_own(pid: i32) -> bool {
    let known = own().as_ref().and_then(|own| own.get(&pid).copied());
    // One that tokio has reaped by itself is not taken out, and its pid may be a stray's by now.
    known.is_some_and(|start| start == 0 || imp::start_time(pid) == Some(start))
}

/// Whether tokio waits for all of these, as far as their numbers tell.
#[cfg(target_os = "linux")]
fn knows_all(mut pids: impl Iterator<Item = i32>) -> bool {
    let own = own();
    pids.all(|pid| own.as_ref().is_some_and(|own| own.contains_key(&pid)))
}

/// Sends `signal` to the group that `leader` leads. Only for a leader that is not reaped yet.
pub(crate) fn signal_group(leader: Identity, signal: Signal) -> io::Result<()> {
    let Some(group) = Pid::from_raw(leader.pid) else {
        return Ok(());
    };
    match rustix::process::kill_process_group(group, signal.into()) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends `signal` to `leader` alone. Only for a leader that is not reaped yet.
pub(crate) fn signal_leader(leader: Identity, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(leader.pid) else {
        return Ok(());
    };
    match rustix::process::kill_process(pid, signal.into()) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether `pid` is `leader`, or in the group that it leads. Only for a leader that is not reaped yet.
pub(crate) fn is_in_group(pid: i32, leader: Identity) -> bool {
    let group = |pid| rustix::process::getpgid(Some(pid)).ok();
    let own = || Pid::from_raw(leader.pid);
    Pid::from_raw(pid)
        .and_then(group)
        .is_some_and(|group| own() == Some(group))
}

/// Sends `signal` to each of these, and to no stranger that has the pid of one by now.
pub(crate) async fn signal_each(processes: Vec<Identity>, signal: Signal) {
    if processes.is_empty() {
        return;
    }
    let sent = blocking(move || {
        processes
            .iter()
            .for_each(|process| imp::signal_one(*process, signal));
        Ok(())
    });
    if let Err(error) = sent.await {
        tracing::warn!(%error, %signal, "failed to signal what has left its group");
    }
}

/// How `pid`, a child of ours, ended, if it did. It stays to be reaped.
fn peek_exit(pid: i32) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    let status = rustix::process::waitid(WaitId::Pid(pid), options)?;
    Ok(status.as_ref().and_then(exit_of))
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// The exit in `status`, as tokio tells it.
pub(crate) fn exit_of_status(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(status.into_raw()),
    }
}

/// Waits until `leader`, a child of ours, has ended, and leaves it to be reaped.
///
/// Until it is reaped, no stranger can get its pid, nor the group of that name.
pub(crate) async fn exited(leader: Identity) -> io::Result<Exit> {
    // Told to nobody else, and sooner than by the signal, which wakes all who wait for a child of theirs.
    if imp::ended(leader).await
        && let Some(exit) = peek_exit(leader.pid)?
    {
        return Ok(exit);
    }
    // A debugger that holds it hears of its end before we do.
    let mut children = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
    loop {
        if let Some(exit) = peek_exit(leader.pid)? {
            return Ok(exit);
        }
        if children.recv().await.is_none() {
            return Err(io::Error::other(
                "the runtime no longer tells of ended children",
            ));
        }
    }
}

/// The descendants that `leader` has now, at most 1,024.
pub(crate) async fn descendants(leader: Identity) -> Vec<Identity> {
    blocking(move || imp::descendants(leader, MAX_NOTED))
        .await
        .unwrap_or_default()
}

/// Kills everything of `quarry` until two looks in a row find nothing, or `until` has come; while it finds something, or cannot be
/// sure, up to 5 s longer.
///
/// Returns the pids of what is left, by a last look. A process that forks while it is being killed loses: its child bears the same marks.
/// One that ends while we look may have left such a child behind, so that look does not count, unless our own children show that nobody
/// is left.
pub(crate) async fn sweep(quarry: Quarry, until: Instant) -> Vec<u32> {
    let mut quiet_looks = 0;
    let mut ended = HashSet::new();
    for looks in 1_u32.. {
        let hunted = quarry.clone();
        let look = match blocking(move || imp::kill_all(&hunted)).await {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(%error, "failed to look for what an agent left behind");
                return Vec::new();
            }
        };
        let quiet = look.found.is_empty()
            && (look.is_sure(&ended) || is_clear(&quarry).await.unwrap_or(looks > RESTLESS_LOOKS));
        quiet_looks = if quiet { quiet_looks + 1 } else { 0 };
        if quiet_looks == 2 {
            break;
        }
        ended.clone_from(&look.ended);
        if !quiet && Instant::now() >= until + LAST_LOOKS {
            return what_is_left(quarry, look.found).await;
        }
        if !quiet {
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
    Vec::new()
}

/// What a sweep has left alive, once that is known.
pub(crate) type Swept = Pin<Box<dyn Future<Output = Vec<u32>> + Send>>;

/// A sweep that goes on whether or not anybody waits for it.
pub(crate) fn begin_sweep(quarry: Quarry, until: Instant) -> Swept {
    let task = tokio::spawn(sweep(quarry, until));
    Box::pin(async move { task.await.unwrap_or_default() })
}

/// The same for a life of ours whose leader is gone and reaped. Mostly it has left nobody behind, and then our own children tell so at
/// once, without a walk over all processes of the machine.
///
/// That walk is made later, when nobody waits for it: somebody may bear the marks of this life who does not descend from it, such as the
/// server of a build tool that was given its environment, or has gone where orphans do not come to us, into another namespace of pids.
pub(crate) fn sweep_life(quarry: Quarry, until: Instant) -> Swept {
    let lives = |process: &Identity| imp::lives(*process);
    let none_is_noted = || quarry.noted.len() <= FEW && !quarry.noted.iter().any(lives);
    if imp::is_alone() == Some(true) && none_is_noted() && imp::are_empty(&quarry.groups) {
        tokio::spawn(look_again(quarry));
        return Box::pin(std::future::ready(Vec::new()));
    }
    begin_sweep(quarry, until)
}

async fn look_again(mut quarry: Quarry) {
    tokio::time::sleep(LOOK_AGAIN).await;
    // By now its number, and the group of that name, may be a stranger's.
    quarry.leaders.clear();
    let left = sweep(quarry, Instant::now() + LAST_LOOKS).await;
    if !left.is_empty() {
        tracing::warn!(pids = ?left, "failed to end what a life has left behind elsewhere");
    }
}

/// Whether nobody of `quarry` can be left; `None` where that cannot be told from our own children.
async fn is_clear(quarry: &Quarry) -> Option<bool> {
    match quarry.run {
        WhoseRun::Ours => {}
        WhoseRun::Dead => return None,
    }
    let quarry = quarry.clone();
    blocking(move || Ok(imp::is_clear(&quarry)))
        .await
        .ok()
        .flatten()
}

/// Kills once more, and tells who is there all the same: those that do not die of it, or what they have started meanwhile.
async fn what_is_left(quarry: Quarry, found: Vec<Identity>) -> Vec<u32> {
    still_alive(found).await;
    let hunted = quarry.clone();
    if let Ok(look) = blocking(move || imp::kill_all(&hunted)).await {
        still_alive(look.found).await;
    }
    pids(&find(quarry).await)
}

/// Who of those that were killed just now does not die of it. A loaded machine takes its time.
async fn still_alive(mut killed: Vec<Identity>) -> Vec<u32> {
    let patience = Instant::now() + LAST_BREATH;
    loop {
        killed.retain(|process| imp::lives(*process));
        if killed.is_empty() || Instant::now() >= patience {
            return pids(&killed);
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}

/// Asks everything of `quarry` to end: SIGTERM, then SIGCONT. Returns whom it asked.
pub(crate) async fn ask_all(quarry: Quarry) -> Vec<Identity> {
    blocking(move || imp::ask_all(&quarry))
        .await
        .unwrap_or_default()
}

/// What of `quarry` lives.
pub(crate) async fn find(quarry: Quarry) -> Vec<Identity> {
    blocking(move || imp::find(&quarry))
        .await
        .unwrap_or_default()
}

/// The process with this pid, if it lives.
pub(crate) fn identify(pid: i32) -> Option<Identity> {
    imp::start_time(pid).map(|start_time| Identity { pid, start_time })
}

/// The processes of each of `crews`, with what they use: one walk over all processes, to be made where it blocks nobody.
///
/// # Errors
///
/// Where the system shows nothing of processes.
pub(crate) fn members(
    instance: &str,
    crews: &[Crew],
    strangers: &mut Strangers,
) -> io::Result<Vec<Vec<Member>>> {
    imp::members(instance, crews, strangers)
}

/// What this very process has used, if it is still there; also when it has ended and is not reaped.
pub(crate) fn reading(process: Identity) -> Option<Reading> {
    imp::reading(process)
}

/// The memory of this very process, in which a page that three share counts a third; `None` where that is not told. It costs far
/// more than the rest: the system looks at every page.
pub(crate) fn proportional_memory(process: Identity) -> Option<u64> {
    imp::proportional_memory(process)
}

/// Whether we are root, for whom some limits do not hold.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Which boot of the machine this is; empty where the system does not tell.
pub(crate) fn boot_id() -> String {
    imp::boot_id()
}

/// What works here.
pub(crate) fn abilities() -> Abilities {
    imp::abilities()
}

/// Makes this program the parent of every orphan among its descendants, and reaps those that end.
///
/// For a program that owns all its children, such as the program `regrow`: from now on each child
/// that was not spawned by this crate counts as such an orphan. So call it once, inside the runtime, before the first start.
/// It does nothing where the system has no subreapers (all but Linux).
///
/// # Errors
///
/// When the system refuses, or when called outside a tokio runtime.
pub fn become_subreaper() -> io::Result<()> {
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    imp::become_subreaper(&runtime)
}

/// Kills the orphans that this program adopted, if it is a subreaper; returns what is left.
pub(crate) async fn sweep_adopted(until: Instant) -> Vec<u32> {
    loop {
        let left = blocking(imp::kill_adopted).await.unwrap_or_default();
        if left.is_empty() || Instant::now() >= until {
            return still_alive(left).await;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}

/// The pids of `processes`.
pub(crate) fn pids(processes: &[Identity]) -> Vec<u32> {
    processes
        .iter()
        .filter_map(|process| u32::try_from(process.pid).ok())
        .collect()
}

/// Runs `work`, which reads many small files, where it blocks nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
