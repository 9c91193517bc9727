//! An agent that fails.

use std::time::Duration;

use super::leash::Leash;
use super::{Identity, SampleAgentError, length_of_time, say};

/// How much longer or shorter than asked a life may be.
const JITTER: f64 = 0.2;

/// Lives for a while, then fails.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Crash {
    /// How long to live; each generation up to a fifth longer or shorter
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = length_of_time)]
    after: Duration,
    /// Picks the lengths of the lives: the same seed, the same lengths
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Fail straight away
    #[arg(long, conflicts_with_all = ["after", "seed"])]
    at_once: bool,
}

/// Fails when its time has come; ends well when asked to before that.
pub(super) async fn run(crash: &Crash, identity: &Identity) -> Result<(), SampleAgentError> {
    let generation = identity.generation;
    if crash.at_once {
        say(format_args!("crash: {identity}, failing at once"))?;
        return Err(SampleAgentError::OnPurpose {
            lived: Duration::ZERO,
            generation,
        });
    }
    let mut leash = Leash::take()?;
    let lived = lifetime(crash.after, crash.seed, generation);
    say(format_args!(
        "crash: {identity}, failing in {:.1} s",
        lived.as_secs_f64()
    ))?;
    tokio::select! {
        asked = leash.asked() => say(format_args!("crash: stopping before it failed, at {asked}")),
        () = tokio::time::sleep(lived) => Err(SampleAgentError::OnPurpose { lived, generation }),
    }
}

/// How long the life of this generation is.
fn lifetime(after: Duration, seed: u64, generation: u64) -> Duration {
    after.mul_f64(1.0 - JITTER + 2.0 * JITTER * unit(scramble(seed ^ scramble(generation))))
}

/// One step of splitmix64: neighbouring numbers come out far apart.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Spreads all numbers evenly over 0 to 1.
fn unit(number: u64) -> f64 {
    number as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_at_most_a_fifth_off_and_differs_by_generation_and_seed() {
        let after = Duration::from_secs(10);
        let lives: Vec<_> = (1..=1000)
            .map(|generation| lifetime(after, 7, generation))
            .collect();
        assert!(
            lives
                .iter()
                .all(|life| (8..=12).contains(&life.as_millis().div_ceil(1000))),
            "{lives:?}"
        );
        assert!(lives.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(lives.iter().any(|life| *life < after) && lives.iter().any(|life| *life > after));
        assert_eq!(lifetime(after, 7, 1), lives[0]);
        assert_ne!(lifetime(after, 8, 1), lives[0]);
    }
}
