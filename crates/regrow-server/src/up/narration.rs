//! What becomes of the agents, as lines for people.

use std::time::{Duration, SystemTime};

use regrow::breaker::CircuitCause;
use regrow_core::StopCause;

use super::logging;
use crate::cli::{first_line, seconds};
use crate::config::LogFormat;
use crate::daemon::{Progress, What};
use crate::wire::rfc3339;

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Somebody who looks on.
    Terminal,
    /// Somebody who reads later, and wants to know when it was.
    Log,
}

/// Turns what happens into lines.
#[derive(Debug)]
pub(super) struct Narrator {
    audience: Audience,
    format: LogFormat,
    /// Of the longest id.
    width: usize,
    end: End,
}

/// Whether the ordered stop has begun, as far as anybody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Told,
}

impl Narrator {
    /// A narrator of agents whose ids are at most `width` long.
    pub(super) fn new(audience: Audience, format: LogFormat, width: usize) -> Self {
        Self {
            audience,
            format,
            width,
            end: End::NotYet,
        }
    }

    /// The line, or lines, for one thing that happened at `now`; none if it goes without saying.
    pub(super) fn tell(&mut self, progress: &Progress, now: SystemTime) -> Option<String> {
        match self.format {
            LogFormat::Text => {}
            // The events themselves are written.
            LogFormat::Json => return None,
        }
        let Progress { id, what, .. } = progress;
        let (phase, note) = match what {
            What::Spawned { .. } => return None,
            What::Running { pid, port, took } => ("running", running(*pid, *port, *took)),
            What::Ended { reason, last_words } => ("ended", ended(reason, last_words.as_deref())),
            What::Restarting { delay, .. } if delay.is_zero() => {
                ("restarting", "at once".to_owned())
            }
            What::Restarting { delay, .. } => ("restarting", format!("in {}", seconds(*delay))),
            What::Stopping {
                cause: StopCause::Parent,
                ..
            } => return self.the_end(now),
            What::Stopping {
                cause: StopCause::Operator,
                ..
            } => ("stopping", "as asked".to_owned()),
            What::Stopping {
                cause: StopCause::Scale,
                ..
            } => ("stopping", "fewer are needed".to_owned()),
            What::Withdrawn => ("stopping", "by its supervisor".to_owned()),
            What::Stopping { why: Some(why), .. } => ("stopping", why.clone()),
            What::Stopping { cause, why: None } => {
                ("stopping", format!("because of {}", cause.as_str()))
            }
            What::Ready => ("ready", String::new()),
            What::Unready { why } => ("not ready", why.clone()),
            What::Stopped { took, reason } => ("stopped", stopped(*took, reason)),
            What::Paused => ("paused", String::new()),
            What::Resumed => ("running", "goes on".to_owned()),
            What::Completed => ("completed", String::new()),
            What::Failed { reason, last_words } => {
                let why = first_line(reason);
                let more = last_words
                    .as_ref()
                    .map(|_| format!("; `regrow logs {id}` shows more"));
                ("failed", why + &more.unwrap_or_default())
            }
            What::Leaked { pids } => ("leaked", format!("could not be ended: {}", list(pids))),
            What::Moved { from, to } => {
                ("moved", format!("to port {to}: another program has {from}"))
            }
            What::Scaled { why } => ("scaled", why.clone()),
            What::Breaker { to, cause, wait } => (to.as_str(), breaker(*cause, *wait)),
            What::Log { error: None } => ("log", "is written again".to_owned()),
            What::Log { error: Some(error) } => (
                "log",
                format!("cannot be written, so it lacks lines: {error}"),
            ),
        };
        let width = self.width;
        Some(self.line(now, format!("{id:width$}   {phase:10} {note}").trim_end()))
    }

    /// A line of regrow's own.
    pub(super) fn line(&self, now: SystemTime, text: &str) -> String {
        match (self.format, self.audience) {
            (LogFormat::Json, _) => logging::line(now, "info", text),
            (LogFormat::Text, Audience::Terminal) => text.to_owned(),
            (LogFormat::Text, Audience::Log) => format!("{} {text}", rfc3339(now)),
        }
    }

    fn the_end(&mut self, now: SystemTime) -> Option<String> {
        match (self.end, self.audience) {
            (End::Told, _) => None,
            (End::NotYet, audience) => {
                self.end = End::Told;
                let text = match audience {
                    Audience::Terminal => "stopping all agents, in order; Ctrl-C again kills them",
                    Audience::Log => "stopping all agents, in order",
                };
                Some(self.line(now, text))
            }
        }
    }
}

