//! What happens in one life: decided before it begins, from the seed and the generation alone.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use regrow_core::SplitMix64;

/// No life has more deeds.
const MOST_DEEDS: u64 = 4;

/// The shortest and the longest time from one deed to the next, in milliseconds.
const PAUSE: (u64, u64) = (50, 2_000);

/// What an agent can be used to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Habit {
    /// Ends with a code, or by SIGKILL
    Crash,
    /// Ends with 0
    Exit,
    /// Does nothing any more, and minds no signal
    Hang,
    /// Writes thousands of lines
    Flood,
    /// Takes up to 8 MiB and gives none back
    Leak,
    /// Leaves a process behind, in a session of its own
    Escape,
    /// The same, and the one between the two has ended
    DoubleFork,
    /// Takes up to 3 s to stop
    SlowStop,
    /// Stops at SIGKILL only
    IgnoreSignals,
    /// Writes lines of which each is wrong in another way
    BrokenLines,
    /// Writes a line of up to 2 MiB
    HugeLines,
    /// Has processes start each other when it is asked to stop
    ForkWhileKilled,
}

impl Habit {
    /// All of them.
    const ALL: [Self; 12] = [
        Self::Crash,
        Self::Exit,
        Self::Hang,
        Self::Flood,
        Self::Leak,
        Self::Escape,
        Self::DoubleFork,
        Self::SlowStop,
        Self::IgnoreSignals,
        Self::BrokenLines,
        Self::HugeLines,
        Self::ForkWhileKilled,
    ];
}

/// One deed, and how long after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) after: Duration,
    pub(super) deed: Deed,
}

/// A habit at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Crash(Crash),
    Exit,
    Hang,
    Flood { rate: NonZeroU32, lines: u32 },
    Leak { mebibytes: u32 },
    Escape,
    DoubleFork,
    SlowStop { taking: Duration },
    IgnoreSignals,
    BrokenLines,
    HugeLine { mebibytes: u32 },
    ForkWhileKilled { times: u32 },
}

/// How a life fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    Code(u8),
    Killed,
}

impl Deed {
    fn is_last(self) -> bool {
        match self {
            Self::Crash(_) | Self::Exit | Self::Hang => true,
            Self::Flood { .. }
            | Self::Leak { .. }
            | Self::Escape
            | Self::DoubleFork
            | Self::SlowStop { .. }
            | Self::IgnoreSignals
            | Self::BrokenLines
            | Self::HugeLine { .. }
            | Self::ForkWhileKilled { .. } => false,
        }
    }
}

/// One to four deeds of these habits, or of all where there are none; what ends a life, or all that it does, is the last of it.
pub(super) fn plan(seed: u64, generation: u64, habits: &[Habit]) -> Vec<Act> {
    let habits = if habits.is_empty() {
        &Habit::ALL
    } else {
        habits
    };
    // Neighbouring seeds and generations come out far apart.
    let of_seed = SplitMix64::new(seed).next_u64();
    let mut dice = SplitMix64::new(of_seed ^ SplitMix64::new(generation).next_u64());
    let count = 1 + dice.below(MOST_DEEDS);
    let mut acts = Vec::new();
    for _ in 0..count {
        let after = Duration::from_millis(PAUSE.0 + dice.below(PAUSE.1 - PAUSE.0));
        let habit = pick(&mut dice, habits);
        let deed = deed(habit, &mut dice);
        acts.push(Act { after, deed });
        if deed.is_last() {
            break;
        }
    }
    acts
}

fn pick(dice: &mut SplitMix64, habits: &[Habit]) -> Habit {
    let count = u64::try_from(habits.len()).unwrap_or(u64::MAX);
    let index = usize::try_from(dice.below(count)).unwrap_or_default();
    habits[index]
}

/// A machine survives two hundred of them: memory, lines and processes each have a cap.
fn deed(habit: Habit, dice: &mut SplitMix64) -> Deed {
    match habit {
        Habit::Crash => Deed::Crash(match dice.below(3) {
            0 => Crash::Code(1),
            1 => Crash::Code(70),
            _ => Crash::Killed,
        }),
        Habit::Exit => Deed::Exit,
        Habit::Hang => Deed::Hang,
        Habit::Flood => Deed::Flood {
            rate: NonZeroU32::MIN.saturating_add(small(dice, 500, 5_000)),
            lines: small(dice, 1_000, 10_000),
        },
        Habit::Leak => Deed::Leak {
            mebibytes: small(dice, 1, 9),
        },
        Habit::Escape => Deed::Escape,
        Habit::DoubleFork => Deed::DoubleFork,
        Habit::SlowStop => Deed::SlowStop {
            taking: Duration::from_millis(100 + dice.below(2_900)),
        },
        Habit::IgnoreSignals => Deed::IgnoreSignals,
        Habit::BrokenLines => Deed::BrokenLines,
        Habit::HugeLines => Deed::HugeLine {
            mebibytes: small(dice, 1, 3),
        },
        Habit::ForkWhileKilled => Deed::ForkWhileKilled {
            times: small(dice, 2, 20),
        },
    }
}

