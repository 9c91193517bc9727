//! The small languages inside values: durations, sizes, ids, tags, variables, ports, signals, numbers.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use regrow_core::{InvalidId, Restart, UnknownWord, check_id, nearest};

use super::StopSignal;

/// The longest duration that is taken for meant: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The longest id, type, tag or capability, in bytes.
const LONGEST_WORD: usize = 64;

/// The longest name of a variable, in bytes.
const LONGEST_NAME: usize = 128;

/// What an id may be, in words.
pub(crate) const AN_ID: &str =
    "an id of a-z, 0-9, '_', '.' and '-' that begins with a letter or digit";

/// What a tag may be, in words.
pub(crate) const A_TAG: &str = "a tag such as fast or lang=rust, of at most 64 ASCII characters without blanks, commas, quotes and backslashes";

/// What a capability or a key of metadata may be, in words.
pub(crate) const A_WORD: &str = "a word such as plan, of at most 64 ASCII characters without blanks, commas, quotes, backslashes and '='";

/// What a duration may be, in words.
pub(crate) const A_DURATION: &str = "a duration such as 30s";

/// A share, in words.
pub(crate) const A_SHARE: &str = "a share such as 50% or 0.5, more than 0 and at most 1";

/// How an agent may rank for the processor, in words.
pub(crate) const A_RANK: &str = "a whole number from -20 (first) to 19 (last)";

/// Variables that regrow itself gives to every agent; `REGROW_…` besides.
const OURS: [&str; 10] = [
    "AGENT_ID",
    "AGENT_TYPE",
    "PORT",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "TRACEPARENT",
    "TRACESTATE",
];

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What would fit.
    pub(crate) expected: String,
    /// What to do, where that is not plain.
    pub(crate) hint: Option<String>,
}

impl Refusal {
    /// Says what would fit.
    pub(crate) fn new(expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            hint: None,
        }
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, hint } = self;
        write!(f, "expected {expected}")?;
        match hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// A duration such as `500ms`, `30s`, `5m`, `2h`, `1d` or `1m30s`: large units first, each at most once.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let wrong = || Refusal::new(A_DURATION);
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(wrong().hint(format!("say {text}s for seconds")));
    }
    let mut total: u128 = 0;
    let mut last = u128::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|letter: char| letter.is_ascii_digit())
                .len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len()
            - tail
                .trim_start_matches(|letter: char| letter.is_ascii_alphabetic())
                .len();
        let (unit, tail) = tail.split_at(letters);
        let millis: u128 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong().hint("units are ms, s, m, h and d, as in 1m30s")),
        };
        if number.is_empty() {
            return Err(wrong());
        }
        if millis >= last {
            return Err(wrong().hint("write large units first and each once, as in 1m30s"));
        }
        // 20 digits are more than ten years in any unit, and far from overflow.
        let number: u128 = if number.len() > 20 {
            u128::from(u64::MAX)
        } else {
            number.parse().map_err(|_| wrong())?
        };
        total += number * millis;
        last = millis;
        rest = tail;
    }
    match u64::try_from(total) {
        _ if text.is_empty() => Err(wrong()),
        Ok(millis) if Duration::from_millis(millis) <= LONGEST => Ok(Duration::from_millis(millis)),
        Ok(_) | Err(_) => Err(Refusal::new("a duration of at most 10 years")),
    }
}

/// A duration that is longer than nothing.
pub(crate) fn some_duration(text: &str) -> Result<Duration, Refusal> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err(Refusal::new("a duration of at least 1ms"));
    }
    Ok(duration)
}

/// A duration of at least a second, without parts of one.
pub(crate) fn seconds(text: &str) -> Result<Duration, Refusal> {
    let duration = duration(text)?;
    if duration.is_zero() || duration.subsec_nanos() > 0 {
        return Err(Refusal::new("a duration of whole seconds, at least 1s"));
    }
    Ok(duration)
}

