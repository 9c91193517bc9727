//! Chaos: a tree of four levels whose workers fail in every way at random while operators work on it. When all is quiet again, the
//! tree is as specified: what is permanent and wanted up is up exactly once, nobody is lost or doubled, no event is missing.

mod team;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use regrow::telemetry::Telemetry;
use regrow::{Event, Phase, Strategy, Supervisor, System};
use regrow_core::SplitMix64;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use team::{Nature, Target, Team, Temper};
use worker::{Blow, Stage};

/// How long an operation may take until it counts as never answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much chaos.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// Of all that is random.
    pub seed: u64,
    /// How many workers, roughly; supervisors are on top.
    pub actors: usize,
    /// How long they are struck.
    pub time: Duration,
    /// How many blows a second for each thousand of workers.
    pub blows: u64,
    /// How often each team's operator does something.
    pub every: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What is not as it should be; empty when all is well.
    pub wrong: Vec<String>,
    /// Workers that are up at the end.
    pub alive: i64,
    /// Lives there have been.
    pub lives: u64,
    /// Blows that reached a worker.
    pub blows: u64,
    /// Starts that were made to fail.
    pub failed_starts: u64,
    /// What operators did, and how much of it was refused.
    pub operations: u64,
    /// See [`Self::operations`].
    pub refused: u64,
    /// Events told.
    pub events: u64,
    /// Resident memory in bytes after a third of the time, and at its end; 0 where it cannot be known.
    pub memory: (u64, u64),
}

/// What the event stream told, counted by its own numbers.
#[derive(Debug, Default)]
struct Tally {
    seen: AtomicU64,
    highest: AtomicU64,
}

/// Runs it.
///
/// # Errors
/// When the tree does not come up.
pub async fn run(chaos: Chaos) -> Result<Outcome, String> {
    let stage = Stage::new(chaos.seed);
    let mut teams = teams(&chaos, &stage);
    let telemetry = Telemetry::default();
    let tally = Arc::new(Tally::default());
    let told = Arc::clone(&tally);
    let count = move |event: &Event| {
        told.seen.fetch_add(1, Ordering::Relaxed);
        told.highest.fetch_max(event.seq, Ordering::Relaxed);
    };
    telemetry
        .attach("tally", count)
        .map_err(|error| error.to_string())?;
    let launched = System::launch_with(tree(&teams), telemetry).await;
    let system = Arc::new(launched.map_err(|error| error.to_string())?);
    system.booted().await.map_err(|error| error.to_string())?;
    for team in &mut teams {
        team.fill(&system).await?;
    }
    stage.armed.store(true, Ordering::Relaxed);
    let mut outcome = Outcome::default();
    let teams = strike(&chaos, &system, teams, &mut outcome).await;
    stage.armed.store(false, Ordering::Relaxed);
    settle(&system, &teams, &mut outcome).await;
    for team in &teams {
        outcome.operations += team.operations;
        outcome.refused += team.refused;
        let children = system.which_children(&team.path).await;
        let counts = system.count_children(&team.path).await;
        match (children, counts) {
            (Ok(children), Ok(counts)) => {
                outcome.wrong.extend(team.wrong(&children, counts.active));
            }
            (Err(error), _) | (_, Err(error)) => outcome.wrong.push(error.to_string()),
        }
        if let Ok(counts) = system.count_children(&team.path).await {
            outcome.alive += i64::from(counts.active);
        }
    }
    let alive = stage.alive.load(Ordering::SeqCst);
    if alive != outcome.alive {
        let told = outcome.alive;
        outcome
            .wrong
            .push(format!("{alive} workers live, {told} are told"));
    }
    end(&system, &stage, &mut outcome).await;
    outcome.lives = stage.lives.load(Ordering::Relaxed);
    outcome.failed_starts = stage.failed_starts.load(Ordering::Relaxed);
    outcome.events = tally.seen.load(Ordering::Relaxed);
    let highest = tally.highest.load(Ordering::Relaxed);
    if outcome.events != highest {
        let seen = outcome.events;
        outcome
            .wrong
            .push(format!("{seen} events were seen, {highest} were told"));
    }
    Ok(outcome)
}

/// Ten crews at most; teams of four natures, and every tenth may end for its children's sake, as all of the last crew.
fn teams(chaos: &Chaos, stage: &Arc<Stage>) -> Vec<Team> {
    const KINDS: [(Nature, usize); 4] = [
        (Nature::Static(Strategy::OneForOne), 60),
        (Nature::Static(Strategy::OneForAll), 10),
        (Nature::Static(Strategy::RestForOne), 20),
        (Nature::Dynamic, 110),
    ];
    let rounds = (chaos.actors / 200).max(1);
    let last = rounds - 1;
    (0..rounds * KINDS.len())
        .map(|n| {
            let (round, (nature, size)) = (n / KINDS.len(), KINDS[n % KINDS.len()]);
            let fragile = n % 10 == 9 || round == last;
            let temper = if fragile {
                Temper::Fragile
            } else {
                Temper::Sturdy
            };
            let crew = if round == last {
                "last".to_owned()
            } else {
                format!("crew{}", round % 10)
            };
            let seed = chaos.seed ^ (0x51_7C_C1 * u64::try_from(n + 1).unwrap_or(0));
            let crew = format!("root/{crew}");
            Team::new(
                &crew,
                format!("team{n}"),
                (nature, temper),
                size,
                stage,
                seed,
            )
        })
        .collect()
}

