//! The requirements R01 to R23 of fuse's `QuickCheck` model, over random histories of a circuit that is set up as a fuse is.
//!
//! A fuse melts: so many melts within so many seconds are borne, one more blows it; it heals after a time; an operator's word is above
//! everything but removal. What a fuse does not count, a run that went well, is ignored here. The model is what fuse's is: a list of
//! the melts. Seven requirements are about fuses that are not installed: R01, R05, R10, R12, R16, R17 and R19. There the answer is
//! `not_found`; here there is no circuit to ask, and the history does nothing.

use proptest::prelude::*;

use super::*;

const HEAL: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug)]
enum Command {
    /// So many melts are borne within so many seconds. Not valid with none.
    Install {
        bears: u32,
        seconds: u64,
    },
    Remove,
    Reset,
    Ask,
    RunOk,
    RunMelt,
    Disable,
    Enable,
    Elapse(u64),
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let command = prop_oneof![
        2 => (0_u32..3, 0_u64..4).prop_map(|(bears, seconds)| Command::Install { bears, seconds }),
        1 => Just(Command::Remove),
        2 => Just(Command::Reset),
        10 => Just(Command::Ask),
        5 => Just(Command::RunOk),
        25 => Just(Command::RunMelt),
        1 => Just(Command::Disable),
        2 => Just(Command::Enable),
        10 => (1_u64..4_000).prop_map(Command::Elapse),
    ];
    proptest::collection::vec(command, 1..200)
}

/// A fuse, as plainly as it can be told.
struct Fuse {
    bears: usize,
    seconds: u64,
    disabled: bool,
    /// From when on seconds are counted: it was installed, reset, healed.
    begin: Instant,
    /// In which second each was.
    melts: Vec<u64>,
    /// Until when it is blown; afterwards it is on trial until a run says how it is.
    blown: Option<Instant>,
}

impl Fuse {
    fn new(bears: u32, seconds: u64, now: Instant) -> Self {
        Self {
            bears: bears as usize,
            seconds,
            disabled: false,
            begin: now,
            melts: Vec::new(),
            blown: None,
        }
    }

    fn clear(&mut self, now: Instant) {
        self.begin = now;
        self.melts.clear();
        self.blown = None;
    }

    fn is_blown(&self, now: Instant) -> bool {
        self.disabled || self.blown.is_some_and(|until| now < until)
    }

    fn melt(&mut self, now: Instant) {
        if self.blown.is_some() {
            // On trial: one melt is enough.
            self.blown = Some(now + HEAL);
            return;
        }
        let present = (now - self.begin).as_secs();
        self.melts.push(present);
        // R14: melts expire.
        let seconds = self.seconds;
        self.melts.retain(|second| present - second < seconds);
        if self.melts.len() > self.bears {
            // R13: the fuse blows.
            self.clear(now);
            self.blown = Some(now + HEAL);
        }
    }
}

fn rules(bears: u32, seconds: u64) -> CircuitRules {
    CircuitRules::default()
        .window(WindowSize::Time(Duration::from_secs(seconds)))
        .minimum_calls(bears + 1)
        .failure_ratio(1.0)
        .half_open_permits(1)
        .open_wait(waits(HEAL))
}

/// The circuit and its model, while they are installed.
#[derive(Default)]
struct World {
    installed: Option<(Circuit, Fuse)>,
}

