//! Breakers as the API shows them.

use serde::{Deserialize, Serialize};

use super::ProbeState;

/// The answer to `GET /v1/breakers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Breakers {
    /// All breakers, by id.
    pub(crate) breakers: Vec<Breaker>,
}

/// One breaker as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    /// The id; that of its agent, where an agent has it for itself.
    pub(crate) id: String,
    /// The path in the tree.
    pub(crate) path: String,
    /// What it does with calls: `closed`, `open`, `half_open`, `forced_open`.
    pub(crate) state: String,
    /// Since when.
    pub(crate) since: String,
    /// When it lets calls through to try, if it is open.
    pub(crate) next_trial_at: Option<String>,
    /// What it is judged by: the calls of its window, or the trials; of an open one what opened it.
    pub(crate) calls: u64,
    /// Of these, those that failed.
    pub(crate) failures: u64,
    /// Of these, those that were slow.
    pub(crate) slow: u64,
    /// How many failures there were in a row.
    pub(crate) consecutive_failures: u32,
    /// Since it was made.
    pub(crate) totals: BreakerTotals,
    /// The agents whose requests go through it.
    pub(crate) agents: Vec<String>,
    /// The agents whose starts wait for it.
    pub(crate) gates: Vec<String>,
    /// What its check has found, if it has one.
    pub(crate) check: Option<ProbeState>,
}

/// How calls through a breaker have come to their end, and how many were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BreakerTotals {
    /// Ended well.
    pub(crate) success: u64,
    /// Ended badly.
    pub(crate) failure: u64,
    /// Said nothing of what was called.
    pub(crate) ignored: u64,
    /// Were not let through.
    pub(crate) rejected: u64,
    /// Nobody waited for any more.
    pub(crate) cancelled: u64,
    /// Of all that ended, those that were let through in an earlier state.
    pub(crate) late: u64,
}

/// What the requests to an agent go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentBreaker {
    /// Its id.
    pub(crate) id: String,
    /// What it does with calls: `closed`, `open`, `half_open`, `forced_open`.
    pub(crate) state: String,
    /// When it lets calls through to try, if it is open.
    pub(crate) next_trial_at: Option<String>,
    /// Whether it keeps all requests from the agent: while it is open, and, where a check judges it, while it tries.
    #[serde(default)]
    pub(crate) refuses: bool,
}

impl AgentBreaker {
    /// That it keeps requests from the agent, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Self { id, state, .. } = self;
        self.refuses.then(|| match state.as_str() {
            "half_open" => format!("breaker {id} waits for its check"),
            state => format!("breaker {id} is {state}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_refuses_all_requests_is_a_trouble_in_every_state() {
        for (state, refuses, expected) in [
            ("closed", false, None),
            ("half_open", false, None),
            ("half_open", true, Some("breaker b waits for its check")),
            ("open", true, Some("breaker b is open")),
            ("forced_open", true, Some("breaker b is forced_open")),
        ] {
            let breaker = AgentBreaker {
                id: "b".to_owned(),
                state: state.to_owned(),
                next_trial_at: None,
                refuses,
            };
            assert_eq!(breaker.trouble().as_deref(), expected, "{state}");
        }
    }
}