/// A number from `least` to below `bound`.
fn small(dice: &mut SplitMix64, least: u32, bound: u32) -> u32 {
    let above = dice.below(u64::from(bound.saturating_sub(least)));
    least.saturating_add(u32::try_from(above).unwrap_or_default())
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(Crash::Code(code)) => write!(f, "failing with {code}"),
            Self::Crash(Crash::Killed) => f.write_str("failing by SIGKILL"),
            Self::Exit => f.write_str("ending with 0"),
            Self::Hang => f.write_str("hanging"),
            Self::Flood { rate, lines } => {
                write!(f, "writing {lines} lines, {rate} a second")
            }
            Self::Leak { mebibytes } => write!(f, "taking {mebibytes} MiB"),
            Self::Escape => f.write_str("leaving a process behind in a session of its own"),
            Self::DoubleFork => {
                f.write_str("leaving a process behind that nobody is the parent of")
            }
            Self::SlowStop { taking } => write!(f, "will take {taking:?} to stop"),
            Self::IgnoreSignals => f.write_str("will stop at SIGKILL only"),
            Self::BrokenLines => f.write_str("writing broken lines"),
            Self::HugeLine { mebibytes } => write!(f, "writing a line of {mebibytes} MiB"),
            Self::ForkWhileKilled { times } => {
                write!(
                    f,
                    "will have {times} processes start each other when asked to stop"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_what_its_seed_and_its_generation_say() {
        let told = |(seed, generation): (u64, u64)| {
            let acts = plan(seed, generation, &[]).into_iter();
            acts.map(move |act| {
                let after = act.after.as_millis();
                format!("{seed} {generation}: after {after} ms {}", act.deed)
            })
        };
        let lives = [(7, 1), (7, 2), (8, 1), (0, 0)];
        let all: Vec<String> = lives.into_iter().flat_map(told).collect();
        let expected = [
            "7 1: after 419 ms will have 18 processes start each other when asked to stop",
            "7 1: after 1875 ms ending with 0",
            "7 2: after 768 ms leaving a process behind that nobody is the parent of",
            "8 1: after 1569 ms leaving a process behind that nobody is the parent of",
            "8 1: after 926 ms will stop at SIGKILL only",
            "8 1: after 1719 ms taking 6 MiB",
            "8 1: after 208 ms leaving a process behind that nobody is the parent of",
            "0 0: after 50 ms will take 2.244s to stop",
            "0 0: after 1497 ms leaving a process behind that nobody is the parent of",
            "0 0: after 463 ms will stop at SIGKILL only",
            "0 0: after 1699 ms hanging",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn who_has_some_habits_has_no_other() {
        for seed in 0..100 {
            let acts = plan(seed, 1, &[Habit::Escape, Habit::Hang]);
            let known = |act: &Act| matches!(act.deed, Deed::Escape | Deed::Hang);
            assert!(acts.iter().all(known), "{acts:?}");
        }
    }

    #[test]
    fn a_life_has_one_to_four_deeds_in_time_and_nothing_after_its_end() {
        for seed in 0..2_000 {
            let acts = plan(seed, seed % 7, &[]);
            assert!((1..=4).contains(&acts.len()), "{acts:?}");
            let (last, others) = acts.split_last().unwrap();
            assert!(
                others.iter().all(|act| !act.deed.is_last()),
                "{acts:?} {last:?}"
            );
            let in_time = |act: &Act| (50..2_000).contains(&act.after.as_millis());
            assert!(acts.iter().all(in_time), "{acts:?}");
        }
    }

    #[test]
    fn every_habit_comes_up_and_none_asks_too_much_of_a_machine() {
        for habit in Habit::ALL {
            let kind = std::mem::discriminant(&deed(habit, &mut SplitMix64::new(1)));
            let lives = (0..500).flat_map(|seed| plan(seed, 1, &[]));
            assert!(
                lives
                    .map(|act| act.deed)
                    .any(|deed| std::mem::discriminant(&deed) == kind),
                "{habit:?}"
            );
        }
        for act in (0..2_000).flat_map(|seed| plan(seed, 2, &[])) {
            let bounded = match act.deed {
                Deed::Leak { mebibytes } => mebibytes <= 8,
                Deed::HugeLine { mebibytes } => mebibytes <= 2,
                Deed::Flood { rate, lines } => lines < 10_000 && rate.get() <= 5_000,
                Deed::SlowStop { taking } => taking < Duration::from_secs(3),
                Deed::ForkWhileKilled { times } => times < 20,
                Deed::Crash(_)
                | Deed::Exit
                | Deed::Hang
                | Deed::Escape
                | Deed::DoubleFork
                | Deed::IgnoreSignals
                | Deed::BrokenLines => true,
            };
            assert!(bounded, "{act:?}");
        }
    }
}
