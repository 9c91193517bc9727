//! What becomes of a request, by what its agent is doing: the table, without a socket in sight.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use regrow::breaker::CircuitState;
use regrow_core::{Desired, Phase};

use crate::wire::Problem;

/// How long a request waits for its agent to come.
pub(super) const HOLD: Duration = Duration::from_secs(5);
/// How long after its spawn a running agent may still refuse connections.
const JUST_RUNNING: Duration = Duration::from_secs(5);
/// How often an agent that has been up for long is dialled again.
const RETRIES: u32 = 2;
/// The longest time that a client is told to wait.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// That a breaker refuses, and in which state it is.
const BREAKER: HeaderName = HeaderName::from_static("x-regrow-breaker");

/// What the gateway needs to know of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The phase it is in.
    pub(crate) phase: Phase,
    /// What is wanted of it.
    pub(crate) desired: Desired,
    /// Where it was told to listen.
    pub(crate) at: Option<At>,
    /// Whether a process of it lives, and nobody has begun to end it.
    pub(crate) alive: bool,
    /// How long that process has lived.
    pub(crate) up_for: Option<Duration>,
    /// How long until the next start.
    pub(crate) starts_in: Option<Duration>,
    /// Why it is parked.
    pub(crate) message: Option<String>,
    /// Why it may be given no work although it lives.
    pub(crate) unready: Option<Unready>,
}

/// Why an agent that lives may be given no work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unready {
    /// Its probes have not said yet that it may.
    NotYet,
    /// Its probes say that it may not.
    Failed {
        /// Which, and what that has found.
        why: String,
        /// How often it is asked.
        period: Duration,
    },
}

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// On this port of 127.0.0.1.
    Port(u16),
    /// On this Unix socket.
    Socket(Arc<Path>),
}

impl At {
    /// How an agent is told to listen there.
    fn how(&self) -> &'static str {
        match self {
            Self::Port(_) => "127.0.0.1:$PORT",
            Self::Socket(_) => "the Unix socket $REGROW_SOCKET",
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Socket(path) => write!(f, "socket {}", path.display()),
        }
    }
}

/// What to do with a request now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Connect to it there.
    Dial(At),
    /// Ask again in a moment.
    Hold,
    /// Ask again a little later: it may just have died, and nobody has heard of it yet.
    Retry,
    /// Refuse.
    Refuse(Refusal),
}

/// A refusal, and when to ask again, if that is of use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: Box<Problem>,
    pub(super) retry_after: Option<u64>,
    /// The state of the breaker, if that is what refuses.
    pub(super) breaker: Option<CircuitState>,
    /// Whether the agent should have been there: it has been up for long, and takes no connection.
    pub(super) is_agents_fault: bool,
}

impl Refusal {
    /// A refusal that says nothing of when to ask again.
    pub(super) fn new(problem: Box<Problem>) -> Self {
        Self {
            problem,
            retry_after: None,
            breaker: None,
            is_agents_fault: false,
        }
    }

    /// The same, and to ask again after so many seconds.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same, where the agent is to blame.
    fn of_the_agent(mut self) -> Self {
        self.is_agents_fault = true;
        self
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = match self.retry_after {
            Some(seconds) => self.problem.with_retry_after(seconds),
            None => self.problem.into_response(),
        };
        if let Some(state) = self.breaker {
            let state = HeaderValue::from_static(state.as_str());
            response.headers_mut().insert(BREAKER, state);
        }
        response
    }
}

