//! Operators who do what comes into their heads.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use regrow_core::SplitMix64;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::team::{command, pick};

/// No answer to a call that waits for nothing takes longer.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The longest time from one call to the next, in milliseconds.
const PAUSE: u64 = 120;

/// So many followers at most hold on to an operator's hand.
const FOLLOWERS: usize = 6;

/// What an operator does, and how often of a hundred times.
const DEEDS: [(Deed, u64); 14] = [
    (Deed::Verb("start"), 20),
    (Deed::Verb("restart"), 14),
    (Deed::Verb("stop"), 12),
    (Deed::Verb("pause"), 5),
    (Deed::Verb("resume"), 5),
    (Deed::Signal, 5),
    (Deed::Send, 6),
    (Deed::Invoke, 5),
    (Deed::Spawn, 4),
    (Deed::Follow, 6),
    (Deed::Tail, 6),
    (Deed::Status, 7),
    (Deed::Health, 3),
    (Deed::CommandLine, 2),
];

#[derive(Debug, Clone, Copy)]
enum Deed {
    Verb(&'static str),
    Signal,
    Send,
    Invoke,
    Spawn,
    Follow,
    Tail,
    Status,
    Health,
    CommandLine,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// What should not have come back.
    pub(crate) wrong: Vec<String>,
    /// How often each call was answered how.
    pub(crate) answers: BTreeMap<(String, String), usize>,
    /// How long the status took, each time.
    pub(crate) times: Vec<Duration>,
}

/// One operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) client: Client,
    pub(crate) number: u64,
    pub(crate) seed: u64,
    /// Of the file's agents; the others are there when somebody has spawned them.
    pub(crate) agents: u64,
    /// How many it may spawn.
    pub(crate) spawns: u64,
    pub(crate) folder: PathBuf,
}

impl Operator {
    /// Works until the time has come.
    pub(crate) fn work(self, until: Instant) -> Deeds {
        let mut shift = Shift {
            dice: SplitMix64::new(self.seed ^ (self.number + 1).wrapping_mul(0x51_7C_C1)),
            operator: self,
            spawned: 0,
            followers: Vec::new(),
            deeds: Deeds::default(),
        };
        while Instant::now() < until {
            shift.turn();
            thread::sleep(Duration::from_millis(shift.dice.below(PAUSE)));
        }
        shift.deeds
    }
}

struct Shift {
    operator: Operator,
    dice: SplitMix64,
    spawned: u64,
    /// Those who follow logs: some read now and then, some never.
    followers: Vec<TcpStream>,
    deeds: Deeds,
}

impl Shift {
    fn turn(&mut self) {
        let mut left = self.dice.below(DEEDS.iter().map(|(_, share)| share).sum());
        let mut deed = Deed::Status;
        for (next, share) in DEEDS {
            deed = next;
            if left < share {
                break;
            }
            left -= share;
        }
        let id = self.any_agent();
        match deed {
            Deed::Verb(verb) => {
                let wait = pick(&mut self.dice, &["", "", "", "?wait=100ms"]);
                let target = match verb {
                    "pause" | "resume" => format!("/v1/agents/{id}/{verb}"),
                    _ => format!("/v1/agents/{id}/{verb}{wait}"),
                };
                self.call(verb, "POST", &target, "");
            }
            Deed::Signal => {
                let signal = pick(
                    &mut self.dice,
                    &["HUP", "USR1", "USR2", "WINCH", "KILL", "STOP"],
                );
                let body = json!({ "signal": signal }).to_string();
                self.call("signal", "POST", &format!("/v1/agents/{id}/signal"), &body);
            }
            Deed::Send => {
                let size = usize::try_from(1 + self.dice.below(20_000)).unwrap_or(1);
                let target = format!("/v1/agents/{id}/send?timeout=100ms");
                self.call("send", "POST", &target, &"x\n".repeat(size));
            }
            Deed::Invoke => {
                let body = r#"{"text":"hello"}"#;
                self.invoke(&format!("/agents/{id}/invoke"), body);
            }
            Deed::Spawn => self.spawn(),
            Deed::Follow => self.follow(&id),
            Deed::Tail => {
                let target = format!("/v1/agents/{id}/logs?tail={}", self.dice.below(2_000));
                self.call("logs", "GET", &target, "");
            }
            Deed::Status => self.status(),
            Deed::Health => {
                let target = pick(
                    &mut self.dice,
                    &["/health", "/metrics", "/supervisor/health", "/readyz"],
                );
                self.call("health", "GET", target, "");
            }
            Deed::CommandLine => self.command_line(&id),
        }
    }