/// How an agent ranks for the processor.
pub(crate) fn nice(text: &str) -> Result<i32, Refusal> {
    let (sign, number) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    match digits(number).and_then(|number| i32::try_from(number).ok()) {
        Some(number) if (-20..=19).contains(&(sign * number)) => Ok(sign * number),
        Some(_) | None => Err(Refusal::new(A_RANK)),
    }
}

/// A duration in the words of the file.
pub(crate) fn in_words(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut words = String::new();
    for (unit, millis) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= millis {
            words += &format!("{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if words.is_empty() {
        "0s".to_owned()
    } else {
        words
    }
}

/// An agent's id, or its type.
pub(crate) fn id(text: &str) -> Result<String, Refusal> {
    match check_id(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(InvalidId::TooLong) => Err(Refusal::new(format!(
            "an id of at most {LONGEST_WORD} bytes"
        ))),
        Err(InvalidId::Empty | InvalidId::Start(_) | InvalidId::Character(_)) => {
            let small = text.to_ascii_lowercase();
            let refusal = Refusal::new(AN_ID);
            Err(if check_id(&small).is_ok() {
                refusal.hint(format!("write {small:?}"))
            } else {
                refusal
            })
        }
    }
}

/// A tag: a word, or `key=value`.
pub(crate) fn tag(text: &str) -> Result<String, Refusal> {
    let word = text.split_once('=').map_or(text, |(key, _)| key);
    if !word.is_empty() && is_wordlike(text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(A_TAG))
}

/// A capability, or a key of metadata.
pub(crate) fn word(text: &str) -> Result<String, Refusal> {
    if !text.is_empty() && is_wordlike(text) && !text.contains('=') {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(A_WORD))
}

fn is_wordlike(text: &str) -> bool {
    let fits =
        |letter: char| letter.is_ascii_graphic() && !matches!(letter, ',' | '"' | '\'' | '\\');
    text.len() <= LONGEST_WORD && text.chars().all(fits)
}

/// The name of a variable that an agent's environment may be given.
pub(crate) fn variable(text: &str) -> Result<String, Refusal> {
    if text.len() > LONGEST_NAME || !is_variable(text) {
        return Err(Refusal::new(
            "a variable's name of letters, digits and '_' that does not begin with a digit",
        ));
    }
    if text.starts_with("REGROW_") || OURS.contains(&text) {
        let refusal = Refusal::new("a variable that regrow does not set itself");
        return Err(match text {
            "PORT" => refusal.hint("use the agent's port: auto, or a number"),
            "AGENT_TYPE" => refusal.hint("use the agent's type"),
            _ => refusal.hint("choose another name"),
        });
    }
    Ok(text.to_owned())
}

/// Whether this can be the name of a variable.
pub(crate) fn is_variable(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes()
        .next()
        .is_some_and(|first| !first.is_ascii_digit())
        && text.bytes().all(fits)
}

/// A text that can be handed to a program.
pub(crate) fn argument(text: &str) -> Result<String, Refusal> {
    if text.contains('\0') {
        return Err(Refusal::new("a text without the character NUL"));
    }
    Ok(text.to_owned())
}

/// The line that asks an agent to stop.
pub(crate) fn stop_line(text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > 4096 || text.contains(['\n', '\r', '\0']) {
        return Err(Refusal::new(
            "one line such as \"exit\", of at most 4096 bytes",
        ));
    }
    Ok(text.to_owned())
}

/// A port number.
pub(crate) fn port(text: &str) -> Result<u16, Refusal> {
    match digits(text).and_then(|number| u16::try_from(number).ok()) {
        Some(port) if port > 0 => Ok(port),
        Some(_) | None => Err(Refusal::new("a port from 1 to 65535")),
    }
}

/// An inclusive range of ports such as `8001-8100`, or a single one.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, Refusal> {
    let wrong = || Refusal::new("a range of ports such as 8001-8100, within 1-65535");
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let low = port(low.trim()).map_err(|_| wrong())?;
    let high = port(high.trim()).map_err(|_| wrong())?;
    if low > high {
        return Err(wrong().hint(format!("write the lower one first: {high}-{low}")));
    }
    Ok(low..=high)
}