impl World {
    fn step(&mut self, command: Command, now: Instant) {
        if let Command::Install { bears, seconds } = command {
            return self.install(bears, seconds, now);
        }
        // R01, R05, R10, R12, R16, R17, R19.
        let Some((circuit, fuse)) = &mut self.installed else {
            return;
        };
        match command {
            Command::Install { .. } | Command::Elapse(_) => {}
            Command::Remove => self.installed = None,
            Command::Reset => {
                // R06: whether it was blown or not; but not over an operator's word.
                let _ = circuit.reset(now);
                fuse.clear(now);
            }
            Command::Ask => {
                // R15. A question is no run: it leaves no trace.
                let ticket = circuit.try_acquire(now).ticket;
                assert_eq!(ticket.is_err(), fuse.is_blown(now), "R15");
                if let Ok(ticket) = ticket {
                    let _ = circuit.on_result(ticket, Ended::Cancelled, now);
                }
            }
            Command::RunOk => {
                // R07: a run that goes well changes nothing, but that it ends a trial.
                let ticket = circuit.try_acquire(now).ticket;
                assert_eq!(ticket.is_err(), fuse.is_blown(now), "R07");
                if let Ok(ticket) = ticket {
                    let is_trial = ticket.admitted_in().state == CircuitState::HalfOpen;
                    assert_eq!(is_trial, fuse.blown.is_some(), "R02, R22: it heals");
                    let ended = if is_trial {
                        fuse.clear(now);
                        Ended::Success
                    } else {
                        Ended::Ignored
                    };
                    let _ = circuit.on_result(ticket, ended, now);
                }
            }
            Command::RunMelt => match circuit.try_acquire(now).ticket {
                // R08, R21: on a fuse that is blown or disabled nothing is run and nothing melts.
                Err(_) => assert!(fuse.is_blown(now), "R08, R21"),
                // R09, R11.
                Ok(ticket) => {
                    assert!(!fuse.is_blown(now), "R09, R11");
                    let _ = circuit.on_result(ticket, Ended::Failure, now);
                    fuse.melt(now);
                }
            },
            Command::Disable => {
                // R18. To disable what is disabled changes nothing.
                let _ = circuit.set_mode(CircuitMode::ForcedOpen, now);
                fuse.clear(now);
                fuse.disabled = true;
            }
            Command::Enable => {
                // R20. To enable what is enabled changes nothing.
                let _ = circuit.set_mode(CircuitMode::Auto, now);
                if std::mem::take(&mut fuse.disabled) {
                    fuse.clear(now);
                }
            }
        }
    }

    fn install(&mut self, bears: u32, seconds: u64, now: Instant) {
        let rules = rules(bears, seconds);
        let Some((circuit, fuse)) = &mut self.installed else {
            // R04.
            let made = Circuit::new(rules, CircuitMode::Auto, 1, now).ok();
            assert_eq!(made.is_some(), seconds > 0, "R03");
            self.installed = made.map(|circuit| (circuit, Fuse::new(bears, seconds, now)));
            return;
        };
        let is_valid = circuit.reconfigure(rules, now).is_ok();
        // R03: what is not valid changes nothing.
        assert_eq!(is_valid, seconds > 0, "R03");
        if is_valid {
            // R04: to install again resets, but does not enable.
            let disabled = fuse.disabled;
            *fuse = Fuse::new(bears, seconds, now);
            fuse.disabled = disabled;
        }
    }

    fn check(&self, now: Instant) {
        let Some((circuit, fuse)) = &self.installed else {
            return;
        };
        // R23, and the bug that fuse's model found: there is one timer, and it is set once, when the fuse blows.
        let timer = circuit.next_wakeup().filter(|at| *at > now);
        let expected = fuse.blown.filter(|at| *at > now && !fuse.disabled);
        assert_eq!(timer, expected, "R13, R23");
        let is_disabled = circuit.standing().state == CircuitState::ForcedOpen;
        assert_eq!(is_disabled, fuse.disabled, "R18, R20");
    }
}

proptest! {
    #[test]
    fn r01_to_r23(commands in commands()) {
        let mut now = t0();
        let mut world = World::default();
        for command in commands {
            if let Command::Elapse(millis) = command {
                now += Duration::from_millis(millis);
            }
            world.step(command, now);
            world.check(now);
        }
    }
}

#[test]
fn a_circuit_that_bears_nothing_blows_at_the_first_melt_and_not_before() {
    let mut rig = Rig::new(rules(0, 1));
    assert!(rig.is_let_through());
    rig.calls([Ended::Failure]);
    assert!(!rig.is_let_through());
}