fn tree(teams: &[Team]) -> Supervisor {
    let crew_of = |team: &Team| team.path.split('/').nth(1).unwrap_or_default().to_owned();
    let mut crews: Vec<String> = teams.iter().map(crew_of).collect();
    crews.sort();
    crews.dedup();
    let crews = crews.into_iter().map(|crew| {
        let strategy = if crew == "last" {
            Strategy::RestForOne
        } else {
            Strategy::OneForOne
        };
        let base = Supervisor::new(crew.as_str())
            .strategy(strategy)
            .no_intensity_limit();
        let members = teams.iter().filter(|team| crew_of(team) == crew);
        members.fold(base, |base, team| base.child(team.supervisor()))
    });
    crews.fold(
        Supervisor::new("root").no_intensity_limit(),
        Supervisor::child,
    )
}

/// Blows at random and operators at work, for as long as it was asked for.
async fn strike(
    chaos: &Chaos,
    system: &Arc<System>,
    teams: Vec<Team>,
    outcome: &mut Outcome,
) -> Vec<Team> {
    let over = Arc::new(AtomicBool::new(false));
    let targets: Vec<_> = teams.iter().map(Team::target).collect();
    let striker = tokio::spawn(blows(
        *chaos,
        Arc::clone(system),
        targets,
        Arc::clone(&over),
    ));
    let operators: Vec<_> = teams
        .into_iter()
        .map(|team| {
            let (system, over) = (Arc::clone(system), Arc::clone(&over));
            tokio::spawn(operator(chaos.every, system, team, over))
        })
        .collect();
    let mut third = interval(chaos.time / 3);
    third.tick().await;
    third.tick().await;
    outcome.memory.0 = resident();
    third.tick().await;
    third.tick().await;
    outcome.memory.1 = resident();
    over.store(true, Ordering::Relaxed);
    outcome.blows = striker.await.unwrap_or(0);
    let mut teams = Vec::new();
    for operator in operators {
        match operator.await {
            Ok((team, never)) => {
                teams.push(team);
                outcome.wrong.extend(never);
            }
            Err(error) => outcome.wrong.push(format!("an operator failed: {error}")),
        }
    }
    teams
}

async fn operator(
    every: Duration,
    system: Arc<System>,
    mut team: Team,
    over: Arc<AtomicBool>,
) -> (Team, Option<String>) {
    let mut turn = interval(every);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !over.load(Ordering::Relaxed) {
        turn.tick().await;
        if timeout(PATIENCE, team.operate(&system)).await.is_err() {
            let never = team.unanswered(&system).await;
            return (team, Some(never));
        }
    }
    (team, None)
}

async fn blows(
    chaos: Chaos,
    system: Arc<System>,
    teams: Vec<Target>,
    over: Arc<AtomicBool>,
) -> u64 {
    const PER_SECOND: u64 = 50;
    let mut rng = SplitMix64::new(chaos.seed.wrapping_add(1));
    let mut turn = interval(Duration::from_secs(1) / u32::try_from(PER_SECOND).unwrap_or(1));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let actors = u64::try_from(chaos.actors).unwrap_or(0);
    let each = (chaos.blows * actors / 1_000 / PER_SECOND).max(1);
    let mut struck = 0;
    while !over.load(Ordering::Relaxed) {
        turn.tick().await;
        for _ in 0..each {
            let blow = match rng.below(16) {
                0..5 => Blow::Panic,
                5..10 => Blow::Fail,
                10..12 => Blow::Exit,
                12..15 => Blow::Kill,
                _ => Blow::Hang,
            };
            let team = rng.below(u64::try_from(teams.len()).unwrap_or(1));
            let team = &teams[usize::try_from(team).unwrap_or(0)];
            let path = team.any_child(&mut rng);
            if let Ok(worker) = system.address::<Blow>(&path) {
                struck += u64::from(worker.send(blow).is_ok());
            }
        }
    }
    struck
}

/// Waits until nobody is on the way up or down.
async fn settle(system: &System, teams: &[Team], outcome: &mut Outcome) {
    let since = Instant::now();
    let mut turn = interval(Duration::from_millis(100));
    let mut quiet = 0;
    while quiet < 3 {
        turn.tick().await;
        let mut moving = Vec::new();
        for team in teams {
            match system.which_children(&team.path).await {
                Ok(children) => {
                    let restless = children.iter().filter(|child| is_moving(child.phase));
                    moving
                        .extend(restless.map(|child| format!("{} is {}", child.path, child.phase)));
                }
                Err(error) => moving.push(error.to_string()),
            }
        }
        quiet = if moving.is_empty() { quiet + 1 } else { 0 };
        if since.elapsed() > PATIENCE {
            moving.truncate(5);
            return outcome
                .wrong
                .push(format!("never quiet: {}", moving.join(", ")));
        }
    }
}

fn is_moving(phase: Phase) -> bool {
    match phase {
        Phase::Pending | Phase::Starting | Phase::Draining | Phase::Stopping | Phase::Backoff => {
            true
        }
        Phase::Running | Phase::Paused | Phase::Completed | Phase::Stopped | Phase::Failed => false,
    }
}

/// Shuts down; nobody is left.
async fn end(system: &System, stage: &Stage, outcome: &mut Outcome) {
    match timeout(PATIENCE, system.shut_down()).await {
        Ok(report) if report.unresponsive.is_empty() => {}
        Ok(report) => outcome
            .wrong
            .push(format!("unresponsive: {:?}", report.unresponsive)),
        Err(_) => outcome.wrong.push("the shutdown never ended".to_owned()),
    }
    // The state of a worker that was killed may be dropped a moment after its end is told.
    let mut turn = interval(Duration::from_millis(10));
    for _ in 0..100 {
        turn.tick().await;
        if stage.alive.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
    let left = stage.alive.load(Ordering::SeqCst);
    outcome
        .wrong
        .push(format!("{left} are left after the shutdown"));
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map_or(0, |number| number * 1_024)
}
