//! Several orders made one: what several sources have brought, in the order of time.
//!
//! Each source is looked at, one after the other, and each brings what it has, oldest first. [`merge`] takes of it what can be told
//! for good: nothing that a later look brings belongs before it. The rest stays with its source for the next round.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, SystemTime};

/// An item so far ahead of the look was not made after it: the clock was set back.
const FAR: Duration = Duration::from_secs(1);

/// What one look at one source has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// The items, oldest first, each with its time.
    pub items: Vec<(SystemTime, T)>,
    /// Whether that is all it has.
    pub extent: Extent,
}

/// How much of a source was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that it had.
    All,
    /// Its oldest items; it has more.
    Part,
}

/// The items of all sources in the order of time, each with the place of its source in `seen`; each source's own order is kept.
///
/// `looked` is the time before the first of the looks. An item that was made after it is left for the next round, for a source that
/// was looked at earlier may have an older one by now; so is what is newer than the last item of a source of which only a part was
/// seen. Where sources give each item its time and show it in one step, as under a lock, the order over all rounds is that of time,
/// as long as the clock goes forward. Where it was set back, nothing waits for it to catch up.
///
/// It costs time in proportion to the items, and to the logarithm of the number of sources.
#[must_use]
pub fn merge<T>(seen: Vec<Seen<T>>, looked: SystemTime) -> Vec<(usize, T)> {
    let mut sources: Vec<_> = seen
        .into_iter()
        .map(|Seen { items, extent }| (items.into_iter().peekable(), extent))
        .collect();
    let mut heads: BinaryHeap<_> = sources
        .iter_mut()
        .enumerate()
        .filter_map(|(source, (items, _))| items.peek().map(|(at, _)| Reverse((*at, source))))
        .collect();
    let mut merged = Vec::new();
    while let Some(Reverse((at, source))) = heads.pop() {
        if at > looked && at.duration_since(looked).is_ok_and(|ahead| ahead <= FAR) {
            break;
        }
        let (items, extent) = &mut sources[source];
        merged.extend(items.next().map(|(_, item)| (source, item)));
        match (items.peek(), extent) {
            // A source whose clock was set back keeps its own order.
            (Some((next, _)), _) => heads.push(Reverse((at.max(*next), source))),
            (None, Extent::All) => {}
            (None, Extent::Part) => break,
        }
    }
    merged
}

/// What several sources hold in the order of time, each with the place of its source; each source's own order is kept. It looks one
/// item ahead in each source.
pub fn in_order<T>(
    sources: Vec<impl Iterator<Item = (SystemTime, T)>>,
) -> impl Iterator<Item = (usize, T)> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    let mut heads = BinaryHeap::new();
    for (source, items) in sources.iter_mut().enumerate() {
        heads.extend(items.peek().map(|(at, _)| Reverse((*at, source))));
    }
    std::iter::from_fn(move || {
        let Reverse((at, source)) = heads.pop()?;
        let items = &mut sources[source];
        let (_, item) = items.next()?;
        heads.extend(
            items
                .peek()
                .map(|(next, _)| Reverse((at.max(*next), source))),
        );
        Some((source, item))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn all(times: &[u64]) -> Seen<u64> {
        Seen {
            items: times.iter().map(|time| (at(*time), *time)).collect(),
            extent: Extent::All,
        }
    }

    fn part(times: &[u64]) -> Seen<u64> {
        Seen {
            extent: Extent::Part,
            ..all(times)
        }
    }

    #[test]
    fn what_can_be_told_for_good_is_told_in_the_order_of_time() {
        for (seen, looked, expected) in [
            (vec![], 9, vec![]),
            (
                vec![all(&[1, 4]), all(&[]), all(&[2, 3])],
                9,
                vec![(0, 1), (2, 2), (2, 3), (0, 4)],
            ),
            // What was made after the look waits.
            (vec![all(&[1, 10]), all(&[9])], 9, vec![(0, 1), (1, 9)]),
            // Past the end of a part nothing is certain, not even what is as old.
            (
                vec![part(&[1, 2]), all(&[1, 2, 3])],
                9,
                vec![(0, 1), (1, 1), (0, 2)],
            ),
            // A source keeps its own order when its clock is set back, and others do not suffer.
            (
                vec![all(&[5, 3, 6]), all(&[4])],
                9,
                vec![(1, 4), (0, 5), (0, 3), (0, 6)],
            ),
            // Nobody waits for a clock that was set back.
            (
                vec![all(&[5000, 8]), all(&[4])],
                9,
                vec![(1, 4), (0, 5000), (0, 8)],
            ),
            (vec![all(&[1009]), all(&[4])], 9, vec![(1, 4)]),
            (vec![all(&[1010]), all(&[4])], 9, vec![(1, 4), (0, 1010)]),
        ] {
            assert_eq!(merge(seen.clone(), at(looked)), expected, "{seen:?}");
        }
    }

    #[test]
    fn what_is_there_is_told_in_the_order_of_time_and_that_of_each_source() {
        let source = |times: &'static [u64]| times.iter().map(|time| (at(*time), *time));
        let sources = vec![source(&[10, 30, 25]), source(&[20, 26]), source(&[])];
        let told: Vec<_> = in_order(sources).collect();
        assert_eq!(told, [(0, 10), (1, 20), (1, 26), (0, 30), (0, 25)]);
    }

    proptest! {
        /// Sources that are written while they are looked at, in rounds and by parts: all is told, once, and in order.
        #[test]
        fn however_the_looks_fall_the_whole_is_in_order(
            gaps in prop::collection::vec((0_usize..3, 0_u64..4), 0..60),
            looks in prop::collection::vec((0_u64..9, 1_usize..5), 1..40),
        ) {
            let mut sources = vec![Vec::new(); 3];
            let mut now = 0;
            for (source, gap) in gaps {
                now += gap;
                sources[source].push(now);
            }
            let mut taken = [0; 3];
            let mut told = Vec::new();
            let mut clock = 0;
            for (pause, most) in looks.into_iter().chain([(500, 999); 2]) {
                clock += pause;
                let looked = at(clock);
                let mut seen = Vec::new();
                for (source, times) in sources.iter().enumerate() {
                    // Each look is a little later than the one before it.
                    clock += 1;
                    let there: Vec<_> = times[taken[source]..]
                        .iter()
                        .copied()
                        .filter(|time| *time <= clock)
                        .collect();
                    let extent = if there.len() > most { Extent::Part } else { Extent::All };
                    let items = there.into_iter().take(most).map(|time| (at(time), time)).collect();
                    seen.push(Seen { items, extent });
                }
                for (source, time) in merge(seen, looked) {
                    prop_assert_eq!(sources[source][taken[source]], time);
                    taken[source] += 1;
                    told.push(time);
                }
            }
            prop_assert!(told.is_sorted(), "{:?}", told);
            prop_assert_eq!(told.len(), sources.iter().map(Vec::len).sum::<usize>());
        }
    }
}
