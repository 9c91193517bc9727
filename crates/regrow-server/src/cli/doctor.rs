//! `regrow doctor`: what works on this machine, what does not, and what to do about it.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use regrow_process::{Abilities, ControlGroups};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::{CliError, Doctor, config_check, say};
use crate::client::{ClientError, discover};
use crate::ports;
use crate::state_dir::{DEFAULT_NAME, Layout};

/// Descriptors that one agent takes: three pipes, one for its port, and one for a request.
const PER_AGENT: u64 = 5;

/// Descriptors for all the rest: clients, files, the runtime.
const REST: u64 = 256;

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Regrow works, and something is less than it could be.
    Warning,
    /// Regrow does not work, or not as it should.
    Failure,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What: a word that stays the same.
    check: &'static str,
    verdict: Verdict,
    /// How it is.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self {
            check,
            verdict: Verdict::Ok,
            found,
            advice: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            advice: Some(advice.into()),
            ..Self::ok(check, found)
        }
    }

    fn failure(check: &'static str, found: impl Into<String>, advice: Option<String>) -> Self {
        Self {
            verdict: Verdict::Failure,
            advice,
            ..Self::ok(check, found)
        }
    }
}

pub(super) async fn run(doctor: &Doctor) -> Result<(), CliError> {
    let mut findings = of_the_system(&Abilities::here());
    let (configuration, settings) = of_the_configuration(doctor);
    findings.push(configuration);
    findings.push(of_ports(&settings.ports, ports::of_connections()));
    findings.push(of_descriptors(
        getrlimit(Resource::Nofile).maximum,
        settings.max_agents,
    ));
    findings.push(of_the_shell(std::env::var_os("PATH").as_deref()));
    findings.extend(of_the_state(&Layout::new(settings.state_dir)));
    findings.push(of_the_daemon(doctor).await);
    for finding in &findings {
        let line = if doctor.json {
            serde_json::to_string(finding).expect("a finding is plain text")
        } else {
            line(finding)
        };
        say(&line)?;
    }
    let failures = findings
        .iter()
        .filter(|one| one.verdict == Verdict::Failure);
    match failures.count() {
        0 => Ok(()),
        failures => Err(CliError::Unwell { failures }),
    }
}

fn line(finding: &Finding) -> String {
    let Finding {
        check,
        verdict,
        found,
        advice,
    } = finding;
    match advice {
        Some(advice) => format!("{verdict:8} {check:15} {found}\n{:24} {advice}", ""),
        None => format!("{verdict:8} {check:15} {found}"),
    }
}

/// Regrow limits nothing by them, but who reads this may want to know.
fn without(controllers: &[&str]) -> String {
    if controllers.is_empty() {
        return String::new();
    }
    format!(", without {}", controllers.join(", "))
}

fn of_the_system(abilities: &Abilities) -> Vec<Finding> {
    let groups = match &abilities.control_groups {
        ControlGroups::Ours { path, missing } => Finding::ok(
            "cgroups",
            format!(
                "version 2: each life has one of its own, below {}{}",
                path.display(),
                without(missing)
            ),
        ),
        // Little is lost by it: what an agent leaves behind is looked for in other ways too.
        ControlGroups::Others { path } => Finding::ok(
            "cgroups",
            format!(
                "not used: version 2, but {} is not ours to divide",
                path.display()
            ),
        ),
        ControlGroups::Absent => Finding::ok("cgroups", "not used: there are none of version 2"),
    };
    vec![
        able(
            "processes",
            abilities.processes,
            "what processes use can be read, and what leaves its group is found",
            (
                "/proc shows no processes",
                "mount /proc: there are no figures, and what leaves its process group is not found",
            ),
        ),
        able(
            "subreaper",
            abilities.subreaper,
            "orphans of agents are adopted",
            (
                "orphans of agents are not adopted",
                "use Linux: an agent's escaped child is only found by its environment",
            ),
        ),
        able(
            "pidfd",
            abilities.pidfd,
            "signals reach exactly whom they are meant for",
            (
                "there are no pidfds",
                "use Linux 5.3 or later; pids are compared with their start time, right before each signal",
            ),
        ),
        able(
            "shared memory",
            abilities.shared_memory,
            "memory that processes share can be told apart",
            (
                "memory that processes share counts for each",
                "use Linux 4.14 or later with CONFIG_PROC_PAGE_MONITOR",
            ),
        ),
        groups,
    ]
}

fn able(check: &'static str, is_able: bool, works: &str, (fails, advice): (&str, &str)) -> Finding {
    if is_able {
        Finding::ok(check, works)
    } else {
        Finding::warning(check, fails, advice)
    }
}

/// What the configuration says, or would say where there is none.
struct Settings {
    ports: RangeInclusive<u16>,
    max_agents: usize,
    state_dir: PathBuf,
}

fn of_the_configuration(doctor: &Doctor) -> (Finding, Settings) {
    let place = doctor.place.place();
    let named = place.file.clone();
    let read = config_check::read(named.clone());
    let folder = match (&read, &named) {
        (Ok(config), _) => config.folder.clone(),
        (Err(_), Some(file)) => file.parent().unwrap_or(file).to_owned(),
        (Err(_), None) => PathBuf::from("."),
    };
    let state_dir = place.state_dir.unwrap_or_else(|| folder.join(DEFAULT_NAME));
    let mut settings = Settings {
        ports: 8001..=8100,
        max_agents: 100,
        state_dir,
    };
    let finding = match read {
        Ok(config) => {
            settings.ports = config.ports.clone();
            settings.max_agents = config.max_agents;
            let (file, agents) = (config.file.display(), config.agents.len());
            Finding::ok(
                "configuration",
                format!("{file}: {agents} agents, no errors"),
            )
        }
        Err(CliError::NoConfig { folder, .. }) if named.is_none() => {
            Finding::ok("configuration", format!("none in {}", folder.display()))
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().to_owned();
            let advice = "see all that is wrong: regrow config check".to_owned();
            Finding::failure("configuration", first, Some(advice))
        }
    };
    (finding, settings)
}

