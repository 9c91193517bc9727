//! What a scenario says; fields that are not written have OTP's defaults, or those of the recording.

use std::time::Duration;

use serde::Deserialize;

/// A tree and what is done to it.
#[derive(Clone, Debug, Deserialize)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    pub(super) supervisor: Tree,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    OneForOne,
    RestForOne,
    OneForAll,
    SimpleOneForOne,
}

impl From<Strategy> for regrow::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => Self::OneForOne,
            Strategy::RestForOne => Self::RestForOne,
            Strategy::OneForAll => Self::OneForAll,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AutoShutdown {
    Never,
    AnySignificant,
    AllSignificant,
}

impl From<AutoShutdown> for regrow::AutoShutdown {
    fn from(auto_shutdown: AutoShutdown) -> Self {
        match auto_shutdown {
            AutoShutdown::Never => Self::Never,
            AutoShutdown::AnySignificant => Self::AnySignificant,
            AutoShutdown::AllSignificant => Self::AllSignificant,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Restart {
    Permanent,
    Transient,
    Temporary,
}

impl From<Restart> for regrow::Restart {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Permanent => Self::Permanent,
            Restart::Transient => Self::Transient,
            Restart::Temporary => Self::Temporary,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Shutdown {
    Millis(u64),
    Word(ShutdownWord),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ShutdownWord {
    Infinity,
    BrutalKill,
}

impl Shutdown {
    pub(super) fn in_words(self) -> regrow::Shutdown {
        match self {
            Self::Millis(millis) => regrow::Shutdown::Timeout(Duration::from_millis(millis)),
            Self::Word(ShutdownWord::Infinity) => regrow::Shutdown::Infinity,
            Self::Word(ShutdownWord::BrutalKill) => regrow::Shutdown::BrutalKill,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tree {
    #[serde(default = "one_for_one")]
    pub(super) strategy: Strategy,
    #[serde(default = "one")]
    pub(super) intensity: u32,
    #[serde(default = "five")]
    pub(super) period: u64,
    #[serde(default = "never")]
    pub(super) auto_shutdown: AutoShutdown,
    #[serde(default)]
    pub(super) children: Vec<Child>,
}

impl Tree {
    /// The paths of the supervisors whose children are dynamic.
    pub(super) fn dynamic_paths(&self, path: &str) -> Vec<String> {
        let mut paths = Vec::new();
        if self.strategy == Strategy::SimpleOneForOne {
            paths.push(path.to_owned());
        }
        for child in &self.children {
            if let Some(tree) = &child.supervisor {
                paths.extend(tree.dynamic_paths(&super::join(path, &child.id)));
            }
        }
        paths
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Child {
    pub(super) id: String,
    #[serde(default = "permanent")]
    pub(super) restart: Restart,
    #[serde(default = "a_second")]
    pub(super) shutdown: Shutdown,
    #[serde(default)]
    pub(super) significant: bool,
    pub(super) supervisor: Option<Tree>,
    #[serde(default = "always_ok")]
    pub(super) init: Vec<Outcome>,
    #[serde(default = "stop")]
    pub(super) on_shutdown: OnShutdown,
}

/// What a start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    Error,
    Crash,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnShutdown {
    Stop,
    Ignore,
}

/// How a worker ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Normal,
    Shutdown,
    Crash,
    Kill,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Step {
    Exit {
        child: String,
        reason: Reason,
    },
    StartChild {
        #[serde(default)]
        sup: String,
        spec: Option<Child>,
    },
    TerminateChild {
        #[serde(default)]
        sup: String,
        id: String,
    },
    RestartChild {
        #[serde(default)]
        sup: String,
        id: String,
    },
    DeleteChild {
        #[serde(default)]
        sup: String,
        id: String,
    },
    Shutdown,
}

fn one_for_one() -> Strategy {
    Strategy::OneForOne
}

fn one() -> u32 {
    1
}

fn five() -> u64 {
    5
}

fn never() -> AutoShutdown {
    AutoShutdown::Never
}

fn permanent() -> Restart {
    Restart::Permanent
}

fn a_second() -> Shutdown {
    Shutdown::Millis(1_000)
}

fn always_ok() -> Vec<Outcome> {
    vec![Outcome::Ok]
}

fn stop() -> OnShutdown {
    OnShutdown::Stop
}
