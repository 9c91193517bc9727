//! What there is to do: jobs that were recorded.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::load::{Job, Load};

/// The trace that comes with the benchmark; `traces/README.md` says from where.
pub const RECORDED: &[u8] = include_bytes!("../../traces/AzureLLMInferenceTrace_code.csv.gz");

/// How long a worker takes for a token that it generates, in seconds.
const TOKEN: f64 = 0.05;

/// Nobody replays more than a month, and a slip of units must not run for ever.
pub const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// Reads a file, packed with gzip or not.
///
/// # Errors
/// Says what is wrong with which line.
pub fn read(path: &Path) -> Result<Load, String> {
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    parse(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

/// Takes one of two forms, by its first line: `arrival,service`, both in seconds, or that of Azure's traces.
///
/// # Errors
/// Says what is wrong with which line.
pub fn parse(bytes: &[u8]) -> Result<Load, String> {
    let text = unpack(bytes)?;
    let mut lines = (1..).zip(text.lines());
    let row = match lines.next().map(|(_, head)| head.trim()) {
        Some("arrival,service") => seconds,
        Some("TIMESTAMP,ContextTokens,GeneratedTokens") => azure,
        Some(_) | None => {
            let forms = "\"arrival,service\" or \"TIMESTAMP,ContextTokens,GeneratedTokens\"";
            return Err(format!("line 1: expected {forms}"));
        }
    };
    let mut rows = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (arrival, service) = row(&fields).map_err(|why| format!("line {number}: {why}"))?;
        if service.is_zero() || service > LONGEST {
            return Err(format!(
                "line {number}: a job takes more than 0 and up to 31 days"
            ));
        }
        rows.push((number, arrival, service));
    }
    let first = rows.iter().map(|(_, arrival, _)| *arrival).min();
    let first = first.ok_or("there is no job in it")?;
    let mut jobs = Vec::with_capacity(rows.len());
    for (number, arrival, service) in rows {
        let arrival = arrival - first;
        if arrival > LONGEST {
            return Err(format!("line {number}: more than 31 days after the first"));
        }
        jobs.push(Job { arrival, service });
    }
    jobs.sort_by_key(|job| job.arrival);
    let ends = jobs.iter().map(|job| job.arrival + job.service);
    let duration = ends.max().unwrap_or_default();
    Ok(Load { jobs, duration })
}

fn unpack(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(bytes).read_to_string(&mut text)
    } else {
        (&mut &*bytes).read_to_string(&mut text)
    };
    read.map_err(|error| format!("failed to unpack: {error}"))?;
    Ok(text)
}

/// `arrival,service`
fn seconds(fields: &[&str]) -> Result<(Duration, Duration), String> {
    let [arrival, service] = fields else {
        return Err(format!("expected 2 fields, found {}", fields.len()));
    };
    let seconds = |text: &str| {
        let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
        let seconds = seconds.and_then(Result::ok);
        seconds.ok_or_else(|| format!("expected seconds, such as 12.5, found {text:?}"))
    };
    Ok((seconds(arrival)?, seconds(service)?))
}

/// `TIMESTAMP,ContextTokens,GeneratedTokens`
fn azure(fields: &[&str]) -> Result<(Duration, Duration), String> {
    let [at, _, tokens] = fields else {
        return Err(format!("expected 3 fields, found {}", fields.len()));
    };
    let expected = || format!("expected a time as 2023-11-16 18:17:03.97, found {at:?}");
    let arrival = timestamp(at).ok_or_else(expected)?;
    let tokens: u32 = tokens
        .parse()
        .map_err(|_| format!("expected a number of tokens, found {tokens:?}"))?;
    Ok((arrival, Duration::from_secs_f64(TOKEN) * tokens))
}

/// `2023-11-16 18:17:03.9799600`, since the beginning of the year 0 of a calendar whose years begin in March.
fn timestamp(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap + (153 * month + 2) / 5 + day - 1;
    let mut clock = time.splitn(3, ':');
    let (hour, minute): (u64, u64) = (clock.next()?.parse().ok()?, clock.next()?.parse().ok()?);
    let second = Duration::try_from_secs_f64(clock.next()?.parse().ok()?).ok()?;
    if hour > 23 || minute > 59 || second.as_secs() > 60 {
        return None;
    }
    Some(Duration::from_secs(86_400 * days + 3_600 * hour + 60 * minute) + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_trace_is_an_hour_that_keeps_3_6_workers_busy() {
        let load = parse(RECORDED).unwrap();
        assert_eq!(load.jobs.len(), 8_819);
        let last = load.jobs.last().unwrap().arrival;
        assert_eq!(last.as_secs(), 3_435);
        assert!((load.offered() - 3.6).abs() < 0.1, "{}", load.offered());
    }

    #[test]
    fn jobs_may_stand_in_any_order_and_begin_at_any_time() {
        let load = parse(b"arrival,service\n12.5,2\n\n10,1\n").unwrap();
        let job = |arrival, service| Job {
            arrival: Duration::from_secs_f64(arrival),
            service: Duration::from_secs_f64(service),
        };
        assert_eq!(load.jobs, [job(0.0, 1.0), job(2.5, 2.0)]);
        assert_eq!(load.duration, Duration::from_secs_f64(4.5));
    }

    #[test]
    fn a_day_ends_and_so_does_a_leap_year() {
        let between = |from, to| timestamp(to).unwrap() - timestamp(from).unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(between("2023-12-31 23:59:59", "2024-01-01 23:59:59"), day);
        assert_eq!(between("2024-02-28 1:00:00", "2024-03-01 1:00:00"), 2 * day);
        assert_eq!(between("2023-02-28 1:00:00", "2023-03-01 1:00:00"), day);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err();
        let ours = |line: &str| wrong(&format!("arrival,service\n0,1\n{line}\n"));
        let theirs =
            |line: &str| wrong(&format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{line}"));
        let first =
            "line 1: expected \"arrival,service\" or \"TIMESTAMP,ContextTokens,GeneratedTokens\"";
        assert_eq!(wrong(""), first);
        assert_eq!(wrong("1,2\n"), first);
        assert_eq!(wrong("arrival,service\n"), "there is no job in it");
        assert_eq!(ours("1"), "line 3: expected 2 fields, found 1");
        let expected = "line 3: expected seconds, such as 12.5, found";
        for bad in ["-1", "soon", "NaN", "inf", ""] {
            assert_eq!(ours(&format!("{bad},1")), format!("{expected} {bad:?}"));
        }
        assert_eq!(
            ours("1,0"),
            "line 3: a job takes more than 0 and up to 31 days"
        );
        assert_eq!(ours("1e9,1"), "line 3: more than 31 days after the first");
        assert_eq!(
            theirs("2023-13-16 18:17:03.97,1,2"),
            "line 2: expected a time as 2023-11-16 18:17:03.97, found \"2023-13-16 18:17:03.97\""
        );
        assert_eq!(
            theirs("2023-11-16 18:17:03.97,1,two"),
            "line 2: expected a number of tokens, found \"two\""
        );
    }
}