/// What to do with a request that has been held for `held`.
pub(super) fn verdict(id: &str, standing: &Standing, held: Duration) -> Verdict {
    let Some(at) = &standing.at else {
        return no_port(id);
    };
    match standing.phase {
        Phase::Running | Phase::Starting if standing.alive => match &standing.unready {
            None => Verdict::Dial(at.clone()),
            Some(Unready::NotYet) => hold(id, standing, held),
            // It may not have come up yet: that is no refusal of its own.
            Some(Unready::Failed { .. }) if is_young(standing) && held < HOLD => Verdict::Hold,
            Some(Unready::Failed { why, period }) => unready(id, why, *period),
        },
        // It runs no more, and the tree is about to hear of it; or it is not there yet.
        Phase::Running | Phase::Starting | Phase::Pending | Phase::Backoff => {
            hold(id, standing, held)
        }
        Phase::Draining | Phase::Stopping => match standing.desired {
            // It is being restarted.
            Desired::Up | Desired::Once => hold(id, standing, held),
            Desired::Down => gone(id, standing),
        },
        Phase::Paused | Phase::Completed | Phase::Stopped | Phase::Failed => gone(id, standing),
    }
}

/// Whether it may not listen yet.
fn is_young(standing: &Standing) -> bool {
    match standing.phase {
        Phase::Starting => true,
        Phase::Running => standing.up_for.is_none_or(|up| up < JUST_RUNNING),
        Phase::Pending
        | Phase::Paused
        | Phase::Draining
        | Phase::Stopping
        | Phase::Backoff
        | Phase::Completed
        | Phase::Stopped
        | Phase::Failed => false,
    }
}

/// What to do when the agent refused the connection for the `tries`-th time.
pub(super) fn refused(id: &str, standing: &Standing, held: Duration, tries: u32) -> Verdict {
    let is_young = is_young(standing);
    let Some(at) = &standing.at else {
        return no_port(id);
    };
    if is_young && held < HOLD {
        Verdict::Hold
    } else if is_young {
        Verdict::Refuse(
            Refusal::new(
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "agent_starting",
                    format!("agent {id:?} does not listen on its {at} yet"),
                )
                .hint(format!("see what it says: regrow logs {id}")),
            )
            .retry_after(1),
        )
    } else if tries <= RETRIES && held < HOLD {
        Verdict::Retry
    } else {
        Verdict::Refuse(
            Refusal::new(
                Problem::new(
                    StatusCode::BAD_GATEWAY,
                    "agent_unreachable",
                    format!("agent {id:?} runs but refuses connections to its {at}"),
                )
                .hint(format!(
                    "make it listen on {}, or see what it says: regrow logs {id}",
                    at.how()
                )),
            )
            .of_the_agent(),
        )
    }
}

/// The refusal of a request that finds as many others waiting as may wait.
pub(super) fn crowded(id: &str, standing: &Standing, waiting: usize) -> Refusal {
    Refusal::new(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_waiting",
        format!(
            "agent {id:?} is {} and {waiting} requests wait for it already",
            standing.phase.as_str()
        ),
    ))
    .retry_after(retry_after(standing.starts_in))
}

/// The refusal of a request for an agent that does not exist.
pub(super) fn unknown(id: &str) -> Box<Problem> {
    Problem::new(
        StatusCode::NOT_FOUND,
        "agent_not_found",
        format!("there is no agent {id:?}"),
    )
    .hint("see which there are: regrow ps")
}

fn hold(id: &str, standing: &Standing, held: Duration) -> Verdict {
    // Whoever would wait in vain is told at once.
    let left = HOLD.saturating_sub(held);
    if !left.is_zero() && standing.starts_in.is_none_or(|wait| wait <= left) {
        return Verdict::Hold;
    }
    let detail = match standing.starts_in {
        Some(wait) => format!(
            "agent {id:?} is in {} and starts again in {} s",
            standing.phase.as_str(),
            ceil_seconds(wait)
        ),
        None => format!("agent {id:?} is {}", standing.phase.as_str()),
    };
    Verdict::Refuse(
        Refusal::new(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "agent_not_ready", detail)
                .hint(format!("see why: regrow logs {id}")),
        )
        .retry_after(retry_after(standing.starts_in)),
    )
}

/// It may take long until it is well again, and others may do the work meanwhile.
fn unready(id: &str, why: &str, period: Duration) -> Verdict {
    Verdict::Refuse(
        Refusal::new(
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "agent_not_ready",
                format!("agent {id:?} is not ready: {why}"),
            )
            .hint(format!("see what it says: regrow logs {id}")),
        )
        .retry_after(retry_after(Some(period))),
    )
}

