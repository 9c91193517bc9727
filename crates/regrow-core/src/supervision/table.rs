//! What becomes of one child: each phase, each event, each restart type, each way to give up. The snapshots are the table.

use std::fmt::Write;

use super::*;
use crate::backoff::{Backoff, FirstRestart};
use crate::restart::{GiveUp, Restart};
use crate::testing::t0;

const SECOND: Duration = Duration::from_secs(1);

/// How the child came to stand where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// It waits for its turn: a sibling before it is starting.
    Pending,
    /// Its first start holds the boot.
    StartingAtBoot,
    /// Its first start, later: an operator has added it.
    StartingAdded,
    /// A later start, after a failure.
    StartingAgain,
    /// A later start, because an operator wants it.
    StartingBounced,
    Running,
    /// An operator has it held.
    Paused,
    /// It has run for as long as it may, and is being stopped.
    StoppingExpired,
    /// An operator wants it down.
    StoppingTerminated,
    /// An operator wants it down and up.
    StoppingBounced,
    /// It was asked by an operator, did not go in time, and was killed.
    StoppingKilled,
    Backoff,
    Completed,
    Stopped,
    Failed,
}

impl Stand {
    const ALL: [(Self, &'static str); 15] = [
        (Self::Pending, "pending (a sibling before it is starting)"),
        (Self::StartingAtBoot, "starting (at boot)"),
        (
            Self::StartingAdded,
            "starting (added by an operator, first life)",
        ),
        (Self::StartingAgain, "starting (again after a failure)"),
        (Self::StartingBounced, "starting (again for an operator)"),
        (Self::Running, "running"),
        (Self::Paused, "paused"),
        (
            Self::StoppingExpired,
            "stopping (it has run for as long as it may)",
        ),
        (
            Self::StoppingTerminated,
            "stopping (an operator wants it down)",
        ),
        (
            Self::StoppingBounced,
            "stopping (an operator wants it down and up)",
        ),
        (Self::StoppingKilled, "stopping (killed)"),
        (Self::Backoff, "backoff"),
        (Self::Completed, "completed"),
        (Self::Stopped, "stopped"),
        (Self::Failed, "failed"),
    ];

    /// A supervisor with one child that stands so; `None` where that child cannot.
    fn reach(
        self,
        plan: &ChildPlan,
        max_restarts: u32,
        now: Instant,
    ) -> Option<(Supervision, u32)> {
        let intensity = Some(RestartIntensity::new(max_restarts, SECOND * 5));
        let mut sup = Supervision::new(Policy {
            intensity,
            ..Policy::default()
        });
        match self {
            Self::Pending => drop(sup.add(ChildPlan::default(), now)),
            Self::StartingAdded => drop(sup.boot(now)),
            Self::StartingAtBoot
            | Self::StartingAgain
            | Self::StartingBounced
            | Self::Running
            | Self::Paused
            | Self::StoppingExpired
            | Self::StoppingTerminated
            | Self::StoppingBounced
            | Self::StoppingKilled
            | Self::Backoff
            | Self::Completed
            | Self::Stopped
            | Self::Failed => {}
        }
        let child = sup.add(plan.clone(), now);
        drop(sup.boot(now));
        match self {
            Self::Pending | Self::StartingAtBoot => {}
            Self::StartingAdded => drop(sup.restart_child(child, now)),
            Self::Failed => {
                drop(sup.on_start_failed(life(&sup, child), ExitKind::StartFailed, true, now));
            }
            Self::StartingAgain
            | Self::StartingBounced
            | Self::Running
            | Self::Paused
            | Self::StoppingExpired
            | Self::StoppingTerminated
            | Self::StoppingBounced
            | Self::StoppingKilled
            | Self::Backoff
            | Self::Completed
            | Self::Stopped => {
                drop(sup.on_started(life(&sup, child), now));
                self.reach_from_running(&mut sup, child, now);
            }
        }
        (sup.phase(child) == Some(self.phase())).then_some((sup, child))
    }

    fn reach_from_running(self, sup: &mut Supervision, child: u32, now: Instant) {
        match self {
            Self::Running => {}
            Self::Paused => drop(sup.pause_child(child, now)),
            Self::StoppingExpired => {
                drop(sup.on_condemned(life(sup, child), StopCause::MaxRuntime, now));
            }
            Self::StartingAgain => {
                drop(sup.on_exit(life(sup, child), ExitKind::Error, now));
                drop(sup.on_wakeup(self.since(now)));
            }
            Self::StartingBounced => {
                drop(sup.bounce_child(child, now));
                drop(sup.on_exit(life(sup, child), ExitKind::Shutdown, now));
            }
            Self::StoppingTerminated => drop(sup.terminate_child(child, now)),
            Self::StoppingBounced => drop(sup.bounce_child(child, now)),
            Self::StoppingKilled => {
                drop(sup.terminate_child(child, now));
                drop(sup.on_wakeup(self.since(now)));
            }
            Self::Backoff => drop(sup.on_exit(life(sup, child), ExitKind::Error, now)),
            Self::Completed => drop(sup.on_exit(life(sup, child), ExitKind::Normal, now)),
            Self::Stopped => {
                drop(sup.terminate_child(child, now));
                drop(sup.on_exit(life(sup, child), ExitKind::Shutdown, now));
            }
            Self::Pending | Self::StartingAtBoot | Self::StartingAdded | Self::Failed => {
                unreachable!("it has not run")
            }
        }
    }

    /// When it came to stand so.
    fn since(self, now: Instant) -> Instant {
        match self {
            // Its delay.
            Self::StartingAgain => now + SECOND,
            // The timeout of its shutdown.
            Self::StoppingKilled => now + SECOND * 5,
            Self::Pending
            | Self::StartingAtBoot
            | Self::StartingAdded
            | Self::StartingBounced
            | Self::Running
            | Self::Paused
            | Self::StoppingExpired
            | Self::StoppingTerminated
            | Self::StoppingBounced
            | Self::Backoff
            | Self::Completed
            | Self::Stopped
            | Self::Failed => now,
        }
    }

    /// How many restarts were counted on the way there.
    fn restarts(self) -> u32 {
        u32::from(matches!(self, Self::StartingAgain | Self::Backoff))
    }

    const fn phase(self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::StartingAtBoot
            | Self::StartingAdded
            | Self::StartingAgain
            | Self::StartingBounced => Phase::Starting,
            Self::Running => Phase::Running,
            Self::Paused => Phase::Paused,
            Self::StoppingExpired
            | Self::StoppingTerminated
            | Self::StoppingBounced
            | Self::StoppingKilled => Phase::Stopping,
            Self::Backoff => Phase::Backoff,
            Self::Completed => Phase::Completed,
            Self::Stopped => Phase::Stopped,
            Self::Failed => Phase::Failed,
        }
    }
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Started,
    StartFailed,
    StartFailedForGood,
    Ignored,
    ExitNormal,
    ExitError,
    /// The same, where the window allows no restart.
    ExitErrorTooOften,
    Wakeup,
    Terminate,
    Restart,
    Bounce,
    Delete,
    Pause,
    Resume,
    /// It has run for as long as it may.
    Expired,
    /// It uses too much memory.
    TooLarge,
    /// It may be given no work for the time being.
    Unready,
    ShutDown,
    Hurry,
}