/// Why a breaker has changed, and when it tries.
fn breaker(cause: CircuitCause, wait: Option<Duration>) -> String {
    let because = cause.as_str().replace('_', " ");
    match wait {
        Some(wait) => format!("{because}; tries in {}", seconds(wait)),
        None => because,
    }
}

fn running(pid: Option<u32>, port: Option<u16>, took: Duration) -> String {
    let pid = pid.map(|pid| format!("pid {pid}  "));
    let port = port.map(|port| format!("port {port}  "));
    let took = seconds(took);
    format!(
        "{}{}{took}",
        pid.unwrap_or_default(),
        port.unwrap_or_default()
    )
}

fn ended(reason: &str, last_words: Option<&str>) -> String {
    let reason = first_line(reason);
    match last_words.map(first_line) {
        Some(words) if !words.is_empty() && !reason.contains(&words) => {
            format!("{reason}; its last words: {words}")
        }
        Some(_) | None => reason,
    }
}

fn stopped(took: Option<Duration>, reason: &str) -> String {
    let reason = first_line(reason);
    match took {
        Some(took) => format!("{reason}, after {}", seconds(took)),
        None => reason,
    }
}

/// Process ids, for people.
pub(super) fn list(pids: &[u32]) -> String {
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    pids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(what: What) -> Option<String> {
        let progress = Progress {
            id: "coder".to_owned(),
            generation: 1,
            what,
        };
        Narrator::new(Audience::Terminal, LogFormat::Text, 6)
            .tell(&progress, SystemTime::UNIX_EPOCH)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_thing_that_matters_is_one_line() {
        let up = What::Running {
            pid: Some(12),
            port: Some(8001),
            took: Duration::from_millis(312),
        };
        assert_eq!(
            told(up),
            some("coder    running    pid 12  port 8001  0.3 s")
        );
        assert_eq!(told(What::Spawned { pid: 12 }), None);
        assert_eq!(told(What::Completed), some("coder    completed"));
        let restarting = What::Restarting {
            delay: Duration::from_millis(1_100),
            reason: "exit code 1".to_owned(),
        };
        assert_eq!(told(restarting), some("coder    restarting in 1.1 s"));
        let stopped = What::Stopped {
            took: Some(Duration::from_millis(100)),
            reason: "exit code 0".to_owned(),
        };
        assert_eq!(
            told(stopped),
            some("coder    stopped    exit code 0, after 0.1 s")
        );
        let leaked = What::Leaked { pids: vec![7, 8] };
        assert_eq!(
            told(leaked),
            some("coder    leaked     could not be ended: 7, 8")
        );
        let moved = What::Moved {
            from: 8001,
            to: 8003,
        };
        assert_eq!(
            told(moved),
            some("coder    moved      to port 8003: another program has 8001")
        );
        let open = What::Breaker {
            to: regrow::breaker::CircuitState::Open,
            cause: CircuitCause::ConsecutiveFailures,
            wait: Some(Duration::from_millis(5_200)),
        };
        assert_eq!(
            told(open),
            some("coder    open       consecutive failures; tries in 5.2 s")
        );
        let log = |error: Option<&str>| What::Log {
            error: error.map(str::to_owned),
        };
        assert_eq!(
            told(log(Some("disk full"))),
            some("coder    log        cannot be written, so it lacks lines: disk full")
        );
        assert_eq!(
            told(log(None)),
            some("coder    log        is written again")
        );
    }

    #[test]
    fn a_failure_is_told_with_its_last_words_and_where_to_look() {
        let ended = |last_words: Option<&str>| What::Ended {
            reason: "exit code 1".to_owned(),
            last_words: last_words.map(str::to_owned),
        };
        assert_eq!(
            told(ended(Some("no key\x1b[0m"))),
            some("coder    ended      exit code 1; its last words: no key[0m")
        );
        assert_eq!(told(ended(None)), some("coder    ended      exit code 1"));
        let failed = |last_words: Option<&str>| What::Failed {
            reason: "6 failures".to_owned(),
            last_words: last_words.map(str::to_owned),
        };
        assert_eq!(
            told(failed(Some("no key"))),
            some("coder    failed     6 failures; `regrow logs coder` shows more")
        );
        assert_eq!(told(failed(None)), some("coder    failed     6 failures"));
    }

    #[test]
    fn the_ordered_stop_is_announced_once() {
        let mut narrator = Narrator::new(Audience::Log, LogFormat::Text, 6);
        let progress = Progress {
            id: "coder".to_owned(),
            generation: 1,
            what: What::Stopping {
                cause: StopCause::Parent,
                why: None,
            },
        };
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(
            narrator.tell(&progress, now),
            some("1970-01-01T00:00:00.000Z stopping all agents, in order")
        );
        assert_eq!(narrator.tell(&progress, now), None);
    }
}
