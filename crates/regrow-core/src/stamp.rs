//! Times as text: RFC 3339.

use std::time::{Duration, SystemTime};

/// Nanoseconds in a second.
const SECOND: u32 = 1_000_000_000;

/// The last second that has four digits of a year: 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

/// A time in UTC with so many digits after the second, at most 9: `2026-01-01T00:00:00.000Z`. What is before 1970 is told as its
/// beginning, what is after 9999 as its end.
#[must_use]
pub fn rfc3339(time: SystemTime, digits: u8) -> String {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since_epoch.as_secs().min(LAST);
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let digits = digits.min(9);
    if digits == 0 {
        return whole + "Z";
    }
    let fraction = since_epoch.subsec_nanos() / 10_u32.pow(9 - u32::from(digits));
    let width = usize::from(digits);
    format!("{whole}.{fraction:0width$}Z")
}

/// The time that a text means, in UTC or with an offset such as `+01:00`; none if it means none, or one before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(digits);
    let mut next = || date.next()?;
    let (year, month, day) = (next()?, next()?, next()?);
    let zone = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = clock.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(digits);
    let mut next = || clock.next()?;
    let (hour, minute, second) = (next()?, next()?, next()?);
    let plausible = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && (1..=9).contains(&fraction.len());
    if !plausible {
        return None;
    }
    let width = u32::try_from(fraction.len()).ok()?;
    let nanos = u32::try_from(digits(fraction)?).ok()? * 10_u32.pow(9 - width);
    let local = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let utc = match zone.split_at(1) {
        ("Z" | "z", "") => local,
        ("+", ahead) => local.checked_sub(offset(ahead)?)?,
        ("-", behind) => local + offset(behind)?,
        _ => return None,
    };
    debug_assert!(nanos < SECOND, "nine digits at most");
    Some(SystemTime::UNIX_EPOCH + Duration::new(utc, nanos))
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// The seconds of `01:30`.
fn offset(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// The date of a day counted from 1970-01-01, by the proleptic Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that a leap day is the last day of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The day of a date, counted from 1970-01-01, by the proleptic Gregorian calendar.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn a_time_is_written_in_utc_with_as_many_digits_as_are_asked_for() {
        assert_eq!(rfc3339(at(0, 0), 3), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            rfc3339(at(951_782_400, 1), 9),
            "2000-02-29T00:00:00.000000001Z"
        );
        assert_eq!(
            rfc3339(at(1_709_251_199, 7_999_999), 3),
            "2024-02-29T23:59:59.007Z"
        );
        assert_eq!(
            rfc3339(at(4_107_542_400, 999_000_000), 0),
            "2100-03-01T00:00:00Z"
        );
        assert_eq!(
            rfc3339(at(u64::from(u32::MAX) * 100, 0), 0),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(
            rfc3339(at(1, 0) - Duration::from_secs(9), 0),
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(at(0, 0))),
            ("2000-02-29t00:00:00.5z", Some(at(951_782_400, 500_000_000))),
            ("2000-02-29 01:30:00+01:30", Some(at(951_782_400, 0))),
            ("2000-02-28T23:00:00-01:00", Some(at(951_782_400, 0))),
            ("1970-01-01T00:00:00+01:00", None),
            ("2000-02-29T00:00:00", None),
            ("2000-02-29", None),
            ("2000-13-01T00:00:00Z", None),
            ("2000-00-01T00:00:00Z", None),
            ("2000-01-32T00:00:00Z", None),
            ("2000-01-00T00:00:00Z", None),
            ("1969-01-01T00:00:00Z", None),
            ("2000-01-01T24:00:00Z", None),
            ("2000-01-01T00:60:00Z", None),
            ("2000-01-01T00:00:61Z", None),
            ("2000-01-01T00:00:00.Z", None),
            ("2000-01-01T00:00:00.0123456789Z", None),
            ("2000-01-01T00:00:00+24:00", None),
            ("2000-01-01T00:00:00+01:60", None),
            ("2000-01-01T00:00:00Zx", None),
            ("+2000-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(seconds in 0..=LAST, nanos in 0..SECOND) {
            let time = at(seconds, nanos);
            prop_assert_eq!(parse_rfc3339(&rfc3339(time, 9)), Some(time));
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9TZz:.+ -]{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