impl Event {
    const ALL: [(Self, &'static str); 19] = [
        (Self::Started, "started"),
        (Self::StartFailed, "start failed"),
        (Self::StartFailedForGood, "start failed for good"),
        (Self::Ignored, "start ignored"),
        (Self::ExitNormal, "exit normal"),
        (Self::ExitError, "exit error"),
        (Self::ExitErrorTooOften, "exit error, too often"),
        (Self::Wakeup, "wakeup"),
        (Self::Terminate, "terminate"),
        (Self::Restart, "restart"),
        (Self::Bounce, "bounce"),
        (Self::Delete, "delete"),
        (Self::Pause, "pause"),
        (Self::Resume, "resume"),
        (Self::Expired, "max runtime"),
        (Self::TooLarge, "memory"),
        (Self::Unready, "unready"),
        (Self::ShutDown, "shut down"),
        (Self::Hurry, "hurry"),
    ];

    fn happen(
        self,
        sup: &mut Supervision,
        child: u32,
        now: Instant,
    ) -> Result<Vec<Directive>, Refused> {
        let who = life(sup, child);
        Ok(match self {
            Self::Started => sup.on_started(who, now),
            Self::StartFailed => sup.on_start_failed(who, ExitKind::StartFailed, false, now),
            Self::StartFailedForGood => sup.on_start_failed(who, ExitKind::StartFailed, true, now),
            Self::Ignored => sup.on_ignored(who, now),
            Self::ExitNormal => sup.on_exit(who, ExitKind::Normal, now),
            Self::ExitError | Self::ExitErrorTooOften => sup.on_exit(who, ExitKind::Error, now),
            Self::Wakeup => {
                sup.on_start_pending(who, now);
                let at = sup.next_wakeup().unwrap_or(now);
                sup.on_wakeup(at)
            }
            Self::Terminate => sup.terminate_child(child, now)?,
            Self::Restart => sup.restart_child(child, now)?,
            Self::Bounce => sup.bounce_child(child, now)?,
            Self::Delete => sup.delete_child(child)?,
            Self::Pause => sup.pause_child(child, now)?,
            Self::Resume => sup.resume_child(child, now)?,
            Self::Expired => sup.on_condemned(who, StopCause::MaxRuntime, now),
            Self::TooLarge => sup.on_condemned(who, StopCause::Memory, now),
            Self::Unready => {
                sup.on_unready(who);
                Vec::new()
            }
            Self::ShutDown => sup.shut_down(now),
            Self::Hurry => sup.hurry(now),
        })
    }
}

/// The present or last life of a child; these children are the first in their slots.
fn life(sup: &Supervision, child: u32) -> Who {
    Who {
        slot: child,
        life: sup.generation(child),
    }
}

fn plan(restart: Restart, give_up: GiveUp, once: bool, allowed: u32) -> ChildPlan {
    let backoff = Backoff::exponential(SECOND..=SECOND).first(FirstRestart::Delayed);
    // The limit that parks is the child's own.
    let limit = (give_up == GiveUp::Park).then(|| RestartIntensity::new(allowed, SECOND * 5));
    ChildPlan {
        restart,
        once,
        give_up,
        backoff,
        limit,
        ..ChildPlan::default()
    }
}

fn cell(
    stand: Stand,
    event: Event,
    restart: Restart,
    (give_up, once): (GiveUp, bool),
) -> Option<String> {
    let now = t0();
    let too_often = event == Event::ExitErrorTooOften;
    let allowed = if too_often { stand.restarts() } else { 3 };
    let plan = plan(restart, give_up, once, allowed);
    let (mut sup, child) = stand.reach(&plan, allowed, now)?;
    let told = match event.happen(&mut sup, child, stand.since(now)) {
        Ok(directives) => {
            let words: Vec<String> = directives
                .iter()
                .map(|directive| describe(*directive, child))
                .collect();
            if words.is_empty() {
                "-".to_owned()
            } else {
                words.join(", ")
            }
        }
        Err(refused) => format!("refused: {refused:?}"),
    };
    let after = sup.phase(child).map_or("removed", Phase::as_str);
    Some(format!("{after:<10} {told}"))
}

fn describe(directive: Directive, child: u32) -> String {
    let of = |slot: u32| if slot == child { "" } else { "sibling: " };
    match directive {
        Directive::Start(who) => format!("{}start", of(who.slot)),
        Directive::Stop(who, cause) => format!("{}stop({cause})", of(who.slot)),
        Directive::Kill(who, cause) => format!("{}kill({cause})", of(who.slot)),
        Directive::StartTimeout(who) => format!("{}start_timeout", of(who.slot)),
        Directive::Pause(who) => format!("{}pause", of(who.slot)),
        Directive::Resume(who) => format!("{}resume", of(who.slot)),
        Directive::Abandon(who) => format!("{}abandon", of(who.slot)),
        Directive::Abort(who) => format!("{}abort", of(who.slot)),
        Directive::Backoff(scheduled) => {
            format!("{}backoff({:?})", of(scheduled.slot), scheduled.delay)
        }
        Directive::Rest { slot, phase } => format!("{}rest({phase})", of(slot)),
        Directive::Park {
            slot,
            why: Parked::Intensity { .. },
        } => format!("{}park(intensity)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::CannotStart,
        } => format!("{}park(cannot_start)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::NotRetried,
        } => format!("{}park(not_retried)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::Unresponsive,
        } => format!("{}park(unresponsive)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::Dependency { .. },
        } => format!("{}park(dependency)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::ExitRule,
        } => format!("{}park(exit_rule)", of(slot)),
        Directive::Park {
            slot,
            why: Parked::Condemned(cause),
        } => format!("{}park({cause})", of(slot)),
        Directive::Remove(slot) => format!("{}remove", of(slot)),
        Directive::BackoffReset { slot, .. } => format!("{}backoff_reset", of(slot)),
        Directive::Meltdown { slot, .. } => format!("{}meltdown", of(slot)),
        Directive::Booted => "booted".to_owned(),
        Directive::Close(Closed::ShutDown) => "close(shut_down)".to_owned(),
        Directive::Close(Closed::Intensity { .. }) => "close(intensity)".to_owned(),
        Directive::Close(Closed::StartFailed { .. }) => "close(start_failed)".to_owned(),
        Directive::Close(Closed::AutoShutdown) => "close(auto_shutdown)".to_owned(),
    }
}

/// The whole table for one way to give up. Restart types that fare alike share a line; those that cannot stand so are left out.
fn table(give_up: GiveUp, once: bool) -> String {
    let mut text = String::new();
    for (stand, heading) in Stand::ALL {
        let mut lines = String::new();
        for (event, name) in Event::ALL {
            let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
            for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
                let Some(cell) = cell(stand, event, restart, (give_up, once)) else {
                    continue;
                };
                match rows.iter_mut().find(|(_, have)| *have == cell) {
                    Some((types, _)) => types.push(restart.as_str()),
                    None => rows.push((vec![restart.as_str()], cell)),
                }
            }
            let alone = rows.len() == 1;
            for (n, (types, cell)) in rows.into_iter().enumerate() {
                let name = if n == 0 { name } else { "" };
                let types = if alone {
                    "*".to_owned()
                } else {
                    types.join(" ")
                };
                writeln!(lines, "  {name:<22}{types:<21} {cell}").unwrap();
            }
        }
        if !lines.is_empty() {
            writeln!(text, "{heading}\n{lines}").unwrap();
        }
    }
    text
}

#[test]
fn a_child_that_escalates_moves_as_the_table_says() {
    insta::assert_snapshot!(table(GiveUp::Escalate, false));
}

#[test]
fn a_child_that_is_parked_moves_as_the_table_says() {
    insta::assert_snapshot!(table(GiveUp::Park, false));
}

#[test]
fn a_child_that_is_to_run_once_moves_as_the_table_says() {
    insta::assert_snapshot!("once_escalates", table(GiveUp::Escalate, true));
    insta::assert_snapshot!("once_parks", table(GiveUp::Park, true));
}