fn gone(id: &str, standing: &Standing) -> Verdict {
    let because = standing
        .message
        .as_deref()
        .map_or(String::new(), |message| format!(": {message}"));
    let phase = standing.phase.as_str();
    let verb = if standing.phase == Phase::Paused {
        "resume"
    } else {
        "start"
    };
    Verdict::Refuse(Refusal::new(
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("agent_{phase}"),
            format!("agent {id:?} is {phase}{because}"),
        )
        .hint(format!("{verb} it: regrow {verb} {id}")),
    ))
}

fn no_port(id: &str) -> Verdict {
    Verdict::Refuse(Refusal::new(
        Problem::new(
            StatusCode::NOT_FOUND,
            "agent_has_no_port",
            format!("agent {id:?} has no port"),
        )
        .hint(format!("give it one: agents.{id}.port: auto")),
    ))
}

pub(super) fn retry_after(starts_in: Option<Duration>) -> u64 {
    ceil_seconds(starts_in.unwrap_or_default().min(MAX_RETRY_AFTER)).max(1)
}

pub(super) fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(phase: Phase) -> Standing {
        Standing {
            phase,
            desired: Desired::Up,
            at: Some(At::Port(8001)),
            alive: true,
            up_for: Some(Duration::from_secs(60)),
            starts_in: None,
            message: None,
            unready: None,
        }
    }

    #[test]
    fn one_that_is_not_ready_is_waited_for_until_its_probes_have_spoken() {
        let not_yet = Standing {
            unready: Some(Unready::NotYet),
            ..standing(Phase::Running)
        };
        let first = verdict("a", &not_yet, Duration::ZERO);
        let last = verdict("a", &not_yet, HOLD);
        assert_eq!(
            (&*words(&first), &*words(&last)),
            ("hold", "503 agent_not_ready 1")
        );
        for (period, expected) in [
            (1_000, "503 agent_not_ready 1"),
            (9_500, "503 agent_not_ready 10"),
            (300_000, "503 agent_not_ready 30"),
        ] {
            let failed = Standing {
                unready: Some(Unready::Failed {
                    why: "its readiness probe failed: x".to_owned(),
                    period: Duration::from_millis(period),
                }),
                ..standing(Phase::Running)
            };
            let refused = verdict("a", &failed, Duration::ZERO);
            assert_eq!(words(&refused), expected);
            let Verdict::Refuse(refusal) = refused else {
                panic!("not refused")
            };
            let detail = "agent \"a\" is not ready: its readiness probe failed: x";
            assert_eq!(refusal.problem.detail, detail);
            let young = Standing {
                up_for: Some(Duration::from_secs(1)),
                ..failed.clone()
            };
            assert_eq!(words(&verdict("a", &young, Duration::ZERO)), "hold");
            assert_eq!(words(&verdict("a", &young, HOLD)), expected);
            // One that is on its way to its end is none of theirs.
            let stopping = Standing {
                phase: Phase::Stopping,
                ..failed
            };
            assert_eq!(words(&verdict("a", &stopping, Duration::ZERO)), "hold");
        }
    }

    /// The verdict in a few words: `dial`, `hold`, or the code with its Retry-After.
    fn words(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Dial(at) => format!("dial {at}"),
            Verdict::Hold => "hold".to_owned(),
            Verdict::Retry => "retry".to_owned(),
            Verdict::Refuse(refusal) => format!(
                "{} {} {}",
                refusal.problem.status,
                refusal.problem.code,
                refusal
                    .retry_after
                    .map_or("-".to_owned(), |after| after.to_string())
            ),
        }
    }

    #[test]
    fn each_phase_has_its_answer() {
        for (phase, at_first, at_last) in [
            (Phase::Pending, "hold", "503 agent_not_ready 1"),
            (Phase::Starting, "dial port 8001", "dial port 8001"),
            (Phase::Running, "dial port 8001", "dial port 8001"),
            (Phase::Paused, "503 agent_paused -", "503 agent_paused -"),
            (Phase::Draining, "hold", "503 agent_not_ready 1"),
            (Phase::Stopping, "hold", "503 agent_not_ready 1"),
            (Phase::Backoff, "hold", "503 agent_not_ready 1"),
            (
                Phase::Completed,
                "503 agent_completed -",
                "503 agent_completed -",
            ),
            (Phase::Stopped, "503 agent_stopped -", "503 agent_stopped -"),
            (Phase::Failed, "503 agent_failed -", "503 agent_failed -"),
        ] {
            let now = standing(phase);
            assert_eq!(
                words(&verdict("a", &now, Duration::ZERO)),
                at_first,
                "{phase:?}"
            );
            assert_eq!(words(&verdict("a", &now, HOLD)), at_last, "{phase:?}");
        }
    }

    #[test]
    fn an_agent_is_dialled_from_its_spawn_until_its_exit() {
        for phase in [Phase::Starting, Phase::Running] {
            let unborn_or_dead = Standing {
                alive: false,
                ..standing(phase)
            };
            assert_eq!(verdict("a", &unborn_or_dead, Duration::ZERO), Verdict::Hold);
        }
    }

    #[test]
    fn one_that_is_being_stopped_for_good_is_not_waited_for() {
        let stopping = Standing {
            desired: Desired::Down,
            ..standing(Phase::Stopping)
        };
        assert_eq!(
            words(&verdict("a", &stopping, Duration::ZERO)),
            "503 agent_stopping -"
        );
    }

    #[test]
    fn a_longer_backoff_than_the_hold_is_told_at_once_with_the_time_that_is_left() {
        let held = Duration::from_secs(3);
        for (left, expected) in [
            (Duration::from_millis(1999), "hold"),
            (Duration::from_millis(2001), "503 agent_not_ready 3"),
            (Duration::from_millis(12_300), "503 agent_not_ready 13"),
            (Duration::from_secs(300), "503 agent_not_ready 30"),
        ] {
            let now = Standing {
                starts_in: Some(left),
                alive: false,
                ..standing(Phase::Backoff)
            };
            assert_eq!(words(&verdict("a", &now, held)), expected, "{left:?}");
        }
    }

    #[test]
    fn an_agent_without_a_port_is_never_waited_for() {
        let now = Standing {
            at: None,
            ..standing(Phase::Backoff)
        };
        assert_eq!(
            words(&verdict("a", &now, Duration::ZERO)),
            "404 agent_has_no_port -"
        );
    }

    #[test]
    fn a_failed_agent_says_why() {
        let now = Standing {
            message: Some("exit 1, 5 times in 60 s".into()),
            ..standing(Phase::Failed)
        };
        let Verdict::Refuse(refusal) = verdict("a", &now, Duration::ZERO) else {
            panic!("not refused")
        };
        assert_eq!(
            refusal.problem.detail,
            "agent \"a\" is failed: exit 1, 5 times in 60 s"
        );
    }

    #[test]
    fn a_refused_connection_is_tried_again_for_long_by_the_young_and_twice_by_the_old() {
        let young = Standing {
            up_for: Some(Duration::from_secs(1)),
            ..standing(Phase::Running)
        };
        let old = standing(Phase::Running);
        let at = Duration::from_secs(1);
        assert_eq!(words(&refused("a", &young, at, 50)), "hold");
        assert_eq!(
            words(&refused("a", &standing(Phase::Starting), at, 50)),
            "hold"
        );
        assert_eq!(
            words(&refused("a", &young, HOLD, 50)),
            "503 agent_starting 1"
        );
        assert_eq!(words(&refused("a", &old, at, 1)), "retry");
        assert_eq!(words(&refused("a", &old, at, 2)), "retry");
        assert_eq!(words(&refused("a", &old, at, 3)), "502 agent_unreachable -");
    }
}
