//! Values as the command line takes and shows them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use regrow_core::stamp::parse_rfc3339;

use crate::config::{LogFormat, listen_address};
use crate::wire::{Agent, LastExit};

/// The API waits no longer, and nor does a command.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A duration on the command line: a number with one unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 30s, from 1ms to 1h".to_owned();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let duration = Duration::from_millis(number.checked_mul(millis).ok_or_else(expected)?);
    if duration.is_zero() || duration > LONGEST_WAIT {
        return Err(expected());
    }
    Ok(duration)
}

/// An address to listen on, or to ask at.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    listen_address(text).map_err(|refusal| match refusal.hint {
        Some(hint) => format!("expected {}; {hint}", refusal.expected),
        None => format!("expected {}", refusal.expected),
    })
}

/// What a log is made of.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    crate::config::log_format(text).map_err(|refusal| refusal.to_string())
}

/// A moment: so long ago, or a time as RFC 3339 has it. It is passed on as it was said.
pub(super) fn moment(text: &str) -> Result<String, String> {
    let ago = crate::config::duration(text).is_ok();
    if ago || parse_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    Err("expected a duration such as 10m, or a time such as 2026-01-01T00:00:00Z".to_owned())
}

/// A short time: `0.3 s`, `42 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        span(duration)
    }
}

/// A time as people say it, by its two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// How long ago the API's time is; nothing where the clocks disagree.
pub(super) fn since(text: Option<&str>, now: SystemTime) -> Option<Duration> {
    now.duration_since(parse_rfc3339(text?)?).ok()
}

/// How long until the API's time; nothing left where it is over.
pub(super) fn until(text: Option<&str>, now: SystemTime) -> Option<Duration> {
    Some(
        parse_rfc3339(text?)?
            .duration_since(now)
            .unwrap_or_default(),
    )
}

/// How a life ended, shortly.
pub(super) fn exit(exit: &LastExit) -> String {
    match exit.message.as_deref().map(str::trim) {
        None | Some("") => exit.reason.replace('_', " "),
        Some(message) => first_line(message),
    }
}

/// The first line of a text, cut where it is too long for a table, and without what steers terminals.
pub(crate) fn first_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.trim().lines().next().unwrap_or_default();
    let mut plain = line.chars().filter(|letter| !letter.is_control());
    let mut short: String = plain.by_ref().take(LONGEST).collect();
    if plain.next().is_some() {
        short.push_str("...");
    }
    short
}

/// A number of bytes: `512 B`, `1.5 KiB`, `20.0 MiB`, `4.0 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // In tenths, so that no float is needed: 2^64 bytes are less than 2^28 TiB.
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut units = UNITS.iter().peekable();
    while let Some(unit) = units.next() {
        if tenths < 10_240 || units.peek().is_none() {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{bytes} B")
}

/// A table of columns as wide as they have to be, two blanks apart.
pub(super) fn table<'h>(
    header: impl IntoIterator<Item = &'h str>,
    rows: impl Iterator<Item = impl IntoIterator<Item = String>>,
) -> String {
    let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
    let mut widths = vec![0; header.len()];
    let mut all = vec![header];
    all.extend(rows.map(|row| row.into_iter().collect()));
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:0$}", *width))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One line on how an agent is: `worker   running   pid 123  port 8001`.
///
/// `width` is that of the longest id; what took some time is told in `note`.
pub(crate) fn agent_line(agent: &Agent, width: usize, note: &str) -> String {
    let mut line = format!("{:width$}   {:9}", agent.id, agent.phase);
    let mut add = |text: &str| {
        line.push_str("  ");
        line.push_str(text);
    };
    if let Some(pid) = agent.pid {
        add(&format!("pid {pid}"));
        if let Some(port) = agent.port {
            add(&format!("port {port}"));
        } else if let Some(socket) = &agent.socket {
            add(&format!("socket {}", socket.display()));
        }
    }
    if !note.is_empty() {
        add(note);
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::agent;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let told = [
            0,
            1023,
            1024,
            1536,
            20 << 20,
            (1 << 30) - 1,
            4 << 30,
            3 << 50,
            u64::MAX,
        ];
        let told = told.map(bytes);
        assert_eq!(
            told,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "20.0 MiB",
                "1023.9 MiB",
                "4.0 GiB",
                "3072.0 TiB",
                "1677721.5 TiB"
            ]
        );
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in [
            "",
            "30",
            "s",
            "0s",
            "2h",
            "-1s",
            "1.5s",
            "99999999999999999999s",
        ] {
            let error = duration(wrong).unwrap_err();
            assert_eq!(
                error, "expected a duration such as 30s, from 1ms to 1h",
                "{wrong}"
            );
        }
    }

    #[test]
    fn addresses_are_loopback_ones() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(
            loopback("0.0.0.0:8000")
                .unwrap_err()
                .contains("not possible yet")
        );
        assert!(
            loopback("8000")
                .unwrap_err()
                .starts_with("expected a loopback address")
        );
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        let table = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (7_800, "2 h 10 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, words) in table {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        assert_eq!(seconds(Duration::from_millis(312)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(75)), "1 min 15 s");
    }

    #[test]
    fn an_exit_is_told_by_its_message_else_by_its_reason() {
        let last = |reason: &str, message: Option<&str>| LastExit {
            reason: reason.to_owned(),
            code: None,
            signal: None,
            message: message.map(str::to_owned),
            at: String::new(),
        };
        assert_eq!(exit(&last("exit", Some("exit code 3"))), "exit code 3");
        let message = Some("failed to start: no such program\nmore");
        assert_eq!(
            exit(&last("start_failed", message)),
            "failed to start: no such program"
        );
        assert_eq!(exit(&last("start_timeout", None)), "start timeout");
    }

    #[test]
    fn a_first_line_is_short_and_cannot_steer_a_terminal() {
        assert_eq!(first_line("\n one\x1b[2J\ttwo \n three"), "one[2Jtwo ");
        assert_eq!(
            first_line(&"ä".repeat(301)),
            format!("{}...", "ä".repeat(300))
        );
        assert_eq!(first_line(&"ä".repeat(300)), "ä".repeat(300));
    }

    #[test]
    fn a_line_on_an_agent_has_what_there_is() {
        let mut worker = agent("worker");
        assert_eq!(agent_line(&worker, 8, ""), "worker     pending");
        worker.phase = "running".to_owned();
        worker.pid = Some(123);
        worker.port = Some(8001);
        let line = agent_line(&worker, 8, "0.3 s");
        assert_eq!(line, "worker     running    pid 123  port 8001  0.3 s");
    }
}