/// An address to listen on; only loopback ones.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, Refusal> {
    let wrong = || Refusal::new("a loopback address with a port such as 127.0.0.1:8000");
    let address: SocketAddr = text.parse().map_err(|_| wrong())?;
    if !address.ip().is_loopback() {
        return Err(wrong().hint("listening where other machines can reach it is not possible yet"));
    }
    Ok(address)
}

/// A signal that asks an agent to stop.
pub(crate) fn signal(text: &str) -> Result<StopSignal, Refusal> {
    let wrong = Refusal::new("one of TERM, INT, HUP, QUIT, USR1, USR2");
    match text.strip_prefix("SIG").unwrap_or(text) {
        "TERM" => Ok(StopSignal::Term),
        "INT" => Ok(StopSignal::Int),
        "HUP" => Ok(StopSignal::Hup),
        "QUIT" => Ok(StopSignal::Quit),
        "USR1" => Ok(StopSignal::Usr1),
        "USR2" => Ok(StopSignal::Usr2),
        "KILL" | "9" => Err(wrong.hint("an agent that does not stop in time is killed anyway")),
        other => Err(
            match nearest(other, ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]) {
                Some(meant) => wrong.hint(format!("did you mean {meant:?}?")),
                None => wrong,
            },
        ),
    }
}

/// A restart policy; the words of other tools are understood, but not taken.
pub(crate) fn policy(text: &str) -> Result<Restart, Refusal> {
    text.parse().map_err(|UnknownWord { expected }| {
        let meant = match text {
            "always" | "unless-stopped" => Some("permanent"),
            "on-failure" | "on_failure" => Some("transient"),
            "never" | "no" | "false" => Some("temporary"),
            other => nearest(other, expected.iter().copied()),
        };
        let refusal = Refusal::new("permanent, transient or temporary");
        match meant {
            Some(meant) => refusal.hint(format!("did you mean {meant:?}?")),
            None => refusal,
        }
    })
}

/// `true` or `false`.
pub(crate) fn truth(text: &str) -> Result<bool, Refusal> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(Refusal::new("true or false")),
    }
}

/// A whole number within a range.
pub(crate) fn whole(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, Refusal> {
    move |text| match digits(text).and_then(|number| u32::try_from(number).ok()) {
        Some(number) if range.contains(&number) => Ok(number),
        Some(_) | None => Err(Refusal::new(format!(
            "a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

/// A size such as `64KiB`, `10MiB` or `1GiB`, or a number of bytes, within a range.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, Refusal> {
    move |text| {
        let end = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => {
                return Err(
                    Refusal::new("a size such as 10MiB").hint("units are KiB, MiB, GiB and TiB")
                );
            }
        };
        match digits(number).and_then(|number| number.checked_mul(unit)) {
            Some(bytes) if range.contains(&bytes) => Ok(bytes),
            Some(_) | None => Err(Refusal::new(format!(
                "a size from {} to {} bytes",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// A number, perhaps with a decimal point, within a range.
pub(crate) fn decimal(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, Refusal> {
    move |text| {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match text.parse::<f64>() {
            Ok(number) if plain && range.contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(Refusal::new(format!(
                "a number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// A share such as `50%` or `0.5`: more than nothing, and at most all.
pub(crate) fn share(text: &str) -> Result<f64, Refusal> {
    let share = match text.strip_suffix('%') {
        Some(hundredths) => decimal(0.0..=100.0)(hundredths).map(|number| number / 100.0),
        None => decimal(0.0..=1.0)(text),
    };
    match share {
        Ok(share) if share > 0.0 => Ok(share),
        Ok(_) | Err(_) => Err(Refusal::new(A_SHARE)),
    }
}

/// A number written in digits only.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
