//! A team of the chaotic tree, its operator, and what has to be there when all is quiet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regrow::{
    ChildInfo, DynamicSupervisor, OperateError, Phase, Restart, Strategy, Supervisor, System,
};
use regrow_core::SplitMix64;

use super::worker::{Stage, spec};

/// What an operator has left behind of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Up,
    Down,
}

/// How the children of a team hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Static(Strategy),
    Dynamic,
}

/// Whether the team may end for its children's sake; then nobody can say what is left of what operators did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    Sturdy,
    Fragile,
}

/// One team and its operator, who is the only one to work on it.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) path: String,
    id: String,
    pub(super) nature: Nature,
    pub(super) temper: Temper,
    size: usize,
    /// Those that every new life of the team begins with.
    listed: Vec<(String, Restart)>,
    pub(super) wanted: BTreeMap<String, (Restart, Want)>,
    added: u64,
    stage: Arc<Stage>,
    rng: SplitMix64,
    /// What the operator does now.
    doing: String,
    pub(super) operations: u64,
    pub(super) refused: u64,
}

/// Where blows may fall.
#[derive(Clone, Debug)]
pub(super) struct Target {
    path: String,
    nature: Nature,
    size: u64,
}

impl Target {
    /// The path of a child that may be there: those that were listed at first are `w0`, `w1`, …, those that were added `x1`, ….
    pub(super) fn any_child(&self, rng: &mut SplitMix64) -> String {
        let path = &self.path;
        match self.nature {
            Nature::Static(_) if rng.below(5) > 0 => format!("{path}/w{}", rng.below(self.size)),
            Nature::Static(_) => format!("{path}/x{}", 1 + rng.below(20)),
            Nature::Dynamic => format!("{path}/x{}", 1 + rng.below(2 * self.size)),
        }
    }
}

fn restart_of(rng: &mut SplitMix64) -> Restart {
    match rng.below(8) {
        0 => Restart::Transient,
        1 => Restart::Temporary,
        _ => Restart::Permanent,
    }
}

impl Team {
    pub(super) fn new(
        crew: &str,
        id: String,
        (nature, temper): (Nature, Temper),
        size: usize,
        stage: &Arc<Stage>,
        seed: u64,
    ) -> Self {
        let mut rng = SplitMix64::new(seed);
        let listed: Vec<_> = match nature {
            Nature::Static(_) => (0..size)
                .map(|n| (format!("w{n}"), restart_of(&mut rng)))
                .collect(),
            Nature::Dynamic => Vec::new(),
        };
        let mut team = Self {
            path: format!("{crew}/{id}"),
            id,
            nature,
            temper,
            size,
            listed,
            wanted: BTreeMap::new(),
            added: 0,
            stage: Arc::clone(stage),
            rng,
            doing: String::new(),
            operations: 0,
            refused: 0,
        };
        team.begin_anew();
        team
    }

    pub(super) fn target(&self) -> Target {
        Target {
            path: self.path.clone(),
            nature: self.nature,
            size: u64::try_from(self.size).unwrap_or(1),
        }
    }

    /// A new life of the whole team.
    fn begin_anew(&mut self) {
        let all = self.listed.iter();
        self.wanted = all
            .map(|(id, restart)| (id.clone(), (*restart, Want::Up)))
            .collect();
    }

    fn child(&self, id: &str, restart: Restart) -> regrow::ChildSpec {
        spec(&self.stage, &format!("{}/{id}", self.path), id, restart)
    }

    pub(super) fn supervisor(&self) -> Supervisor {
        let strategy = match self.nature {
            Nature::Static(strategy) => strategy,
            Nature::Dynamic => {
                let team = DynamicSupervisor::new(self.id.as_str());
                return match self.temper {
                    Temper::Sturdy => team.no_intensity_limit(),
                    Temper::Fragile => team.max_restarts(3, Duration::from_secs(1)),
                }
                .into();
            }
        };
        let team = Supervisor::new(self.id.as_str()).strategy(strategy);
        let team = match self.temper {
            Temper::Sturdy => team.no_intensity_limit(),
            Temper::Fragile => team.max_restarts(3, Duration::from_secs(1)),
        };
        self.listed.iter().fold(team, |team, (id, restart)| {
            team.child(self.child(id, *restart))
        })
    }

    /// Fills a dynamic team to its size.
    ///
    /// # Errors
    /// What did not come up.
    pub(super) async fn fill(&mut self, system: &System) -> Result<(), String> {
        if self.nature != Nature::Dynamic {
            return Ok(());
        }
        let report = self.start_many(system, self.size).await;
        match report {
            Ok(()) => Ok(()),
            Err(error) => Err(format!("{} was not filled: {error}", self.path)),
        }
    }

    fn any(&mut self) -> Option<String> {
        let len = u64::try_from(self.wanted.len()).unwrap_or(0);
        let at = usize::try_from(self.rng.below(len)).unwrap_or(0);
        self.wanted.keys().nth(at).cloned()
    }

