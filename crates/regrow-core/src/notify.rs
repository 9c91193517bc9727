//! What a process says of itself by `sd_notify`: one datagram, lines of `KEY=VALUE`.
//!
//! The words are those of systemd, so that programs which know it need no change. Whoever sends may be broken or hostile: what
//! makes no sense is passed over, and [`Intake`] says how often one is listened to.

use std::time::{Duration, Instant};

/// No datagram is longer, in bytes. Of a longer one nothing is believed.
pub const MAX_DATAGRAM: usize = 4096;

/// No status is longer, in characters; the rest is cut off.
pub const MAX_STATUS: usize = 256;

/// So many datagrams are read in one period; more wait where they are, and so does who sends them.
const MOST: u32 = 64;

/// The period.
const PERIOD: Duration = Duration::from_secs(1);

/// What one datagram says. What it does not speak of is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// `READY=1`: it is up.
    pub is_ready: bool,
    /// `STOPPING=1`: it has begun to end.
    pub is_stopping: bool,
    /// `EXTEND_TIMEOUT_USEC=`: it asks for so much time from now on.
    pub extend: Option<Duration>,
    /// `STATUS=`: what it does, in its own words; one line of at most [`MAX_STATUS`] characters, empty where it takes back what it
    /// has said. It has no control characters and none that turn the direction of text.
    pub status: Option<String>,
}

impl Notice {
    /// Reads a datagram. Unknown keys and values that make no sense are passed over; of a key that comes twice the last counts.
    ///
    /// ```
    /// use regrow_core::notify::Notice;
    ///
    /// let notice = Notice::parse(b"STOPPING=1\nSTATUS=writing 3 of 7");
    /// assert!(notice.is_stopping && !notice.is_ready);
    /// assert_eq!(notice.status.as_deref(), Some("writing 3 of 7"));
    /// ```
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Self {
        let mut notice = Self::default();
        if datagram.len() > MAX_DATAGRAM {
            return notice;
        }
        for line in datagram.split(|byte| *byte == b'\n') {
            let mut halves = line.splitn(2, |byte| *byte == b'=');
            let (Some(key), Some(value)) = (halves.next(), halves.next()) else {
                continue;
            };
            match key {
                b"READY" => notice.is_ready = value == b"1",
                b"STOPPING" => notice.is_stopping = value == b"1",
                b"EXTEND_TIMEOUT_USEC" => notice.extend = micros(value).or(notice.extend),
                b"STATUS" => notice.status = Some(line_of(value)),
                _ => {}
            }
        }
        notice
    }
}

/// A time in microseconds, in digits and nothing else.
fn micros(value: &[u8]) -> Option<Duration> {
    let digits = str::from_utf8(value).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number)?;
    Some(Duration::from_micros(number))
}

/// A text that may be shown on a terminal.
fn line_of(value: &[u8]) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = String::from_utf8_lossy(value);
    let shown = text
        .trim()
        .chars()
        .filter(|c| !c.is_control() && !turns(*c));
    shown.take(MAX_STATUS).collect()
}

/// How often one is listened to: 64 datagrams a second.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// When the present period began.
    since: Option<Instant>,
    /// How many were read in it.
    read: u32,
}