fn of_ports(ours: &RangeInclusive<u16>, ephemeral: Option<RangeInclusive<u16>>) -> Finding {
    let said = format!("{}-{}", ours.start(), ours.end());
    let Some(theirs) = ephemeral else {
        return Finding::ok("ports", said);
    };
    match ports::meet(ours, &theirs) {
        Some(what) => Finding::warning("ports", what, ports::ADVICE),
        None => Finding::ok(
            "ports",
            format!("{said} is apart from those of connections"),
        ),
    }
}

fn of_descriptors(hard: Option<u64>, max_agents: usize) -> Finding {
    let agents = u64::try_from(max_agents).unwrap_or(u64::MAX);
    let wanted = agents.saturating_mul(PER_AGENT).saturating_add(REST);
    match hard {
        Some(hard) if hard < wanted => Finding::warning(
            "descriptors",
            format!("at most {hard}, and {max_agents} agents may need {wanted}"),
            "raise the hard limit (ulimit -Hn), or lower limits.max_agents in the file",
        ),
        Some(hard) => Finding::ok(
            "descriptors",
            format!("at most {hard}, {wanted} are enough"),
        ),
        None => Finding::ok("descriptors", "without limit"),
    }
}

fn of_the_shell(path: Option<&std::ffi::OsStr>) -> Finding {
    let found = path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("sh"))
        .find(|file| file.is_file());
    match found {
        Some(shell) => Finding::ok("shell", shell.display().to_string()),
        None => Finding::warning(
            "shell",
            "there is no sh in PATH",
            "install one: a command that is a text, not a list, is run by it",
        ),
    }
}

fn of_the_state(layout: &Layout) -> [Finding; 2] {
    let path = layout.path().display();
    match layout.examine() {
        Ok(None) => [
            Finding::ok(
                "state",
                format!("{path} is not there yet; `regrow up` makes it"),
            ),
            Finding::ok("token", "is made with it"),
        ],
        Ok(Some(token)) => [
            Finding::ok("state", format!("{path} is ours alone")),
            Finding::ok(
                "token",
                if token {
                    "is there, and ours alone"
                } else {
                    "is made at the next start"
                },
            ),
        ],
        Err(error) => [
            Finding::failure("state", error.to_string(), None),
            Finding::ok("token", "was not looked at"),
        ],
    }
}

async fn of_the_daemon(doctor: &Doctor) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    match discover(&doctor.place.place()).await {
        Ok(found) => {
            let info = found.info;
            let said = format!(
                "version {}, pid {}, at http://{}",
                info.version, info.pid, info.listen
            );
            if info.version == ours {
                Finding::ok("daemon", said)
            } else {
                let advice = format!("restart it: this program has version {ours}");
                Finding::warning("daemon", said, advice)
            }
        }
        Err(ClientError::NotFound(nobody)) if nobody.is_at_rest() => {
            Finding::ok("daemon", "none runs here")
        }
        Err(error) => {
            let text = error.to_string();
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default().to_owned();
            let rest = lines.collect::<Vec<_>>().join(" ");
            Finding::failure("daemon", first, (!rest.is_empty()).then_some(rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(finding: &Finding) -> (Verdict, &str) {
        (finding.verdict, &finding.found)
    }

    #[test]
    fn a_range_of_ports_that_meets_that_of_connections_is_a_warning() {
        let of = |ours, theirs| of_ports(&ours, Some(theirs)).verdict;
        assert_eq!(of(8001..=8100, 32_768..=60_999), Verdict::Ok);
        assert_eq!(of(8001..=8100, 8100..=9000), Verdict::Warning);
        assert_eq!(of_ports(&(1..=2), None).verdict, Verdict::Ok);
    }

    #[test]
    fn too_few_descriptors_for_all_agents_are_a_warning() {
        assert_eq!(of_descriptors(None, 100).verdict, Verdict::Ok);
        assert_eq!(of_descriptors(Some(756), 100).verdict, Verdict::Ok);
        let few = of_descriptors(Some(755), 100);
        let found = "at most 755, and 100 agents may need 756";
        assert_eq!(verdict(&few), (Verdict::Warning, found));
        assert!(few.advice.unwrap().contains("limits.max_agents"));
    }

    #[test]
    fn a_shell_is_looked_for_in_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().as_os_str());
        assert_eq!(of_the_shell(path).verdict, Verdict::Warning);
        assert_eq!(of_the_shell(None).verdict, Verdict::Warning);
        std::fs::write(folder.path().join("sh"), "").unwrap();
        assert_eq!(of_the_shell(path).verdict, Verdict::Ok);
    }

    #[test]
    fn a_line_has_its_advice_below_it() {
        let warning = Finding::warning("ports", "they meet", "choose others");
        assert_eq!(
            line(&warning),
            "warning  ports           they meet\n                         choose others"
        );
        assert_eq!(
            line(&Finding::ok("pidfd", "works")),
            "ok       pidfd           works"
        );
    }
}
