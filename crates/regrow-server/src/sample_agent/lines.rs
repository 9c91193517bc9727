//! Agents that write what nobody expects: too much, broken, or huge.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use super::leash::Leash;
use super::{Identity, SampleAgentError, length_of_time, say};

/// How many lines a flood writes between two looks at the clock.
const BURST: u32 = 64;

/// The largest line that can be asked for, in MiB.
const LARGEST: i64 = 64;

/// What is written instead of a line: not UTF-8, bytes that a terminal obeys, NUL, ends that are none, an end alone, a line of a
/// program that counts on a terminal, half a character, and text without an end.
const BROKEN: [&[u8]; 9] = [
    b"\xff\xfe\xfd not utf-8\n",
    b"\x1b[31mred\x1b[2J\x1b]0;title\x07\n",
    b"a\0b\0\0c\n",
    b"first\rsecond\r\n",
    b"\n\n\n",
    b"\r 10 %\r 20 %\r",
    b"half a character: \xe2\x82\n",
    b"{\"type\":\"message\",\"text\":\n",
    b"text without an end, ",
];

/// Writes as many lines as it can.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Flood {
    /// How many lines a second; as fast as they are read where it is not given
    #[arg(long, value_name = "LINES")]
    rate: Option<NonZeroU32>,
}

/// Writes lines of which each is wrong in another way.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BrokenLines {
    /// How long to wait between two
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = length_of_time)]
    every: Duration,
}

/// Writes lines that are larger than anybody expects.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HugeLines {
    /// How long to wait between two
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = length_of_time)]
    every: Duration,
    /// How large each is
    #[arg(long, value_name = "MIB", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=LARGEST))]
    size: u32,
}

/// Floods until it is asked to stop.
pub(super) async fn flood(habit: &Flood, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!("flood: {identity}"))?;
    let rate = habit.rate;
    beside("flood", move || write_flood(rate, None))?;
    leash.asked().await;
    Ok(())
}

/// Writes broken lines until it is asked to stop.
pub(super) async fn broken(
    habit: &BrokenLines,
    identity: &Identity,
) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!("broken-lines: {identity}"))?;
    let every = habit.every;
    beside("broken-lines", move || {
        for line in BROKEN.iter().cycle() {
            write(line)?;
            thread::sleep(every);
        }
        Ok(())
    })?;
    leash.asked().await;
    Ok(())
}

/// Writes huge lines until it is asked to stop.
pub(super) async fn huge(habit: &HugeLines, identity: &Identity) -> Result<(), SampleAgentError> {
    let mut leash = Leash::take()?;
    say(format_args!("huge-lines: {identity}"))?;
    let HugeLines { every, size } = *habit;
    beside("huge-lines", move || {
        loop {
            write_huge(size)?;
            thread::sleep(every);
        }
    })?;
    leash.asked().await;
    Ok(())
}

/// Writes on a thread of its own, so that a pipe that nobody reads does not keep the agent from hearing that it is asked to stop.
/// The thread does not keep the process from ending.
pub(super) fn beside(
    name: &str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), SampleAgentError> {
    let builder = thread::Builder::new().name(name.to_owned());
    // A reader that has gone ends the writing, nothing else.
    builder.spawn(move || drop(work()))?;
    Ok(())
}

/// Writes so many numbered lines, or without end, at this rate, or as fast as they are read.
pub(super) fn write_flood(rate: Option<NonZeroU32>, lines: Option<u32>) -> io::Result<()> {
    let since = Instant::now();
    let mut written = 0_u32;
    while lines.is_none_or(|lines| written < lines) {
        let burst = lines.map_or(BURST, |lines| BURST.min(lines - written));
        let mut text = String::new();
        for _ in 0..burst {
            written = written.wrapping_add(1);
            text += &format!("flood {written}: the quick brown fox jumps over the lazy dog\n");
        }
        write(text.as_bytes())?;
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(f64::from(written) / f64::from(rate.get()));
            thread::sleep(due.saturating_sub(since.elapsed()));
        }
    }
    Ok(())
}

/// Writes every broken line once.
pub(super) fn write_broken() -> io::Result<()> {
    BROKEN.iter().try_for_each(|line| write(line))
}

/// Writes one line of so many MiB.
pub(super) fn write_huge(mebibytes: u32) -> io::Result<()> {
    let piece = [b'x'; 1024];
    for _ in 0..u64::from(mebibytes) * 1024 {
        write(&piece)?;
    }
    write(b"\n")
}

/// Writes these bytes and nothing else.
fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
