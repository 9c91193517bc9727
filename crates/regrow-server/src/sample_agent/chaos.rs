//! An agent of which nobody knows what it does next, but which does the same again on the same seed.

mod plan;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use self::plan::{Crash, Deed, Habit, plan};
use super::leash::Leash;
use super::left_behind::LeftBehind;
use super::{Identity, SampleAgentError, hang, leak, lines, say, worker};

/// How long a process that it leaves behind lives, if nobody ends it.
const LASTING: Duration = Duration::from_secs(60);

/// Does one bad thing after the other, each life others.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Chaos {
    /// Picks what each life does, and when: the same seed and generation, the same life
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// What it may do; everything where it is not given
    #[arg(long, value_name = "HABIT", value_delimiter = ',', value_enum)]
    behaviours: Vec<Habit>,
    /// The port to answer on as a worker does, between its deeds; none where it is not given
    #[arg(long, env = "PORT")]
    port: Option<u16>,
}

/// How it takes being asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    AtOnce,
    Late(Duration),
    Never,
    Forking(u32),
}

/// Lives the life of its generation.
pub(super) async fn run(chaos: &Chaos, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    if let Some(port) = chaos.port {
        let server =
            worker::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), identity).await?;
        tokio::spawn(server);
    }
    let plan = plan(chaos.seed, identity.generation, &chaos.behaviours);
    say(format_args!(
        "chaos: {identity}, {} deeds to come",
        plan.len()
    ))?;
    let mut manners = Manners::AtOnce;
    let mut hoard = Vec::new();
    for act in plan {
        tokio::select! {
            asked = leash.asked() => return manners.stop(&mut leash, asked.name(), identity).await,
            () = tokio::time::sleep(act.after) => {}
        }
        tell(identity, format_args!("{}", act.deed));
        match act.deed {
            Deed::Crash(Crash::Code(code)) => return Err(SampleAgentError::Code(code)),
            Deed::Crash(Crash::Killed) => {
                let _ = kill_process(getpid(), Signal::KILL);
            }
            Deed::Exit => return Ok(()),
            Deed::Hang => hang::for_ever(),
            Deed::Flood { rate, lines } => {
                lines::beside("flood", move || lines::write_flood(Some(rate), Some(lines)))?;
            }
            Deed::Leak { mebibytes } => {
                hoard.extend((0..mebibytes).map(|_| leak::mebibyte()));
            }
            Deed::Escape => drop(LeftBehind::of(identity, LASTING).start()?),
            Deed::DoubleFork => drop(LeftBehind::of(identity, LASTING).after(1).start()?),
            Deed::BrokenLines => lines::beside("broken-lines", lines::write_broken)?,
            Deed::HugeLine { mebibytes } => {
                lines::beside("huge-line", move || lines::write_huge(mebibytes))?;
            }
            Deed::SlowStop { taking } => manners = Manners::Late(taking),
            Deed::IgnoreSignals => manners = Manners::Never,
            Deed::ForkWhileKilled { times } => manners = Manners::Forking(times),
        }
    }
    let asked = leash.asked().await;
    manners.stop(&mut leash, asked.name(), identity).await
}

impl Manners {
    async fn stop(
        self,
        leash: &mut Leash,
        asked: &'static str,
        identity: &Identity,
    ) -> Result<(), SampleAgentError> {
        match self {
            Self::AtOnce => tell(identity, format_args!("stopping at {asked}")),
            Self::Late(taking) => {
                tell(identity, format_args!("stopping at {asked}, in {taking:?}"));
                tokio::time::sleep(taking).await;
            }
            Self::Never => {
                let mut asked = asked;
                loop {
                    tell(identity, format_args!("ignoring {asked}"));
                    asked = leash.asked().await.name();
                }
            }
            Self::Forking(times) => {
                tell(
                    identity,
                    format_args!("stopping at {asked}, while {times} processes start each other"),
                );
                LeftBehind::of(identity, LASTING).after(times).start()?;
            }
        }
        Ok(())
    }
}

/// Says on stderr what it does; nobody may be there to read it.
fn tell(identity: &Identity, deed: std::fmt::Arguments<'_>) {
    writeln!(io::stderr().lock(), "chaos: {identity}: {deed}").ok();
}
