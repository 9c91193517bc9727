//! An agent whose memory grows.

use std::time::Duration;

use super::leash::Leash;
use super::{Identity, SampleAgentError, say};

/// The most that can be asked for, in MiB: a machine has to survive it.
const MOST: i64 = 16 * 1024;

/// Takes memory and gives none back.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Leak {
    /// How much it takes each second
    #[arg(long, value_name = "MIB", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1024))]
    rate: u32,
    /// How much it takes in all
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    cap: u32,
}

/// Grows until it is as large as it may be, and ends when asked to.
pub(super) async fn run(habit: &Leak, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    let Leak { rate, cap } = *habit;
    say(format_args!(
        "leak: {identity}, {rate} MiB a second up to {cap} MiB"
    ))?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut hoard = Vec::new();
    let mut taken = 0;
    loop {
        tokio::select! {
            asked = leash.asked() => return say(format_args!("leak: stopping with {taken} MiB, at {asked}")),
            _ = ticks.tick(), if taken < cap => {
                hoard.push(mebibyte());
                taken += 1;
                if taken == cap {
                    say(format_args!("leak: {cap} MiB are taken, and no more"))?;
                }
            }
        }
    }
}

/// 1 MiB that is really there: zeroes alone would not be.
pub(super) fn mebibyte() -> Vec<u8> {
    vec![0x5a; 1024 * 1024]
}