impl Intake {
    /// When the next datagram may be read; `None`: now.
    #[must_use]
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        let opens = self.since? + PERIOD;
        (self.read >= MOST && opens > now).then_some(opens)
    }

    /// One was read.
    pub fn on_read(&mut self, now: Instant) {
        let is_over = self.since.is_none_or(|since| since + PERIOD <= now);
        if is_over {
            self.since = Some(now);
            self.read = 0;
        }
        self.read += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Notice {
        Notice {
            is_ready: true,
            ..Notice::default()
        }
    }

    fn extend(micros: u64) -> Notice {
        Notice {
            extend: Some(Duration::from_micros(micros)),
            ..Notice::default()
        }
    }

    fn status(text: &str) -> Notice {
        Notice {
            status: Some(text.to_owned()),
            ..Notice::default()
        }
    }

    #[test]
    fn a_datagram_means_what_its_lines_say_and_nothing_else() {
        let nothing = Notice::default;
        let stopping = Notice {
            is_stopping: true,
            ..Notice::default()
        };
        let table: [(&[u8], Notice); 28] = [
            (b"", nothing()),
            (b"\n\n", nothing()),
            (b"READY=1", ready()),
            (b"READY=1\n", ready()),
            (b"WATCHDOG=1\nX\n=\n=1\nREADY=1", ready()),
            (b"READY=0", nothing()),
            (b"READY=", nothing()),
            (b"READY=11", nothing()),
            (b"READY=1\r", nothing()),
            (b"READY", nothing()),
            (b" READY=1", nothing()),
            (b"ready=1", nothing()),
            (b"READY=1\nREADY=0", nothing()),
            (b"READY=1\0", nothing()),
            (b"STOPPING=1", stopping),
            (b"EXTEND_TIMEOUT_USEC=5000000", extend(5_000_000)),
            (b"EXTEND_TIMEOUT_USEC=1\nEXTEND_TIMEOUT_USEC=2", extend(2)),
            (b"EXTEND_TIMEOUT_USEC=1\nEXTEND_TIMEOUT_USEC=x", extend(1)),
            (
                b"EXTEND_TIMEOUT_USEC=18446744073709551615",
                extend(u64::MAX),
            ),
            (b"EXTEND_TIMEOUT_USEC=18446744073709551616", nothing()),
            (b"EXTEND_TIMEOUT_USEC=-1", nothing()),
            (b"EXTEND_TIMEOUT_USEC=+1", nothing()),
            (b"EXTEND_TIMEOUT_USEC=1.5", nothing()),
            (b"EXTEND_TIMEOUT_USEC=\xff", nothing()),
            (b"STATUS=a=b", status("a=b")),
            (b"STATUS=one\nSTATUS= two\t", status("two")),
            (b"STATUS=", status("")),
            (
                b"STATUS=\x1b[31mred\x07 caf\xff \xe2\x80\xaex",
                status("[31mred caf\u{fffd} x"),
            ),
        ];
        for (datagram, notice) in table {
            let shown = String::from_utf8_lossy(datagram);
            assert_eq!(Notice::parse(datagram), notice, "{shown:?}");
        }
    }

    #[test]
    fn of_a_datagram_that_is_too_long_nothing_is_believed_and_a_long_status_is_cut() {
        let mut datagram = b"READY=1\nX=".to_vec();
        datagram.resize(MAX_DATAGRAM, b'x');
        assert_eq!(Notice::parse(&datagram), ready());
        datagram.push(b'x');
        assert_eq!(Notice::parse(&datagram), Notice::default());
        let long = format!("STATUS={}", "\u{e9}".repeat(MAX_STATUS + 1));
        assert_eq!(
            Notice::parse(long.as_bytes()),
            status(&"\u{e9}".repeat(MAX_STATUS))
        );
    }

    #[test]
    fn a_flood_is_read_at_its_rate() {
        let begin = crate::testing::t0();
        let mut intake = Intake::default();
        for _ in 0..MOST {
            assert_eq!(intake.opens_at(begin), None);
            intake.on_read(begin);
        }
        let half = begin + PERIOD / 2;
        assert_eq!(intake.opens_at(half), Some(begin + PERIOD));
        assert_eq!(intake.opens_at(begin + PERIOD), None);
        intake.on_read(begin + PERIOD);
        assert_eq!(intake.opens_at(begin + PERIOD), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_without_harm(datagram: Vec<u8>) {
            let prefixed = [b"STATUS=", &datagram[..]].concat();
            for bytes in [&datagram, &prefixed] {
                let status = Notice::parse(bytes).status.unwrap_or_default();
                assert!(!status.chars().any(char::is_control));
                assert!(status.chars().count() <= MAX_STATUS);
            }
        }
    }
}