    fn fresh(&mut self) -> (String, Restart) {
        self.added += 1;
        (format!("x{}", self.added), restart_of(&mut self.rng))
    }

    /// One thing that an operator may do.
    pub(super) async fn operate(&mut self, system: &System) {
        self.operations += 1;
        let crowded = self.wanted.len() > self.size;
        let up = self.wanted.values().filter(|(_, want)| *want == Want::Up);
        if up.count() < self.size && self.rng.below(4) > 0 {
            return self.mend(system).await;
        }
        let Some(id) = self.any() else {
            let (id, restart) = self.fresh();
            return self.start(system, id, restart).await;
        };
        let path = format!("{}/{id}", self.path);
        match self.rng.below(100) {
            0..22 => self.terminate(system, &path, id).await,
            22..52 => {
                self.doing = format!("restart {id}");
                let answer = system.restart_child(&path).await;
                self.note_start(&id, answer.map(drop));
            }
            52..67 => {
                self.doing = format!("bounce {id}");
                let answer = system.bounce_child(&path).await;
                self.note_start(&id, answer.map(drop));
            }
            67..72 => self.delete(system, &path, &id).await,
            72..83 if crowded => {
                self.terminate(system, &path, id.clone()).await;
                self.delete(system, &path, &id).await;
            }
            72..80 => {
                let (id, restart) = self.fresh();
                self.start(system, id, restart).await;
            }
            80..83 => drop(self.start_many(system, 3).await),
            83..86 => self.reconfigure(system).await,
            86..88 => self.again(system).await,
            88..92 => drop(system.spec(&path).await),
            92..96 => self.look(system).await,
            _ => drop(system.count_children(&self.path).await),
        }
    }

    /// What is asked and not answered, and how things stand.
    pub(super) async fn unanswered(&self, system: &System) -> String {
        let (path, nature, doing) = (&self.path, self.nature, &self.doing);
        let children = match system.which_children(path).await {
            Ok(children) => children,
            Err(error) => return format!("{path}: {doing} was never answered: {error}"),
        };
        let stand = children.iter().map(|child| {
            let (id, phase, generation) = (&child.id, child.phase, child.generation);
            format!("{id} {phase} {generation}")
        });
        let stand: Vec<String> = stand.collect();
        format!(
            "{path} ({nature:?}): {doing} was never answered; {}",
            stand.join(", ")
        )
    }

    /// One more that is up: of those that are down, or a new one.
    async fn mend(&mut self, system: &System) {
        let mut wanted = self.wanted.iter();
        let down = wanted.find(|(_, (_, want))| *want == Want::Down);
        match down.map(|(id, _)| id.clone()) {
            Some(id) => {
                self.doing = format!("restart {id}");
                let answer = system.restart_child(&format!("{}/{id}", self.path)).await;
                self.note_start(&id, answer.map(drop));
            }
            None => drop(self.start_many(system, 3).await),
        }
    }

    /// Takes a look; whoever may go by itself may have gone.
    async fn look(&mut self, system: &System) {
        if let Ok(children) = system.which_children(&self.path).await {
            let there: Vec<&str> = children.iter().map(|child| &*child.id).collect();
            self.wanted.retain(|id, (restart, _)| {
                *restart == Restart::Permanent || there.contains(&id.as_str())
            });
        }
    }

    async fn terminate(&mut self, system: &System, path: &str, id: String) {
        self.doing = format!("terminate {id}");
        match system.terminate_child(path).await {
            Ok(_) if self.goes_with_its_life(&id) => drop(self.wanted.remove(&id)),
            Ok(_) => {
                if let Some((_, want)) = self.wanted.get_mut(&id) {
                    *want = Want::Down;
                }
            }
            Err(error) => self.not_done(&id, &error),
        }
    }

    /// Whether a child loses its place when it is not started again.
    fn goes_with_its_life(&self, id: &str) -> bool {
        let temporary = |(restart, _): &(Restart, Want)| *restart == Restart::Temporary;
        self.nature == Nature::Dynamic || self.wanted.get(id).is_some_and(temporary)
    }

    async fn delete(&mut self, system: &System, path: &str, id: &str) {
        self.doing = format!("delete {id}");
        match system.delete_child(path).await {
            Ok(_) => {
                self.wanted.remove(id);
                self.forget(id);
            }
            Err(error) => self.not_done(id, &error),
        }
    }

    fn not_done(&mut self, id: &str, error: &OperateError) {
        self.refused += 1;
        if matches!(error, OperateError::NotFound { .. }) {
            // It has gone by itself; what may not go by itself is missed here already.
            let lost = self
                .wanted
                .get(id)
                .is_some_and(|(restart, _)| *restart != Restart::Permanent);
            if lost {
                self.wanted.remove(id);
            }
        }
    }

    fn note_start(&mut self, id: &str, answer: Result<(), OperateError>) {
        let want = match &answer {
            Ok(()) => Want::Up,
            // It is tried again.
            Err(OperateError::DidNotStart {
                next_start_at: Some(_),
                ..
            }) => Want::Up,
            Err(OperateError::DidNotStart { .. }) if self.goes_with_its_life(id) => {
                self.wanted.remove(id);
                return;
            }
            Err(OperateError::DidNotStart { .. }) => Want::Down,
            Err(error) => return self.not_done(id, error),
        };
        if let Some((_, wanted)) = self.wanted.get_mut(id) {
            *wanted = want;
        }
    }

