//! The books of a run: from its event log alone, whether every life is accounted for.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// One life: what its place in the tree and its generation were.
type Life = (String, u64);

/// What the log tells of one life.
#[derive(Debug, Default)]
struct Page {
    /// How often it was begun to spawn it, and how often that came to which end.
    begun: u32,
    spawned: u32,
    not_spawned: u32,
    pid: Option<u64>,
    /// The reasons for which it ended.
    ends: Vec<String>,
    /// How often all of it was gone.
    cleared: u32,
    /// How often the tree was told of its end.
    told: u32,
}

/// What the books say.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What does not add up; empty when all is well.
    pub(crate) wrong: Vec<String>,
    /// Processes that were spawned.
    pub(crate) lives: usize,
    /// Events read.
    pub(crate) events: usize,
    /// How lives ended, and how many did so.
    pub(crate) reasons: BTreeMap<String, usize>,
}

/// The books while they are kept.
#[derive(Debug, Default)]
struct Ledger {
    pages: BTreeMap<Life, Page>,
    /// The newest generation of each place, and whether something of it may still be there.
    newest: HashMap<String, (u64, bool)>,
    wrong: Vec<String>,
    events: usize,
}

/// Reads a whole log, one JSON object a line.
pub(crate) fn audit(log: &str) -> Account {
    let mut ledger = Ledger::default();
    for line in log.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(event) => ledger.enter(&event),
            Err(_) => ledger.wrong.push(format!("not JSON: {line}")),
        }
    }
    ledger.close()
}

impl Ledger {
    fn enter(&mut self, event: &Value) {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let name = text("event");
        self.events += usize::from(!name.is_empty());
        // An agent that ends in the middle of an answer is an error to who passes that on, and one that is given up on is one too.
        let expected = event["target"] == "axum_reverse_proxy::forward"
            || event["event"] == "regrow.supervisor.meltdown"
            || (event["event"] == "regrow.child.state_changed" && event["to"] == "failed");
        if event["level"] == "error" && !expected {
            self.wrong.push(format!("an error: {event}"));
        }
        let said = text("message");
        if said.contains("panicked") || said.contains("lost") || name.contains("dropped") {
            self.wrong.push(format!("a panic or a loss: {event}"));
        }
        let life = (
            text("path"),
            event["generation"].as_u64().unwrap_or_default(),
        );
        let is_process = event["kind"] == "process";
        if !is_process {
            return;
        }
        match name.as_str() {
            "regrow.process.spawn.start" => self.begin(life),
            "regrow.process.spawn.stop" => {
                let page = self.page(life);
                page.spawned += 1;
                page.pid = event["pid"].as_u64();
            }
            "regrow.process.spawn.exception" | "regrow.process.spawn.cancel" => {
                if let Some((_, open)) = self.newest.get_mut(&life.0) {
                    *open = false;
                }
                self.page(life).not_spawned += 1;
            }
            "regrow.process.exited" => self.end(life, event),
            "regrow.process.shutdown.stop"
            | "regrow.process.shutdown.exception"
            | "regrow.process.shutdown.cancel" => {
                if let Some((_, open)) = self.newest.get_mut(&life.0) {
                    *open = false;
                }
                self.page(life).cleared += 1;
            }
            "regrow.process.leaked" => self.wrong.push(format!("leaked: {event}")),
            "regrow.child.terminated" | "regrow.child.start_failed" => {
                self.page(life).told += 1;
            }
            _ => {}
        }
    }

    fn page(&mut self, life: Life) -> &mut Page {
        self.pages.entry(life).or_default()
    }

    fn begin(&mut self, life: Life) {
        let (path, generation) = life.clone();
        if let Some((newest, open)) = self.newest.insert(path.clone(), (generation, true)) {
            if generation <= newest {
                self.wrong.push(format!(
                    "{path}: generation {generation} came after {newest}"
                ));
            }
            if open {
                self.wrong.push(format!(
                    "{path}: generation {generation} was spawned before all of {newest} was gone"
                ));
            }
        }
        self.page(life).begun += 1;
    }

    fn end(&mut self, life: Life, event: &Value) {
        let reason = event["reason"].as_str().unwrap_or_default().to_owned();
        let page = self.page(life.clone());
        page.ends.push(reason);
        if page.pid != event["pid"].as_u64() {
            let pid = page.pid;
            self.wrong
                .push(format!("{life:?}: spawned as {pid:?}, but {event}"));
        }
    }

    fn close(self) -> Account {
        let mut account = Account {
            wrong: self.wrong,
            events: self.events,
            ..Account::default()
        };
        for ((path, generation), page) in self.pages {
            // What never was a process has no end to account for.
            let adds_up = match (page.begun, page.spawned, page.not_spawned) {
                (1, 1, 0) => {
                    let one_end = page.ends.len() == 1 && !page.ends[0].is_empty();
                    one_end && page.cleared == 1 && page.told == 1
                }
                (1, 0, 1) => page.ends.is_empty() && page.cleared == 0,
                // A start that was refused before anything was spawned.
                (0, 0, 0) => page.ends.is_empty() && page.cleared == 0,
                _ => false,
            };
            if !adds_up {
                account.wrong.push(format!(
                    "{path} generation {generation} does not add up: {page:?}"
                ));
            }
            account.lives += usize::from(page.spawned > 0);
            for reason in page.ends {
                *account.reasons.entry(reason).or_default() += 1;
            }
        }
        account
    }
}

/// A log of one life that went well, and what a change of it makes of the account.
#[test]
fn books_that_do_not_add_up_are_noticed() {
    let line = |event: &str, generation: u32, more: &str| {
        format!(
            r#"{{"level":"debug","event":"regrow.{event}","path":"root/a","kind":"process","generation":{generation}{more}}}"#
        )
    };
    let life = |generation: u32| {
        [
            line("process.spawn.start", generation, ""),
            line("process.spawn.stop", generation, r#","pid":7"#),
            line(
                "process.exited",
                generation,
                r#","pid":7,"reason":"exit code 1""#,
            ),
            line("process.shutdown.stop", generation, ""),
            line("child.terminated", generation, ""),
        ]
    };
    let wrong = |lines: &[String]| audit(&lines.join("\n")).wrong;
    let two = [life(1), life(2)].concat();
    assert_eq!(wrong(&two), [""; 0]);
    for missing in 0..two.len() {
        let mut lines = two.clone();
        lines.remove(missing);
        assert_ne!(wrong(&lines), [""; 0], "without line {missing}");
        let mut lines = two.clone();
        lines.insert(missing, two[missing].clone());
        assert_ne!(wrong(&lines), [""; 0], "with line {missing} twice");
    }
    assert_ne!(wrong(&[life(2), life(1)].concat()), [""; 0], "backwards");
    let mut early = two.clone();
    early.swap(3, 5);
    assert_ne!(wrong(&early), [""; 0], "two at a time");
    let stranger = two
        .join("\n")
        .replacen(r#""pid":7,"reason""#, r#""pid":8,"reason""#, 1);
    assert_ne!(audit(&stranger).wrong, [""; 0], "another pid");
    for more in [
        line("process.leaked", 1, r#","pids":[7]"#),
        r#"{"level":"error","message":"it panicked"}"#.to_owned(),
        "no JSON".to_owned(),
    ] {
        let lines = [two.clone(), vec![more.clone()]].concat();
        assert_ne!(wrong(&lines), [""; 0], "{more}");
    }
}