    fn any_agent(&mut self) -> String {
        match self.dice.below(8) {
            0 => {
                let of = self.dice.below(4);
                format!("s{of}-{}", self.dice.below(self.spawned.max(1)))
            }
            _ => format!("a{}", self.dice.below(self.operator.agents)),
        }
    }

    /// Calls, and looks whether that is an answer.
    fn call(&mut self, name: &str, method: &str, target: &str, body: &str) {
        match self.operator.client.ask(method, target, body) {
            Ok(answer) => {
                if !is_answer(&answer) || answer.took > AT_ONCE {
                    let Answer { status, body, took } = &answer;
                    let begin: String = body.chars().take(300).collect();
                    self.wrong(format!(
                        "{method} {target}: {status} after {took:?}: {begin}"
                    ));
                }
                self.count(name, told(&answer));
            }
            Err(error) => self.wrong(format!("{method} {target}: {error}")),
        }
    }

    /// An agent may hang, or end in the middle of its answer: nothing is wrong then with regrow. It is given a second.
    fn invoke(&mut self, target: &str, body: &str) {
        let answer = self.operator.client.send("POST", target, body);
        let answer = answer.and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(String::from_utf8_lossy(&head)
                .split(' ')
                .nth(1)
                .and_then(|word| word.parse().ok()))
        });
        self.count("invoke", answer.ok().flatten().unwrap_or(0_u16));
    }

    fn spawn(&mut self) {
        if self.spawned >= self.operator.spawns {
            return;
        }
        let id = format!("s{}-{}", self.operator.number, self.spawned);
        self.spawned += 1;
        let args = command(&mut self.dice);
        let body = json!({ "agent_id": id, "command": env!("CARGO_BIN_EXE_regrow"), "args": args });
        self.call("spawn", "POST", "/supervisor/spawn", &body.to_string());
    }

    /// Another follower; and one of those who are there reads a little, or goes.
    fn follow(&mut self, id: &str) {
        let target = pick(&mut self.dice, &["/v1/logs?follow=true", ""]);
        let target = match target {
            "" => format!("/v1/agents/{id}/logs?follow=true"),
            all => all.to_owned(),
        };
        match self.operator.client.send("GET", &target, "") {
            Ok(stream) => self.followers.push(stream),
            Err(error) => self.wrong(format!("GET {target}: {error}")),
        }
        self.count("follow", "sent");
        let any =
            usize::try_from(self.dice.below(64)).unwrap_or_default() % self.followers.len().max(1);
        if self.followers.len() > FOLLOWERS {
            drop(self.followers.swap_remove(any));
        } else if let Some(stream) = self.followers.get_mut(any)
            && self.dice.below(2) == 0
            && stream.set_nonblocking(true).is_ok()
        {
            let mut some = [0; 64 * 1024];
            // Whether there is something to read is its own affair.
            let _read = stream.read(&mut some);
        }
    }

    fn status(&mut self) {
        match self.operator.client.ask("GET", "/supervisor/status", "") {
            Ok(answer) => {
                self.deeds.times.push(answer.took);
                self.count("status", answer.status);
            }
            Err(error) => self.wrong(format!("GET /supervisor/status: {error}")),
        }
    }

    /// The same by the command line, which says 0 or why not.
    fn command_line(&mut self, id: &str) {
        let words = pick(&mut self.dice, &["ps", "stop", "start", "restart", "logs"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
        command.arg(words).current_dir(&self.operator.folder);
        match words {
            "ps" => &mut command,
            "logs" => command.arg(id),
            _ => command.args([id, "--timeout", "200ms"]),
        };
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the command runs");
        let code = output
            .status
            .code()
            .and_then(|code| u16::try_from(code).ok());
        // Done, failed, not found, in conflict, or not in time.
        if !matches!(code, Some(0 | 1 | 4 | 5 | 6)) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            self.wrong(format!("regrow {words} {id}: {code:?}: {said}"));
        }
        self.count("command line", code.unwrap_or(u16::MAX));
    }

    fn count(&mut self, name: &str, answer: impl ToString) {
        let count = self
            .deeds
            .answers
            .entry((name.to_owned(), answer.to_string()));
        *count.or_default() += 1;
    }

    fn wrong(&mut self, what: String) {
        // One is enough to see what it is, and a thousand are no more.
        if self.deeds.wrong.len() < 50 {
            self.deeds.wrong.push(what);
        }
    }
}

/// The status, and of a refusal its code.
fn told(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match body["code"].as_str() {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

/// Whether an answer is one that an operator has to expect: done, under way, or refused with a reason.
fn is_answer(answer: &Answer) -> bool {
    let expected = [400, 404, 405, 409, 412, 413, 422, 429, 503, 504];
    (200..300).contains(&answer.status) || expected.contains(&answer.status)
}