    async fn start(&mut self, system: &System, id: String, restart: Restart) {
        let child = self.child(&id, restart);
        self.doing = format!("start {id}");
        let answer = system.start_child(&self.path, child).await;
        if let Err(OperateError::Gone { .. } | OperateError::Closing { .. }) = answer {
            self.refused += 1;
            return;
        }
        self.wanted.insert(id.clone(), (restart, Want::Up));
        self.note_start(&id, answer.map(drop));
    }

    async fn start_many(&mut self, system: &System, count: usize) -> Result<(), OperateError> {
        let fresh: Vec<_> = (0..count).map(|_| self.fresh()).collect();
        let children: Vec<_> = fresh
            .iter()
            .map(|(id, restart)| self.child(id, *restart))
            .collect();
        self.doing = format!("start {fresh:?}");
        let report = system.start_children(&self.path, children).await?;
        for (id, restart) in fresh {
            self.wanted.insert(id, (restart, Want::Up));
        }
        for (id, error) in report.failed {
            self.note_start(&id, Err(error));
        }
        Ok(())
    }

    /// New rules: one child less, one child more, in another order.
    async fn reconfigure(&mut self, system: &System) {
        if self.nature == Nature::Dynamic {
            return;
        }
        let before = self.listed.clone();
        if self.listed.len() > 2 {
            self.listed.remove(0);
            self.listed.rotate_left(1);
        }
        let (id, restart) = self.fresh();
        self.listed.push((id.clone(), restart));
        self.doing = format!("reconfigure {:?}", self.listed);
        match system.reconfigure(&self.path, self.supervisor()).await {
            Ok(report) => {
                for id in &report.added {
                    let known = self.listed.iter().find(|(listed, _)| **listed == **id);
                    if let Some((id, restart)) = known {
                        self.wanted.insert(id.clone(), (*restart, Want::Down));
                    }
                }
            }
            Err(_) => {
                self.refused += 1;
                self.listed = before;
            }
        }
    }

    /// The whole team, from the beginning.
    async fn again(&mut self, system: &System) {
        self.doing = "bounce the team".to_owned();
        let answer = system.bounce_child(&self.path).await;
        if !matches!(answer, Ok(_) | Err(OperateError::DidNotStart { .. })) {
            self.refused += 1;
            return;
        }
        // While it is tried again, each try begins from the beginning.
        let mut turn = tokio::time::interval(Duration::from_millis(20));
        while !matches!(system.which_child(&self.path).await, Ok(team) if team.phase == Phase::Running)
        {
            turn.tick().await;
        }
        let before: Vec<String> = self.wanted.keys().cloned().collect();
        self.begin_anew();
        for id in before.iter().filter(|id| !self.wanted.contains_key(*id)) {
            self.forget(id);
        }
    }

    /// Forgets a place for good, unless the next life of the team has it again.
    fn forget(&self, id: &str) {
        if !self.listed.iter().any(|(listed, _)| listed == id) {
            self.stage.forget(&format!("{}/{id}", self.path));
        }
    }

    /// What is not as it should be, now that all is quiet.
    pub(super) fn wrong(&self, children: &[ChildInfo], active: u32) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut up = 0;
        for child in children {
            let alive = self.stage.alive_at(child.path.as_str());
            up += u32::from(child.phase.is_alive());
            if alive != i64::from(child.phase.is_alive()) {
                wrong.push(format!("{}: {} has {alive} lives", child.path, child.phase));
            }
            let expected = self.wanted.get(&*child.id);
            if self.temper == Temper::Sturdy && expected.is_none() {
                wrong.push(format!(
                    "{}: {} and nobody wants it",
                    child.path, child.phase
                ));
            }
        }
        if up != active {
            wrong.push(format!(
                "{}: {active} are counted, {up} are told",
                self.path
            ));
        }
        if self.temper == Temper::Fragile {
            return wrong;
        }
        for (id, (restart, want)) in &self.wanted {
            let child = children.iter().find(|child| *child.id == **id);
            let is_up = child.is_some_and(|child| child.phase.is_alive());
            let right = match (restart, want) {
                (Restart::Permanent, Want::Up) => is_up,
                (Restart::Permanent | Restart::Transient, Want::Down) => child.is_some() && !is_up,
                (Restart::Transient, Want::Up) => child.is_some() || self.nature == Nature::Dynamic,
                (Restart::Temporary, Want::Up | Want::Down) => true,
            };
            if !right {
                let phase = child.map(|child| child.phase);
                let (path, strategy) = (&self.path, self.nature);
                wrong.push(format!(
                    "{path}/{id}: {restart} and wanted {want:?} is {phase:?} ({strategy:?})"
                ));
            }
        }
        wrong
    }
}
