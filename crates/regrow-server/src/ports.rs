//! Whether the range of agents' ports is apart from the ports that the system gives to connections.

use std::ops::RangeInclusive;

/// What to do where they meet.
pub(crate) const ADVICE: &str =
    "choose another range with `ports` in the file: a port may be taken when an agent wants it";

/// Where the system takes the ports of connections from, if it tells.
pub(crate) fn of_connections() -> Option<RangeInclusive<u16>> {
    parse(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_ascii_whitespace().map(str::parse);
    Some(ends.next()?.ok()?..=ends.next()?.ok()?)
}

/// That the two ranges meet, in words, if they do.
pub(crate) fn meet(ours: &RangeInclusive<u16>, theirs: &RangeInclusive<u16>) -> Option<String> {
    let is_met = ours.start() <= theirs.end() && theirs.start() <= ours.end();
    let said = |range: &RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
    is_met.then(|| {
        let (ours, theirs) = (said(ours), said(theirs));
        format!("{ours} meets {theirs}, which the system gives to connections")
    })
}

/// Warns, once, where they meet.
pub(crate) fn warn_of(ours: &RangeInclusive<u16>) {
    if let Some(what) = of_connections().and_then(|theirs| meet(ours, &theirs)) {
        tracing::warn!("the range of ports {what}; {ADVICE}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ranges_meet_when_they_have_a_port_in_common() {
        let meets = |ours, theirs| meet(&ours, &theirs).is_some();
        assert!(!meets(8001..=8100, 32_768..=60_999));
        assert!(meets(8001..=8100, 8100..=9000));
        assert!(meets(8001..=8100, 7000..=8001));
        assert!(meets(8001..=8100, 1024..=65_535));
        assert!(!meets(8001..=8100, 8101..=9000));
    }

    #[test]
    fn the_range_of_connections_is_read_as_the_system_writes_it() {
        assert_eq!(parse("32768\t60999\n"), Some(32_768..=60_999));
        for text in ["", "32768", "32768 x", "32768 99999"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
